import type { Accelerator } from '@dormouse/sandbox';
import { type Bench, type Figure, timed } from './figure.js';
import { summarise } from './statistics.js';

const MB = 1_000_000;
const CHUNK_BYTES = 1_000_000;

/** Least rates in MB/s, by what runs guest code. */
const OUT: Readonly<Record<Accelerator, number>> = { tcg: 50, kvm: 300 };
const IN: Readonly<Record<Accelerator, number>> = { tcg: 12, kvm: 200 };

function rate(name: string, rates: readonly number[], least: number): Figure {
  const { median } = summarise(rates);
  const target = { text: `≥ ${least} MB/s`, met: median >= least };
  return { name, unit: 'MB/s', median, count: rates.length, target };
}

/** Bytes of one command's output through the whole stack. */
export async function execOutput({ warm, quick, progress, accelerator }: Bench): Promise<Figure> {
  const bytes = (quick ? 50 : 300) * MB;
  const rates: number[] = [];
  for (let round = 1; round <= 3; round++) {
    progress(`exec output, round ${round}`);
    const { ms } = await timed(async () => {
      const process = await warm.spawn(`head -c ${bytes} /dev/zero`, { stdin: false });
      let received = 0;
      for await (const event of process) if (event.type === 'stdout') received += event.data.length;
      if (received !== bytes) throw new Error(`received ${received} of ${bytes} bytes`);
    });
    rates.push(bytes / 1_000 / ms);
  }
  return rate('exec output', rates, OUT[accelerator]);
}

/** A file into the guest. */
export async function upload({ warm, quick, progress, accelerator }: Bench): Promise<Figure> {
  const bytes = (quick ? 50 : 300) * MB;
  const rates: number[] = [];
  for (let round = 1; round <= 3; round++) {
    progress(`upload, round ${round}`);
    const { ms } = await timed(() => warm.files.write('/tmp/upload.bin', chunks(bytes)));
    rates.push(bytes / 1_000 / ms);
  }
  return rate('file upload', rates, IN[accelerator]);
}

/** A file out of the guest; it is the one that the upload left there. */
export async function download({ warm, progress, accelerator }: Bench): Promise<Figure> {
  const rates: number[] = [];
  for (let round = 1; round <= 3; round++) {
    progress(`download, round ${round}`);
    let bytes = 0;
    const { ms } = await timed(async () => {
      for await (const chunk of await warm.files.readStream('/tmp/upload.bin')) bytes += chunk.length;
    });
    rates.push(bytes / 1_000 / ms);
  }
  return rate('file download', rates, OUT[accelerator]);
}

async function* chunks(bytes: number): AsyncGenerator<Uint8Array> {
  const chunk = new Uint8Array(CHUNK_BYTES).fill(0x5a);
  for (let sent = 0; sent < bytes; sent += chunk.length) yield chunk;
}
