import { ExecRequest } from '@dormouse/contracts';
import { fromUnknown } from '@dormouse/errors';
import type { Services } from '../context.js';
import { runCommand } from '../exec/run.js';

/** Counting more than this takes is given up: a moment is not held up by its label. */
const MEASURE_TIMEOUT_SEC = 15;

/** How much longer to wait for an answer of the host that does not come. */
const GRACE_MS = 5_000;

/**
 * Regular files below a directory and their bytes, on its file system alone. `find` fails where a file goes while it
 * counts; what it has seen counts all the same, unless there is no such directory.
 */
const SCRIPT = `test -d "$1" || exit 1
find "$1" -xdev -type f -printf '%s\\n' 2>/dev/null | awk '{ bytes += $1 } END { printf "%d %.0f\\n", NR, bytes }'`;

/** What a workspace holds. */
export interface WorkspaceSize {
  readonly fileCount: number;
  readonly sizeBytes: number;
}

/** Counts the files of a running sandbox, in it; undefined where that fails or takes too long. */
export async function measureWorkspace(
  { host, log }: Services,
  sandboxId: string,
  workspace: string,
): Promise<WorkspaceSize | undefined> {
  const request = ExecRequest.parse({
    cmd: '/bin/sh',
    args: ['-c', SCRIPT, 'sh', workspace],
    user: 'root',
    timeout_sec: MEASURE_TIMEOUT_SEC,
  });
  try {
    const patience = AbortSignal.timeout(MEASURE_TIMEOUT_SEC * 1000 + GRACE_MS);
    const { stdout, exit_code } = await runCommand(host, sandboxId, request, patience);
    const size = exit_code === 0 ? parseSize(stdout) : undefined;
    if (size === undefined) log.info({ sandboxId, exitCode: exit_code }, 'the workspace was not counted');
    return size;
  } catch (thrown) {
    const { code, message } = fromUnknown(thrown);
    log.info({ sandboxId, code, reason: message }, 'the workspace was not counted');
    return undefined;
  }
}

/** What the script says, which a guest may have made say anything. */
export function parseSize(output: string): WorkspaceSize | undefined {
  const [, files, bytes] = /^(\d{1,15}) (\d{1,15})\n$/.exec(output) ?? [];
  if (files === undefined || bytes === undefined) return undefined;
  return { fileCount: Number(files), sizeBytes: Number(bytes) };
}
