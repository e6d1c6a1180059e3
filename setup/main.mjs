import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { readInvocation } from './arguments.mjs';
import { needsOf } from './needs.mjs';
import { prepareCheckout } from './prepare-checkout.mjs';
import { describeError } from './setup-error.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const invocation = readInvocation(process.argv.slice(2));

try {
  await prepareCheckout(root, needsOf(invocation), invocation);
  if (invocation.command === 'test' && !invocation.help) {
    const { runTests } = await import('./test.mjs');
    process.exitCode = await runTests(root, invocation.rest);
  } else if (invocation.command === 'bench' && !invocation.help) {
    process.argv = [process.argv[0] ?? 'node', join(root, 'bench/dist/main.js'), ...invocation.rest];
    await import(pathToFileURL(process.argv[1] ?? '').href);
  } else {
    // In this same process: signals, terminal and exit code need no forwarding, and Node.js starts only once.
    const cli = join(root, 'apps/cli/dist/main.js');
    process.argv[1] = cli;
    await import(pathToFileURL(cli).href);
  }
} catch (error) {
  const { text, exitCode } = describeError(error, process.env.DORMOUSE_DEBUG === '1');
  process.stderr.write(text);
  process.exitCode = exitCode;
}
