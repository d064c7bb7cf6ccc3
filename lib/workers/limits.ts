import { join } from 'node:path';
import { parseCpuMax, parseLimit } from '../cgroup/parse.js';
import type { FileResult } from '../io/file-reader.js';
import { ETIMEDOUT, type GuardedReader } from '../io/guarded.js';
import { parentOf } from './tree-walk.js';

/** Limits of one cgroup; CPU in percent of one core. null = none. */
interface Limits {
  readonly memoryBytes: number | null;
  readonly cpuPercent: number | null;
}

/** NaN and infinity stand for what is not known, or has no limit. */
export const finiteOrNull = (value: number): number | null => (Number.isFinite(value) ? value : null);

/** The lower of two limits; null = none. */
export const least = (a: number | null, b: number | null): number | null =>
  a === null ? b : b === null ? a : Math.min(a, b);

/** From the contents of memory.max and cpu.max; null also for what can't be read. */
function parseLimits(memoryMax: FileResult | undefined, cpuMax: FileResult | undefined): Limits {
  const cells = new Float64Array(3).fill(Number.NaN);
  if (memoryMax instanceof Buffer) parseLimit(memoryMax, memoryMax.length, cells, 0);
  if (cpuMax instanceof Buffer) parseCpuMax(cpuMax, cpuMax.length, cells, 1, 2);
  const [memoryBytes, quota, period] = cells as unknown as [number, number, number];
  return { memoryBytes: finiteOrNull(memoryBytes), cpuPercent: finiteOrNull((quota * 100) / period) };
}

/** Limits that the ancestors of the watched cgroups set. */
export class AncestorLimits {
  readonly #files: Pick<GuardedReader, 'read'>;
  #limits: ReadonlyMap<string, Limits> = new Map();
  /** null: not known yet. */
  #rootIsInner: boolean | null = null;

  constructor(files: Pick<GuardedReader, 'read'>) {
    this.#files = files;
  }

  /** The root is not the host's first cgroup: it is the container that we run in. */
  get rootIsInner(): boolean {
    return this.#rootIsInner === true;
  }

  /** Whether it is known what the root is. */
  get rootKnown(): boolean {
    return this.#rootIsInner !== null;
  }

  /** Reads memory.max and cpu.max of all ancestors, once each. */
  async read(root: string, paths: readonly string[]): Promise<void> {
    const ancestors = new Set<string>();
    for (const path of paths) for (let at = parentOf(path); at !== ''; at = parentOf(at)) ancestors.add(at);
    const ordered = [...ancestors];
    // Only a cgroup that is not the host's first one has cgroup.events.
    const wanted = ordered.flatMap((path) => [join(root, path, 'memory.max'), join(root, path, 'cpu.max')]);
    const results = await this.#files.read([join(root, 'cgroup.events'), ...wanted], 256);
    if (results[0] !== ETIMEDOUT) this.#rootIsInner = results[0] instanceof Buffer;
    this.#limits = new Map(ordered.map((path, i) => [path, parseLimits(results[i * 2 + 1], results[i * 2 + 2])]));
  }

  /** The least limits of the ancestors of a cgroup. */
  of(path: string): Limits {
    let memoryBytes: number | null = null;
    let cpuPercent: number | null = null;
    for (let at = parentOf(path); at !== ''; at = parentOf(at)) {
      memoryBytes = least(memoryBytes, this.#limits.get(at)?.memoryBytes ?? null);
      cpuPercent = least(cpuPercent, this.#limits.get(at)?.cpuPercent ?? null);
    }
    return { memoryBytes, cpuPercent };
  }
}
