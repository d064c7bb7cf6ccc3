// DRM clients as the addon packs them (native/drm_rows.h); `gpu/drm/fdinfo.ts` parses the same in TypeScript.

/** What of a client stays from one reading to the next: who it is, and what its driver counts. */
export class DrmShape {
  /** Name of its kernel driver. */
  readonly driver: string;
  /** PCI address of the device: `0000:03:00.0`. */
  readonly pdev: string;
  /** Unique on the device; descriptors that were duplicated or inherited have the same. */
  readonly id: string;
  /** Names of engines. */
  readonly engines: readonly string[];
  /** Names of engines by drivers that give a share of time and no counter. */
  readonly percents: readonly string[];
  /** Regions of memory: `vram`, `gtt`, `local0`... */
  readonly regions: readonly string[];
  readonly device: string;
  /** Unique on the host. */
  readonly key: string;

  constructor(
    names: readonly [driver: string, pdev: string, id: string],
    engines: readonly string[],
    percents: readonly string[],
    regions: readonly string[],
  ) {
    [this.driver, this.pdev, this.id] = names;
    this.engines = engines;
    this.percents = percents;
    this.regions = regions;
    this.device = `${this.driver} ${this.pdev}`;
    this.key = `${this.device} ${this.id}`;
  }

  /** How many numbers a reading has: `busy`, `of` and `capacity` of each engine, then percents, then bytes. */
  get width(): number {
    return 3 * this.engines.length + this.percents.length + this.regions.length;
  }
}

/** One client of a device, as /proc/PID/fdinfo/FD shows it. */
export class DrmClient {
  readonly shape: DrmShape;
  readonly #numbers: ArrayLike<number>;
  readonly #at: number;

  /** Its numbers are those from `at` on. */
  constructor(shape: DrmShape, numbers: ArrayLike<number>, at = 0) {
    this.shape = shape;
    this.#numbers = numbers;
    this.#at = at;
  }

  /** Time that an engine worked for this client, ns; cycles where `of` is given. */
  busy(engine: number): number {
    return this.#numbers[this.#at + 3 * engine] as number;
  }

  /** Cycles that passed for the engine; NaN where `busy` is a time. */
  of(engine: number): number {
    return this.#numbers[this.#at + 3 * engine + 1] as number;
  }

  /** So many engines of this kind count together. */
  capacity(engine: number): number {
    return this.#numbers[this.#at + 3 * engine + 2] as number;
  }

  percent(engine: number): number {
    return this.#numbers[this.#at + 3 * this.shape.engines.length + engine] as number;
  }

  /** Memory that it has backed in a region. */
  bytes(region: number): number {
    const { engines, percents } = this.shape;
    return this.#numbers[this.#at + 3 * engines.length + percents.length + region] as number;
  }

  /** null: it has no such region. */
  bytesIn(region: string): number | null {
    const place = this.shape.regions.indexOf(region);
    return place < 0 ? null : this.bytes(place);
  }
}

/** null: no descriptor of a GPU; a number is the errno. */
export type DrmClientResult = DrmClient | null | number;

/** Shapes of one answer, by the names that it gave: most are the same in the next. */
export interface DrmShapes {
  readonly names: string;
  readonly shapes: readonly (DrmShape | null)[];
}

const isOf = (shape: DrmShape, engines: number, percents: number, regions: number): boolean =>
  shape.engines.length === engines && shape.percents.length === percents && shape.regions.length === regions;

/**
 * Unpacks the rows of files: of each an errno and whether a client follows; of one, how many engines, percents and regions it
 * has, then its numbers as `DrmClient` has them. `names`: driver, device, id, engines, percents and regions of each, a line each.
 */
export function drmClientsOf(
  rows: Float64Array,
  names: string,
  earlier?: DrmShapes,
): { readonly results: readonly DrmClientResult[]; readonly known: DrmShapes } {
  const same = earlier?.names === names ? earlier.shapes : [];
  let texts: readonly string[] | null = null;
  let text = 0;
  const shapeOf = (engines: number, percents: number, regions: number): DrmShape => {
    const before = same[shapes.length] ?? null;
    const from = text;
    text += 3 + engines + percents + regions;
    if (before !== null && isOf(before, engines, percents, regions)) return before;
    texts ??= names.split('\n');
    const [driver, pdev, id, ...rest] = texts.slice(from, text) as [string, string, string, ...string[]];
    const second = engines + percents;
    return new DrmShape([driver, pdev, id], rest.slice(0, engines), rest.slice(engines, second), rest.slice(second));
  };
  const shapes: (DrmShape | null)[] = [];
  const results: DrmClientResult[] = [];
  for (let at = 0; at < rows.length; ) {
    const [error, found] = [rows[at] as number, rows[at + 1] as number];
    at += 2;
    if (error !== 0 || found === 0) {
      shapes.push(null);
      results.push(error !== 0 ? error : null);
      continue;
    }
    const shape = shapeOf(rows[at] as number, rows[at + 1] as number, rows[at + 2] as number);
    at += 3;
    shapes.push(shape);
    results.push(new DrmClient(shape, rows, at));
    at += shape.width;
  }
  return { results, known: { names, shapes } };
}
