import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readUntrusted } from '../io/untrusted.js';
import { sweepTemporaryFiles, writeAtomically } from '../util/atomic-file.js';
import { settledWithin } from '../util/deadline.js';
import { systemCode } from '../util/errors.js';
import { ensureDirectory, type WorkerRecord } from '../workers/records.js';

/** What an event reports of a launched worker for good. */
export interface ReportMark {
  /** `workerRunKey` of the worker. */
  readonly worker: string;
  readonly exited: boolean;
  /** All its OOM kills that are reported, including this event's. */
  readonly oomKills: number;
}

/** What earlier runs of this hive have reported, as far as a queen has acknowledged it. */
export interface ReportedEnds {
  /** There was an earlier run: this run reports what that one did not report of workers that still live. */
  readonly continued: boolean;
  exited(worker: string): boolean;
  oomKills(worker: string): number;
}

/** Identity of one run of a launched worker, distinct also among runs of the same name or pid. */
export const workerRunKey = (record: Pick<WorkerRecord, 'pid' | 'startedAt'>): string =>
  `${record.pid}/${record.startedAt}`;

type Entry = Omit<ReportMark, 'worker'>;

/** More than the exits kept on disk, so that none of those is reported again. */
const maxEntries = 2000;
const maxFileBytes = 1024 * 1024;

const isEntry = (value: unknown): value is [string, boolean, number] =>
  Array.isArray(value) &&
  typeof value[0] === 'string' &&
  typeof value[1] === 'boolean' &&
  Number.isSafeInteger(value[2]);

function parse(text: string): Map<string, Entry> {
  const { workers } = JSON.parse(text) as { workers?: unknown };
  const entries = Array.isArray(workers) ? workers.filter(isEntry) : [];
  return new Map(entries.map(([worker, exited, oomKills]) => [worker, { exited, oomKills }]));
}

/**
 * Which exits and OOM kills earlier runs of a hive have reported, in `<runtime dir>/told/<hive id>.json`. So an exit that
 * `run` recorded while no hive ran is reported by the next one, once. Written after the acknowledgement: a hive killed
 * between the two reports it twice rather than never.
 */
export class ReportedStore implements ReportedEnds {
  readonly continued: boolean;
  readonly #path: string;
  readonly #entries: Map<string, Entry>;
  readonly #onFailure: (error: unknown) => void;
  readonly #waiting: { readonly seq: number; readonly mark: ReportMark }[] = [];
  #writing: Promise<void> | null = null;
  #dirty = false;

  private constructor(path: string, entries: Map<string, Entry> | null, onFailure: (error: unknown) => void) {
    this.#path = path;
    this.#entries = entries ?? new Map();
    this.continued = entries !== null;
    this.#onFailure = onFailure;
  }

  /**
   * Reads the file. Rejects where nothing can be written here; a file of another form counts as none. `onFailure` is
   * called for each later write that fails.
   */
  static async open(dir: string, hiveId: string, onFailure: (error: unknown) => void): Promise<ReportedStore> {
    const folder = join(dir, 'told');
    const path = join(folder, `${hiveId}.json`);
    await ensureDirectory(dir);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await sweepTemporaryFiles(folder);
    let entries: Map<string, Entry> | null = null;
    try {
      entries = parse(await readUntrusted(path, { maxBytes: maxFileBytes }));
    } catch (error) {
      if (!(error instanceof SyntaxError || error instanceof TypeError) && systemCode(error) !== 'ENOENT') throw error;
    }
    const store = new ReportedStore(path, entries, onFailure);
    await writeAtomically(path, store.#text());
    return store;
  }

  exited(worker: string): boolean {
    return this.#entries.get(worker)?.exited ?? false;
  }

  oomKills(worker: string): number {
    return this.#entries.get(worker)?.oomKills ?? 0;
  }

  /** What the event `seq` reports; it counts once it is acknowledged. */
  sent(seq: number, mark: ReportMark): void {
    this.#waiting.push({ seq, mark });
  }

  /** A queen has all events up to `seq`. */
  acknowledged(seq: number): void {
    const count = this.#waiting.findIndex((waiting) => waiting.seq > seq);
    const safe = this.#waiting.splice(0, count < 0 ? this.#waiting.length : count);
    if (safe.length === 0) return;
    for (const { mark } of safe) {
      const before = this.#entries.get(mark.worker);
      this.#entries.delete(mark.worker);
      this.#entries.set(mark.worker, {
        exited: mark.exited || (before?.exited ?? false),
        oomKills: Math.max(mark.oomKills, before?.oomKills ?? 0),
      });
    }
    for (const worker of this.#entries.keys()) {
      if (this.#entries.size <= maxEntries) break;
      this.#entries.delete(worker);
    }
    this.#dirty = true;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = null;
    });
  }

  /** Waits until what is acknowledged is written or has failed, at most `ms`: disks hang. */
  async flush(ms = 200): Promise<void> {
    if (this.#writing !== null) await settledWithin(this.#writing, ms);
  }

  async #write(): Promise<void> {
    while (this.#dirty) {
      this.#dirty = false;
      try {
        await writeAtomically(this.#path, this.#text());
      } catch (error) {
        this.#onFailure(error);
      }
    }
  }

  #text(): string {
    return JSON.stringify({
      schema: 1,
      workers: [...this.#entries].map(([worker, { exited, oomKills }]) => [worker, exited, oomKills]),
    });
  }
}
