/** What an API says about a request that it does not do. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

/** The error of an answer, checked to be of the documented form: nothing but code, message and the request's id. */
export async function refusalOf(response: Response): Promise<Refusal> {
  const text = await response.text();
  const fail = (why: string): Error => new Error(`HTTP ${response.status}, ${why}: ${text.slice(0, 500)}`);
  const body = JSON.parse(text) as { error?: Record<string, unknown> };
  if (Object.keys(body).join() !== 'error') throw fail('not an error alone');
  const { code, message, request_id: requestId, ...more } = body.error ?? {};
  if (Object.keys(more).length > 0) throw fail('more than an error has');
  if (typeof code !== 'string' || !/^[a-z][a-z_]*$/.test(code)) throw fail('no code');
  if (typeof message !== 'string' || message === '') throw fail('no message');
  if (typeof requestId !== 'string' || requestId === '') throw fail('no request id');
  if (response.headers.get('x-request-id') !== requestId) throw fail('not the id of the header');
  return { status: response.status, code, message };
}
