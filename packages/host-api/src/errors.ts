import { Code, ConnectError } from '@connectrpc/connect';
import { DormouseError, errorRow, fromUnknown, isErrorCode } from '@dormouse/errors';
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
    return new DormouseError(info.code, error.rawMessage, { cause: error, ...suggestion });
  }
  if (error.code === Code.Canceled && cancelled)
    return new DormouseError('cancelled', 'the call was cancelled', { cause: error });
  if (error.code === Code.DeadlineExceeded) {
    return new DormouseError('timeout', 'the host agent did not answer in time', { cause: error });
  }
  return new DormouseError('unavailable', `the host agent cannot be reached: ${error.rawMessage}`, {
    cause: error,
    suggestion: 'Try again in a few seconds; `dormouse up` restarts a host agent that has stopped.',
  });
}
