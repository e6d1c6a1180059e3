import { systemErrorCode } from '@dormouse/errors';
import { buildProgram } from './program.js';
import { reportError } from './report-error.js';
import { separateCommand } from './sandbox/separate-command.js';

const args = separateCommand(process.argv.slice(2), buildProgram());
const end = args.indexOf('--');
const json = (end === -1 ? args : args.slice(0, end)).includes('--json');

// A reader that left (`| head`) is no failure of ours, and no reason for `up` to leave its services alone.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error) => {
    if (systemErrorCode(error) !== 'EPIPE') throw error;
  });
}

process.title = ['dormouse', ...args.slice(0, 1)].join(' ');
try {
  await buildProgram({ json }).parseAsync(args, { from: 'user' });
} catch (thrown) {
  const report = reportError(thrown, { json, debug: process.env.DORMOUSE_DEBUG === '1' });
  process.stderr.write(report.text);
  process.exitCode = report.exitCode;
}
