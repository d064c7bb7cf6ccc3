// One DRM client as /proc/PID/fdinfo/FD shows it (Documentation/gpu/drm-usage-stats.rst). Pure; native/drm_parse.cc is the
// same in C++, and test/gpu/drm/parity.test.ts compares both.
import { DrmClient, DrmShape } from '../../native/drm-clients.js';

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

const [zero, nine] = ['0'.charCodeAt(0), '9'.charCodeAt(0)];

/** `120 KiB` in the unit without a prefix; null where it is no amount. */
function amountOf(text: string): number | null {
  let end = 0;
  let number = 0;
  for (; end < text.length; end++) {
    const code = text.charCodeAt(end);
    if (code < zero || code > nine) break;
    number = number * 10 + (code - zero);
  }
  if (end === 0) return null;
  const unit = end === text.length ? '' : text.slice(end).trimStart();
  // A unit is apart from its number.
  if (unit !== '' && unit.length === text.length - end) return null;
  const scale = Object.hasOwn(units, unit) ? (units[unit] as number) : Number.NaN;
  const value = number * scale;
  // What no double holds exactly is all ones of 64 bits, or a torn read.
  return value <= Number.MAX_SAFE_INTEGER ? value : null;
}

/** Values of a file of `key: value` lines whose keys begin with `prefix`; the first of a key counts. */
function linesOf(text: string, prefix: string): Map<string, string> {
  const values = new Map<string, string>();
  for (let from = 0; from < text.length; ) {
    const newline = text.indexOf('\n', from);
    const end = newline < 0 ? text.length : newline;
    const colon = text.startsWith(prefix, from) ? text.indexOf(':', from) : -1;
    if (colon > from && colon < end) {
      const key = text.slice(from, colon);
      if (!values.has(key)) values.set(key, text.slice(colon + 1, end).trim());
    }
    from = end + 1;
  }
  return values;
}

/** What begins the keys of amounts; a prefix of another stands behind it. */
const prefixes = [
  'drm-engine-capacity-',
  'drm-engine-',
  'drm-total-cycles-',
  'drm-cycles-',
  'drm-memory-',
  'drm-resident-',
] as const;
type Amounts = Readonly<Record<(typeof prefixes)[number], Map<string, number>>>;

/** Amounts by the prefix of their key, then by its rest. */
function amountsOf(values: ReadonlyMap<string, string>): Amounts {
  const found: Amounts = {
    'drm-engine-capacity-': new Map(),
    'drm-engine-': new Map(),
    'drm-total-cycles-': new Map(),
    'drm-cycles-': new Map(),
    'drm-memory-': new Map(),
    'drm-resident-': new Map(),
  };
  for (const [key, text] of values) {
    const prefix = prefixes.find((each) => key.startsWith(each));
    const amount = prefix === undefined ? null : amountOf(text);
    if (prefix === undefined || amount === null || found[prefix].size >= maxEntries) continue;
    found[prefix].set(key.slice(prefix.length), amount);
  }
  return found;
}

interface Engines {
  readonly names: string[];
  /** As `DrmClient` has them. */
  readonly numbers: number[];
}

function enginesOf(amounts: Amounts): Engines {
  const [names, numbers]: [string[], number[]] = [[], []];
  const add = (name: string, busy: number, of: number): void => {
    names.push(name);
    numbers.push(busy, of, Math.max(1, amounts['drm-engine-capacity-'].get(name) ?? 1));
  };
  for (const [name, busy] of amounts['drm-engine-']) add(name, busy, Number.NaN);
  for (const [name, busy] of amounts['drm-cycles-']) {
    const of = amounts['drm-total-cycles-'].get(name);
    if (of !== undefined && !amounts['drm-engine-'].has(name)) add(name, busy, of);
  }
  return { names, numbers };
}

/** A PCI address as sysfs spells it. */
export const isPciAddress = (text: string): boolean => /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/.test(text);

/** null: no descriptor of a GPU, or none whose driver says on which device it is. */
export function parseFdinfo(text: string): DrmClient | null {
  if (!text.includes('pdev:')) return null;
  const values = linesOf(text, 'drm-');
  const driver = values.get('drm-driver');
  if (driver === undefined) return parseOld(linesOf(text, ''));
  const pdev = values.get('drm-pdev') ?? '';
  const id = values.get('drm-client-id') ?? '';
  if (!isPciAddress(pdev) || !/^\d{1,20}$/.test(id)) return null;
  const amounts = amountsOf(values);
  const { names, numbers } = enginesOf(amounts);
  // The older name first, so that the newer one of the same region counts.
  const regions = new Map([...amounts['drm-memory-'], ...amounts['drm-resident-']]);
  const shape = new DrmShape([driver, pdev, id], names, [], [...regions.keys()]);
  return new DrmClient(shape, [...numbers, ...regions.values()]);
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
  const shape = new DrmShape(['amdgpu', pdev, id], [], [...enginePercents.keys()], [...residentBytes.keys()]);
  return new DrmClient(shape, [...enginePercents.values(), ...residentBytes.values()]);
}
