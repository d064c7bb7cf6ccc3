import { constants } from 'node:os';
import { join } from 'node:path';
import type { KeptResult } from '../../io/file-reader.js';
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

/** Files that are read in one pass. */
interface Asked {
  readonly names: readonly string[];
  readonly paths: readonly string[];
}

const nothing: Asked = { names: [], paths: [] };

/** A card whose files are read in each pass. One that sleeps is not woken: its `runtime_status` is read first, and alone. */
export class DrmCard {
  readonly identity: CardIdentity;
  readonly statusPath: string;
  readonly #directory: string;
  readonly #names: CardFileNames;
  #results = new Map<string, KeptResult>();
  #hwmon: string | null = null;
  #pass = 0;
  /** Pass of the next slow reading. */
  #nextSlow: number;
  #slowDue = false;
  #asked = nothing;
  #probe: { readonly name: string; readonly path: string } | null = null;
  /** What changes alone, as long as all of it has an answer. */
  #steady: Asked | null = null;

  /** `place` among the cards of a host: not all read their slow files in one pass. */
  constructor(directory: string, identity: CardIdentity, names: CardFileNames, place = 0) {
    this.#directory = directory;
    this.statusPath = join(directory, 'device/power/runtime_status');
    this.identity = identity;
    this.#names = names;
    this.#nextSlow = -(place % slowEvery);
  }

  /** The file that is read before the others: where the driver hangs, it alone holds up a thread. */
  get probe(): { readonly name: string; readonly path: string } {
    const { fast } = this.#names;
    const name = fast.find((each) => this.#results.get(each) !== ENOENT) ?? fast[0] ?? '';
    if (this.#probe?.name !== name) this.#probe = { name, path: `${this.#directory}/${name}` };
    return this.#probe;
  }

  /** Takes what the file of `probe` gave; gives the paths of all others that are due. What is not due stands. */
  begin(probed: KeptResult): readonly string[] {
    const { name: probe } = this.probe;
    this.#slowDue = this.#pass >= this.#nextSlow;
    if (this.#slowDue) {
      this.#nextSlow += slowEvery;
      const { once } = this.#names;
      this.#results = new Map([...this.#results].filter(([name]) => once.includes(name)));
      this.#steady = null;
    }
    this.#pass += 1;
    this.#results.set(probe, probed);
    // Of a driver that hangs nothing else is asked.
    if (probed === ETIMEDOUT) this.#asked = nothing;
    else this.#asked = this.#steady ?? this.#due(probe);
    return this.#asked.paths;
  }

  #due(probe: string): Asked {
    const { once, fast, slow, hwmon, slowHwmon } = this.#names;
    const isDue = (name: string) => name !== probe && this.#isDue(name);
    const changing = fast.filter(isDue);
    const rare = [...once, ...slow].filter(isDue);
    const sensors = this.#hwmon === null ? [] : hwmon.filter((name) => this.#sensor(name) !== ENOENT);
    const rareSensors = this.#hwmon === null ? [] : slowHwmon.filter((name) => this.#sensor(name) === undefined);
    const files = [...changing, ...rare];
    const named = [...sensors, ...rareSensors];
    const asked = {
      names: [...files, ...named.map((name) => `hwmon/${name}`)],
      paths: [
        ...files.map((name) => `${this.#directory}/${name}`),
        ...named.map((name) => `${this.#directory}/device/hwmon/${this.#hwmon}/${name}`),
      ],
    };
    this.#steady = rare.length + rareSensors.length === 0 ? asked : null;
    return asked;
  }

  /** Takes what these paths gave. */
  async end(results: readonly KeptResult[], files: Pick<GuardedReader, 'readKept' | 'list'>): Promise<CardReading> {
    const { name: probe } = this.probe;
    const probed = this.#results.get(probe);
    if (probed === ETIMEDOUT) return new CardReading(new Map([[probe, probed]]), [probe]);
    const { names } = this.#asked;
    let answered = typeof probed === 'string';
    for (const [i, name] of names.entries()) {
      const result = results[i] ?? ENOENT;
      this.#results.set(name, result);
      answered &&= typeof result === 'string';
    }
    if (!answered) await this.#missed(probe, files);
    // Its directory has another number after the driver was bound anew.
    else if (this.#hwmon === null && this.#slowDue) await this.#findSensors(files);
    return new CardReading(this.#results, this.#names.fast);
  }

  /** Some file gave no answer. */
  async #missed(probe: string, files: Pick<GuardedReader, 'readKept' | 'list'>): Promise<void> {
    this.#steady = null;
    const { names } = this.#asked;
    const sensors = names.filter((name) => name.startsWith('hwmon/'));
    const gone = sensors.length > 0 && sensors.every((name) => this.#results.get(name) === ENOENT);
    const all = [probe, ...names].map((name) => this.#results.get(name));
    if (all.every((result) => result === ENOENT)) await this.#checkGone(probe, files);
    if (gone || (this.#hwmon === null && this.#slowDue)) await this.#findSensors(files);
  }

  /** A card that is pulled while it is read is not one without files. */
  async #checkGone(probe: string, files: Pick<GuardedReader, 'readKept'>): Promise<void> {
    const [known] = await files.readKept([join(this.#directory, 'device/uevent')], maxBytes);
    if (known === ENOENT || known === ENODEV) this.#results.set(probe, ENODEV);
  }

  #sensor(name: string): KeptResult | undefined {
    return this.#results.get(`hwmon/${name}`);
  }

  /** What is missing stays so until the slow files are due; what failed in another way is tried again. */
  #isDue(name: string): boolean {
    const known = this.#results.get(name);
    if (known === undefined) return true;
    return typeof known === 'number' ? known !== ENOENT : this.#names.fast.includes(name);
  }

  async #findSensors(files: Pick<GuardedReader, 'readKept' | 'list'>): Promise<void> {
    const directory = join(this.#directory, 'device/hwmon');
    const [entries] = await files.list([directory]);
    const names = entries === undefined || typeof entries === 'number' ? [] : entries.map(({ name }) => name);
    this.#hwmon = names.filter((name) => /^hwmon\d+$/.test(name)).sort()[0] ?? null;
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
