import { beginSpan } from '@dormouse/telemetry';
import type { StreamHandlers, StreamRequest } from './guest-stream.js';
import { OPERATION } from './protocol.js';

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(OPERATION).map(([name, operation]) => [operation, name]),
);

/**
 * The handlers of an operation, so that it is a span where it is part of a trace: from here until it is over, with a
 * note of the guest's first answer. It is named by its kind: what it is about (paths, commands) is nobody's business.
 */
export function spanOf(
  { operation }: Pick<StreamRequest, 'operation'>,
  handlers: StreamHandlers,
): StreamHandlers {
  const span = beginSpan(`guest ${NAMES.get(operation) ?? operation}`, { kind: 'client', onlyWithin: true });
  if (!span.isTraced) return handlers;
  let hasAnswered = false;
  const { message, closed } = handlers;
  return {
    ...handlers,
    ...(message === undefined
      ? {}
      : {
          message: (received) => {
            if (!hasAnswered) span.note('answered');
            hasAnswered = true;
            message(received);
          },
        }),
    closed: (error, warnings) => {
      span.end(error);
      closed(error, warnings);
    },
  };
}
