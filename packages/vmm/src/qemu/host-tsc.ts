import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Time-stamp counters of real machines run between 100 MHz and 10 GHz; anything else is a misreading. */
const PLAUSIBLE_KHZ = { min: 100_000, max: 10_000_000 } as const;

/**
 * Frequency of the host's time-stamp counter in kHz, or undefined where it cannot be told.
 *
 * The kernel prints what it calibrated or was told (arch/x86/kernel/tsc.c); the boot messages may have been
 * overwritten since, so the processor's name (`@ 2.10GHz`) and its current speed serve as fallbacks.
 */
export async function hostTscKhz(): Promise<number | undefined> {
  const messages = await run('dmesg', [], { maxBuffer: 64 * 1024 * 1024 }).then(
    ({ stdout }) => stdout,
    () => '',
  );
  const cpuinfo = await readFile('/proc/cpuinfo', 'latin1').catch(() => '');
  return tscKhzFrom(messages, cpuinfo);
}

/** The pure part of {@link hostTscKhz}: kernel messages and /proc/cpuinfo in, kHz out. */
export function tscKhzFrom(kernelMessages: string, cpuinfo: string): number | undefined {
  const candidates = [
    /tsc: Refined TSC clocksource calibration: ([\d.]+) MHz/.exec(kernelMessages)?.[1],
    /tsc: Detected ([\d.]+) MHz TSC/.exec(kernelMessages)?.[1],
    /tsc: Detected ([\d.]+) MHz processor/.exec(kernelMessages)?.[1],
    gigahertz(/^model name\s*:.*@ ([\d.]+)GHz/m.exec(cpuinfo)?.[1]),
    /^cpu MHz\s*:\s*([\d.]+)/m.exec(cpuinfo)?.[1],
  ];
  for (const mhz of candidates) {
    const khz = Math.round(Number(mhz) * 1000);
    if (khz >= PLAUSIBLE_KHZ.min && khz <= PLAUSIBLE_KHZ.max) return khz;
  }
  return undefined;
}

function gigahertz(value: string | undefined): string | undefined {
  return value === undefined ? undefined : String(Number(value) * 1000);
}
