import { ansiFor } from './ansi.js';
import { printable } from './printable.js';

/** A step under way. */
export interface Step {
  /** What is going on inside it; shown on terminals. */
  update(detail: string): void;
  done(detail?: string): void;
  /** There was nothing to do. */
  skip(detail?: string): void;
  fail(): void;
}

/** Progress of a command that takes several steps. */
export interface Steps {
  start(title: string): Step;
  note(text: string): void;
}

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 80;

/** A spinner on a terminal; elsewhere one line when a step begins and one when it ends. */
export function createSteps(stream: NodeJS.WriteStream): Steps {
  return {
    start: (title) => (stream.isTTY ? spin(stream, title) : plain(stream, title)),
    note: (text) => stream.write(`${text}\n`),
  };
}

function plain(stream: NodeJS.WriteStream, title: string): Step {
  const seconds = stopwatch();
  const end = (mark: string, detail: string | undefined): void => {
    stream.write(`${mark} ${title}${detail ? `: ${detail}` : ''} (${seconds()} s)\n`);
  };
  stream.write(`· ${title} …\n`);
  return {
    update: () => {},
    done: (detail) => end('✓', detail),
    skip: (detail) => end('✓', detail),
    fail: () => end('✗', undefined),
  };
}

function spin(stream: NodeJS.WriteStream, title: string): Step {
  const ansi = ansiFor(stream);
  const seconds = stopwatch();
  let detail = '';
  let frame = 0;
  const draw = (): void => {
    const line = `${FRAMES[frame++ % FRAMES.length]} ${title} ${seconds()} s  ${detail}`;
    stream.write(`\r\x1b[2K${line.slice(0, (stream.columns || 80) - 1)}`);
  };
  const timer = setInterval(draw, FRAME_MS);
  draw();
  const end = (mark: string, text: string | undefined): void => {
    clearInterval(timer);
    stream.write(`\r\x1b[2K${mark} ${title}${text ? `: ${text}` : ''} ${ansi.dim(`${seconds()} s`)}\n`);
  };
  return {
    update: (text) => {
      detail = printable(text);
    },
    done: (text) => end(ansi.green('✓'), text),
    skip: (text) => end(ansi.green('✓'), text),
    fail: () => end(ansi.red('✗'), undefined),
  };
}

/** Seconds since now, one decimal. */
function stopwatch(): () => string {
  const begin = performance.now();
  return () => ((performance.now() - begin) / 1000).toFixed(1);
}

/** Runs `work` as a step that ends as the work does. */
export async function inStep<T>(steps: Steps, title: string, work: (step: Step) => Promise<T>): Promise<T> {
  const step = steps.start(title);
  try {
    const result = await work(step);
    step.done();
    return result;
  } catch (thrown) {
    step.fail();
    throw thrown;
  }
}

/** Runs `work` as a step where a person looks on, and just runs it elsewhere. */
export async function shownStep<T>(
  flags: { readonly json?: boolean; readonly quiet?: boolean },
  title: string,
  work: () => Promise<T>,
): Promise<T> {
  const shown = process.stderr.isTTY && !flags.json && !flags.quiet;
  return shown ? inStep(createSteps(process.stderr), title, work) : work();
}
