import type { Command } from 'commander';
import { withConnection } from './options.js';
import { addSandboxCopy } from './sandbox-copy.js';
import { addSandboxCreate } from './sandbox-create.js';
import { addSandboxEvents } from './sandbox-events.js';
import { addSandboxExec } from './sandbox-exec.js';
import { addSandboxList } from './sandbox-list.js';
import { addSandboxLook } from './sandbox-look.js';
import { addSandboxRemove } from './sandbox-remove.js';
import { addSandboxSleep } from './sandbox-sleep.js';
import { addKeep } from './snapshot.js';

export function addSandbox(program: Command): void {
  const sandbox = program.command('sandbox').description('make, use, pause, fork and remove sandboxes');
  const leaf = (nameAndArguments: string): Command => withConnection(sandbox.command(nameAndArguments));
  addSandboxCreate(leaf);
  addSandboxList(leaf);
  addSandboxExec(leaf);
  addSandboxCopy(leaf);
  addSandboxLook(leaf);
  addSandboxSleep(leaf);
  addSandboxEvents(leaf);
  addKeep(sandbox, 'checkpoint').description('keep its present moment as a snapshot; it goes on as it was');
  addSandboxRemove(leaf);
}
