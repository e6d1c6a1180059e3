import { setTimeout as wait } from 'node:timers/promises';
import { fromUnknown } from '@dormouse/errors';
import { SandboxState } from '@dormouse/host-api';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { repairProjects } from '../projects/repair.js';
import { reconcileOnce } from '../reconciler/reconcile.js';
import { sweepLayers } from '../templates/sweep-layers.js';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { type DatabaseFaults, interceptDatabase, type LosingPoint } from '../testing/database-faults.js';
import { rememberingHost } from '../testing/remembering-host.js';
import { FLOWS, type Flow, type World } from './flows.js';

/** What flows leave, in an order in which it can be removed. */
const TABLES = [
  'project_saves',
  'projects',
  'template_layers',
  'template_builds',
  'snapshots',
  'sandboxes',
  'events',
];

/** Longer than any flow takes that waits for nothing. */
const RESCUE_AFTER_MS = 2_000;

let plane: TestControlPlane;
let admin: pg.Client;
let world: World;
let faults: DatabaseFaults;

beforeAll(async () => {
  plane = await startTestControlPlane();
  const host = rememberingHost();
  plane.host.script(host.script);
  const { services, team } = plane;
  world = { services, team: services.store.forTeam(team.teamId), host };
  admin = new pg.Client({ connectionString: plane.databaseUrl });
  await admin.connect();
  // Hundreds of runs need no disk that keeps them. Connections of before begin anew.
  await admin.query('alter database dormouse set synchronous_commit = off');
  await admin.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'dormouse' and pid <> pg_backend_pid()",
  );
  faults = interceptDatabase();
}, 60_000);
afterAll(async () => {
  faults[Symbol.dispose]();
  await admin?.end();
  await plane.close();
}, 60_000);

/** Whoever was at work is gone, and the control plane looks after what it has left. */
async function recover(): Promise<void> {
  await admin.query('update projects set lease_until = now() where lease is not null');
  await admin.query('update template_builds set lease_until = now() where lease is not null');
  // What changed in the very millisecond in which the host is asked is left to the next round.
  for (let round = 0; round < 2; round++) {
    await wait(2);
    await reconcileOnce(world.services);
    await repairProjects(world.services);
    await sweepLayers(world.services);
  }
  await wait(2);
  await reconcileOnce(world.services);
}

/** What must hold after every flow, however it went: database and host agree, and nothing is unreachable. */
async function agreement(): Promise<void> {
  const { host, services } = world;
  const { rows: sandboxes } = await admin.query<{ id: string; state: string; hidden: boolean }>(
    "select id, state, deleted_at is not null as hidden from sandboxes where state not in ('stopped', 'error')",
  );
  const inDatabase = Object.fromEntries(
    sandboxes.map(({ id, state, hidden }) => [id, hidden ? 'hidden' : state]),
  );
  const onHost = Object.fromEntries(
    [...host.sandboxes.values()].map(({ id, state }) => [
      id,
      state === SandboxState.PAUSED ? 'paused' : 'running',
    ]),
  );
  expect(inDatabase).toEqual(onHost);
  const { rows: snapshots } = await admin.query<{ id: string }>(
    "select id from snapshots where state <> 'deleted'",
  );
  expect(snapshots.map(({ id }) => id).toSorted()).toEqual([...host.snapshots.keys()].toSorted());
  expect(host.rebooted).toEqual([]);
  expect(await services.store.system.projects.unfinished()).toEqual([]);
}

/** A flow may wait for the reconciler, which comes by all the time. */
async function rescued(running: Promise<unknown>): Promise<void> {
  const over = running.then(
    () => true,
    () => true,
  );
  while (!(await Promise.race([over, wait(RESCUE_AFTER_MS, false)]))) {
    faults.stop();
    await reconcileOnce(world.services);
  }
  await running;
}

async function attempt(flow: Flow, { at, when }: LosingPoint): Promise<readonly LosingPoint[]> {
  await admin.query(TABLES.map((table) => `delete from ${table}`).join('; '));
  world.host.clear();
  const made = await flow.prepare(world);
  faults.start(at, when);
  let failure: unknown;
  try {
    await rescued(flow.run(world, made));
  } catch (thrown) {
    failure = thrown;
  }
  faults.stop();
  const { points, lost } = faults;
  const where = `${flow.name}: connection lost ${when} statement ${at} (${lost})`;
  try {
    if (lost === undefined) expect(failure).toBeUndefined();
    await recover();
    await agreement();
    await flow.check?.(world, made);
    await flow.run(world, made).catch((thrown: unknown) => {
      if (!flow.alsoDone?.includes(fromUnknown(thrown).code)) throw thrown;
    });
    await recover();
    await agreement();
    await (flow.afterwards ?? flow.check)?.(world, made);
  } catch (thrown) {
    const { message } = fromUnknown(thrown);
    throw new Error(`${where}, which ended with: ${failure}\n${message}`, { cause: thrown });
  }
  return points;
}

test.each(FLOWS)(
  'hazards 5, 9 and 16: $name loses no data and leaks nothing, whichever statement loses its connection',
  async (flow) => {
    const points = await attempt(flow, { at: Number.POSITIVE_INFINITY, when: 'before' });
    expect(points.length).toBeGreaterThan(3);
    const failures: string[] = [];
    for (const point of points) {
      await attempt(flow, point).catch((error: unknown) => failures.push(fromUnknown(error).message));
    }
    expect(failures).toEqual([]);
  },
  120_000,
);
