import { randomInt } from 'node:crypto';
import { cpus } from 'node:os';
import { DormouseError } from '@dormouse/errors';
import type { Template } from '@dormouse/rootfs';
import type { Policy } from './policy.js';

/** Sandbox ids become file names, so their form is checked wherever a path could be made from one. */
export const SANDBOX_ID: RegExp = /^sb[a-z0-9]{20}$/;

const ID_ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** An id that nobody has. */
export function newSandboxId(): string {
  return `sb${Array.from({ length: 20 }, () => ID_ALPHABET[randomInt(ID_ALPHABET.length)]).join('')}`;
}

/** What a caller asks for. Absent numbers are the template's defaults. */
export interface SandboxRequest {
  readonly template: string;
  /** Begin where this snapshot was taken. `template` is ignored then, and the size of the machine is the snapshot's. */
  readonly snapshotId?: string;
  readonly vcpus?: number;
  readonly memoryMb?: number;
  readonly envs: Readonly<Record<string, string>>;
  readonly internet: boolean;
  /** Default: the sandbox's id. */
  readonly hostname?: string;
  /** Default: it never times out, and boots when its memory is lost. */
  readonly policy?: Policy;
}

/** What a sandbox is made of. */
export interface SandboxSpec {
  readonly template: string;
  readonly imageId: string;
  /** User of commands that name none. */
  readonly user: string;
  /** Where commands begin that do not say it. Default: the home of their user. */
  readonly workdir?: string | undefined;
  readonly vcpus: number;
  readonly memoryMb: number;
  readonly diskBytes: number;
  readonly envs: Readonly<Record<string, string>>;
  readonly internet: boolean;
  readonly hostname: string;
}

/** The kernel, its page tables and the guest agent do not start in less. */
const MIN_MEMORY_MB = 128;
const MAX_MEMORY_MB = 1024 * 1024;
/** Virtual processors beyond a few per real one only slow each other down. */
const VCPUS_PER_CPU = 4;
const MIN_VCPU_LIMIT = 8;

/**
 * A request with the template's defaults filled in.
 *
 * @throws DormouseError `invalid_request` for a machine this host cannot make
 */
export function resolveSpec(id: string, request: SandboxRequest, template: Template): SandboxSpec {
  const vcpus = request.vcpus ?? template.vcpus;
  const memoryMb = request.memoryMb ?? template.memoryMb;
  const maxVcpus = Math.max(MIN_VCPU_LIMIT, cpus().length * VCPUS_PER_CPU);
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > maxVcpus) {
    throw new DormouseError('invalid_request', `vcpus must be 1 to ${maxVcpus} on this host, not ${vcpus}`);
  }
  if (!Number.isInteger(memoryMb) || memoryMb < MIN_MEMORY_MB || memoryMb > MAX_MEMORY_MB) {
    throw new DormouseError(
      'invalid_request',
      `memory_mb must be ${MIN_MEMORY_MB} to ${MAX_MEMORY_MB}, not ${memoryMb}`,
    );
  }
  return {
    template: template.name,
    imageId: template.imageId,
    user: template.user,
    vcpus,
    memoryMb,
    diskBytes: template.diskBytes,
    envs: request.envs,
    internet: request.internet,
    hostname: request.hostname ?? id,
  };
}
