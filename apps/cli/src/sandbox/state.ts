import { DormouseError } from '@dormouse/errors';
import { SandboxState } from '@dormouse/sdk';

/** @throws DormouseError `invalid_request` naming the states there are */
export function parseState(text: string | undefined): SandboxState | undefined {
  if (text === undefined) return undefined;
  const parsed = SandboxState.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new DormouseError('invalid_request', `there is no state ${JSON.stringify(text)}`, {
    suggestion: `One of: ${SandboxState.options.join(', ')}`,
  });
}
