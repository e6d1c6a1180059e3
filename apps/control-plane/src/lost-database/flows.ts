import type { TeamScope } from '@dormouse/store';
import { expect } from 'vitest';
import type { Services } from '../context.js';
import { closeProject } from '../projects/close.js';
import { createProject } from '../projects/create.js';
import { openProject } from '../projects/open.js';
import { removeProject } from '../projects/remove.js';
import { restoreProject } from '../projects/restore.js';
import { saveProject } from '../projects/save.js';
import { newBuildId } from '../random-id.js';
import { createSandbox } from '../sandboxes/create.js';
import { destroySandbox } from '../sandboxes/destroy.js';
import { forkSandbox } from '../sandboxes/fork.js';
import { pauseSandbox } from '../sandboxes/pause.js';
import { resumeSandbox } from '../sandboxes/resume.js';
import { createSnapshot } from '../snapshots/create.js';
import { removeSnapshot } from '../snapshots/remove.js';
import { runBuild } from '../templates/build.js';
import type { RememberingHost } from '../testing/remembering-host.js';

/** What a flow works with. */
export interface World {
  readonly services: Services;
  readonly team: TeamScope;
  readonly host: RememberingHost;
}

/** One thing that callers do, what there is before it, and what must be there after it, however it went. */
export interface Flow {
  readonly name: string;
  /** @returns ids and names for the rest */
  prepare(world: World): Promise<string[]>;
  run(world: World, made: readonly string[]): Promise<unknown>;
  /** Beyond what holds after every flow. Default: nothing. */
  check?(world: World, made: readonly string[]): Promise<void>;
  /** What must be there when it has been repeated with success. Default: as `check`. */
  afterwards?(world: World, made: readonly string[]): Promise<void>;
  /** Codes of errors that a repetition may end with, because the first try has come about. */
  readonly alsoDone?: readonly string[];
}

const CREATE = {
  template: 'base',
  timeout_sec: 0,
  on_timeout: 'pause',
  on_memory_loss: 'fail',
  internet: true,
  envs: { A: 'b' },
  metadata: {},
} as const;

const PROJECT = {
  name: 'thesis',
  template: 'base',
  keep_last: 5,
  workspace: '/home/user',
  timeout_sec: 0,
  internet: true,
  envs: {},
  metadata: {},
} as const;

const RESUME = { reboot: false } as const;
const WHOLE = { memory: true } as const;
const never = new AbortController().signal;

function write({ host }: World, id: string, content: string): void {
  host.sandboxes.get(id)!.content = content;
}

async function running(world: World, content = 'precious'): Promise<string> {
  const { id } = await createSandbox(world.services, world.team, { ...CREATE, metadata: {} });
  write(world, id, content);
  return id;
}

const snapshotOf = (world: World, sandboxId: string, name: string, overwrite = false) =>
  createSnapshot(
    world.services,
    world.team,
    { sandbox_id: sandboxId, name, memory: true, pause: false },
    overwrite,
  );

/** What the project holds when it is opened now. */
async function opened(world: World, id: string): Promise<{ content: string | undefined; from: string }> {
  const { sandbox, restoredFrom } = await openProject(world.services, world.team, id);
  expect(sandbox.state).toBe('running');
  return { content: world.host.sandboxes.get(sandbox.id)?.content, from: restoredFrom };
}

async function openWith(
  world: World,
  content: string,
  keepLast = 5,
): Promise<[project: string, sandbox: string]> {
  const wanted = { ...PROJECT, keep_last: keepLast, metadata: {} };
  const { id } = await createProject(world.services, world.team, wanted);
  const { sandbox } = await openProject(world.services, world.team, id);
  write(world, sandbox.id, content);
  return [id, sandbox.id];
}

const keeps = (content: string) => async (world: World, made: readonly string[]) => {
  expect(world.host.sandboxes.get(made[0]!)?.content).toBe(content);
  expect(await world.team.sandboxes.get(made[0]!)).toBeDefined();
};

const stateOf = async ({ team }: World, id: string) => (await team.sandboxes.get(id))?.state;

async function contentOf({ team, host }: World, name: string): Promise<string | undefined> {
  const snapshot = await team.snapshots.get(name);
  return snapshot === undefined ? undefined : host.snapshots.get(snapshot.id);
}

async function build(world: World, steps: readonly string[]): Promise<string> {
  const recipe = { name: 'web', from: 'base', steps: steps.map((command) => ({ type: 'run', command })) };
  const { id } = await world.team.templateBuilds.insert({
    id: newBuildId(),
    name: 'web',
    recipe,
    from: 'base',
    stepCount: steps.length,
  });
  return id;
}

/** Everything that callers do with sandboxes, snapshots, projects and templates. */
export const FLOWS: readonly Flow[] = [
  {
    name: 'create',
    prepare: async () => [],
    run: ({ services, team }) => createSandbox(services, team, { ...CREATE, metadata: {} }),
  },
  {
    name: 'pause',
    prepare: async (world) => [await running(world)],
    run: ({ services, team }, [id]) => pauseSandbox(services, team, id!, WHOLE),
    check: keeps('precious'),
    afterwards: async (world, [id]) => expect(await stateOf(world, id!)).toBe('paused'),
  },
  {
    name: 'resume',
    prepare: async (world) => {
      const id = await running(world);
      await pauseSandbox(world.services, world.team, id, WHOLE);
      return [id];
    },
    run: ({ services, team }, [id]) => resumeSandbox(services, team, id!, RESUME),
    check: keeps('precious'),
    afterwards: async (world, [id]) => expect(await stateOf(world, id!)).toBe('running'),
  },
  {
    name: 'fork',
    prepare: async (world) => [await running(world)],
    run: async ({ services, team }, [id]) => {
      const outcomes = await forkSandbox(services, team, id!, { count: 2 });
      const failed = outcomes.find(({ error }) => error !== undefined);
      if (failed?.error !== undefined) throw failed.error;
    },
    check: keeps('precious'),
    afterwards: async ({ host }) => {
      const contents = [...host.sandboxes.values()].map(({ content }) => content);
      expect(contents.length).toBeGreaterThanOrEqual(3);
      expect(new Set(contents)).toEqual(new Set(['precious']));
    },
  },
  {
    name: 'snapshot',
    prepare: async (world) => [await running(world)],
    run: (world, [id]) => snapshotOf(world, id!, 'kept', true),
    check: keeps('precious'),
    afterwards: async (world) => expect(await contentOf(world, 'kept')).toBe('precious'),
  },
  {
    name: 'snapshot that takes a name',
    prepare: async (world) => {
      const id = await running(world, 'old');
      await snapshotOf(world, id, 'kept');
      write(world, id, 'new');
      return [id];
    },
    run: (world, [id]) => snapshotOf(world, id!, 'kept', true),
    check: async (world) => expect(['old', 'new']).toContain(await contentOf(world, 'kept')),
    afterwards: async (world) => expect(await contentOf(world, 'kept')).toBe('new'),
  },
  {
    name: 'delete a snapshot',
    prepare: async (world) => {
      const id = await running(world);
      await snapshotOf(world, id, 'kept');
      await snapshotOf(world, id, 'other');
      return [id];
    },
    run: ({ services, team }) => removeSnapshot(services, team, 'kept'),
    check: async (world) => expect(await contentOf(world, 'other')).toBe('precious'),
    afterwards: async (world) => {
      expect(await contentOf(world, 'kept')).toBeUndefined();
      expect(await contentOf(world, 'other')).toBe('precious');
    },
    alsoDone: ['not_found'],
  },
  {
    name: 'destroy',
    prepare: async (world) => [await running(world), await running(world, 'other')],
    run: ({ services, team }, [id]) => destroySandbox(services, team, id!),
    check: (world, [, other]) => keeps('other')(world, [other!]),
    afterwards: async (world, [id]) => expect(world.host.sandboxes.has(id!)).toBe(false),
    alsoDone: ['not_found'],
  },
  {
    name: 'open a new project',
    prepare: async ({ services, team }) => [
      (await createProject(services, team, { ...PROJECT, metadata: {} })).id,
    ],
    run: ({ services, team }, [id]) => openProject(services, team, id!),
    afterwards: async (world, [id]) => expect((await opened(world, id!)).from).toBe('live'),
  },
  {
    name: 'open a closed project',
    prepare: async (world) => {
      const [id] = await openWith(world, 'precious');
      await closeProject(world.services, world.team, id);
      return [id];
    },
    run: ({ services, team }, [id]) => openProject(services, team, id!),
    afterwards: async (world, [id]) => expect((await opened(world, id!)).content).toBe('precious'),
  },
  {
    name: 'open a project whose sandbox is paused',
    prepare: async (world) => {
      const [id, sandbox] = await openWith(world, 'precious');
      await saveProject(world.services, world.team, id, { metadata: {} });
      write(world, sandbox, 'newer');
      await pauseSandbox(world.services, world.team, sandbox, WHOLE);
      return [id];
    },
    run: ({ services, team }, [id]) => openProject(services, team, id!),
    afterwards: async (world, [id]) =>
      expect(await opened(world, id!)).toEqual({ content: 'newer', from: 'live' }),
  },
  {
    name: 'save a project',
    prepare: async (world) => {
      const [id, sandbox] = await openWith(world, 'first', 1);
      await saveProject(world.services, world.team, id, { metadata: {} });
      write(world, sandbox, 'second');
      return [id, sandbox];
    },
    run: ({ services, team }, [id]) => saveProject(services, team, id!, { metadata: {} }),
    check: (world, [, sandbox]) => keeps('second')(world, [sandbox!]),
    afterwards: async (world, [id, sandbox]) => {
      const moments = await world.team.projectSaves.all(id!);
      expect(moments).toHaveLength(1);
      expect(world.host.snapshots.get(moments[0]!.id)).toBe('second');
      world.host.sandboxes.delete(sandbox!);
      await destroySandbox(world.services, world.team, sandbox!);
      expect(await opened(world, id!)).toEqual({ content: 'second', from: 'snapshot' });
    },
  },
  {
    name: 'close a project',
    prepare: async (world) => [(await openWith(world, 'precious'))[0]],
    run: ({ services, team }, [id]) => closeProject(services, team, id!),
    afterwards: async (world, [id]) =>
      expect(await opened(world, id!)).toEqual({ content: 'precious', from: 'snapshot' }),
  },
  {
    name: 'go back in a project',
    prepare: async (world) => {
      const [id, sandbox] = await openWith(world, 'past');
      const { id: moment } = await saveProject(world.services, world.team, id, {
        description: 'past',
        metadata: {},
      });
      write(world, sandbox, 'present');
      return [id, moment];
    },
    run: ({ services, team }, [id, moment]) => restoreProject(services, team, id!, moment!),
    check: async (world, [id]) => {
      const moments = await world.team.projectSaves.all(id!);
      const kept = moments.map((moment) => world.host.snapshots.get(moment.id));
      const live = [...world.host.sandboxes.values()].map(({ content }) => content);
      expect(kept).toContain('past');
      expect([...kept, ...live]).toContain('present');
    },
    afterwards: async (world, [id]) => {
      const kept = (await world.team.projectSaves.all(id!)).map(({ id: moment }) =>
        world.host.snapshots.get(moment),
      );
      expect(kept).toContain('past');
      expect(kept).toContain('present');
      expect((await opened(world, id!)).content).toBe('past');
    },
  },
  {
    name: 'delete a project',
    prepare: async (world) => {
      const [id] = await openWith(world, 'precious');
      await saveProject(world.services, world.team, id, { metadata: {} });
      return [id, await running(world, 'other')];
    },
    run: ({ services, team }, [id]) => removeProject(services, team, id!),
    check: (world, [, other]) => keeps('other')(world, [other!]),
    afterwards: async ({ host }, [, other]) => {
      expect([...host.sandboxes.keys()]).toEqual([other]);
      expect([...host.snapshots.keys()]).toEqual([]);
    },
    alsoDone: ['not_found'],
  },
  {
    name: 'build a template',
    prepare: async (world) => {
      await runBuild(world.services, world.team.teamId, await build(world, []), never);
      return [(await world.team.snapshots.get('web'))!.id, await build(world, ['a'])];
    },
    run: async (world, [, first]) => {
      const { services, team } = world;
      // A build that has failed is asked for anew.
      const failed = (await team.templateBuilds.get(first!))?.state === 'failed';
      const id = failed ? await build(world, ['a']) : first!;
      await runBuild(services, team.teamId, id, never);
      const { state, error } = (await team.templateBuilds.get(id))!;
      if (state !== 'ready') throw new Error(`the build is ${state}: ${error}`);
    },
    check: async ({ team, host }) => {
      const template = await team.snapshots.get('web');
      expect(host.snapshots.has(template?.id ?? '')).toBe(true);
      expect(await team.templateBuilds.made(template!.id)).toBe(true);
    },
    afterwards: async ({ team, host }, [before]) => {
      const template = (await team.snapshots.get('web'))!;
      expect(template.id).not.toBe(before);
      expect([...host.sandboxes.values()]).toEqual([]);
      // The template and the layer after its step.
      expect(host.snapshots.size).toBe(2);
    },
  },
];
