import { parseArgs } from 'node:util';
import { DEFAULT_AGENT_PATH } from './configuration.js';
import { type Check, checkHost } from './host-checks.js';

/**
 * What this machine can do for a host agent: `doctor [--json] [--assets DIR]`. Rows of name, status, detail and, for
 * a lack, its fix.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      assets: { type: 'string', default: '/var/lib/dormouse' },
    },
  });
  const checks = await checkHost(values.assets, process.env.DORMOUSE_GUEST_AGENT ?? DEFAULT_AGENT_PATH);
  process.stdout.write(values.json ? `${JSON.stringify(checks)}\n` : checks.map(line).join(''));
}

function line({ name, status, detail, fix }: Check): string {
  return `${status.padEnd(5)}${name}: ${detail}${fix === undefined ? '' : `\n     ${fix}`}\n`;
}

await main();
