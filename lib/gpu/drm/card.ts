import { constants } from 'node:os';
import { join } from 'node:path';
import { filesOfDevice, type KeptResult } from '../../io/file-reader.js';
import type { GuardedReader } from '../../io/guarded.js';
import { errnoText } from '../../util/errno.js';
import { type GpuReason, gpuReason } from '../reasons.js';
import { isPciAddress } from './fdinfo.js';

const { EACCES, EPERM, EBUSY, ENOENT, ENODATA, ENODEV, ENXIO, EOPNOTSUPP, ETIMEDOUT } = constants.errno;
/** ENOTSUPP of the kernel, which has no name for programs. */
const kernelNotSupported = 524;
const { ENOTDIR } = constants.errno;

const maxBytes = 4096;

/** Of what may be read of a card: paths below /sys/class/drm/cardN, and names below its hwmon directory. */
export interface CardFileNames {
  /** In each pass. */
  readonly fast: readonly string[];
  /** What never changes while the driver is bound. */
  readonly once: readonly string[];
  /** What changes rarely. */
  readonly slow: readonly string[];
  readonly hwmon: readonly string[];
  readonly slowHwmon: readonly string[];
}

/** Why a file of a driver has no value now. */
export function reasonOfErrno(errno: number): GpuReason {
  switch (errno) {
    case ENOENT:
    case ENOTDIR:
    case EOPNOTSUPP:
    case kernelNotSupported:
      return gpuReason('notSupported');
    case EACCES:
      return gpuReason('noPermission');
    case EPERM:
      return gpuReason('notReady', 'the driver refuses to say it now (EPERM): the card is in reset, or about to sleep');
    case EBUSY:
      return gpuReason('notReady', 'the driver is busy (EBUSY): the card sleeps, or changes its state');
    case ENODATA:
      return gpuReason('notReady', 'the driver has no data for it now (ENODATA)');
    case ENODEV:
    case ENXIO:
      return gpuReason('lost');
    case ETIMEDOUT:
      return gpuReason('timeout');
    default:
      return gpuReason('unknown', `the driver gives ${errnoText(errno)}`);
  }
}

const malformed: GpuReason = { name: 'other', code: 'IMPLAUSIBLE', text: 'the driver gives no number' };

/** All ones of 32 or 64 bits, before they are turned into another unit and look like a value. */
const isAllOnes = (value: number): boolean => value === 2 ** 32 - 1 || value >= 2 ** 64 - 1;
const allOnes = (text: string): GpuReason => ({ ...malformed, text: `the driver says ${text}` });

export type Read<T> = { readonly value: T } | { readonly reason: GpuReason };

/** What the files of one card said. */
export class CardReading {
  readonly #results: ReadonlyMap<string, KeptResult>;
  readonly #fast: readonly string[];

  constructor(results: ReadonlyMap<string, KeptResult>, fast: readonly string[]) {
    this.#results = results;
    this.#fast = fast;
  }

  /** The kernel has no such file for the card. */
  lacks(name: string): boolean {
    return (this.#results.get(name) ?? ENOENT) === ENOENT;
  }

  text(name: string): Read<string> {
    const result = this.#results.get(name) ?? ENOENT;
    if (typeof result === 'number') return { reason: reasonOfErrno(result) };
    return { value: result.trim() };
  }

  /** A whole number of 0 or more, or below where `signed`; in units of `unit`. */
  number(name: string, unit = 1, signed = false): Read<number> {
    const read = this.text(name);
    if ('reason' in read) return read;
    if (!(signed ? /^-?\d{1,20}$/ : /^\d{1,20}$/).test(read.value)) return { reason: malformed };
    if (isAllOnes(Number(read.value))) return { reason: allOnes(read.value) };
    return { value: Number(read.value) / unit };
  }

  /** The whole number of a line `label: N`; a driver in reset gives a sentence in its place. */
  labelled(name: string, label: string): Read<number> {
    const read = this.text(name);
    if ('reason' in read) return read;
    const line = read.value.split('\n').find((each) => each.startsWith(`${label}: `));
    if (line === undefined) return { reason: gpuReason('notReady', 'the driver gives no count now') };
    const value = line.slice(label.length + 2);
    return /^\d{1,15}$/.test(value) ? { value: Number(value) } : { reason: malformed };
  }

  /** The first of several names that has a number; else why the first has none, and where all are missing, that. */
  first(names: readonly string[], unit = 1, signed = false): Read<number> {
    const reads = names.map((name) => this.number(name, unit, signed));
    const found = reads.find((read) => 'value' in read);
    const refused = reads.find((read) => 'reason' in read && read.reason.name !== 'notSupported');
    return found ?? refused ?? { reason: gpuReason('notSupported') };
  }

  /** One byte of a binary file; null where it has none. */
  byte(name: string, at: number): number | null {
    const result = this.#results.get(name);
    return typeof result === 'string' && at < result.length ? result.charCodeAt(at) : null;
  }

  /** The card is no longer there, or does not answer at all. */
  get unreachable(): GpuReason | null {
    const results = this.#fast.map((name) => this.#results.get(name) ?? ENOENT);
    if (results.some((result) => typeof result !== 'number')) return null;
    if (results.includes(ETIMEDOUT)) return gpuReason('timeout');
    return results.includes(ENODEV) || results.includes(ENXIO) ? gpuReason('lost') : null;
  }
}

/** Values of `KEY=value` lines. */
function uevent(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split('\n').flatMap((line) => (line.includes('=') ? [line.split('=', 2) as [string, string]] : [])),
  );
}

export interface CardIdentity {
  readonly driver: string;
  readonly pdev: string;
  /** `1002:744c`. */
  readonly pciId: string;
}

/** Which card it is, by its `device/uevent`; null for what is no card on PCI (a partition, a virtual display). */
export function cardIdentity(text: string): CardIdentity | null {
  const values = uevent(text);
  const pdev = (values.get('PCI_SLOT_NAME') ?? '').toLowerCase();
  if (!isPciAddress(pdev)) return null;
  const pciId = (values.get('PCI_ID') ?? '').toLowerCase();
  return { driver: values.get('DRIVER') ?? '', pdev, pciId: /^[0-9a-f]{4}:[0-9a-f]{4}$/.test(pciId) ? pciId : '' };
}

/** Slow files are read again after so many passes. */
const slowEvery = 10;

/** Files that are read in one pass, in their order. */
interface Asked {
  readonly names: readonly string[];
  /** As `readAwake` takes them: the runtime status is first. */
  readonly device: string;
  /** Slow files are due: what was known of them does not stand. */
  readonly slow: boolean;
  /** It has files that are not read in every pass. */
  readonly rare: boolean;
}

type Files = Pick<GuardedReader, 'readKept' | 'list'>;

/** A card whose files are read in each pass. One that sleeps is not woken: its `runtime_status` is read first. */
export class DrmCard {
  readonly identity: CardIdentity;
  readonly #directory: string;
  readonly #names: CardFileNames;
  #results = new Map<string, KeptResult>();
  #hwmon: string | null = null;
  #pass = 0;
  /** Pass of the next slow reading. */
  #nextSlow: number;
  /** null: to be put together anew. */
  #asked: Asked | null = null;
  #unsettled: Asked | null = null;
  /** Files that do not return, while the driver answers. */
  readonly #hanging = new Set<string>();
  #recoveries = 0;

  /** `place` among the cards of a host: not all read their slow files in one pass. */
  constructor(directory: string, identity: CardIdentity, names: CardFileNames, place = 0) {
    this.#directory = directory;
    this.identity = identity;
    this.#names = names;
    this.#nextSlow = -(place % slowEvery);
  }

  /** What is due, for `readAwake`; the same until it was taken. `recoveries`: those of its reader. */
  begin(recoveries: number): string {
    if (recoveries !== this.#recoveries) {
      this.#recoveries = recoveries;
      this.#hanging.clear();
      this.#asked = null;
    }
    const slow = this.#pass >= this.#nextSlow;
    if (this.#asked === null || this.#asked.slow !== slow) this.#asked = this.#due(slow);
    return this.#asked.device;
  }

  /** Takes that a read of these hangs, and of which file; gives whether to read the others. */
  hang(at: number | null): boolean {
    // Of a driver that does not answer at all nothing else is asked: each file would hold up a thread.
    const name = at === null || at < 2 ? undefined : this.#asked?.names[at - 1];
    if (name === undefined) return false;
    this.#hanging.add(name);
    this.#asked = null;
    return true;
  }

  #due(slow: boolean): Asked {
    const { once, fast, hwmon, slowHwmon } = this.#names;
    const known = slow ? this.#lasting() : this.#results;
    const stale = (name: string) => known.get(name) === undefined;
    // What is missing stays so until the slow files are due; what failed in another way is tried again.
    const fails = (name: string) => typeof known.get(name) === 'number' && known.get(name) !== ENOENT;
    const asks = (name: string) => !this.#hanging.has(name) && (stale(name) || fails(name));
    const changes = (name: string) => !this.#hanging.has(name) && known.get(name) !== ENOENT;
    const changing = fast.filter(changes);
    // Where the driver hangs, the first one does.
    if (changing.length === 0) changing.push(...fast.slice(0, 1));
    const rare = [...once, ...this.#names.slow].filter(asks);
    const below = (names: readonly string[]) => (this.#hwmon === null ? [] : names.map((name) => `hwmon/${name}`));
    const sensors = below(hwmon).filter(changes);
    const rareSensors = below(slowHwmon).filter((name) => stale(name) && !this.#hanging.has(name));
    const names = [...changing, ...rare, ...sensors, ...rareSensors];
    const paths = names.map((name) => `${this.#directory}/${this.#pathOf(name)}`);
    return {
      names,
      device: filesOfDevice([`${this.#directory}/device/power/runtime_status`, ...paths]),
      slow,
      rare: rare.length + rareSensors.length > 0,
    };
  }

  #pathOf(name: string): string {
    return name.startsWith('hwmon/') ? `device/hwmon/${this.#hwmon}/${name.slice('hwmon/'.length)}` : name;
  }

  /** What is known for as long as the driver is bound. */
  #lasting(): Map<string, KeptResult> {
    const { once } = this.#names;
    return new Map([...this.#results].filter(([name]) => once.includes(name)));
  }

  /** Takes what these files gave; null: it sleeps. What it gives is complete once `settle` was called, where it `isUnsettled`. */
  end(given: readonly KeptResult[] | number): CardReading | null {
    const asked = this.#asked as Asked;
    this.#unsettled = null;
    const [probe = ''] = asked.names;
    if (given === ETIMEDOUT) return new CardReading(new Map([[probe, given]]), [probe]);
    if (typeof given !== 'number' && given.length === 1) return null;
    if (asked.slow) {
      this.#nextSlow += slowEvery;
      this.#results = this.#lasting();
    }
    this.#pass += 1;
    let answered = this.#hanging.size === 0;
    for (const name of this.#hanging) this.#results.set(name, ETIMEDOUT);
    for (const [i, name] of asked.names.entries()) {
      const result = typeof given === 'number' ? given : (given[i + 1] ?? ENOENT);
      this.#results.set(name, result);
      answered &&= typeof result === 'string';
    }
    // What changes alone is asked for again, as long as all of it has an answer.
    if (asked.rare || !answered) this.#asked = null;
    if (!answered || (this.#hwmon === null && asked.slow)) this.#unsettled = asked;
    return new CardReading(this.#results, this.#names.fast);
  }

  get isUnsettled(): boolean {
    return this.#unsettled !== null;
  }

  /** Some file gave no answer, or its sensors are not found yet. */
  async settle(files: Files): Promise<void> {
    if (this.#unsettled === null) return;
    const { names, slow } = this.#unsettled;
    const isMissing = (name: string) => this.#results.get(name) === ENOENT;
    const sensors = names.filter((name) => name.startsWith('hwmon/'));
    // Their directory has another number after the driver was bound anew.
    const gone = sensors.length > 0 && sensors.every(isMissing);
    if (names.every(isMissing)) await this.#checkGone(names[0] ?? '', files);
    if (gone || (this.#hwmon === null && slow)) await this.#findSensors(files);
  }

  /** A card that is pulled while it is read is not one without files. */
  async #checkGone(probe: string, files: Files): Promise<void> {
    const [known] = await files.readKept([join(this.#directory, 'device/uevent')], maxBytes);
    if (known === ENOENT || known === ENODEV) this.#results.set(probe, ENODEV);
  }

  async #findSensors(files: Files): Promise<void> {
    const directory = join(this.#directory, 'device/hwmon');
    const [entries] = await files.list([directory]);
    const names = entries === undefined || typeof entries === 'number' ? [] : entries.map(({ name }) => name);
    this.#hwmon = names.filter((name) => /^hwmon\d+$/.test(name)).sort()[0] ?? null;
    this.#asked = null;
    if (this.#hwmon === null) return;
    const at = join(directory, this.#hwmon);
    const hwmon = [...this.#names.hwmon, ...this.#names.slowHwmon];
    const results = await files.readKept(
      hwmon.map((name) => join(at, name)),
      maxBytes,
    );
    for (const [i, name] of hwmon.entries()) this.#results.set(`hwmon/${name}`, results[i] ?? ENOENT);
  }
}
