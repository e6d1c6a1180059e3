import { describe, expect, test } from 'vitest';
import { newSandboxId } from '../config/sandbox-spec.js';
import type { Step } from '../environment.js';
import { ModelHost, words } from '../testing/model/model-host.js';
import type { Content } from '../testing/model/model-vm.js';
import { PowerCutFs } from '../testing/power-cut-fs.js';

const CAN_MOUNT = process.getuid?.() === 0;
/** Every step that the model of a host comes through. */
const STEPS: readonly Step[] = [
  'freeze-begun',
  'held',
  'frozen',
  'layer-pushed',
  'captured',
  'committed',
  'recorded',
  'freed',
  'resume-begun',
  'standby-ready',
  'listening',
  'running',
  'awake',
  'resumed',
];
const ROUNDS = Number(process.env.DORMOUSE_POWER_CUTS ?? 25);

/** What a sandbox must have after a power cut. */
interface Expected {
  readonly id: string;
  /** Everything it was told to remember. */
  all: string[];
  /** What of that a pause, a checkpoint or a fork has made durable. */
  durable: string[];
  /** What it was paused with, when no resume has begun since: a cut must lose nothing of it, its memory included. */
  asleep: Content | undefined;
}

/** A host on a file system whose power is cut at a step, or when something is over. */
class Machine implements AsyncDisposable {
  readonly fs: PowerCutFs = new PowerCutFs();
  readonly steps: Step[] = [];
  model!: ModelHost;
  /** Called at every step. */
  onStep: (step: Step) => void = () => {};

  static async start(): Promise<Machine> {
    const machine = new Machine();
    machine.model = await ModelHost.open(
      {
        onStep: (step) => {
          machine.steps.push(step);
          machine.onStep(step);
        },
      },
      machine.fs.path,
    );
    return machine;
  }

  /** Has the power cut at the first of these steps, or at once. */
  cutAt(step: Step | undefined): void {
    if (step === undefined) this.fs.cut();
    else
      this.onStep = (now) => {
        if (now !== step) return;
        this.onStep = () => {};
        this.fs.cut();
      };
  }

  /** The machine starts again, and so does its host agent. */
  async restart(): Promise<void> {
    this.onStep = () => {};
    this.model.machines.cutPower();
    await this.model.die();
    this.fs.restart();
    await this.model.reopen();
  }

  /** What a sandbox that was told these words has after a restart. */
  async expectRemembered({ id, all, durable, asleep }: Expected): Promise<void> {
    const { host } = this.model;
    expect(host.list().map((sandbox) => sandbox.id)).toContain(id);
    const { journal } = host.get(id);
    expect([id, journal.state, journal.reason]).toEqual([id, 'paused', journal.reason]);
    const { kind } = journal.paused!;
    const content = await this.model.content(id);
    if (asleep !== undefined) expect([kind, content]).toEqual(['full', asleep]);
    else {
      // What a running guest had not synced may be lost, from the end; nothing that a snapshot has is.
      expect([id, content.disk, words(...all).disk.slice(0, content.disk.length)]).toEqual([
        id,
        content.disk,
        content.disk,
      ]);
      expect([id, content.disk.slice(0, words(...durable).disk.length)]).toEqual([
        id,
        words(...durable).disk,
      ]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.model[Symbol.asyncDispose]();
    this.fs[Symbol.dispose]();
  }
}

describe.runIf(CAN_MOUNT)('hazard 4: a power cut that drops all unsynced writes', () => {
  test.each(['create', 'resume', 'checkpoint', 'fork', 'spawn', 'pause', 'reboot'] as const)(
    'right after a %s loses nothing that was durable',
    async (operation) => {
      await using machine = await Machine.start();
      const { model } = machine;
      const id = await model.create('one');
      let snapshot = '';
      const one: Expected = { id, all: ['one'], durable: [], asleep: undefined };
      const children: Expected[] = [];
      if (operation !== 'create') {
        snapshot = await model.snapshot(id);
        one.durable = ['one'];
      }
      if (operation === 'resume' || operation === 'reboot') {
        await model.pause(id);
        await model.host.resume(id, 9, { reboot: operation === 'reboot' });
      }
      if (operation === 'pause') {
        await model.pause(id);
        one.asleep = words('one');
      }
      if (operation === 'fork') {
        const child = newSandboxId();
        await model.host.fork(id, [{ id: child, generation: 1 }]);
        children.push({ id: child, all: ['one'], durable: ['one'], asleep: undefined });
      }
      if (operation === 'spawn') {
        children.push({ id: await model.spawn(snapshot), all: ['one'], durable: ['one'], asleep: undefined });
      }
      machine.cutAt(undefined);
      await machine.restart();
      for (const each of [one, ...children]) await machine.expectRemembered(each);
      if (snapshot !== '') {
        expect(await machine.model.content(await machine.model.spawn(snapshot))).toEqual(words('one'));
      }
      // What the cut has left goes on as anything else.
      machine.model.remember(id, 'two');
      await machine.model.pause(id);
      expect((await machine.model.content(id)).disk.endsWith('two ')).toBe(true);
    },
  );

  test.each(STEPS)(
    'at the step %s, of whatever comes to it first, loses nothing that was durable',
    async (step) => {
      await using machine = await Machine.start();
      const { model } = machine;
      const id = await model.create('one');
      const one: Expected = { id, all: ['one'], durable: [], asleep: undefined };
      machine.cutAt(step);
      try {
        await model.snapshot(id);
        one.durable = ['one'];
        model.remember(id, 'two');
        one.all.push('two');
        await model.pause(id);
        one.durable = ['one', 'two'];
        one.asleep = words('one', 'two');
        const resuming = model.resume(id);
        await resuming.finally(() => {
          if (model.host.get(id).journal.state !== 'paused') one.asleep = undefined;
        });
      } catch {
        // The power went in the middle of it.
      }
      expect(machine.steps).toContain(step);
      await machine.restart();
      await machine.expectRemembered({
        ...one,
        asleep: machine.model.host.get(id).journal.paused?.kind === 'full' ? one.asleep : undefined,
      });
    },
  );

  test(`${ROUNDS} times in a row, at random steps of random operations, loses nothing that was durable`, {
    timeout: 120_000 + ROUNDS * 10_000,
  }, async () => {
    await using machine = await Machine.start();
    const { model } = machine;
    const seed = Number(process.env.DORMOUSE_SEED ?? Date.now() % 1_000_000);
    const random = randomOf(seed);
    const sandboxes: Expected[] = [];
    const snapshots: { readonly id: string; readonly content: Content }[] = [];
    let word = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const history: string[] = [];
      let cutIn = 2 + random(60);
      machine.onStep = () => {
        if (cutIn-- !== 0) return;
        machine.onStep = () => {};
        machine.fs.cut();
      };
      try {
        while (cutIn >= 0) {
          const one = sandboxes[random(Math.max(1, sandboxes.length))];
          if (one === undefined) {
            const id = newSandboxId();
            history.push(`create ${id}`);
            await model.host.create(id, 1, { template: 'base', envs: {}, internet: false });
            sandboxes.push({ id, all: [], durable: [], asleep: undefined });
            continue;
          }
          const { state } = model.host.get(one.id).journal;
          const what = ['remember', 'remember', 'pause', 'resume', 'snapshot', 'fork', 'create'][random(7)]!;
          history.push(`${what} ${one.id} (${state})`);
          if (state === 'running' && what === 'remember') {
            one.all.push(`w${++word}`);
            model.remember(one.id, `w${word}`);
          } else if (state === 'running' && what === 'pause') {
            const content = model.vm(one.id).content();
            await model.pause(one.id);
            one.durable = [...one.all];
            one.asleep = content;
          } else if (state === 'paused' && what === 'resume') {
            one.asleep = undefined;
            await model.resume(one.id);
          } else if (what === 'snapshot' && snapshots.length < 3) {
            const content = one.asleep ?? model.vm(one.id).content();
            const id = await model.snapshot(one.id);
            snapshots.push({ id, content });
            one.durable = [...one.all];
          } else if (what === 'fork' && sandboxes.length < 4) {
            const child = newSandboxId();
            const content = [...one.all];
            const [result] = await model.host.fork(one.id, [{ id: child, generation: 1 }]);
            if (result !== undefined && 'error' in result) throw result.error;
            one.durable = [...content];
            sandboxes.push({ id: child, all: [...content], durable: [...content], asleep: undefined });
          } else if (what === 'create' && sandboxes.length < 4) {
            const id = newSandboxId();
            await model.host.create(id, 1, { template: 'base', envs: {}, internet: false });
            sandboxes.push({ id, all: [], durable: [], asleep: undefined });
          }
        }
      } catch {
        // The power went in the middle of it.
      }
      if (cutIn >= 0) machine.fs.cut();
      try {
        await machine.restart();
        for (const one of sandboxes) await machine.expectRemembered(one);
        for (const { id, content } of snapshots) {
          const spawned = await machine.model.spawn(id);
          expect(await machine.model.content(spawned)).toEqual(content);
          await machine.model.host.destroy(spawned);
        }
        // Sandboxes that were being made when the power went may be there as well.
        const known = new Set(sandboxes.map(({ id }) => id));
        for (const { id } of machine.model.host.list())
          if (!known.has(id)) await machine.model.host.destroy(id);
        for (const one of sandboxes) {
          one.all = wordsOf((await machine.model.content(one.id)).disk);
          one.durable = [...one.all];
          one.asleep = undefined;
        }
        if (snapshots.length === 3) await machine.model.host.deleteSnapshot(snapshots.shift()!.id);
        while (sandboxes.length > 2) await machine.model.host.destroy(sandboxes.shift()!.id);
        await machine.model.host.settled();
        await machine.model.host.collect(-1);
      } catch (error) {
        throw new Error(
          `seed ${seed}, round ${round}: ${history.join(', ')}\n${machine.model.warnings.slice(-20).join('\n')}`,
          {
            cause: error,
          },
        );
      }
    }
  });
});

function wordsOf(disk: string): string[] {
  return disk.split(' ').filter((one) => one !== '');
}

/** Numbers below a bound, the same for the same seed (mulberry32). */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}
