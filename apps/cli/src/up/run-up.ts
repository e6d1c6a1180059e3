import { DormouseError } from '@dormouse/errors';
import { ansiFor } from '../terminal/ansi.js';
import { printable } from '../terminal/printable.js';
import { createSteps, type Steps } from '../terminal/steps.js';
import { Stack } from './stack.js';

export interface UpOptions {
  readonly data: string;
  readonly host: string;
  readonly apiPort: number;
  readonly edgePort: number;
  readonly json: boolean;
  readonly verbose: boolean;
}

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Exit code of a start that was interrupted, as shells have it for SIGINT. */
const INTERRUPTED_EXIT_CODE = 130;

/**
 * Starts everything, says how to use it, and stays until a signal asks it to stop.
 *
 * @returns the exit code
 */
export async function runUp(options: UpOptions): Promise<number> {
  const steps = createSteps(process.stderr);
  const starting = new AbortController();
  const stopAsked = deferred();
  let stack: Stack | undefined;
  let signals = 0;
  const onSignal = (): void => {
    signals += 1;
    starting.abort(new DormouseError('cancelled', 'interrupted while starting'));
    stopAsked.resolve();
    if (signals > 1) stack?.hurry();
  };
  for (const name of STOP_SIGNALS) process.on(name, onSignal);
  try {
    const { data, host, apiPort, edgePort, verbose } = options;
    const onLog = verbose
      ? (name: string, line: string) => steps.note(`[${name}] ${printable(line)}`)
      : undefined;
    try {
      stack = await Stack.start({ data, host, apiPort, edgePort, onLog }, steps, starting.signal);
    } catch (thrown) {
      if (!starting.signal.aborted) throw thrown;
      steps.note('Interrupted while starting; everything that was started is stopped.');
      return INTERRUPTED_EXIT_CODE;
    }
    announce(stack, options);
    await stopAsked.promise;
    await sayWhatStops(stack, steps);
    await stack[Symbol.asyncDispose]();
    steps.note('Everything is stopped.');
    return 0;
  } finally {
    for (const name of STOP_SIGNALS) process.off(name, onSignal);
  }
}

function announce(stack: Stack, { json, host }: UpOptions): void {
  const [apiUrl, apiKey, dataDir] = [stack.apiUrl, stack.apiKey(), stack.paths.root];
  if (json) {
    const line = { apiUrl, edgeUrl: null, dashboardUrl: null, apiKey, dataDir };
    process.stdout.write(`${JSON.stringify(line)}\n`);
    return;
  }
  const { bold, dim, yellow } = ansiFor(process.stdout);
  const lines = [
    '',
    `${bold('Dormouse is up.')} ${dim('Ctrl-C ends it.')}`,
    '',
    `  API      ${apiUrl}   ${dim(`reference: ${apiUrl}/docs`)}`,
    `  API key  ${apiKey}`,
    `  Data     ${dataDir}`,
  ];
  if (stack.accelerator === 'tcg') {
    lines.push(
      '',
      yellow('  No usable KVM here: guests run in software (TCG). Good for trying out, slow, and'),
    );
    lines.push(yellow('  not a security boundary: do not run code you distrust.'));
  }
  if (host !== '127.0.0.1' && host !== '::1' && host !== 'localhost') {
    lines.push('', yellow(`  Listens on ${host} without TLS: the API key can be read on the way.`));
  }
  lines.push('', '  Try', ...tryThese(apiUrl, apiKey).map((command) => `    ${command}`), '');
  process.stdout.write(`${lines.join('\n')}\n`);
}

function tryThese(apiUrl: string, apiKey: string): string[] {
  return [
    './dormouse demo',
    './dormouse sandbox create',
    `curl -X POST ${apiUrl}/v1/sandboxes -H 'X-API-Key: ${apiKey}' -H 'Content-Type: application/json' -d '{}'`,
  ];
}

async function sayWhatStops(stack: Stack, steps: Steps): Promise<void> {
  const count = await stack.countRunning();
  if (count === undefined || count === 0) return;
  const subject = count === 1 ? '1 running sandbox is' : `${count} running sandboxes are`;
  steps.note(`${subject} being paused; they come back with the next \`up\`.`);
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
