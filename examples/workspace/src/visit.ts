import { Client, DormouseError, type Sandbox } from '@dormouse/sdk';

const DIARY = '/home/user/diary.txt';

/** Where the counter listens, in the workspace. */
const PORT = 7007;

/** Counts visits in its memory and nowhere else: it goes on counting only where memory comes back. */
const COUNTER = `
from http.server import BaseHTTPRequestHandler, HTTPServer
visits = 0
class Counter(BaseHTTPRequestHandler):
    def do_GET(self):
        global visits
        visits += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(visits).encode())
    def log_message(self, *_): pass
server = HTTPServer(('127.0.0.1', ${PORT}), Counter)
print('ready', flush=True)
server.serve_forever()
`;

/**
 * One visit of a user to their workspace: it is opened as they left it, used, and closed, after which it costs
 * nothing but disk.
 *
 * @param say told what happens, a line each
 */
export async function visit(user: string, say: (line: string) => void): Promise<void> {
  const { projects } = new Client();
  const name = `workspace-${user}`;
  await projects.create({ name, keepLast: 3 }).catch((thrown: unknown) => {
    if (!(thrown instanceof DormouseError) || thrown.code !== 'already_exists') throw thrown;
  });

  const { sandbox, restoredFrom, restoreError } = await projects.open(name);
  say(`opened from ${restoredFrom}`);
  if (restoreError !== null) say(`not as it was left: ${restoreError.message}`);
  if (restoredFrom === 'template') await startCounter(sandbox);

  const visits = (await run(sandbox, `curl -sS http://127.0.0.1:${PORT}/`)).trim();
  await run(sandbox, `echo "visit ${visits}" >> ${DIARY}`);
  say(`visit ${visits}, says a process that has run since the first`);
  say(`the diary has ${(await run(sandbox, `wc -l < ${DIARY}`)).trim()} lines`);

  const { snapshot } = await projects.close(name);
  say(`closed: ${snapshot?.fileCount ?? '?'} files, ${snapshot?.sizeMb ?? '?'} MiB`);
}

async function run(sandbox: Sandbox, command: string): Promise<string> {
  const { exitCode, stdout, stderr } = await sandbox.exec(command);
  if (exitCode !== 0) throw new Error(`${command} ended with ${exitCode}: ${stderr}`);
  return stdout;
}

/** Starts the counter and leaves it running. */
async function startCounter(sandbox: Sandbox): Promise<void> {
  await using counter = await sandbox.spawn(
    { cmd: 'python3', args: ['-c', COUNTER] },
    { stdin: false, detach: true },
  );
  for await (const event of counter) {
    if (event.type === 'stdout' && Buffer.from(event.data).toString() === 'ready\n') return;
  }
  throw new Error('the counter ended');
}
