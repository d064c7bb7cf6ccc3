import { join } from 'node:path';
import type { Fault } from '../contract/heartbeat.js';
import { isCardFile } from '../gpu/vendors.js';
import { ETIMEDOUT, GuardedReader, type OpenFiles } from '../io/guarded.js';
import { parseMappedPaths } from '../procfs/parse.js';
import type { Clock } from '../util/clock.js';
import { oneAtATime } from '../util/one-at-a-time.js';
import { type ProcessIdentity, type SeenProcess, SeenProcesses } from '../workers/seen-processes.js';

/** Device files of cards, by their paths below `/dev`. */
export interface HeldDeviceFiles {
  /** Those that the hive sees itself. */
  readonly cards: ReadonlySet<string>;
  /** Those that some of the processes have open. */
  readonly open: ReadonlySet<string>;
  /** Those that some of them have mapped. */
  readonly mapped: ReadonlySet<string>;
}

export interface DeviceFilesOptions {
  readonly procRoot: string;
  /** Where the hive's own device files are (default `/dev`). */
  readonly devRoot?: string | undefined;
  readonly openFiles?: OpenFiles | undefined;
  readonly clock: Clock;
  /** How often is looked whether some process is due (default 5000), and how often all are (default 60,000), ms. */
  readonly everyMs?: number;
  readonly verifyMs?: number;
}

interface Entry extends SeenProcess {
  open: ReadonlySet<string>;
  mapped: ReadonlySet<string>;
}

/** About 40,000 mappings; those of files behind them are not seen, and nothing is inferred from what is not seen. */
const maxMapsBytes = 4 * 1024 * 1024;

const none: ReadonlySet<string> = new Set();
const union = (sets: readonly ReadonlySet<string>[]): ReadonlySet<string> => new Set(sets.flatMap((set) => [...set]));

/**
 * Which device files of GPUs some processes hold. Mappings are read only of a process that has such a file open: those of a
 * large process are MiB of text.
 */
export class DeviceFiles {
  readonly #options: Required<Omit<DeviceFilesOptions, 'openFiles' | 'devRoot'>> & { readonly devRoot: string };
  readonly #files: GuardedReader;
  readonly #seen = new SeenProcesses<Entry>((seen) => ({ ...seen, open: none, mapped: none }));
  #cards: ReadonlySet<string> = none;
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor({ procRoot, devRoot = '/dev', openFiles: open, clock, everyMs, verifyMs }: DeviceFilesOptions) {
    this.#options = { procRoot, devRoot, clock, everyMs: everyMs ?? 5000, verifyMs: verifyMs ?? 60_000 };
    this.#files = new GuardedReader({
      open,
      clock,
      fault: (what) => ({
        source: 'proc',
        code: 'PROC_STALLED',
        message: `${what}: which GPUs a worker holds may not be inferred.`,
        field: 'workers.gpus',
      }),
    });
  }

  /** Takes the processes that count, and begins a look where one is due. Nobody waits for it. */
  update(processes: readonly ProcessIdentity[]): void {
    const { clock, everyMs } = this.#options;
    const now = clock.now();
    const hasNew = this.#seen.take(processes, now);
    if (hasNew || now - this.#lookedMs >= everyMs) void this.look();
  }

  held(): HeldDeviceFiles {
    const entries = [...this.#seen.byPid.values()];
    return {
      cards: this.#cards,
      open: union(entries.map(({ open }) => open)),
      mapped: union(entries.map(({ mapped }) => mapped)),
    };
  }

  faults(): readonly Fault[] {
    return this.#files.faults();
  }

  close(): void {
    this.#files.close();
  }

  /** One look; a call during a look resolves with it. Never rejects. */
  readonly look = oneAtATime(async () => {
    const { clock, procRoot, devRoot, verifyMs } = this.#options;
    this.#lookedMs = clock.now();
    const pids = this.#seen.dueAt(this.#lookedMs, verifyMs);
    if (pids.length === 0) return;
    const [own] = await this.#files.list([devRoot]);
    if (own !== ETIMEDOUT)
      this.#cards = typeof own === 'object' ? cardsOf(own.map(({ name }) => `/dev/${name}`)) : none;
    const links = await this.#files.links(
      pids.map((pid) => join(procRoot, String(pid), 'fd')),
      '/dev/',
    );
    for (const [i, pid] of pids.entries()) {
      const entry = this.#seen.byPid.get(pid);
      const found = links[i]!;
      if (entry === undefined || found === ETIMEDOUT) continue;
      entry.read = true;
      entry.open = typeof found === 'object' ? cardsOf(found) : none;
      if (entry.open.size === 0) entry.mapped = none;
    }
    await this.#readMappings(pids.filter((pid) => (this.#seen.byPid.get(pid)?.open.size ?? 0) > 0));
  });

  async #readMappings(pids: readonly number[]): Promise<void> {
    const { procRoot } = this.#options;
    const paths = pids.map((pid) => join(procRoot, String(pid), 'maps'));
    for (const [i, maps] of (await this.#files.read(paths, maxMapsBytes)).entries()) {
      const entry = this.#seen.byPid.get(pids[i] as number);
      if (entry === undefined || maps === ETIMEDOUT) continue;
      entry.mapped = maps instanceof Buffer ? cardsOf([...parseMappedPaths(maps, '/dev/')]) : none;
    }
  }
}

const cardsOf = (paths: readonly string[]): ReadonlySet<string> => new Set(paths.filter(isCardFile));
