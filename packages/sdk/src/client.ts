import { Health } from '@dormouse/contracts';
import {
  type Account,
  fetchMe,
  logIn,
  type Me,
  type NewAccount,
  type Session,
  signUp,
  switchTeam,
} from './accounts.js';
import { ApiKeys } from './api-keys.js';
import { Audit } from './audit.js';
import { type CallOptions, type ClientOptions, resolveAnonymous, resolveOptions } from './client-options.js';
import { Events } from './events.js';
import { Projects } from './projects.js';
import { Sandboxes } from './sandboxes.js';
import { Snapshots } from './snapshots.js';
import { Teams } from './teams.js';
import { Templates } from './templates.js';
import { Transport } from './transport.js';
import { fetchUsage, type Usage } from './usage.js';
import { Webhooks } from './webhooks.js';

/** A Dormouse server, for programs that do more than use one sandbox. */
export class Client {
  readonly sandboxes: Sandboxes;
  readonly snapshots: Snapshots;
  readonly projects: Projects;
  readonly templates: Templates;
  readonly apiKeys: ApiKeys;
  readonly events: Events;
  readonly teams: Teams;
  readonly audit: Audit;
  readonly webhooks: Webhooks;
  readonly #transport: Transport;

  constructor(options: ClientOptions = {}) {
    this.#transport = new Transport(resolveOptions(options, process.env));
    this.sandboxes = new Sandboxes(this.#transport);
    this.snapshots = new Snapshots(this.#transport);
    this.projects = new Projects(this.#transport);
    this.templates = new Templates(this.#transport);
    this.apiKeys = new ApiKeys(this.#transport);
    this.events = new Events(this.#transport);
    this.teams = new Teams(this.#transport);
    this.audit = new Audit(this.#transport);
    this.webhooks = new Webhooks(this.#transport);
  }

  /** Makes an account and a team of its own. The token is for `new Client({ token })`. */
  static signUp(account: NewAccount, options: ClientOptions & CallOptions = {}): Promise<Session> {
    return signUp(anonymous(options), account, callOptions(options));
  }

  /** Logs in. The token is for `new Client({ token })`. */
  static logIn(account: Account, options: ClientOptions & CallOptions = {}): Promise<Session> {
    return logIn(anonymous(options), account, callOptions(options));
  }

  get apiUrl(): string {
    return this.#transport.options.apiUrl;
  }

  /** Who the token or key is of, and for which team. */
  me(options: CallOptions = {}): Promise<Me> {
    return fetchMe(this.#transport, options);
  }

  /** A login in another of one's teams; this client goes on with the team it has. */
  switchTeam(teamId: string, options: CallOptions = {}): Promise<Session> {
    return switchTeam(this.#transport, teamId, options);
  }

  /** What the team has, and what it may have at once. */
  usage(options: CallOptions = {}): Promise<Usage> {
    return fetchUsage(this.#transport, options);
  }

  /** Whether the server answers, and its version. */
  health(options: CallOptions = {}): Promise<Health> {
    return this.#transport.json({ ...options, method: 'GET', path: '/healthz' }, Health);
  }
}

function anonymous(options: ClientOptions): Transport {
  return new Transport(resolveAnonymous(options, process.env));
}

function callOptions({ signal, timeoutMs }: CallOptions): CallOptions {
  return { signal, timeoutMs };
}
