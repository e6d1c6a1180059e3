import type { Command } from 'commander';
import { dataDirectoryOf } from '../data-directory.js';
import { wholeNumber } from './options.js';

const MAX_PORT = 65_535;

export const DEFAULT_API_PORT = 4050;
export const DEFAULT_EDGE_PORT = 4051;

interface UpFlags {
  readonly data?: string;
  readonly apiPort: number;
  readonly edgePort: number;
  readonly host: string;
  readonly json?: boolean;
  readonly verbose?: boolean;
}

export function addUp(program: Command): void {
  program
    .command('up')
    .description('start everything on this machine and stay until Ctrl-C')
    .option('--data <dir>', 'data directory (default: DORMOUSE_DATA, else /var/lib/dormouse)')
    .option('--api-port <port>', 'port of the API; 0 for any', wholeNumber(0, MAX_PORT), DEFAULT_API_PORT)
    .option('--edge-port <port>', 'port kept for the edge', wholeNumber(0, MAX_PORT), DEFAULT_EDGE_PORT)
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--json', 'when ready print one line of JSON on stdout')
    .option('--verbose', 'show the logs of all services')
    .option('-y, --yes', 'install missing Debian packages without asking')
    .action(async (flags: UpFlags) => {
      const { runUp } = await import('../up/run-up.js');
      process.exitCode = await runUp({
        data: dataDirectoryOf(flags.data),
        host: flags.host,
        apiPort: flags.apiPort,
        edgePort: flags.edgePort,
        json: flags.json ?? false,
        verbose: flags.verbose ?? false,
      });
    });
}
