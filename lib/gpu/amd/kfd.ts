// ROCm's processes: /sys/class/kfd/kfd. Engine time of their queues is in no fdinfo.
import { constants } from 'node:os';
import { join } from 'node:path';
import type { GuardedReader } from '../../io/guarded.js';
import { reasonOfErrno } from '../drm/card.js';
import type { ComputeHolder, ComputeHolders } from '../drm/driver.js';
import type { GpuReason } from '../reasons.js';

type Files = Pick<GuardedReader, 'read' | 'readKept' | 'list' | 'pids'>;

const { ENOENT } = constants.errno;

/** The topology is read again after so many passes, and the files of a process too. */
const slowEvery = 10;
const maxBytes = 4096;

export interface KfdNode {
  /** `0000:03:00.0` */
  readonly pdev: string;
  /** `gfx1100`; empty where it is not said. */
  readonly target: string;
  /** It has processor cores as well: an APU. */
  readonly hasCores: boolean;
}

/** `110000` is gfx1100: the step is written in hexadecimal. */
function targetOf(version: number): string {
  if (!Number.isInteger(version) || version < 10_000 || version >= 1_000_000) return '';
  return `gfx${Math.floor(version / 10_000)}${Math.floor(version / 100) % 100}${(version % 100).toString(16)}`;
}

/** A node of the topology by its `properties`; null for one that is no GPU. */
export function parseKfdNode(properties: string): KfdNode | null {
  const values = new Map<string, number>();
  for (const line of properties.split('\n')) {
    const match = /^([a-z_0-9]{1,64}) (\d{1,20})$/.exec(line.trim());
    if (match !== null) values.set(match[1] as string, Number(match[2]));
  }
  const location = values.get('location_id') ?? 0;
  if ((values.get('simd_count') ?? 0) === 0) return null;
  const hex = (value: number, width: number) => value.toString(16).padStart(width, '0');
  // Bits above those of bus, device and function say which partition of a card it is.
  const [bus, device, fn] = [(location >>> 8) & 0xff, (location >>> 3) & 0x1f, location & 7];
  const domain = values.get('domain') ?? 0;
  return {
    pdev: `${hex(domain, 4)}:${hex(bus, 2)}:${hex(device, 2)}.${fn}`,
    target: targetOf(values.get('gfx_target_version') ?? 0),
    hasCores: (values.get('cpu_cores_count') ?? 0) > 0,
  };
}

const numberOf = (result: Buffer | string | number | undefined): number | null => {
  if (result === undefined || typeof result === 'number') return null;
  const text = (typeof result === 'string' ? result : result.toString('latin1')).trim();
  return /^\d{1,20}$/.test(text) && Number(text) <= Number.MAX_SAFE_INTEGER ? Number(text) : null;
};

/** A directory that is missing hides nothing: a kernel without KFD, or a process that has ended. */
function whyIncomplete(errno: number): GpuReason | null {
  const reason = reasonOfErrno(errno);
  return reason.name === 'notSupported' ? null : reason;
}

/** ROCm's processes and the nodes of its topology. */
export class Kfd {
  readonly #files: Files;
  readonly #root: string;
  #nodes = new Map<string, KfdNode>();
  /** Files of memory of each process, `vram_GPUID`. */
  readonly #vramFiles = new Map<number, readonly string[]>();
  /** Why the topology is not known. */
  #unlisted: GpuReason | null = null;
  #pass = 0;

  constructor(files: Files, sysRoot: string) {
    this.#files = files;
    this.#root = join(sysRoot, 'class/kfd/kfd');
  }

  /** Which node is on a PCI address. */
  nodeAt(pdev: string): KfdNode | undefined {
    return [...this.#nodes.values()].find((node) => node.pdev === pdev);
  }

  async read(): Promise<ComputeHolders> {
    const slowDue = this.#pass % slowEvery === 0 || this.#unlisted !== null;
    this.#pass += 1;
    if (slowDue) this.#unlisted = await this.#readTopology();
    if (this.#nodes.size === 0) return { byPlace: new Map(), incomplete: this.#unlisted };
    const [entries = ENOENT] = await this.#files.pids([join(this.#root, 'proc')]);
    if (typeof entries === 'number') return { byPlace: new Map(), incomplete: whyIncomplete(entries) };
    const pids = [...entries.keys()].sort((a, b) => a - b);
    const hidden = await this.#findFiles(pids, slowDue);
    const asked = pids.flatMap((pid) => (this.#vramFiles.get(pid) ?? []).map((name) => ({ pid, name })));
    const results = await this.#files.readKept(
      asked.map(({ pid, name }) => join(this.#root, 'proc', String(pid), name)),
      maxBytes,
    );
    // A file that is missing is that of a process which has ended meanwhile.
    const found = asked.flatMap((each, i) => (results[i] === ENOENT ? [] : [{ ...each, bytes: numberOf(results[i]) }]));
    return { byPlace: this.#fold(found), incomplete: this.#unlisted ?? hidden };
  }

  /** Gives why it is not known; then what was known of it stands. */
  async #readTopology(): Promise<GpuReason | null> {
    const nodes = join(this.#root, 'topology/nodes');
    const [entries = ENOENT] = await this.#files.list([nodes]);
    const reason = typeof entries === 'number' ? whyIncomplete(entries) : null;
    if (reason !== null) return reason;
    const names = typeof entries === 'number' ? [] : entries.map(({ name }) => name);
    const results = await this.#files.read(
      names.flatMap((name) => [join(nodes, name, 'gpu_id'), join(nodes, name, 'properties')]),
      maxBytes,
    );
    this.#nodes = new Map();
    for (const i of names.keys()) {
      const id = numberOf(results[2 * i]);
      const properties = results[2 * i + 1];
      if (id === null || properties === undefined || typeof properties === 'number') continue;
      const node = parseKfdNode(properties.toString('latin1'));
      if (node !== null) this.#nodes.set(String(id), node);
    }
    return null;
  }

  /** Gives why those of some process are not known. */
  async #findFiles(pids: readonly number[], all: boolean): Promise<GpuReason | null> {
    const alive = new Set(pids);
    for (const pid of this.#vramFiles.keys()) if (!alive.has(pid)) this.#vramFiles.delete(pid);
    const asked = pids.filter((pid) => all || !this.#vramFiles.has(pid));
    const lists = await this.#files.list(asked.map((pid) => join(this.#root, 'proc', String(pid))));
    let incomplete: GpuReason | null = null;
    for (const [i, pid] of asked.entries()) {
      const entries = lists[i] ?? ENOENT;
      if (typeof entries === 'number') {
        incomplete ??= whyIncomplete(entries);
        continue;
      }
      this.#vramFiles.set(
        pid,
        entries.flatMap(({ name }) => (/^vram_\d{1,10}$/.test(name) ? [name] : [])),
      );
    }
    return incomplete;
  }

  /** Partitions of a card are counted together. */
  #fold(
    found: readonly { readonly pid: number; readonly name: string; readonly bytes: number | null }[],
  ): ComputeHolders['byPlace'] {
    const byDevice = new Map<string, Map<number, number | null>>();
    for (const { pid, name, bytes } of found) {
      const node = this.#nodes.get(name.slice('vram_'.length));
      if (node === undefined) continue;
      const holders = byDevice.get(node.pdev) ?? new Map<number, number | null>();
      byDevice.set(node.pdev, holders);
      const earlier = holders.get(pid);
      holders.set(pid, earlier === null || bytes === null ? null : (earlier ?? 0) + bytes);
    }
    const list = (holders: Map<number, number | null>): readonly ComputeHolder[] =>
      [...holders].map(([pid, bytes]) => ({ pid, bytes }));
    return new Map([...byDevice].map(([pdev, holders]) => [pdev, list(holders)]));
  }
}
