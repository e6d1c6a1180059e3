import { PassThrough } from 'node:stream';
import { generateApiKey } from '@dormouse/auth';
import { Store } from '@dormouse/store';
import { type AccessOptions, openAccess } from '../access/access.js';
import type { AccessLimits } from '../access/limits.js';
import type { Services } from '../context.js';
import { EventFeed } from '../events/feed.js';
import { createMetrics } from '../http/metrics.js';
import { createLogger } from '../log.js';
import { InFlight } from '../sandboxes/in-flight.js';
import { Operations } from '../sandboxes/operations.js';
import { type ApiServer, startServer } from '../server.js';
import { openBuildJobs } from '../templates/build-jobs.js';
import { type SenderOptions, WebhookSender } from '../webhooks/sender.js';
import { type ScriptedHost, startScriptedHost } from './scripted-host.js';
import { startTemporaryDatabase } from './temporary-database.js';

/** Somebody with a key. */
export interface TestTeam {
  readonly teamId: string;
  readonly key: string;
}

/** A whole control plane on real sockets and a real database, with a scripted host. */
export interface TestControlPlane {
  readonly url: string;
  /** For a second control plane on the same database. */
  readonly databaseUrl: string;
  readonly host: ScriptedHost;
  readonly services: Services;
  readonly server: ApiServer;
  readonly team: TestTeam;
  /** Everything that was logged so far. */
  logged(): string;
  newTeam(): Promise<TestTeam>;
  /** A request with the first team's key, unless other headers say otherwise. */
  request(path: string, init?: RequestInit): Promise<Response>;
  /** Makes a sandbox and answers its id. */
  createSandbox(): Promise<string>;
  close(): Promise<void>;
}

/** As good as none: tests are many tries from one address. */
const PLENTY = { limit: 1_000_000, windowSec: 60 };
const NO_LIMITS: AccessLimits = {
  signUps: PLENTY,
  logIns: PLENTY,
  logInsOfEmail: PLENTY,
  keyFailures: PLENTY,
};

/** Tests ask no name servers. */
const NO_NAMES = () => Promise.reject(Object.assign(new Error('no names'), { code: 'ENOTFOUND' }));

/** Starts everything; several seconds for the database. */
export async function startTestControlPlane(
  access: Partial<AccessOptions> = {},
  webhooks: Partial<SenderOptions> = {},
): Promise<TestControlPlane> {
  const database = await startTemporaryDatabase();
  const host = await startScriptedHost();
  const plane = await startOn(database.databaseUrl, host, access, webhooks);
  return {
    ...plane,
    close: async () => {
      await plane.close();
      await host.close();
      await database.close();
    },
  };
}

/** Another control plane on the database and host of one; to be closed before that one. */
export async function startBeside(
  { databaseUrl, host }: TestControlPlane,
  access: Partial<AccessOptions> = {},
  webhooks: Partial<SenderOptions> = {},
): Promise<TestControlPlane> {
  return await startOn(databaseUrl, host, access, webhooks);
}

async function startOn(
  databaseUrl: string,
  host: ScriptedHost,
  access: Partial<AccessOptions>,
  webhooks: Partial<SenderOptions>,
): Promise<TestControlPlane> {
  const store = await Store.open({ databaseUrl });
  await store.system.lease.renew();
  let logged = '';
  const sink = new PassThrough();
  sink.on('data', (chunk: Buffer) => {
    logged += chunk.toString('utf8');
  });
  const log = createLogger('debug', sink);
  const buildJobs = await openBuildJobs(databaseUrl, log);
  const services: Services = {
    store,
    host: host.client,
    log,
    metrics: createMetrics(store),
    inFlight: new InFlight(),
    operations: new Operations(),
    feed: new EventFeed(),
    access: await openAccess(store, { signUpOpen: true, limits: NO_LIMITS, trustedProxies: 1, ...access }),
    buildJobs,
    webhooks: new WebhookSender({ allowPrivate: false, resolve: NO_NAMES, ...webhooks }),
    version: '0.0.0-test',
  };
  const following = services.feed.run(store);
  const server = await startServer(services, { host: '127.0.0.1', port: 0 });
  const newTeam = () => makeTeam(store);
  const team = await newTeam();
  const request = (path: string, init: RequestInit = {}) => {
    const headers = new Headers(init.headers);
    if (!headers.has('x-api-key')) headers.set('x-api-key', team.key);
    return fetch(`${server.url}${path}`, { ...init, headers });
  };
  return {
    url: server.url,
    databaseUrl,
    host,
    services,
    server,
    team,
    logged: () => logged,
    newTeam,
    request,
    createSandbox: async () => {
      const answer = await request('/v1/sandboxes', { method: 'POST' });
      const { id } = (await answer.json()) as { id: string };
      return id;
    },
    close: async () => {
      await server.stop();
      await following;
      await buildJobs.close();
      await store.close();
    },
  };
}

let teams = 0;

async function makeTeam(store: Store): Promise<TestTeam> {
  const { key, lookup, hash } = generateApiKey();
  teams += 1;
  const teamId = await store.system.ensureLocalAccess({
    email: `user${teams}@example.org`,
    teamName: `team ${teams}`,
    keyName: 'test',
    lookup,
    hash,
  });
  return { teamId, key };
}
