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

/** A card whose files are read in each pass. One that sleeps is not woken: its `runtime_status` is read first, and alone. */
export class DrmCard {
  readonly identity: CardIdentity;
  readonly #directory: string;
  readonly #names: CardFileNames;
  #results = new Map<string, KeptResult>();
  #hwmon: string | null = null;
  #pass = 0;
  #slowDue = false;
  #asked: readonly string[] = [];

  constructor(directory: string, identity: CardIdentity, names: CardFileNames) {
    this.#directory = directory;
    this.identity = identity;
    this.#names = names;
  }

  get statusPath(): string {
    return join(this.#directory, 'device/power/runtime_status');
  }

  /** The file that is read before the others: where the driver hangs, it alone holds up a thread. */
  get probe(): { readonly name: string; readonly path: string } {
    const { fast } = this.#names;
    const name = fast.find((each) => this.#results.get(each) !== ENOENT) ?? fast[0] ?? '';
    return { name, path: `${this.#directory}/${name}` };
  }

  /** Takes what the file of `probe` gave; gives the paths of all others that are due. What is not due stands. */
  begin(probed: KeptResult): readonly string[] {
    const { name: probe } = this.probe;
    const { once, fast, slow, hwmon, slowHwmon } = this.#names;
    this.#slowDue = this.#pass % slowEvery === 0;
    this.#pass += 1;
    if (this.#slowDue) this.#results = new Map([...this.#results].filter(([name]) => once.includes(name)));
    this.#results.set(probe, probed);
    this.#asked = [];
    // Of a driver that hangs nothing else is asked.
    if (probed === ETIMEDOUT) return [];
    const due = [...once, ...fast, ...slow].filter((name) => name !== probe && this.#isDue(name));
    const sensors =
      this.#hwmon === null
        ? []
        : [
            ...hwmon.filter((name) => this.#sensor(name) !== ENOENT),
            ...slowHwmon.filter((name) => this.#sensor(name) === undefined),
          ];
    this.#asked = [...due, ...sensors.map((name) => `hwmon/${name}`)];
    return [
      ...due.map((name) => `${this.#directory}/${name}`),
      ...sensors.map((name) => `${this.#directory}/device/hwmon/${this.#hwmon}/${name}`),
    ];
  }

  /** Takes what these paths gave. */
  async end(results: readonly KeptResult[], files: Pick<GuardedReader, 'readKept' | 'list'>): Promise<CardReading> {
    const { name: probe } = this.probe;
    const probed = this.#results.get(probe);
    if (probed === ETIMEDOUT) return new CardReading(new Map([[probe, probed]]), [probe]);
    for (const [i, name] of this.#asked.entries()) this.#results.set(name, results[i] ?? ENOENT);
    const sensors = this.#asked.filter((name) => name.startsWith('hwmon/'));
    const gone = sensors.length > 0 && sensors.every((name) => this.#results.get(name) === ENOENT);
    const all = [probe, ...this.#asked].map((name) => this.#results.get(name));
    if (all.every((result) => result === ENOENT)) await this.#checkGone(probe, files);
    // Its directory has another number after the driver was bound anew.
    if (gone || (this.#hwmon === null && this.#slowDue)) await this.#findSensors(files);
    return new CardReading(this.#results, this.#names.fast);
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
