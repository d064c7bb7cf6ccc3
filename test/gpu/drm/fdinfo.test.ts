import { describe, expect, it } from 'vitest';
import { EngineMeter } from '../../../lib/gpu/drm/engine-meter.js';
import { isPciAddress, parseFdinfo } from '../../../lib/gpu/drm/fdinfo.js';
import { DrmClient, DrmShape } from '../../../lib/native/drm-clients.js';
import { plain } from './plain-client.js';

const pdev = '0000:03:00.0';
const head = ['pos:\t0', 'drm-driver:\txe', `drm-pdev:\t${pdev}`, 'drm-client-id:\t7'];
const read = (...lines: readonly string[]) => {
  const client = parseFdinfo([...head, ...lines, ''].join('\n'));
  return client === null ? null : plain(client);
};

describe('a DRM client', () => {
  it.each([
    ['5', 5],
    ['0', 0],
    ['5 ns', 5],
    ['5 KiB', 5 * 1024],
    ['5 kB', 5 * 1024],
    ['5  KiB', 5 * 1024],
    ['5 MiB', 5 * 1024 ** 2],
    ['5 GiB', 5 * 1024 ** 3],
    ['9007199254740991', 2 ** 53 - 1],
    ['9007199254740992', null],
    ['18446744073709551615', null],
    ['5 TiB', null],
    ['5 toString', null],
    ['5KiB', null],
    ['5:', null],
    ['5/', null],
    ['-3 ns', null],
    ['x', null],
    ['', null],
  ])('has the amount %j as %s', (text, amount) => {
    const regions = read(`drm-resident-vram:\t${text}`)?.residentBytes;
    expect([...(regions ?? [])]).toEqual(amount === null ? [] : [['vram', amount]]);
  });

  it('has of each key what stands there first, whatever stands around it', () => {
    const found = read(
      'drm-resident-vram:\t5',
      'drm-resident-vram:\t6',
      'drm-foo:\t7',
      'drm-resident-gtt',
      'drm-memory-gtt: 8',
      'ino:\t9',
    );
    expect([...(found?.residentBytes ?? [])]).toEqual([
      ['gtt', 8],
      ['vram', 5],
    ]);
    expect(parseFdinfo(`\n${head.join('\n')}`)).not.toBeNull();
    expect(parseFdinfo(head.join('\n'))).not.toBeNull();
  });

  it('has engines by time or by cycles, each once, and as many as it says there are of them', () => {
    const found = read(
      ...[
        'drm-engine-gfx:\t5 ns',
        'drm-engine-capacity-gfx:\t4',
        'drm-engine-copy:\t6 ns',
        'drm-engine-capacity-copy:\t0',
      ],
      ...[
        'drm-cycles-ccs:\t7',
        'drm-total-cycles-ccs:\t9',
        'drm-cycles-gfx:\t1',
        'drm-total-cycles-gfx:\t2',
        'drm-cycles-bcs:\t3',
      ],
    );
    expect([...(found?.engines ?? [])]).toEqual([
      ['gfx', { busy: 5, of: Number.NaN, capacity: 4 }],
      ['copy', { busy: 6, of: Number.NaN, capacity: 1 }],
      ['ccs', { busy: 7, of: 9, capacity: 1 }],
    ]);
  });

  it('has no more engines than any driver has', () => {
    const lines = Array.from({ length: 70 }, (_unused, i) => `drm-engine-e${i}:\t1 ns`);
    expect(read(...lines)?.engines.size).toBe(64);
  });

  it.each([
    ['drm-pdev:\t0000:03:00.0x', 'drm-client-id:\t7'],
    ['drm-pdev:\tx0000:03:00.0', 'drm-client-id:\t7'],
    ['drm-client-id:\t7', 'vdev:\t1'],
    [`drm-pdev:\t${pdev}`, 'drm-client-id:\tx7'],
    [`drm-pdev:\t${pdev}`, 'drm-client-id:\t7x'],
    [`drm-pdev:\t${pdev}`, `drm-client-id:\t${'1'.repeat(21)}`],
    [`drm-pdev:\t${pdev}`, 'pos:\t0'],
  ])('is none where it does not say which on which device: %j', (...lines) => {
    expect(parseFdinfo(['drm-driver:\txe', ...lines].join('\n'))).toBeNull();
  });

  it.each([
    ['00000000:03:1f.7', true],
    ['0000:03:20.0', false],
    ['000:03:00.0', false],
    ['0000:03:00.8', false],
    ['0000:0G:00.0', false],
    [' 0000:03:00.0', false],
    ['0000:03:00.01', false],
  ])('a PCI address is %s: %s', (text, is) => expect(isPciAddress(text)).toBe(is));
});

describe('a client of amdgpu before it had common keys', () => {
  const old = (over: Readonly<Record<string, string | null>> = {}) => {
    const values = { pdev, pasid: '32771', 'vram mem': '120 kB', 'gtt mem': '5 kB', 'cpu mem': '7 kB', ...over };
    const lines = Object.entries(values).flatMap(([key, value]) => (value === null ? [] : [`${key}:\t${value}`]));
    const client = parseFdinfo(lines.join('\n'));
    return client === null ? null : plain(client);
  };

  it('has its memory by region, and the shares that the driver gives', () => {
    const shares = { gfx0: '12.50%', compute11: '7%', enc_10: '100.0001%', dma0: '3', dec0: 'x%', jpeg0: '1.23456%' };
    const found = old({
      ...shares,
      'gfx0 x': '1%',
      gfx123: '1%',
      xgfx0: '1%',
      gfx: '1%',
      enc0: '1000%',
      enc1: '5%x',
      enc2: 'x5%',
    });
    expect(found).toMatchObject({ driver: 'amdgpu', pdev, id: '32771', engines: new Map() });
    expect([...(found?.residentBytes ?? [])]).toEqual([
      ['vram', 120 * 1024],
      ['gtt', 5 * 1024],
      ['cpu', 7 * 1024],
    ]);
    expect([...(found?.enginePercents ?? [])]).toEqual([
      ['gfx0', 12.5],
      ['compute11', 7],
      ['enc_10', 100.0001],
    ]);
  });

  it('has no region that it does not say', () => {
    expect([...(old({ 'gtt mem': null, 'cpu mem': 'x' })?.residentBytes ?? [])]).toEqual([['vram', 120 * 1024]]);
    expect([...(old({ 'vram mem': 'x' })?.residentBytes.keys() ?? [])]).toEqual(['gtt', 'cpu']);
  });

  it.each([
    [{ pdev: 'x' }],
    [{ pdev: null, xpdev: pdev }],
    [{ pasid: null }],
    [{ pasid: 'x7' }],
    [{ pasid: '7x' }],
    [{ pasid: '1'.repeat(21) }],
    [{ 'vram mem': null }],
  ])('is none with %j', (over) => expect(old(over)).toBeNull());
});

describe('what engines of a client did', () => {
  const ns = 1e6;
  const client = (numbers: readonly number[], percents: readonly string[] = [], regions: readonly string[] = []) =>
    new DrmClient(new DrmShape(['xe', pdev, 'a'], percents.length === 0 ? ['ccs'] : [], percents, regions), numbers);
  const busy = (ms: number) => client([ms * ns, Number.NaN, 1]);

  it('is not known where it was missing in a pass in between', () => {
    const meter = new EngineMeter();
    const at = (ms: number, isThere = true) => {
      meter.begin();
      return isThere ? (meter.measure(busy(ms + 1), ms)?.percents[0] ?? null) : undefined;
    };
    expect([at(0), at(1000), at(2000), at(3000, false), at(4000), at(5000)]).toEqual([
      null,
      100,
      100,
      undefined,
      null,
      100,
    ]);
  });

  it('is not known where no time has passed, or the clock went back', () => {
    const meter = new EngineMeter();
    meter.begin();
    meter.measure(busy(5), 1000);
    expect(meter.measure(busy(6), 1000)).toBeNull();
    expect(meter.measure(busy(6), 999)).toBeNull();
    expect(meter.measure(busy(15), 1010)?.percents[0]).toBe(100);
  });

  it('is what the driver says where it gives shares itself, from the first reading on', () => {
    const meter = new EngineMeter();
    meter.begin();
    for (const [one, two, everBusy] of [
      [5, 0, true],
      [0, 0, false],
      [5, 7, true],
    ] as const)
      for (const atMs of [0, 0, 1000]) {
        const use = meter.measure(client([one, two], ['gfx0', 'dec0']), atMs);
        expect(use).toEqual({ engines: ['gfx0', 'dec0'], percents: [one, two], everBusy });
      }
  });

  it('is nothing of one that holds memory and has done nothing yet', () => {
    const meter = new EngineMeter();
    meter.begin();
    expect(meter.measure(client([0, Number.NaN, 1, 4096], [], ['vram']), 0)).toMatchObject({ everBusy: false });
  });

  it('is not known where it worked while the clock of its cycles stood still', () => {
    const meter = new EngineMeter();
    const at = (ms: number, cycles: number, of: number) => {
      meter.begin();
      return meter.measure(client([cycles, of, 1]), ms)?.percents[0];
    };
    at(0, 10, 1000);
    expect(at(1000, 11, 1000)).toBeNaN();
    expect(at(2000, 61, 1100)).toBe(50);
  });
});
