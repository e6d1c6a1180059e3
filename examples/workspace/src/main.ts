import { visit } from './visit.js';

const user = process.argv[2] ?? 'ada';

try {
  await visit(user, (line) => process.stdout.write(`${line}\n`));
} catch (thrown) {
  process.stderr.write(`workspace: ${thrown instanceof Error ? thrown.message : String(thrown)}\n`);
  process.exitCode = 1;
}
