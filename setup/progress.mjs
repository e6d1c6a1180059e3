const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 80;

/**
 * @typedef {object} Step
 * @property {(detail: string) => void} update what is going on inside the step; terminals only
 * @property {(detail?: string) => void} done
 * @property {() => void} fail
 */

/**
 * Steps on stderr: a spinner on a terminal, one line at the start and one at the end elsewhere.
 *
 * @param {NodeJS.WriteStream} stream
 * @returns {{ start: (title: string) => Step, note: (text: string) => void }}
 */
export function createProgress(stream) {
  return {
    start: stream.isTTY ? (title) => spin(stream, title) : (title) => plain(stream, title),
    note: (text) => stream.write(`${text}\n`),
  };
}

/**
 * @param {NodeJS.WriteStream} stream
 * @param {string} title
 * @returns {Step}
 */
function plain(stream, title) {
  const seconds = stopwatch();
  stream.write(`· ${title} …\n`);
  return {
    update: () => {},
    done: (detail) => stream.write(`✓ ${title}${detail ? `: ${detail}` : ''} (${seconds()} s)\n`),
    fail: () => stream.write(`✗ ${title} (${seconds()} s)\n`),
  };
}

/**
 * @param {NodeJS.WriteStream} stream
 * @param {string} title
 * @returns {Step}
 */
function spin(stream, title) {
  const seconds = stopwatch();
  let detail = '';
  let frame = 0;
  const draw = () => {
    const line = `${FRAMES[frame++ % FRAMES.length]} ${title} ${seconds()} s  ${detail}`;
    stream.write(`\r\x1b[2K${clip(line, (stream.columns || 80) - 1)}`);
  };
  draw();
  const timer = setInterval(draw, FRAME_MS);
  /** @param {string} line */
  const end = (line) => {
    clearInterval(timer);
    stream.write(`\r\x1b[2K${line}\n`);
  };
  return {
    update: (text) => {
      detail = text;
    },
    done: (text) => end(`\x1b[32m✓\x1b[0m ${title}${text ? `: ${text}` : ''} \x1b[2m${seconds()} s\x1b[0m`),
    fail: () => end(`\x1b[31m✗\x1b[0m ${title}`),
  };
}

/**
 * Printable text of at most `width` characters: tools colour their output, and a cut escape sequence would leak.
 *
 * @param {string} line
 * @param {number} width
 * @returns {string}
 */
export function clip(line, width) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is removed
  const text = line.replace(/\x1b\[[0-9;]*[A-Za-z]/g, '').replace(/[\x00-\x1f\x7f]/g, ' ');
  return text.length > width ? text.slice(0, width) : text;
}

/** @returns {() => string} seconds since now, one decimal */
function stopwatch() {
  const begin = performance.now();
  return () => ((performance.now() - begin) / 1000).toFixed(1);
}
