import type { NewBuildLog, TeamScope } from '@dormouse/store';

/** Longest text of one entry: an entry is a row. */
const MAX_ENTRY_LENGTH = 65_536;

/** Most text that is kept of one build. */
const MAX_LOG_LENGTH = 4 * 1024 * 1024;

/** How long text waits for more of it. */
const FLUSH_AFTER_MS = 300;

/** Writes what a build says to the database: in order, in pieces worth a row, and not without end. */
export class BuildLog {
  readonly #team: TeamScope;
  readonly #id: string;
  #pending: NewBuildLog[] = [];
  #pendingLength = 0;
  #length = 0;
  #flushedAt = performance.now();

  constructor(team: TeamScope, id: string) {
    this.#team = team;
    this.#id = id;
  }

  /** Resolves when there is room for more: whoever waits for it holds back who writes. */
  async write(step: number, stream: NewBuildLog['stream'], text: string): Promise<void> {
    if (text === '' || this.#length >= MAX_LOG_LENGTH) return;
    const room = MAX_LOG_LENGTH - this.#length;
    const kept = text.length < room ? text : `${text.slice(0, room)}\n… the rest is left out\n`;
    this.#length += text.length;
    // PostgreSQL has no NUL in texts.
    const clean = kept.replaceAll('\0', '\uFFFD');
    const last = this.#pending.at(-1);
    const joins = last?.step === step && last.stream === stream;
    if (joins && last.text.length + clean.length <= MAX_ENTRY_LENGTH) {
      this.#pending[this.#pending.length - 1] = { ...last, text: last.text + clean };
    } else {
      for (let at = 0; at < clean.length; at += MAX_ENTRY_LENGTH) {
        this.#pending.push({ step, stream, text: clean.slice(at, at + MAX_ENTRY_LENGTH) });
      }
    }
    this.#pendingLength += clean.length;
    const due = performance.now() - this.#flushedAt > FLUSH_AFTER_MS;
    if (due || this.#pendingLength > MAX_ENTRY_LENGTH) await this.flush();
  }

  /** Writes what has been waiting. */
  async flush(): Promise<void> {
    const entries = this.#pending;
    this.#pending = [];
    this.#pendingLength = 0;
    this.#flushedAt = performance.now();
    await this.#team.templateBuilds.log(this.#id, entries);
  }
}
