import type { App } from './app.js';

/** What a route says of itself for the audit log, in the OpenAPI document as well. */
const AUDIT_ATTRIBUTE = 'x-audit-action';

/** Value of the attribute for routes that change nothing the audit log is about. */
const NOT_AUDITED = 'none';

/** The attribute of a route that changes something, e.g. `audited('sandbox.create')`. */
export function audited(action: string): { readonly [AUDIT_ATTRIBUTE]: string } {
  return { [AUDIT_ATTRIBUTE]: action };
}

/** The attribute of a route that is no GET and yet leaves nothing to record: what happens inside a sandbox. */
export const notAudited: { readonly [AUDIT_ATTRIBUTE]: string } = { [AUDIT_ATTRIBUTE]: NOT_AUDITED };

/** What the routes of an app say of themselves. */
export interface RouteTable {
  /** Whether a request needs no credentials. */
  isPublic(method: string, path: string): boolean;
  /**
   * What the audit log calls a request; undefined when it is not recorded.
   *
   * @param pattern the path as hono writes it, `/v1/sandboxes/:id`
   */
  auditAction(method: string, pattern: string): string | undefined;
}

interface RouteAttributes {
  readonly security?: readonly object[] | undefined;
  readonly [AUDIT_ATTRIBUTE]?: unknown;
}

/**
 * Reads the table from the routes themselves, when it is first needed: the app is complete by then.
 *
 * @throws Error for a route of `/v1` that may change something and does not say what the audit log is to call it
 */
export function routeTable(app: App): RouteTable & { readonly check: () => void } {
  let made: { open: Set<string>; actions: Map<string, string> } | undefined;
  const table = () => {
    made ??= read(app);
    return made;
  };
  return {
    check: () => void table(),
    isPublic: (method, path) => table().open.has(`${method} ${path}`),
    auditAction: (method, pattern) => table().actions.get(`${method} ${pattern}`),
  };
}

function read(app: App): { open: Set<string>; actions: Map<string, string> } {
  const open = new Set<string>();
  const actions = new Map<string, string>();
  for (const definition of app.openAPIRegistry.definitions) {
    if (definition.type !== 'route') continue;
    const { method, path } = definition.route;
    const attributes: RouteAttributes = definition.route;
    const name = `${method.toUpperCase()} ${path.replaceAll(/\{([a-z_]+)\}/g, ':$1')}`;
    if (attributes.security?.length === 0) open.add(name);
    if (method === 'get' || !path.startsWith('/v1/')) continue;
    const action = attributes[AUDIT_ATTRIBUTE];
    if (typeof action !== 'string') {
      throw new Error(`${name} must say what the audit log calls it: audited('…'), or notAudited`);
    }
    if (action !== NOT_AUDITED) actions.set(name, action);
  }
  return { open, actions };
}
