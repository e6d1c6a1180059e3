import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { SandboxInfo } from '@dormouse/sdk';
import { isAlive, processesWith } from './processes.js';
import type { Stack } from './stack.js';
import { tracesOf } from './traces.js';
import { journalOf } from './vm.js';

/**
 * Compares what the API says of all sandboxes with what is on this machine: journals, VM processes, guest memory and
 * disk layers.
 *
 * @returns the sandboxes as the API lists them, and what is not so (any more, or yet)
 * @throws DormouseError when the API does not answer
 */
export async function compare(
  stack: Stack,
): Promise<{ readonly listed: readonly SandboxInfo[]; readonly untrue: readonly string[] }> {
  const listed: SandboxInfo[] = [];
  for await (const info of stack.client.sandboxes.list()) listed.push(info);
  const untrue: string[] = [];
  const slots: string[] = [];
  const layers: string[] = [];
  for (const { id, state } of listed) {
    const journal = await journalOf(stack.dataDir, id);
    const said = `${id} is ${state}, on its host ${journal?.state ?? 'nowhere'}`;
    if (journal?.state !== state && !(['stopped', 'error'].includes(state) && journal === undefined)) {
      untrue.push(said);
    } else if (state === 'running') {
      if (journal?.vm === undefined || !(await isAlive(journal.vm.pid))) untrue.push(`${said}, without a VM`);
      slots.push(journal?.vm?.slot ?? '');
      layers.push(...(journal?.disk?.layers ?? []).map((layer) => `${layer}.qcow2`));
    } else if (!['paused', 'stopped', 'error'].includes(state) || journal?.vm !== undefined) {
      untrue.push(`${said}, which is no end`);
    }
  }
  const traces = await tracesOf(stack.dataDir);
  const vms = await processesWith('qemu-system', `${stack.dataDir}/`);
  const directories = await readdir(join(stack.dataDir, 'sandboxes'));
  const unknown = directories.filter((name) => listed.every(({ id }) => id !== name));
  if (unknown.length > 0) untrue.push(`there are directories of ${unknown.join(', ')}`);
  if (vms.length !== slots.length) untrue.push(`${vms.length} VMs run for ${slots.length} sandboxes`);
  if (!same(traces.guestMemory, slots)) untrue.push(`guest memory: ${traces.guestMemory} for ${slots}`);
  for (const layer of layers) if (!traces.layers.includes(layer)) untrue.push(`${layer} is missing`);
  for (const layer of traces.layers) {
    if (!layers.includes(layer) && !(await isShared(stack, layer))) untrue.push(`${layer} is nobody's`);
  }
  return { listed, untrue };
}

/** Whether a layer is part of a generation as well, which keeps it for as long as it needs it. */
async function isShared({ dataDir }: Stack, layer: string): Promise<boolean> {
  const found = await stat(join(dataDir, 'layers', layer)).catch(() => undefined);
  return found === undefined || found.nlink > 1;
}

function same(left: readonly string[], right: readonly string[]): boolean {
  return left.toSorted().join() === right.toSorted().join();
}
