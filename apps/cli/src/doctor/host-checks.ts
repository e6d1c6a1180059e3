import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { ENTRY_POINTS } from '../checkout.js';
import { type DoctorRow, fail, parseRow } from './row.js';

/** Trying KVM boots a guest. */
const TIMEOUT_MS = 120_000;

/**
 * What the host agent finds out by trying.
 *
 * @param assets where the kernel is
 */
export async function askHostAgent(assets: string): Promise<readonly DoctorRow[]> {
  const name = 'host agent';
  if (!existsSync(ENTRY_POINTS.hostDoctor)) {
    return [fail(name, 'not built', 'Start through ./dormouse, which builds everything first.')];
  }
  try {
    const args = [ENTRY_POINTS.hostDoctor, '--json', '--assets', assets];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: TIMEOUT_MS });
    const rows: unknown = JSON.parse(stdout);
    return Array.isArray(rows) ? rows.flatMap((row) => parseRow(row) ?? []) : [];
  } catch (thrown) {
    const text = thrown instanceof Error ? thrown.message : String(thrown);
    return [
      fail(
        name,
        `its checks failed: ${text.trim().split('\n').at(-1)}`,
        `Run: node ${ENTRY_POINTS.hostDoctor}`,
      ),
    ];
  }
}
