import { readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { defaults } from '../../contract/defaults.js';
import type { DirectoryEntry } from '../../io/file-reader.js';
import { GuardedReader, type OpenFiles } from '../../io/guarded.js';
import { errnoText } from '../../util/errno.js';
import type { GpuReport } from '../report.js';
import type { GpuReader, GpuReaderOptions, VendorReading } from '../vendor.js';
import { type CardReading, cardIdentity, DrmCard } from './card.js';
import type { CardMeter, ComputeHolders, DrmCards, DrmDriver } from './driver.js';
import { type DrmHolders, DrmProcesses, deviceKey } from './processes.js';
import { type CardReport, reportCard } from './report.js';

const { ENODEV, ENOENT, ETIMEDOUT } = constants.errno;
const maxFileBytes = 4096;
/** Cards are asked anew which they are after so many passes. */
const slowEvery = 10;

const isCard = (name: string): boolean => /^card\d{1,4}$/.test(name);

/** Cards of whichever vendor. A listing of this directory does not enter a driver, so it does not block. */
function anyCard(sysRoot: string): boolean {
  try {
    return readdirSync(join(sysRoot, 'class/drm')).some(isCard);
  } catch {
    return false;
  }
}

/** Gives the array of the pass before where this one has the same paths: a reader does less for one that it knows. */
class SamePaths {
  #last: readonly string[] = [];

  of(paths: string[]): readonly string[] {
    const last = this.#last;
    if (paths.length !== last.length || paths.some((path, i) => path !== last[i])) this.#last = Object.freeze(paths);
    return this.#last;
  }
}

interface OpenCard {
  readonly card: DrmCard;
  readonly meter: CardMeter;
}

/**
 * Reads one vendor's cards by the files of its kernel drivers. What is kept open of them between passes holds up neither
 * sleep nor reset nor removal of a card: these are files of sysfs, not of the device.
 */
export function openDrm(driver: DrmDriver, options: GpuReaderOptions, openFiles?: OpenFiles): GpuReader {
  return new DrmReader(driver, options, openFiles);
}

class DrmReader implements GpuReader {
  readonly #driver: DrmDriver;
  readonly #now: () => number;
  readonly #intervalMs: number;
  readonly #stalledMs = defaults.gpuStalledMs;
  readonly #allGpus: boolean;
  readonly #sysRoot: string;
  readonly #files: GuardedReader;
  readonly #own: DrmCards;
  readonly #processes: DrmProcesses;
  readonly #ownProcesses: boolean;
  /** By the name below /sys/class/drm. */
  readonly #cards = new Map<string, OpenCard>();
  /** Those of other vendors. */
  readonly #foreign = new Set<string>();
  /** Shown once, shown for good: a GPU that is held no more has not vanished. */
  readonly #shown = new Set<string>();
  readonly #devices = new SamePaths();
  /** The directory of all cards. */
  readonly #listed: readonly [string];
  #entries: readonly DirectoryEntry[] | null = null;
  #names: readonly string[] = [];
  #pass = 0;
  #startedAt: number | null = null;
  #lastStartAt = Number.NEGATIVE_INFINITY;
  #reading: VendorReading;
  #listHangs = false;
  #wasListed = false;
  #closed = false;

  constructor(driver: DrmDriver, options: GpuReaderOptions, open?: OpenFiles) {
    this.#driver = driver;
    this.#now = options.now ?? (() => performance.now());
    this.#intervalMs = options.intervalMs ?? defaults.intervalMs;
    this.#allGpus = options.allGpus ?? false;
    this.#sysRoot = options.roots?.sys ?? '/sys';
    this.#listed = Object.freeze([join(this.#sysRoot, 'class/drm')]);
    const source = 'gpu';
    this.#files = new GuardedReader({
      open,
      // Each card of a host may hang.
      maxAbandoned: 16,
      fault: (what) => ({ source, code: 'TIMEOUT', message: `${what}: see dmesg for errors of the driver` }),
    });
    this.#own = driver.openCards(this.#files, this.#sysRoot);
    const { drmProcesses, roots } = options;
    this.#ownProcesses = drmProcesses === undefined;
    this.#processes = drmProcesses ?? new DrmProcesses({ procRoot: roots?.proc ?? '/proc', now: this.#now, open });
    this.#reading = anyCard(this.#sysRoot) ? this.#without('initializing') : this.#absent;
  }

  read(): VendorReading {
    const now = this.#now();
    if (this.#startedAt === null && !this.#closed && now - this.#lastStartAt >= this.#intervalMs - 1) this.#start(now);
    if (this.#startedAt !== null && now - this.#startedAt > this.#stalledMs) return this.#without('stalled');
    return this.#reading;
  }

  takeEvents(): readonly [] {
    return [];
  }

  async release(): Promise<void> {}

  resume(): void {}

  close(): void {
    this.#closed = true;
    this.#files.close();
    if (this.#ownProcesses) this.#processes.close();
  }

  get #absent(): VendorReading {
    return {
      status: 'absent',
      reader: 'none',
      reason: `there is no ${this.#driver.vendor} GPU with a driver`,
      faults: [],
    };
  }

  #without(status: 'initializing' | 'stalled'): VendorReading {
    const message = `files of the ${this.#driver.drivers.join(' and ')} driver give no answer: see dmesg`;
    const fault = { source: 'gpu', code: 'TIMEOUT', message, field: 'gpus' };
    return { status, reader: 'drm', reason: null, faults: status === 'stalled' ? [fault] : [] };
  }

  #start(now: number): void {
    this.#startedAt = now;
    this.#lastStartAt = now;
    this.#read().then(
      (reports) => {
        this.#startedAt = null;
        this.#reading = this.#readingOf(reports);
      },
      (error: unknown) => {
        this.#startedAt = null;
        if (this.#closed) return;
        const message = error instanceof Error ? error.message : String(error);
        const fault = { source: 'gpu', code: 'UNKNOWN_ERROR', message: message.slice(0, 1024), field: 'gpus' };
        this.#reading = { status: 'failed', reader: 'drm', reason: null, faults: [fault] };
      },
    );
  }

  async #read(): Promise<readonly CardReport[]> {
    const isKnown = this.#cards.size > 0;
    if (!isKnown) await this.#findCards(await this.#files.list(this.#listed));
    if (this.#cards.size === 0) return [];
    const cards = [...this.#cards.values()];
    // All at once: what depends on none of the others is not waited for in turn.
    const [list, readings, holders, compute] = await Promise.all([
      isKnown ? this.#files.list(this.#listed) : null,
      this.#readCards(cards),
      this.#processes.scan(),
      this.#own.computeHolders(),
    ]);
    if (list !== null) await this.#findCards(list);
    const found = [...this.#cards.values()];
    const unread = found.filter((open) => !readings.has(open));
    if (unread.length > 0) for (const [open, reading] of await this.#readCards(unread)) readings.set(open, reading);
    return this.#report(found, readings, holders, compute);
  }

  /** Takes what the list of all cards gave. */
  async #findCards([entries = ENOENT]: readonly (readonly DirectoryEntry[] | number)[]): Promise<void> {
    const [directory] = this.#listed;
    this.#listHangs = entries === ETIMEDOUT;
    if (this.#listHangs) return;
    // That the list cannot be had (no descriptor is left, no right) is no evidence about any card.
    if (typeof entries === 'number' && entries !== ENOENT) {
      if (this.#wasListed && this.#cards.size === 0) return;
      throw new Error(`${directory} cannot be listed: ${errnoText(entries)}`);
    }
    this.#wasListed = true;
    this.#setNames(typeof entries === 'number' ? [] : entries);
    const due =
      this.#pass % slowEvery === 0
        ? this.#names
        : this.#names.filter((name) => !this.#foreign.has(name) && !this.#cards.has(name));
    this.#pass += 1;
    if (due.length === 0) return;
    const texts = await this.#files.read(
      due.map((name) => join(directory, name, 'device/uevent')),
      maxFileBytes,
    );
    for (const [i, name] of due.entries()) {
      const text = texts[i];
      const identity = typeof text === 'object' ? cardIdentity(text.toString('latin1')) : null;
      if (typeof text === 'number' && text !== ENOENT && text !== ENODEV) continue;
      if (identity === null || !this.#driver.drivers.includes(identity.driver)) {
        this.#cards.delete(name);
        this.#foreign.add(name);
        continue;
      }
      const known = this.#cards.get(name)?.card.identity;
      if (known?.pdev === identity.pdev && known.driver === identity.driver) continue;
      this.#foreign.delete(name);
      const card = new DrmCard(join(directory, name), identity, this.#own.filesOf(identity), this.#cards.size);
      this.#cards.set(name, { card, meter: this.#own.open(identity) });
    }
  }

  #setNames(entries: readonly DirectoryEntry[]): void {
    if (entries === this.#entries) return;
    this.#entries = entries;
    this.#names = entries.map(({ name }) => name).filter(isCard);
    for (const name of this.#cards.keys()) if (!this.#names.includes(name)) this.#cards.delete(name);
  }

  /** null where a card sleeps: any other file of it would wake it, or give what was before. */
  async #readCards(cards: readonly OpenCard[]): Promise<Map<OpenCard, CardReading | null>> {
    const readings = new Map<OpenCard, CardReading | null>();
    for (let left = cards; left.length > 0; ) {
      const devices = this.#devices.of(left.map(({ card }) => card.begin(this.#files.recoveries)));
      const results = await this.#files.readAwake(devices, maxFileBytes);
      const again: OpenCard[] = [];
      for (const [i, open] of left.entries()) {
        const result = results[i] ?? ETIMEDOUT;
        const hangs = result === ETIMEDOUT && open.card.hang(this.#files.hangingAt(devices[i] as string));
        if (hangs) again.push(open);
        else readings.set(open, open.card.end(result));
      }
      left = again;
    }
    const unsettled = cards.filter(({ card }) => card.isUnsettled);
    if (unsettled.length > 0) await Promise.all(unsettled.map(({ card }) => card.settle(this.#files)));
    return readings;
  }

  #report(
    cards: readonly OpenCard[],
    readings: ReadonlyMap<OpenCard, CardReading | null>,
    { byDevice, incomplete }: DrmHolders,
    compute: ComputeHolders,
  ): readonly CardReport[] {
    const atMs = this.#now();
    const byPlace = cards.toSorted((a, b) => (a.card.identity.pdev < b.card.identity.pdev ? -1 : 1));
    return byPlace.map((open, position) => {
      const { identity } = open.card;
      return reportCard(position, this.#driver.vendor, identity, open.meter, readings.get(open) ?? null, {
        atMs,
        holders: byDevice.get(deviceKey(identity)) ?? [],
        computeHolders: compute.byPlace.get(identity.pdev) ?? [],
        incomplete: incomplete ?? compute.incomplete,
      });
    });
  }

  /** Integrated GPUs are shown from the first process on that holds one: on most hosts nothing ever does. */
  #readingOf(reports: readonly CardReport[]): VendorReading {
    if (this.#listHangs) return this.#without('stalled');
    for (const { gpu, processes } of reports)
      if (this.#allGpus || !gpu.unifiedMemory || processes.length > 0) this.#shown.add(gpu.uuid);
    if (this.#shown.size === 0) return this.#absent;
    const shown = reports.filter(({ gpu }) => this.#shown.has(gpu.uuid));
    const report: GpuReport = {
      unlisted: null,
      devices: shown.map(({ gpu }, i) => ({ ...gpu, index: i })),
      processes: shown.flatMap(({ processes }, device) =>
        processes.map(({ pid, bytes, utilization }) => ({ device, pid, bytes, utilization })),
      ),
    };
    return { status: 'working', reader: 'drm', reason: null, report, at: this.#now() };
  }
}
