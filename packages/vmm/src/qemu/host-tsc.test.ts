import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hostTscKhz, tscKhzFrom } from './host-tsc.js';

const CPUINFO = `processor	: 0
model name	: Intel(R) Xeon(R) CPU @ 2.10GHz
cpu MHz		: 2099.998
`;

describe('the frequency of the time-stamp counter', () => {
  test.each([
    [
      'the refined calibration before the first one',
      '[    0.000000] tsc: Detected 2100.000 MHz processor\n[    1.0] tsc: Refined TSC clocksource calibration: 2099.987 MHz\n',
      CPUINFO,
      2_099_987,
    ],
    [
      "the TSC's before the processor's",
      'tsc: Detected 3000.000 MHz processor\ntsc: Detected 2899.886 MHz TSC\n',
      CPUINFO,
      2_899_886,
    ],
    ["the processor's, where it is all there is", 'tsc: Detected 2599.998 MHz processor\n', '', 2_599_998],
    ["the processor's name, without kernel messages", '', CPUINFO, 2_100_000],
    ['the present speed, without a name', '', 'cpu MHz		: 2495.312\n', 2_495_312],
  ])('is taken from %s', (_name, messages, cpuinfo, khz) => {
    expect(tscKhzFrom(messages, cpuinfo)).toBe(khz);
  });

  test('is not known when nothing tells', () => {
    expect(tscKhzFrom('', '')).toBeUndefined();
    expect(tscKhzFrom('tsc: Marking TSC unstable', 'model name : Virtual CPU')).toBeUndefined();
  });

  test('skips what no machine has', () => {
    expect(tscKhzFrom('tsc: Detected 0.000 MHz processor', CPUINFO)).toBe(2_100_000);
    expect(tscKhzFrom('tsc: Detected 99999999 MHz processor', CPUINFO)).toBe(2_100_000);
    expect(tscKhzFrom('tsc: Detected 1.2.3 MHz processor', CPUINFO)).toBe(2_100_000);
    expect(tscKhzFrom('', 'cpu MHz : 99')).toBeUndefined();
  });

  test('is plausible or unknown, whatever the texts say', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((x) => `tsc: Detected ${x} MHz TSC`),
        ),
        fc.oneof(
          fc.string(),
          fc.double().map((x) => `cpu MHz : ${x}`),
        ),
        (messages, cpuinfo) => {
          const khz = tscKhzFrom(messages, cpuinfo);
          return khz === undefined || (Number.isInteger(khz) && khz >= 100_000 && khz <= 10_000_000);
        },
      ),
    );
  });

  test('of this machine is the same at every reading', async () => {
    expect(await hostTscKhz()).toBe(await hostTscKhz());
  });
});
