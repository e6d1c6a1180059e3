import { buildProgram } from './program.js';
import { reportError } from './report-error.js';

const args = process.argv.slice(2);
const end = args.indexOf('--');
const json = (end === -1 ? args : args.slice(0, end)).includes('--json');

process.title = ['dormouse', ...args.slice(0, 1)].join(' ');
try {
  await buildProgram({ json }).parseAsync(args, { from: 'user' });
} catch (thrown) {
  const report = reportError(thrown, { json, debug: process.env.DORMOUSE_DEBUG === '1' });
  process.stderr.write(report.text);
  process.exitCode = report.exitCode;
}
