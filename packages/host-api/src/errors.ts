import { Code, ConnectError } from '@connectrpc/connect';
import { DormouseError, errorRow, fromUnknown, isErrorCode, systemErrorCode } from '@dormouse/errors';
import { ErrorInfoSchema } from './gen/dormouse/host/v1/host_pb.js';

/** An error on its way out of the host agent: Connect code from the table, our own code and suggestion as detail. */
export function toConnectError(thrown: unknown): ConnectError {
  if (thrown instanceof ConnectError) return thrown;
  const error = fromUnknown(thrown);
  return new ConnectError(
    error.message,
    errorRow(error.code).connect as Code,
    undefined,
    [{ desc: ErrorInfoSchema, value: { code: error.code, suggestion: error.suggestion ?? '' } }],
    error,
  );
}

/**
 * An error as the control plane received it. Without our detail it came from the transport: the host is unavailable.
 *
 * @param cancelled false: nobody on this side has cancelled the call, so one that was cut off was lost with its host
 */
export function fromConnectError(thrown: unknown, cancelled = true): DormouseError {
  if (thrown instanceof DormouseError) return thrown;
  const error = ConnectError.from(thrown);
  const info = error.findDetails(ErrorInfoSchema)[0];
  if (info !== undefined && isErrorCode(info.code)) {
    const suggestion = info.suggestion === '' ? {} : { suggestion: info.suggestion };
    // A host that has no room says so before it begins.
    const notBegun = info.code === 'no_capacity';
    return new DormouseError(info.code, error.rawMessage, { cause: error, notBegun, ...suggestion });
  }
  if (error.code === Code.Canceled && cancelled)
    return new DormouseError('cancelled', 'the call was cancelled', { cause: error });
  if (error.code === Code.DeadlineExceeded) {
    return new DormouseError('timeout', 'the host agent did not answer in time', { cause: error });
  }
  return new DormouseError('unavailable', `the host agent cannot be reached: ${error.rawMessage}`, {
    cause: error,
    notBegun: wasRefused(error),
    suggestion: 'Try again in a few seconds; `dormouse up` restarts a host agent that has stopped.',
  });
}

/** What the system says of a Unix socket where no process listens: the call never left this process. */
const REFUSED: ReadonlySet<string | undefined> = new Set(['ECONNREFUSED', 'ENOENT']);

function wasRefused(thrown: Error): boolean {
  for (let error: unknown = thrown; error instanceof Error; error = error.cause) {
    if ('syscall' in error && error.syscall === 'connect' && REFUSED.has(systemErrorCode(error))) return true;
  }
  return false;
}
