import { createHash, randomBytes } from 'node:crypto';
import { text } from 'node:stream/consumers';
import type { Sandbox } from '../actor/sandbox.js';
import { runInGuest } from './run-in-guest.js';
import { WITNESS_PROGRAM } from './witness-program.js';

const PORT = 7070;
const PROGRAM_PATH = '/home/user/witness.py';
/** Pages of the region of memory that a witness watches over. */
export const REGION_PAGES = 256;

/** Where a witness keeps files: in the guest's memory (tmpfs), or on its disk. */
export type Place = 'memory' | 'disk';

const DIRECTORIES: Readonly<Record<Place, string>> = {
  memory: '/dev/shm/witness',
  disk: '/home/user/witness',
};

/** What a witness is and has. */
export interface WitnessState {
  readonly pid: number;
  /** Grows, up to a hundred times a second. */
  readonly ticks: number;
  readonly count: number;
  /** SHA-256 of an open file that has no name any more. */
  readonly nameless: string;
  /** The guest's clock. */
  readonly unixMs: number;
}

/** SHA-256 of files by name. */
export type Files = Readonly<Record<Place, Readonly<Record<string, string>>>>;

/** A program inside a sandbox that remembers what tests have told it, and files that are hashed in there. */
export class Witness {
  readonly #sandbox: Sandbox;

  /** One that runs, in the sandbox or in what the sandbox began with. */
  constructor(sandbox: Sandbox) {
    this.#sandbox = sandbox;
  }

  /** Starts one and waits until it listens. */
  static async start(sandbox: Sandbox): Promise<Witness> {
    const guest = await sandbox.guest();
    await guest.writeFile(PROGRAM_PATH, Buffer.from(WITNESS_PROGRAM));
    const { exitCode } = await runInGuest(guest, `mkdir -p ${Object.values(DIRECTORIES).join(' ')}`);
    if (exitCode !== 0) throw new Error('the directories of the witness cannot be made');
    const process = await guest.startProcess({
      argv: ['python3', '-u', PROGRAM_PATH, String(PORT), String(REGION_PAGES)],
    });
    for await (const { channel, data } of process.output) {
      if (channel === 'stdout') return new Witness(sandbox);
      throw new Error(`the witness did not start: ${Buffer.from(data).toString()}`);
    }
    throw new Error('the witness ended before it listened');
  }

  async state(): Promise<WitnessState> {
    return (await this.#ask({ what: 'state' })) as WitnessState;
  }

  /** Counts, and answers the new count. */
  async bump(): Promise<number> {
    return (await this.#ask({ what: 'bump' })) as number;
  }

  /** Fills pages of the region, each with what stands for a number; 0 is zeros. */
  async poke(pages: ReadonlyMap<number, number>): Promise<void> {
    await this.#ask({ what: 'poke', pages: [...pages] });
  }

  /** The pages of the region that are not what stands for these numbers. */
  async wrong(values: readonly number[]): Promise<readonly number[]> {
    return (await this.#ask({ what: 'wrong', values })) as readonly number[];
  }

  /** Writes a file of random bytes. Answers its SHA-256. */
  async put(place: Place, name: string, bytes: number): Promise<string> {
    const content = randomBytes(bytes);
    await (await this.#sandbox.guest()).writeFile(`${DIRECTORIES[place]}/${name}`, content);
    return createHash('sha256').update(content).digest('hex');
  }

  /** Writes a large file of random bytes, which the guest makes itself. */
  async fill(place: Place, name: string, bytes: number): Promise<void> {
    await this.#run(`head -c ${bytes} /dev/urandom > ${DIRECTORIES[place]}/${name}`);
  }

  /** Writes zeros into a file. */
  async blank(place: Place, name: string, offset: number, bytes: number): Promise<void> {
    const guest = await this.#sandbox.guest();
    await guest.writeFile(`${DIRECTORIES[place]}/${name}`, Buffer.alloc(bytes), { offset });
  }

  async remove(place: Place, name: string): Promise<void> {
    await (await this.#sandbox.guest()).remove(`${DIRECTORIES[place]}/${name}`);
  }

  /** Of every file the SHA-256, as the guest sees it: what it has in its page cache it does not read again. */
  async files(): Promise<Files> {
    return await this.#hashed(Object.values(DIRECTORIES));
  }

  /** Of every file on the disk the SHA-256, read from the disk, whatever the page cache holds. */
  async filesOnDisk(): Promise<Files['disk']> {
    await this.#run('sync && echo 3 > /proc/sys/vm/drop_caches', 'root');
    return (await this.#hashed([DIRECTORIES.disk])).disk;
  }

  async #hashed(directories: readonly string[]): Promise<Files> {
    const listing = await this.#run(`cd / && find ${directories.join(' ')} -type f | xargs -r sha256sum`);
    const found: Record<Place, Record<string, string>> = { memory: {}, disk: {} };
    for (const line of listing.split('\n').filter(Boolean)) {
      const [sha256 = '', path = ''] = line.split(/\s+/);
      const name = path.slice(path.lastIndexOf('/') + 1);
      found[path.startsWith(DIRECTORIES.memory) ? 'memory' : 'disk'][name] = sha256;
    }
    return found;
  }

  async #run(script: string, user?: string): Promise<string> {
    const { exitCode, stdout, stderr } = await runInGuest(await this.#sandbox.guest(), script, user);
    if (exitCode !== 0) throw new Error(`${script}: ${stderr}`);
    return stdout;
  }

  async #ask(request: object): Promise<unknown> {
    const guest = await this.#sandbox.guest();
    const connection = await guest.dial(PORT);
    connection.end(`${JSON.stringify(request)}\n`);
    const answer = JSON.parse(await text(connection)) as { answer?: unknown; error?: string };
    if (answer.error !== undefined) throw new Error(`the witness: ${answer.error}`);
    return answer.answer;
  }
}
