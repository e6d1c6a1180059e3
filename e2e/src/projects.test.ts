import { join } from 'node:path';
import type { OpenProject, ProjectInfo, ProjectSnapshotInfo, Sandbox } from '@dormouse/sdk';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CommandLine } from './support/command-line.js';
import { eventually } from './support/eventually.js';
import { isAlive } from './support/processes.js';
import { run } from './support/run.js';
import { MIB } from './support/scale.js';
import { REPOSITORY, type Stack, startStack } from './support/stack.js';
import { NO_TRACES, tracesOf } from './support/traces.js';
import { loadedVmOf, vmOf } from './support/vm.js';

const FILE = '/home/user/work/bytes.bin';
const FILE_BYTES = 3 * MIB;
const FIFO = '/tmp/ask';
const SAID = '/tmp/said';
const EXAMPLE = join(REPOSITORY, 'examples/workspace/dist/main.js');

/** Holds random bytes that are nowhere but in its memory; each line in the fifo makes it tell their digest. */
const KEEPER = `
import hashlib, os
held = os.urandom(4 << 20)
os.mkfifo('${FIFO}')
print('ready', flush=True)
while True:
    with open('${FIFO}') as asked: asked.read()
    with open('${SAID}.new', 'w') as file: file.write(hashlib.sha256(held).hexdigest())
    os.rename('${SAID}.new', '${SAID}')
`;

let stack: Stack;
let cli: CommandLine;

beforeAll(async () => {
  stack = await startStack();
  cli = new CommandLine(stack);
});

afterAll(async () => {
  await stack?.[Symbol.asyncDispose]();
});

/** Starts the keeper, leaves it running and answers its process id. */
async function startKeeper(where: Sandbox): Promise<number> {
  await using keeper = await where.spawn(
    { cmd: 'python3', args: ['-c', KEEPER] },
    { stdin: false, detach: true },
  );
  for await (const event of keeper) {
    if (event.type === 'stdout' && Buffer.from(event.data).toString() === 'ready\n') return keeper.pid;
  }
  throw new Error('the keeper ended');
}

async function say(where: Sandbox, command: string): Promise<string> {
  const { exitCode, stdout, stderr } = await where.exec(command, { timeoutMs: 120_000 });
  if (exitCode !== 0) throw new Error(`${command} ended with ${exitCode}: ${stderr}`);
  return stdout.trim();
}

/** Digest of what the keeper of a sandbox holds in memory. */
function memoryOf(where: Sandbox): Promise<string> {
  return say(where, `rm -f ${SAID}; echo > ${FIFO}; until test -e ${SAID}; do sleep 0.1; done; cat ${SAID}`);
}

const fileOf = (where: Sandbox): Promise<string> => say(where, `sha256sum < ${FILE}`);

test('hazard 2: a project that is closed and opened again has its files and its memory, and one can go back', async () => {
  const { projects } = stack.client;
  const { id } = await projects.create({ name: 'thesis', workspace: '/home/user/work', keepLast: 2 });
  const first = await projects.open(id);
  expect(first).toMatchObject({ restoredFrom: 'template', restoreError: null });
  await say(
    first.sandbox,
    'mkdir -p /home/user/work && cd /home/user/work && mkdir a && echo 1 > a/one && ln -s a link',
  );
  await first.sandbox.files.write(FILE, Buffer.alloc(FILE_BYTES, 'dormouse'));
  const pid = await startKeeper(first.sandbox);
  const [memory, file] = [await memoryOf(first.sandbox), await fileOf(first.sandbox)];
  const vm = await vmOf(stack.dataDir, first.sandbox.id);
  if (vm === undefined) throw new Error('it has no VM');

  const { project, snapshot } = await projects.close(id);
  expect(project).toMatchObject({ state: 'closed', sandboxId: null, snapshotId: snapshot?.id });
  // Two regular files: links and directories are none.
  expect(snapshot).toMatchObject({ description: null, fileCount: 2, sizeMb: 3 });
  const traces = await tracesOf(stack.dataDir);
  expect(traces.sandboxes).toEqual([]);
  expect(traces.guestMemory).not.toContain(vm.slot);
  expect(await isAlive(vm.pid)).toBe(false);

  const answers = await Promise.all(Array.from({ length: 5 }, () => projects.open(id)));
  expect(new Set(answers.map(({ sandbox }) => sandbox.id)).size).toBe(1);
  const [second] = answers as [OpenProject];
  expect(second).toMatchObject({ restoredFrom: 'snapshot', snapshotId: snapshot?.id, restoreError: null });
  expect(second.sandbox.id).not.toBe(first.sandbox.id);
  expect([await memoryOf(second.sandbox), await fileOf(second.sandbox)]).toEqual([memory, file]);

  const kept = await cli.json<ProjectSnapshotInfo>('project', 'save', 'thesis', '--description', 'whole');
  expect(kept).toMatchObject({ description: 'whole', fileCount: 2 });
  await say(second.sandbox, `rm ${FILE}`);
  await second.sandbox.processes.kill(pid);
  await second.sandbox.pause();
  expect(await projects.open(id)).toMatchObject({ restoredFrom: 'live', sandbox: { id: second.sandbox.id } });

  const back = await projects.restore(id, kept.id);
  expect(back).toMatchObject({ restoredFrom: 'snapshot', snapshotId: kept.id });
  expect([await memoryOf(back.sandbox), await fileOf(back.sandbox)]).toEqual([memory, file]);
  await expect(second.sandbox.refresh()).rejects.toMatchObject({ code: 'not_found' });
});

test('hazard 2: when its VM dies a project has the files that were written, says that its memory is lost, and can be closed', async () => {
  const { projects, sandboxes } = stack.client;
  const { id } = await projects.create({ name: 'crashed' });
  const { sandbox } = await projects.open(id);
  await say(sandbox, 'echo kept > /home/user/file; sync; echo lost > /dev/shm/file');
  const kill = async (): Promise<void> => {
    const vm = await eventually('all its memory is there', 30_000, () =>
      loadedVmOf(stack.dataDir, sandbox.id),
    );
    process.kill(vm.pid, 'SIGKILL');
    await eventually(
      'it is paused',
      30_000,
      async () => (await sandboxes.info(sandbox.id)).state === 'paused',
    );
  };
  await kill();
  const opened = await projects.open(id);
  expect(opened).toMatchObject({ restoredFrom: 'live', sandbox: { id: sandbox.id } });
  const { resumedBy, reason } = opened.sandbox.info;
  expect([resumedBy, reason]).toEqual(['reboot', 'its memory was lost: its VM ended by itself (SIGKILL)']);
  expect(await say(opened.sandbox, 'cat /home/user/file; ls /dev/shm')).toBe('kept');
  const told: string[] = [];
  for await (const { type } of opened.sandbox.pastEvents()) told.push(type);
  expect(told).toEqual(expect.arrayContaining(['sandbox.vm_ended', 'sandbox.rebooted']));
  await kill();
  expect((await projects.close(id)).project).toMatchObject({ state: 'closed' });
  const again = await projects.open(id);
  expect(await say(again.sandbox, 'cat /home/user/file')).toBe('kept');
  await projects.delete(id);
});

test('`project` says what there is, closes and removes it', async () => {
  expect(await cli.json<ProjectInfo[]>('project', 'ls')).toMatchObject([{ name: 'thesis', state: 'open' }]);
  const closed = (await cli.say('project', 'close', 'thesis')).trim();
  expect(closed).toMatch(/^sn[a-z0-9]{20}$/);
  const ids = (await cli.say('project', 'snapshots', 'thesis', '--quiet')).trim().split('\n');
  // The newest two automatic ones, and the one with a description.
  expect(ids).toHaveLength(3);
  expect(ids[0]).toBe(closed);
  expect(await cli.say('project', 'open', 'thesis')).toMatch(/^sb[a-z0-9]{20} \(from its snapshot\)\n$/);
  expect((await cli.run(['project', 'create', 'thesis'])).code).toBe(4);
  expect((await cli.run(['project', 'open', 'no-such'])).code).toBe(3);
  expect(await cli.json('project', 'rm', 'thesis')).toEqual({ removed: ['thesis'] });
  expect(await cli.say('snapshot', 'ls', '--type', 'snapshot', '--quiet')).toBe('');
});

test('the example runs: a second visit finds the process of the first', async () => {
  const env = { DORMOUSE_API_URL: stack.apiUrl, DORMOUSE_API_KEY: stack.apiKey };
  const visit = async (): Promise<string[]> => {
    const { code, stdout, stderr } = await run(process.execPath, [EXAMPLE, 'ada'], { env });
    expect([code, stderr]).toEqual([0, '']);
    return stdout.trim().split('\n');
  };
  for (const [count, from] of [
    [1, 'template'],
    [2, 'snapshot'],
  ] as const) {
    const [opened, visits, diary, closed] = await visit();
    expect(opened).toBe(`opened from ${from}`);
    expect(visits).toBe(`visit ${count}, says a process that has run since the first`);
    expect(diary).toBe(`the diary has ${count} lines`);
    expect(closed).toMatch(/^closed: \d+ files, [\d.]+ MiB$/);
  }
  await stack.client.projects.delete('workspace-ada');
});

test('hazard 16: when all projects are deleted nothing is left', async () => {
  for await (const { id } of stack.client.sandboxes.list()) expect.unreachable(`${id} is still listed`);
  expect((await tracesOf(stack.dataDir)).sandboxes).toEqual([]);
  expect(await stack.stop()).toBe(0);
  expect(await tracesOf(stack.dataDir)).toEqual({ ...NO_TRACES, layers: expect.any(Array) });
});
