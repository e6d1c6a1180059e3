import type { Served } from '@dormouse/page-server';
import type { Manifest } from '@dormouse/snapshot';

/** What takes its time on a host, and in which phases, in order. */
export interface PhaseOf {
  /** Room is checked and a generation begun; the guest stands still; QEMU does; memory and disk are in; durable; freed. */
  readonly pause: 'prepare' | 'hold' | 'freeze' | 'capture' | 'commit' | 'free';
  /** The same, but the VM goes on (`wake`) before the commit. */
  readonly checkpoint: 'prepare' | 'hold' | 'freeze' | 'capture' | 'wake' | 'commit';
  /**
   * Process, disk layer and page server are there and the generation is verified; QEMU listens; devices and first pages
   * are in and the guest runs; it answers; its programs run; all memory is there (`fill`, after the restore has ended).
   */
  readonly restore: 'prepare' | 'start' | 'load' | 'greet' | 'wake' | 'fill';
  /** QEMU runs; the guest answers; its programs run. */
  readonly boot: 'start' | 'greet' | 'wake';
}

export type Operation = keyof PhaseOf;

/** Who is told what a host does, in figures. None of it may throw. */
export interface HostObserver {
  /** A pause, a checkpoint, a restore or an attempt to boot has ended. */
  operation(operation: Operation, outcome: 'ok' | 'error', ms: number): void;
  /** A phase of one has succeeded. */
  phase(operation: Operation, phase: PhaseOf[Operation], ms: number): void;
  /** A generation is durable. */
  committed(manifest: Manifest): void;
  /** All memory of a restored guest is there. */
  served(served: Served): void;
}

/** Who is told when nobody listens. */
export const NOBODY: HostObserver = {
  operation: () => {},
  phase: () => {},
  committed: () => {},
  served: () => {},
};
