import type { Session } from '@dormouse/contracts';
import type { TestControlPlane } from './control-plane.js';

export const PASSWORD = 'correct horse battery staple';

/** A request as somebody makes it. */
export interface Ask {
  /** The token of a login. */
  readonly token?: string;
  readonly json?: unknown;
  /** Where it comes from, as the one proxy before the server says. */
  readonly from?: string;
}

/** What a request was answered. */
export interface Told<Body> {
  readonly status: number;
  readonly body: Body;
  readonly headers: Headers;
}

/** An error, read. */
export interface Refusal {
  readonly error: { readonly code: string; readonly message: string };
}

/** Makes requests with tokens, or with nothing at all. */
export async function ask<Body>(
  plane: TestControlPlane,
  method: string,
  path: string,
  { token, json, from }: Ask = {},
): Promise<Told<Body>> {
  const response = await fetch(`${plane.url}${path}`, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(json === undefined ? {} : { 'content-type': 'application/json' }),
      ...(from === undefined ? {} : { 'x-forwarded-for': from }),
    },
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
  });
  const text = await response.text();
  const body = (text === '' ? undefined : JSON.parse(text)) as Body;
  return { status: response.status, body, headers: response.headers };
}

let people = 0;

/** Signs somebody new up. */
export async function newPerson(plane: TestControlPlane, name = 'person'): Promise<Session> {
  people += 1;
  const email = `${name}${people}@people.example.org`;
  const json = { email, password: PASSWORD };
  return (await ask<Session>(plane, 'POST', '/v1/auth/signup', { json })).body;
}
