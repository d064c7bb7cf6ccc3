// DRM clients as the addon packs them (native/drm_rows.h); `gpu/drm/fdinfo.ts` parses the same in TypeScript.

export interface DrmEngine {
  /** Time that it worked for this client, ns; cycles where `of` is given. */
  readonly busy: number;
  /** Cycles that passed for the engine; null where `busy` is a time. */
  readonly of: number | null;
  /** So many engines of this kind count together. */
  readonly capacity: number;
}

/** One client of a device, as /proc/PID/fdinfo/FD shows it. */
export interface DrmClient {
  /** `amdgpu`, `i915`, `xe`. */
  readonly driver: string;
  /** PCI address of the device: `0000:03:00.0`. */
  readonly pdev: string;
  /** Unique on the device; descriptors that were duplicated or inherited have the same. */
  readonly id: string;
  readonly engines: ReadonlyMap<string, DrmEngine>;
  /** By engine, of drivers that give a share of time and no counter (amdgpu before 5.19). */
  readonly enginePercents: ReadonlyMap<string, number>;
  /** Memory that it has backed, by region: `vram`, `gtt`, `local0`... */
  readonly residentBytes: ReadonlyMap<string, number>;
}

/** null: no descriptor of a GPU; a number is the errno. */
export type DrmClientResult = DrmClient | null | number;

/**
 * Unpacks the rows of files: of each an errno and whether a client follows; of one, the numbers of its driver, device and id in
 * `names` (a line each), how many engines, percents and regions it has, then those: name, busy, of (NaN: none) and
 * capacity; name and percent; name and bytes.
 */
export function drmClientsOf(rows: Float64Array, names: string): readonly DrmClientResult[] {
  const texts = names.split('\n');
  let at = 0;
  const next = () => rows[at++] as number;
  const name = () => texts[next()] as string;
  const amounts = (length: number): ReadonlyMap<string, number> => {
    const found = new Map<string, number>();
    for (let i = 0; i < length; i++) found.set(name(), next());
    return found;
  };
  const client = (): DrmClient => {
    const [driver, pdev, id] = [name(), name(), name()];
    const [engineCount, percentCount, regionCount] = [next(), next(), next()];
    const engines = new Map<string, DrmEngine>();
    for (let i = 0; i < engineCount; i++) {
      const [engine, busy, of, capacity] = [name(), next(), next(), next()];
      engines.set(engine, { busy, of: Number.isNaN(of) ? null : of, capacity });
    }
    return { driver, pdev, id, engines, enginePercents: amounts(percentCount), residentBytes: amounts(regionCount) };
  };
  const results: DrmClientResult[] = [];
  while (at < rows.length) {
    const [error, found] = [next(), next()];
    if (error !== 0) results.push(error);
    else results.push(found === 0 ? null : client());
  }
  return results;
}
