import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { systemCode } from '../util/errors.js';
import { ensureDirectory, type WorkerRecord, writeAtomically } from '../workers/records.js';

/** What an event tells of a launched worker for good. */
export interface ReportMark {
  /** `toldKey` of the worker. */
  readonly worker: string;
  readonly exited: boolean;
  /** OOM kills of it that are told, with this event, in all. */
  readonly oomKills: number;
}

/** What earlier runs of this hive have told, as far as a queen has acknowledged it. */
export interface ReportedEnds {
  /** There was an earlier run: what it has not told of workers that live is this run's to tell. */
  readonly continued: boolean;
  exited(worker: string): boolean;
  oomKills(worker: string): number;
}

/** Tells a launched worker from every other one, also from one of the same name or with the same pid. */
export const workerRunKey = (record: Pick<WorkerRecord, 'pid' | 'startedAt'>): string =>
  `${record.pid}/${record.startedAt}`;

interface Entry {
  readonly exited: boolean;
  readonly oomKills: number;
}

/** More than the exits that are kept on disk: one that can still be read is never told again. */
const maxEntries = 2000;

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
 * Remembers over runs of a hive which exits and OOM kills it has told, in `<runtime dir>/told/<hive id>.json`: what `run`
 * noted while no hive was there is told by the next one, once. It is noted after the acknowledgement, so that a hive
 * killed between the two tells it twice rather than never.
 */
export class ReportedStore implements ReportedEnds {
  readonly continued: boolean;
  readonly #path: string;
  readonly #entries: Map<string, Entry>;
  readonly #onFailure: (error: unknown) => void;
  readonly #waiting: { readonly seq: number; readonly tells: ReportMark }[] = [];
  #writing: Promise<void> | null = null;
  #dirty = false;

  private constructor(path: string, entries: Map<string, Entry> | null, onFailure: (error: unknown) => void) {
    this.#path = path;
    this.#entries = entries ?? new Map();
    this.continued = entries !== null;
    this.#onFailure = onFailure;
  }

  /**
   * Reads what was noted. Rejects where nothing can be kept here; a file that is no such note counts as none. `onFailure`
   * hears of every later write that fails.
   */
  static async open(dir: string, hiveId: string, onFailure: (error: unknown) => void): Promise<ReportedStore> {
    const path = join(dir, 'told', `${hiveId}.json`);
    await ensureDirectory(dir);
    await mkdir(join(dir, 'told'), { recursive: true, mode: 0o700 });
    let entries: Map<string, Entry> | null = null;
    try {
      entries = parse(await readFile(path, 'utf8'));
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

  /** The event of this number tells that; it counts once it is acknowledged. */
  sent(seq: number, tells: ReportMark): void {
    this.#waiting.push({ seq, tells });
  }

  /** All events up to `seq` are safe. */
  acknowledged(seq: number): void {
    const count = this.#waiting.findIndex((waiting) => waiting.seq > seq);
    const safe = this.#waiting.splice(0, count < 0 ? this.#waiting.length : count);
    if (safe.length === 0) return;
    for (const { tells } of safe) {
      const before = this.#entries.get(tells.worker);
      this.#entries.delete(tells.worker);
      this.#entries.set(tells.worker, {
        exited: tells.exited || (before?.exited ?? false),
        oomKills: Math.max(tells.oomKills, before?.oomKills ?? 0),
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

  /** Waits until what is acknowledged is on the disk or could not be written, and no longer than `ms`: disks hang. */
  async flush(ms = 200): Promise<void> {
    if (this.#writing === null) return;
    const patience = new AbortController();
    await Promise.race([this.#writing, delay(ms, undefined, { signal: patience.signal }).catch(() => undefined)]);
    patience.abort();
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
