import { DormouseError } from '@dormouse/errors';
import { describe, expect, test } from 'vitest';
import { newSandboxId } from '../config/sandbox-spec.js';
import type { Step } from '../environment.js';
import { ModelHost, NO_REMAINS, words } from '../testing/model/model-host.js';

const PAUSE: readonly Step[] = [
  'freeze-begun',
  'held',
  'frozen',
  'captured',
  'committed',
  'recorded',
  'freed',
];
const CHECKPOINT: readonly Step[] = [
  'freeze-begun',
  'held',
  'frozen',
  'layer-pushed',
  'captured',
  'committed',
];
const RESUME: readonly Step[] = ['resume-begun', 'standby-ready', 'listening', 'running', 'awake', 'resumed'];

/** Something that goes wrong with a sandbox. It is as it was, or what was to be done is done. */
interface Event {
  readonly name: string;
  readonly happens: (one: Victim) => Promise<void>;
}

/** The sandbox that everything happens to. */
interface Victim {
  readonly model: ModelHost;
  readonly id: string;
  /** Kills the host agent when a step is reached. */
  killAt: (step: Step) => void;
}

const FAILURE = new DormouseError('pause_failed', 'the capture failed');

function crashed(name: string, operation: (one: Victim) => Promise<unknown>, step: Step): Event {
  return {
    name: `a host agent killed in a ${name} at ${step}`,
    happens: async (one) => {
      one.killAt(step);
      // The step may lie behind the answer.
      await operation(one).catch(() => {});
      one.model.kill();
      await one.model.reopen();
    },
  };
}

async function awake({ model, id }: Victim): Promise<void> {
  if (model.host.get(id).journal.state === 'paused') await model.resume(id);
}

async function asleep({ model, id }: Victim): Promise<void> {
  if (model.host.get(id).journal.state === 'running') await model.pause(id);
}

async function pause(one: Victim): Promise<void> {
  await one.model.pause(one.id);
}

async function resume(one: Victim): Promise<void> {
  await one.model.resume(one.id);
}

async function checkpoint(one: Victim): Promise<void> {
  await one.model.snapshot(one.id);
}

async function fork({ model, id }: Victim): Promise<void> {
  await model.host.fork(id, [{ id: newSandboxId(), generation: 1 }]);
}

const AWAKE: readonly Event[] = [
  ...PAUSE.map((step) => crashed('pause', pause, step)),
  ...CHECKPOINT.map((step) => crashed('checkpoint', checkpoint, step)),
  crashed('fork', fork, 'running'),
  {
    name: 'a checkpoint that fails after its layer was pushed',
    happens: async (one) => {
      one.model.machines.faults.capture = FAILURE;
      await expect(checkpoint(one)).rejects.toBe(FAILURE);
    },
  },
  {
    name: 'a pause that fails',
    happens: async (one) => {
      one.model.machines.faults.capture = FAILURE;
      await expect(pause(one)).rejects.toBe(FAILURE);
    },
  },
  { name: 'a checkpoint', happens: checkpoint },
  { name: 'a pause', happens: pause },
];
const ASLEEP: readonly Event[] = [
  ...RESUME.map((step) => crashed('resume', resume, step)),
  {
    name: 'a resume that fails',
    happens: async (one) => {
      one.model.machines.faults.acquire = FAILURE;
      await expect(resume(one)).rejects.toBe(FAILURE);
      one.model.machines.faults.acquire = undefined;
    },
  },
];
const EVENTS: readonly Event[] = [
  ...AWAKE.map((event) => ({
    ...event,
    happens: (one: Victim) => awake(one).then(() => event.happens(one)),
  })),
  ...ASLEEP.map((event) => ({
    ...event,
    happens: (one: Victim) => asleep(one).then(() => event.happens(one)),
  })),
];

async function victim(): Promise<Victim & AsyncDisposable> {
  let wanted: Step | undefined;
  const model: ModelHost = await ModelHost.open({
    onStep: (step) => {
      if (step !== wanted) return;
      wanted = undefined;
      model.kill();
    },
  });
  const id = await model.create('begin');
  return {
    model,
    id,
    killAt: (step) => {
      wanted = step;
    },
    [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
  };
}

describe('hazards 4 and 5: after', () => {
  test.each(EVENTS)(
    '$name, each of the others can follow, and then pauses and resumes have everything',
    {
      timeout: 120_000,
    },
    async (first) => {
      await using one = await victim();
      const { model, id } = one;
      const remembered = ['begin'];
      for (const [index, second] of EVENTS.entries()) {
        try {
          await first.happens(one);
          await second.happens(one);
          await awake(one);
          expect(model.vm(id).content()).toEqual(words(...remembered));
          model.remember(id, `w${index}`);
          remembered.push(`w${index}`);
          await model.pause(id);
          await model.resume(id);
          expect(model.vm(id).content()).toEqual(words(...remembered));
        } catch (cause) {
          throw new Error(`then ${second.name}\n${model.warnings.slice(-10).join('\n')}`, { cause });
        }
        for (const { id: each } of model.host.list()) if (each !== id) await model.host.destroy(each);
      }
      for (const { id: snapshot } of model.host.listSnapshots()) await model.host.deleteSnapshot(snapshot);
      await model.host.destroy(id);
      await model.host.settled();
      await model.removeDrafts();
      await model.host.collect(-1);
      expect(await model.remains()).toEqual(NO_REMAINS);
    },
  );
});
