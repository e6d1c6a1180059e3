import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Sandbox } from '@dormouse/sandbox';
import { type Figure, repeat, timed } from '../figure.js';
import { summarise } from '../statistics.js';
import { type Engine, firstOutput, nextId, runIn } from './engine.js';

const MIB = 1024 * 1024;
const BASE = { template: 'base', envs: {}, internet: true } as const;

/** What these measurements work with. */
export interface EngineBench {
  readonly engine: Engine;
  readonly quick: boolean;
  progress(what: string): void;
}

/** A sandbox of its own for one measurement. */
async function withSandbox<T>(
  { engine }: EngineBench,
  memoryMb: number | undefined,
  use: (sandbox: Sandbox) => Promise<T>,
): Promise<T> {
  const id = nextId();
  const sandbox = await engine.host.create(id, 1, {
    ...BASE,
    ...(memoryMb === undefined ? {} : { memoryMb }),
  });
  try {
    await firstOutput(sandbox);
    return await use(sandbox);
  } finally {
    await engine.host.destroy(id);
  }
}

/** Pauses, once for warming up and then `count` times, with one small command in every life. */
async function cycles(
  { engine }: EngineBench,
  sandbox: Sandbox,
  count: number,
  measure: (times: { readonly pauseMs: number; readonly resumeMs: number }) => Promise<void>,
): Promise<void> {
  for (let round = 0; round <= count; round++) {
    await sandbox.loaded();
    const { ms: pauseMs } = await timed(() =>
      engine.host.pause(sandbox.id, sandbox.journal.generation, 'full'),
    );
    const { ms: resumeMs } = await timed(async () => {
      await engine.host.resume(sandbox.id, sandbox.journal.generation + 1);
      await firstOutput(sandbox);
    });
    if (round > 0) await measure({ pauseMs, resumeMs });
  }
}

/** What pausing and resuming cost, and what other figures are compared with. */
export interface SleepFigures {
  readonly figures: readonly Figure[];
  /** QEMU's start and the command in a warm VM: less is not possible without a VM that waits. */
  readonly floorMs: number;
  readonly resumeMs: number;
}

/** Pause and resume of an idle guest, with everything that is known about them. */
export async function pauseAndResume(bench: EngineBench): Promise<SleepFigures> {
  const { engine, quick, progress } = bench;
  const count = quick ? 3 : 12;
  progress('pause and resume, 512 MiB');
  const stopped: number[] = [];
  const pauses: number[] = [];
  const resumes: number[] = [];
  const bytes: number[] = [];
  const { warm, memoryMb } = await withSandbox(bench, undefined, async (sandbox) => {
    await cycles(bench, sandbox, count, async ({ pauseMs, resumeMs }) => {
      stopped.push(engine.between('held', 'frozen'));
      pauses.push(pauseMs);
      resumes.push(resumeMs);
      const generation = sandbox.journal.memoryBase;
      if (generation !== undefined) bytes.push((await bytesOf(engine, generation)) / 1024);
    });
    await sandbox.loaded();
    return {
      warm: summarise(await repeat(20, () => firstOutput(sandbox))),
      memoryMb: sandbox.spec.memoryMb,
    };
  });
  const startMs: number[] = [];
  for (let round = 0; round < (quick ? 3 : 10); round++) startMs.push(await startStandby(engine));
  const starts = summarise(startMs);
  progress('pause, 4 GiB');
  const stoppedLarge: number[] = [];
  await withSandbox(bench, 4096, (sandbox) =>
    cycles(bench, sandbox, quick ? 2 : 6, async () => {
      stoppedLarge.push(engine.between('held', 'frozen'));
    }),
  );
  const base = summarise(resumes);
  const floor = starts.median + warm.median;
  const share = (summarise(bytes).median * 1024) / (memoryMb * MIB);
  const figures = [
    row('pause: VM stopped, 512 MiB', 'ms', stopped, {
      text: '≤ 20 ms',
      met: summarise(stopped).median <= 20,
    }),
    row('pause: VM stopped, 4 GiB', 'ms', stoppedLarge, {
      text: '≤ 20 ms',
      met: summarise(stoppedLarge).median <= 20,
    }),
    row('pause: request to durable and freed, 512 MiB', 'ms', pauses, {
      text: '≤ 300 ms',
      met: summarise(pauses).median <= 300,
    }),
    row('pause: written after one small command', 'KiB', bytes, { text: '≤ 2 % of RAM', met: share <= 0.02 }),
    {
      ...row('resume → first output', 'ms', resumes, {
        text: '≤ 1.5 ×',
        met: base.median <= 1.5 * floor,
      }),
      baseline: { what: 'QEMU start and the command in a warm VM', median: floor },
      ratio: base.median / floor,
    },
    row('QEMU start to incoming ready', 'ms', startMs),
  ];
  return { figures, floorMs: floor, resumeMs: base.median };
}

/** From nothing to the first output, by boot and from the frozen template. */
export async function createFromTemplate(
  bench: EngineBench,
  { floorMs, resumeMs }: Pick<SleepFigures, 'floorMs' | 'resumeMs'>,
): Promise<Figure[]> {
  const { engine, quick, progress } = bench;
  progress('create from the frozen template, and by boot');
  const once = async (memoryMb: number | undefined, waiting: boolean): Promise<number> => {
    if (waiting) await engine.host.warmUp(BASE.template);
    const id = nextId();
    const { ms, value } = await timed(async () => {
      const request = { ...BASE, ...(memoryMb === undefined ? {} : { memoryMb }) };
      const sandbox = await engine.host.create(id, 1, request);
      await firstOutput(sandbox);
      return sandbox;
    });
    await value.loaded();
    await engine.host.destroy(id);
    return ms;
  };
  const ready: number[] = [];
  const restored: number[] = [];
  const booted: number[] = [];
  for (let round = 0; round < (quick ? 3 : 10); round++) {
    ready.push(await once(undefined, true));
    // Right after that none waits.
    restored.push(await once(undefined, false));
    // Another size than the frozen one is booted.
    if (round < (quick ? 2 : 5)) booted.push(await once(513, false));
  }
  const boot = summarise(booted);
  const against = (name: string, values: readonly number[]): Figure => {
    const { median } = summarise(values);
    return {
      ...row(name, 'ms', values, {
        text: `≤ 0.1 ×, and ≤ 1.5 × the floor of resume (it is ${(median / floorMs).toFixed(1)} ×)`,
        met: median <= 0.1 * boot.median && median <= 1.5 * floorMs,
      }),
      baseline: { what: 'cold boot → first output', median: boot.median },
      ratio: median / boot.median,
    };
  };
  return [
    against('create from template → first output, one waits', ready),
    against('create from template → first output, none waits', restored),
    {
      name: 'resume → first output, against a cold boot',
      unit: 'ms',
      median: resumeMs,
      count: 1,
      baseline: { what: 'cold boot → first output', median: boot.median },
      ratio: resumeMs / boot.median,
      target: { text: '≤ 0.1 ×', met: resumeMs <= 0.1 * boot.median },
    },
  ];
}

/** Children of a running sandbox until all have answered, against one resume. */
export async function forks(bench: EngineBench, resumeMs: number): Promise<Figure[]> {
  const { engine, quick, progress } = bench;
  const fork = (count: number, rounds: number): Promise<number[]> =>
    withSandbox(bench, undefined, async (sandbox) => {
      const durations: number[] = [];
      for (let round = 0; round < rounds; round++) {
        progress(`fork × ${count}`);
        const children = Array.from({ length: count }, () => ({ id: nextId(), generation: 1 }));
        const { ms } = await timed(async () => {
          const results = await engine.host.fork(sandbox.id, children);
          await Promise.all(
            results.map(async (result) => {
              if ('error' in result) throw result.error;
              await firstOutput(result.sandbox);
            }),
          );
        });
        durations.push(ms);
        for (const { id } of children) await engine.host.destroy(id);
      }
      return durations;
    });
  const many = quick ? 5 : 20;
  const rows = [
    { count: 1, limit: 2, durations: await fork(1, quick ? 2 : 10) },
    { count: many, limit: 8, durations: await fork(many, quick ? 1 : 3) },
  ];
  return rows.map(({ count, limit, durations }) => {
    const { median } = summarise(durations);
    return {
      ...row(`fork × ${count}, all answering`, 'ms', durations, {
        text: `≤ ${limit} ×`,
        met: median <= limit * resumeMs,
      }),
      baseline: { what: 'one resume → first output', median: resumeMs },
      ratio: median / resumeMs,
    };
  });
}

/** How long a VM stands still for a moment of it to be kept. */
export async function checkpoints(bench: EngineBench): Promise<Figure> {
  const { engine, quick, progress } = bench;
  progress('checkpoint');
  const stopped: number[] = [];
  const memory = await withSandbox(bench, undefined, async (sandbox) => {
    for (let round = 0; round < (quick ? 3 : 10); round++) {
      await engine.host.createSnapshot(`sn${nextId().slice(2)}`, sandbox.id, 'full');
      stopped.push(engine.stoppedMs());
    }
    for (const { id } of engine.host.listSnapshots()) await engine.host.deleteSnapshot(id);
    return Number(
      await runIn(
        await sandbox.guest(),
        "awk '/MemTotal|MemFree/{print $2}' /proc/meminfo | paste -sd- | xargs -I{} sh -c 'echo $(({}))'",
      ),
    );
  });
  const limit = 60 + (memory * 1024 * 1000) / (2 * 1024 * MIB);
  return row('checkpoint: VM stopped, 512 MiB', 'ms', stopped, {
    text: `≤ 60 ms + memory in use at 2 GiB/s = ${Math.round(limit)} ms`,
    met: summarise(stopped).median <= limit,
  });
}

/** How long page requests wait while four VMs restore at once, none of them with a recorded working set. */
export async function pageRequests(bench: EngineBench): Promise<Figure> {
  const { engine, progress } = bench;
  progress('page requests under the load of four restores');
  const waits: number[] = [];
  await withSandbox(bench, undefined, async (sandbox) => {
    const snapshot = await engine.host.createSnapshot(`sn${nextId().slice(2)}`, sandbox.id, 'full');
    await rm(join(engine.dataDir, 'generations', snapshot.generationId, 'working-set.bin'), { force: true });
    const ids = Array.from({ length: 4 }, nextId);
    await Promise.all(
      ids.map(async (id) => {
        const child = await engine.host.create(id, 1, { ...BASE, snapshotId: snapshot.id });
        await firstOutput(child);
        const served = await child.loaded();
        if (served !== undefined && served.requests > 0) waits.push(served.requestLatencyUs.p50);
      }),
    );
    for (const id of ids) await engine.host.destroy(id);
    await engine.host.deleteSnapshot(snapshot.id);
  });
  return row('page request served, four VMs restoring (p50 of each)', 'µs', waits, {
    text: '≤ 150 µs',
    met: summarise(waits).median <= 150,
  });
}

/** What is left of a paused sandbox besides its files. */
export async function pausedCosts(bench: EngineBench): Promise<Figure> {
  const { engine, progress } = bench;
  progress('what a paused sandbox holds');
  return await withSandbox(bench, undefined, async (sandbox) => {
    const slot = sandbox.journal.vm?.slot ?? '';
    await engine.host.pause(sandbox.id, 1, 'full');
    const vms = await readdir(join(engine.dataDir, 'vms'));
    const left = vms.filter((name) => name === slot).length + (sandbox.vmPid === undefined ? 0 : 1);
    return row('paused sandbox: processes and guest memory', 'MiB', [left], { text: '0', met: left === 0 });
  });
}

async function bytesOf({ dataDir }: Engine, generation: string): Promise<number> {
  const dir = join(dataDir, 'generations', generation);
  const sizes = await Promise.all(
    (await readdir(dir)).map(async (name) => (await stat(join(dir, name))).blocks),
  );
  return sizes.reduce((sum, blocks) => sum + blocks * 512, 0);
}

/** Starts a VM process until it can take a saved VM, and ends it. */
async function startStandby({ driver, accelerator, dataDir }: Engine): Promise<number> {
  const dir = await mkdtemp(join(dataDir, 'standby-'));
  const memoryPath = join('/dev/shm', basename(dir));
  await writeFile(memoryPath, '');
  const { ms, value: standby } = await timed(() =>
    driver.standBy({
      runDir: dir,
      logDir: dir,
      accelerator,
      vcpus: 1,
      memoryBytes: 512 * MIB,
      memoryPath,
      network: { kind: 'user', restricted: false },
      diskBytes: 8 * 1024 * MIB,
    }),
  );
  await standby.kill();
  await rm(memoryPath);
  return ms;
}

function row(
  name: string,
  unit: Figure['unit'],
  values: readonly number[],
  target?: Figure['target'],
): Figure {
  const { median, p95, count } = summarise(values);
  return { name, unit, median, p95, count, ...(target === undefined ? {} : { target }) };
}
