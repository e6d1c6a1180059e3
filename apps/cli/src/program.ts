import { Command } from 'commander';
import { checkoutVersion } from './checkout.js';
import { addAudit } from './commands/audit.js';
import { addAuth } from './commands/auth.js';
import { addCheckoutCommands } from './commands/checkout-commands.js';
import { addCompletion } from './commands/completion.js';
import { addDemo } from './commands/demo.js';
import { addDoctor } from './commands/doctor.js';
import { addKey } from './commands/key.js';
import { addProject } from './commands/project.js';
import { addSandbox } from './commands/sandbox.js';
import { addSnapshot } from './commands/snapshot.js';
import { addTeam } from './commands/team.js';
import { addTemplate } from './commands/template.js';
import { addUp } from './commands/up.js';
import { addUsage } from './commands/usage.js';
import { addWebhook } from './commands/webhook.js';

/**
 * The whole command tree. Commands load what they need when they run, so that `--help` is quick.
 *
 * @param json errors are told in JSON by the caller, so commander keeps quiet about them
 */
export function buildProgram({ json = false }: { json?: boolean } = {}): Command {
  const program = new Command('dormouse')
    .description('microVM sandboxes that sleep instead of dying')
    .version(checkoutVersion())
    .enablePositionalOptions()
    // Subcommands copy these when they are made, so they come first.
    .exitOverride()
    .configureOutput(json ? { writeErr: () => {} } : {});
  if (!json) program.showHelpAfterError('  --help shows what there is.');
  addUp(program);
  addDemo(program);
  addDoctor(program);
  addSandbox(program);
  addSnapshot(program);
  addProject(program);
  addTemplate(program);
  addKey(program);
  addUsage(program);
  addAuth(program);
  addTeam(program);
  addAudit(program);
  addWebhook(program);
  addCheckoutCommands(program);
  addCompletion(program);
  return program;
}
