// One DRM client as /proc/PID/fdinfo/FD shows it (Documentation/gpu/drm-usage-stats.rst). Pure.

export interface DrmEngine {
  /** Time that it worked for this client, ns; cycles where `of` is given. */
  readonly busy: number;
  /** Cycles that passed for the engine; null where `busy` is a time. */
  readonly of: number | null;
  /** So many engines of this kind count together. */
  readonly capacity: number;
}

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

const units: Readonly<Record<string, number>> = {
  '': 1,
  ns: 1,
  KiB: 1024,
  kB: 1024, // of amdgpu before 5.19, which means KiB
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/** More are no driver's. */
const maxEntries = 64;

/** `120 KiB` in the unit without a prefix; null where it is no amount. */
function amountOf(text: string): number | null {
  const [number = '', unit = ''] = text.trim().split(/\s+/, 2);
  const scale = Object.hasOwn(units, unit) ? units[unit] : undefined;
  if (scale === undefined || !/^\d{1,20}$/.test(number)) return null;
  const value = Number(number) * scale;
  // What no double holds exactly is all ones of 64 bits, or a torn read.
  return value <= Number.MAX_SAFE_INTEGER ? value : null;
}

/** Values of a file of `key: value` lines; the first of a key counts. */
function linesOf(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    const key = line.slice(0, colon);
    if (!values.has(key)) values.set(key, line.slice(colon + 1).trim());
  }
  return values;
}

/** Amounts of all keys that begin with `prefix`, by the rest of the key. */
function amounts(values: ReadonlyMap<string, string>, prefix: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const [key, text] of values) {
    if (!key.startsWith(prefix) || found.size >= maxEntries) continue;
    const amount = amountOf(text);
    if (amount !== null) found.set(key.slice(prefix.length), amount);
  }
  return found;
}

function enginesOf(values: ReadonlyMap<string, string>): Map<string, DrmEngine> {
  const engines = new Map<string, DrmEngine>();
  const capacities = amounts(values, 'drm-engine-capacity-');
  const capacityOf = (name: string) => Math.max(1, capacities.get(name) ?? 1);
  for (const [name, busy] of amounts(values, 'drm-engine-')) {
    if (name.startsWith('capacity-')) continue;
    engines.set(name, { busy, of: null, capacity: capacityOf(name) });
  }
  const totals = amounts(values, 'drm-total-cycles-');
  for (const [name, busy] of amounts(values, 'drm-cycles-')) {
    const of = totals.get(name);
    if (of !== undefined && !engines.has(name)) engines.set(name, { busy, of, capacity: capacityOf(name) });
  }
  return engines;
}

/** A PCI address as sysfs spells it. */
export const isPciAddress = (text: string): boolean => /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/.test(text);

/** null: no descriptor of a GPU, or none whose driver says on which device it is. */
export function parseFdinfo(text: string): DrmClient | null {
  if (!text.includes('pdev:')) return null;
  const values = linesOf(text);
  const driver = values.get('drm-driver');
  if (driver === undefined) return parseOld(values);
  const pdev = values.get('drm-pdev') ?? '';
  const id = values.get('drm-client-id') ?? '';
  if (!isPciAddress(pdev) || !/^\d{1,20}$/.test(id)) return null;
  return {
    driver,
    pdev,
    id,
    engines: enginesOf(values),
    enginePercents: new Map(),
    // The older name first, so that the newer one of the same region counts.
    residentBytes: new Map([...amounts(values, 'drm-memory-'), ...amounts(values, 'drm-resident-')]),
  };
}

/** Of amdgpu before 5.19: `vram mem: 120 kB`, `gfx0: 12.50%`; the pasid is one for each open file of the device. */
function parseOld(values: ReadonlyMap<string, string>): DrmClient | null {
  const pdev = values.get('pdev') ?? '';
  const id = values.get('pasid') ?? '';
  if (!isPciAddress(pdev) || !/^\d{1,20}$/.test(id) || !values.has('vram mem')) return null;
  const residentBytes = new Map<string, number>();
  for (const region of ['vram', 'gtt', 'cpu']) {
    const bytes = amountOf(values.get(`${region} mem`) ?? '');
    if (bytes !== null) residentBytes.set(region, bytes);
  }
  const enginePercents = new Map<string, number>();
  for (const [key, text] of values) {
    const percent = /^(?:gfx|compute|dma|dec|enc|enc_1|jpeg)\d{1,2}$/.test(key)
      ? /^(\d{1,3}(?:\.\d{1,4})?)%$/.exec(text)
      : null;
    if (percent !== null) enginePercents.set(key, Number(percent[1]));
  }
  return { driver: 'amdgpu', pdev, id, engines: new Map(), enginePercents, residentBytes };
}
