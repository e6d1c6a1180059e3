import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createConnection, createServer, type Socket } from 'node:net';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Guest, GuestLink } from '@dormouse/guest-link';
import { createLayer, findTemplate, imagePath } from '@dormouse/rootfs';
import { QmpClient, qemuArguments, vmSockets } from '@dormouse/vmm';
import { type Figure, timed } from '../figure.js';
import { summarise } from '../statistics.js';
import { firstOutput, nextId, runIn } from './engine.js';
import type { EngineBench } from './sleep.js';

const MIB = 1024 * 1024;
const MEMORY_MB = 3072;
const USED_MB = 1024;
/** Incompressible enough for a page server that knows only zeros, and quick to make under emulation. */
const FILL = `head -c ${USED_MB}M /dev/zero | tr '\\0' 'x' > /dev/shm/fill`;
const GREET_TIMEOUT_MS = 180_000;
const QMP_TIMEOUT_MS = 60_000;
const MIGRATION_POLL_MS = 5;

/**
 * Resume with 1 GiB in use, against QEMU's own restore of the same guest state, which loads all memory before the guest
 * runs. Both until a command has answered.
 */
export async function againstEagerRestore(bench: EngineBench): Promise<Figure> {
  const rounds = bench.quick ? 2 : 5;
  const lazy = await lazyRestores(bench, rounds);
  const eager = await eagerRestores(bench, rounds);
  const { median, p95, count } = summarise(lazy);
  const baseline = summarise(eager).median;
  return {
    name: 'resume → first output, 1 GiB in use',
    unit: 'ms',
    median,
    p95,
    count,
    baseline: { what: 'QEMU’s own eager restore', median: baseline },
    ratio: median / baseline,
    target: { text: '≤ 0.33 ×', met: median <= baseline / 3 },
  };
}

async function lazyRestores({ engine, progress }: EngineBench, rounds: number): Promise<number[]> {
  progress('resume with 1 GiB in use');
  const id = nextId();
  const request = { template: 'base', envs: {}, internet: false, memoryMb: MEMORY_MB };
  const sandbox = await engine.host.create(id, 1, request);
  await runIn(await sandbox.guest(), FILL);
  const durations: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    await sandbox.loaded();
    await engine.host.pause(id, sandbox.journal.generation, 'full');
    const { ms } = await timed(async () => {
      await engine.host.resume(id, sandbox.journal.generation + 1);
      await firstOutput(sandbox);
    });
    if (round > 0) durations.push(ms);
  }
  await engine.host.destroy(id);
  return durations;
}

async function eagerRestores(bench: EngineBench, rounds: number): Promise<number[]> {
  bench.progress('QEMU’s own save and restore with 1 GiB in use');
  const { engine } = bench;
  const dir = await mkdtemp(join(engine.dataDir, 'eager-'));
  const saved = join(dir, 'saved');
  const disk = join(dir, 'disk.qcow2');
  const { imageId } = await findTemplate(engine.assetsDir, 'base');
  await createLayer(disk, { path: imagePath(engine.assetsDir, imageId), format: 'raw' });
  const durations: number[] = [];
  {
    await using source = await PlainVm.start(bench, dir, disk, 'source');
    await source.qmp.execute('cont');
    await using link = await source.greet();
    await runIn(new Guest(link), FILL);
    await link.close();
    await source.save(saved);
  }
  for (let round = 0; round < rounds; round++) {
    const startMs = performance.now();
    await using copy = await PlainVm.start(bench, dir, disk, `copy${round}`, ['-incoming', 'defer']);
    await copy.load(saved);
    await using link = await copy.greet();
    await runIn(new Guest(link), 'echo ready');
    durations.push(performance.now() - startMs);
  }
  await rm(dir, { recursive: true, force: true });
  return durations;
}

/** QEMU with our arguments and nothing else of ours. */
class PlainVm implements AsyncDisposable {
  readonly qmp: QmpClient;
  readonly #child: ChildProcess;
  readonly #runDir: string;
  readonly #memoryPath: string;

  private constructor(child: ChildProcess, qmp: QmpClient, runDir: string, memoryPath: string) {
    this.#child = child;
    this.qmp = qmp;
    this.#runDir = runDir;
    this.#memoryPath = memoryPath;
  }

  static async start(
    { engine }: EngineBench,
    dir: string,
    diskPath: string,
    name: string,
    incoming: readonly string[] = [],
  ): Promise<PlainVm> {
    const runDir = await mkdtemp(join(dir, `${name}-`));
    const memoryPath = join('/dev/shm', basename(runDir));
    await writeFile(memoryPath, '');
    const args = qemuArguments(
      {
        runDir,
        logDir: runDir,
        consoleLogPath: '/dev/null',
        accelerator: engine.accelerator,
        vcpus: 1,
        memoryBytes: MEMORY_MB * MIB,
        memoryPath,
        kernelPath: engine.kernel.vmlinuxPath,
        initramfsPath: engine.kernel.initramfsPath,
        diskPath,
        network: { kind: 'user', restricted: true },
      },
      await engine.driver.commandLine(engine.accelerator),
      { seccomp: false },
    );
    const child = spawn('qemu-system-x86_64', [...args, ...incoming], { stdio: 'ignore' });
    const qmp = await QmpClient.connect(vmSockets(runDir).qmp, QMP_TIMEOUT_MS);
    return new PlainVm(child, qmp, runDir, memoryPath);
  }

  greet(): Promise<GuestLink> {
    return GuestLink.connect(vmSockets(this.#runDir).guest, {
      attach: false,
      greetTimeoutMs: GREET_TIMEOUT_MS,
    });
  }

  /** Saves everything, memory included, as `migrate` does. */
  async save(path: string): Promise<void> {
    const socketPath = join(this.#runDir, 'save.sock');
    const server = createServer();
    server.listen(socketPath);
    await once(server, 'listening');
    const connected = once(server, 'connection');
    await this.qmp.execute('stop');
    await this.qmp.execute('migrate-set-parameters', { 'max-bandwidth': 2 ** 40 });
    await this.qmp.execute('migrate', { uri: `unix:${socketPath}` });
    const [socket] = (await connected) as [Socket];
    await pipeline(socket, createWriteStream(path));
    server.close();
  }

  /** Loads everything before the guest runs. */
  async load(path: string): Promise<void> {
    const socketPath = join(this.#runDir, 'load.sock');
    await this.qmp.execute('migrate-incoming', { uri: `unix:${socketPath}` });
    await pipeline(createReadStream(path, { highWaterMark: MIB }), createConnection(socketPath));
    for (;;) {
      const { status } = await this.qmp.execute('query-migrate');
      if (status === 'completed') break;
      if (status === 'failed') throw new Error('QEMU did not load what it had saved');
      await new Promise((resolve) => setTimeout(resolve, MIGRATION_POLL_MS));
    }
    await this.qmp.execute('cont');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
    this.qmp.close();
    await rm(this.#memoryPath, { force: true });
  }
}
