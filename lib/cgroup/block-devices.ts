import { constants } from 'node:os';
import { join } from 'node:path';
import type { Fault } from '../contract/heartbeat.js';
import { GuardedReader, type OpenFiles } from '../io/guarded.js';
import type { Clock } from '../util/clock.js';
import { errnoText } from '../util/errno.js';
import { type IoStacks, parseDevice } from './parse.js';

const { ENOENT } = constants.errno;
/** The stacks are read again after so long: the number of a device that was taken out may be of another one now. */
const refreshMs = 60_000;
/** Where they can't be read, it is tried again after so long. */
const retryMs = 10_000;

export interface BlockDevicesOptions {
  /** Where sysfs is (default /sys). */
  readonly sysRoot?: string | undefined;
  readonly openFiles?: OpenFiles | undefined;
  readonly clock: Clock;
  /** Called with each new table, as `RawReader.setBlockDevices` takes it. */
  readonly onTable: (table: Float64Array) => void;
}

/** `IoStacks` as `RawReader.setBlockDevices` takes it. */
const packStacks = (stacks: IoStacks): Float64Array =>
  Float64Array.from([...stacks].flatMap(([device, above]) => [device, above.length, ...above]));

export function unpackStacks(table: Float64Array): IoStacks {
  const stacks = new Map<number, readonly number[]>();
  for (let at = 0; at + 1 < table.length; ) {
    const count = table[at + 1] as number;
    stacks.set(table[at] as number, [...table.subarray(at + 2, at + 2 + count)]);
    at += 2 + count;
  }
  return stacks;
}

/** For each device all devices that are on top of it, from those that each is directly made of. */
export function stacksOf(below: ReadonlyMap<number, readonly number[]>): IoStacks {
  const above = new Map<number, Set<number>>();
  for (const device of below.keys()) above.set(device, new Set());
  for (const top of below.keys()) {
    const seen = new Set([top]);
    for (const device of seen) for (const lower of below.get(device) ?? []) seen.add(lower);
    seen.delete(top);
    for (const lower of seen) above.set(lower, (above.get(lower) ?? new Set()).add(top));
  }
  return new Map([...above].map(([device, tops]) => [device, [...tops]]));
}

const deviceOf = (text: string): number => {
  const bytes = Buffer.from(text.trim(), 'latin1');
  return parseDevice(bytes, 0, bytes.length);
};

/**
 * Which block devices are on top of which, from sysfs: a file system over dm over md over disks shows each of its reads at
 * every level. Read only once a worker has I/O on a device that is not known beside others.
 */
export class BlockDevices {
  readonly #options: BlockDevicesOptions;
  readonly #root: string;
  readonly #files: GuardedReader;
  /** Devices that some worker has used and that sysfs did not list. */
  readonly #asked = new Set<number>();
  #known: IoStacks = new Map();
  #readAtMs = Number.NEGATIVE_INFINITY;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #reading = false;
  /** errno of the last listing; null where it could be read. */
  #errno: number | null = null;

  constructor(options: BlockDevicesOptions) {
    this.#options = options;
    this.#root = join(options.sysRoot ?? '/sys', 'dev/block');
    this.#files = new GuardedReader({
      open: options.openFiles,
      clock: options.clock,
      maxAbandoned: 2,
      fault: (what) => this.#fault(what),
    });
    // No device is known yet: sums over several of them are not, either.
    options.onTable(new Float64Array());
  }

  /** A worker uses several devices; `unknown` is one that is not known, or NaN. Never waits. */
  used(unknown: number): void {
    const nowMs = this.#options.clock.now();
    const due = Number.isNaN(unknown)
      ? nowMs - this.#readAtMs >= refreshMs
      : !this.#known.has(unknown) && (this.#errno === null || nowMs - this.#triedAtMs >= retryMs);
    if (!due || this.#reading) return;
    if (!Number.isNaN(unknown)) this.#asked.add(unknown);
    this.#reading = true;
    this.#triedAtMs = nowMs;
    this.#read()
      .catch(() => undefined) // closed
      .finally(() => {
        this.#reading = false;
      });
  }

  faults(): readonly Fault[] {
    const faults = this.#files.faults();
    if (this.#errno === null || faults.length > 0) return faults;
    return [this.#fault(`${this.#root} cannot be listed (${errnoText(this.#errno)})`)];
  }

  close(): void {
    this.#files.close();
  }

  #fault(what: string): Fault {
    return {
      source: 'hive',
      code: 'BLOCK_DEVICES_UNREADABLE',
      field: 'ioReadBytesPerSecond',
      message: `${what}: which block devices are on top of which is not known, and so the I/O of workers that use several.`,
    };
  }

  async #read(): Promise<void> {
    const [entries = 0] = await this.#files.list([this.#root]);
    this.#errno = typeof entries === 'number' ? entries : null;
    if (typeof entries === 'number') return;
    const names = entries.map(({ name }) => name).filter((name) => deviceOf(name) >= 0);
    const lists = await this.#files.list(names.map((name) => join(this.#root, name, 'slaves')));
    const below = new Map<number, readonly number[]>();
    for (const device of this.#asked) below.set(device, []);
    for (const [i, name] of names.entries()) {
      const slaves = lists[i] ?? ENOENT;
      // A partition has no such directory. Of one that cannot be read it is not known what it is made of.
      if (typeof slaves === 'number' && slaves !== ENOENT) {
        below.delete(deviceOf(name));
        this.#errno = slaves;
        continue;
      }
      below.set(
        deviceOf(name),
        typeof slaves === 'object'
          ? await this.#devices(
              name,
              slaves.map((each) => each.name),
            )
          : [],
      );
    }
    this.#known = stacksOf(below);
    this.#readAtMs = this.#options.clock.now();
    this.#options.onTable(packStacks(this.#known));
  }

  /** Numbers of the disks that a device is made of: io.stat has the disk, not its partition. */
  async #devices(name: string, slaves: readonly string[]): Promise<readonly number[]> {
    if (slaves.length === 0) return [];
    // `..` must stay in the path: the kernel follows the link to the partition first.
    const paths = slaves.flatMap((slave) => {
      const at = join(this.#root, name, 'slaves', slave);
      return [`${at}/dev`, `${at}/partition`, `${at}/../dev`];
    });
    const results = await this.#files.read(paths, 64);
    const found: number[] = [];
    for (let i = 0; i < results.length; i += 3) {
      const [own, partition, disk] = results.slice(i, i + 3);
      const dev = partition instanceof Buffer && disk instanceof Buffer ? disk : own;
      const device = dev instanceof Buffer ? deviceOf(dev.toString('latin1')) : -1;
      if (device >= 0) found.push(device);
    }
    return found;
  }
}
