import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { parseSavedStream } from '../saved/saved-stream.js';
import { recordedStream } from './fixture.js';
import { RECORDED, recordStream } from './record-stream.js';
import { temporaryDirectory } from './temporary-directory.js';
import { guestAssets } from './test-initramfs.js';

/** With DORMOUSE_RECORD_STREAMS=1 the recordings are made anew instead. */
const RENEW = process.env.DORMOUSE_RECORD_STREAMS === '1';

test.each(Object.keys(RECORDED) as (keyof typeof RECORDED)[])(
  'the installed QEMU saves the same parts as in the recording %s',
  async (name) => {
    await using folder = await temporaryDirectory();
    const stream = await recordStream(await guestAssets(folder.path), RECORDED[name]);
    if (RENEW) await writeFile(new URL(`fixtures/${name}.bin`, import.meta.url), stream);
    const saved = parseSavedStream(stream);
    const recorded = parseSavedStream(recordedStream(name));
    expect(saved.configuration).toEqual(recorded.configuration);
    expect(saved.ram.blocks).toEqual(recorded.ram.blocks);
    expect(saved.ram.pages.length).toBe(recorded.ram.pages.length);
  },
);
