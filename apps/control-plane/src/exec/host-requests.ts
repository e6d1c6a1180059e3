import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ExecRequestSchema } from '@dormouse/host-api';

/** One message of the host's Exec call, as it is written. */
export type HostExecRequest = MessageInitShape<typeof ExecRequestSchema>;

type OneOf = Extract<NonNullable<HostExecRequest['message']>, { case: string }>;

/** Wraps one kind of message. */
export function execRequest<Case extends OneOf['case']>(
  kind: Case,
  value: Extract<OneOf, { case: Case }>['value'],
): HostExecRequest {
  return { message: { case: kind, value } as OneOf };
}
