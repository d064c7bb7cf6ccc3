import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseKfdNode } from '../../../lib/gpu/amd/kfd.js';
import { CardReading, cardIdentity } from '../../../lib/gpu/drm/card.js';
import { EngineMeter, type EngineUse } from '../../../lib/gpu/drm/engine-meter.js';
import { isPciAddress, parseFdinfo } from '../../../lib/gpu/drm/fdinfo.js';
import { DrmClient, DrmShape } from '../../../lib/native/drm-clients.js';
import { fdinfo } from './fake-host.js';
import { plain } from './plain-client.js';

const hex = (digits: number) =>
  fc.integer({ min: 0, max: 16 ** digits - 1 }).map((value) => value.toString(16).padStart(digits, '0'));
const pdev = fc
  .tuple(hex(4), hex(2), fc.integer({ min: 0, max: 31 }), fc.integer({ min: 0, max: 7 }))
  .map(([domain, bus, device, fn]) => `${domain}:${bus}:${device.toString(16).padStart(2, '0')}.${fn}`);
const name = fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/);
const unit = fc.constantFrom(['', 1] as const, ['KiB', 1024] as const, ['MiB', 1024 ** 2] as const);

describe('fdinfo of DRM clients', () => {
  it('reads what a kernel writes', () => {
    const engines = fc.dictionary(
      name.filter((each) => each !== 'capacity'),
      fc.nat(),
      { maxKeys: 6 },
    );
    const regions = fc.dictionary(name, fc.tuple(fc.nat(), unit), { maxKeys: 6 });
    fc.assert(
      fc.property(pdev, fc.nat(), engines, regions, (place, id, busy, memory) => {
        const text = fdinfo({
          driver: 'xe',
          pdev: place,
          id,
          lines: {
            ...Object.fromEntries(Object.entries(busy).map(([each, ns]) => [`drm-engine-${each}`, `${ns} ns`])),
            ...Object.fromEntries(
              Object.entries(memory).map(([each, [amount, [word]]]) => [`drm-resident-${each}`, `${amount} ${word}`]),
            ),
          },
        });
        const client = plain(parseFdinfo(text)!);
        expect(client).toMatchObject({ driver: 'xe', pdev: place, id: String(id) });
        expect([...client.engines].map(([each, { busy: ns }]) => [each, ns]).sort()).toEqual(
          Object.entries(busy).sort(),
        );
        expect(Object.fromEntries(client.residentBytes)).toEqual(
          Object.fromEntries(Object.entries(memory).map(([each, [amount, [, scale]]]) => [each, amount * scale])),
        );
      }),
    );
  });

  it('never throws, and gives only amounts that can be', () => {
    const line = fc.tuple(
      fc.constantFrom(
        'drm-pdev',
        'pdev',
        'drm-client-id',
        'pasid',
        'drm-driver',
        'vram mem',
        'gfx0',
        'drm-engine-gfx',
        'drm-engine-capacity-gfx',
        'drm-cycles-ccs',
        'drm-total-cycles-ccs',
        'drm-memory-vram',
        'drm-resident-vram',
        '',
      ),
      fc.oneof(
        fc.string(),
        pdev,
        fc.nat().map(String),
        fc.constantFrom('amdgpu', '5 KiB', '-3 ns', '99999999999999999999', '1e9', ' 12.5%', '0x10'),
      ),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(line).map((all) => all.map(([key, value]) => `${key}:\t${value}`).join('\n')),
        ),
        (text) => {
          const parsed = parseFdinfo(text);
          if (parsed === null) return;
          const client = plain(parsed);
          expect(isPciAddress(client.pdev)).toBe(true);
          const amounts = [
            ...client.residentBytes.values(),
            ...[...client.engines.values()].map(({ busy }) => busy),
            ...client.enginePercents.values(),
          ];
          for (const amount of amounts) expect(Number.isFinite(amount) && amount >= 0).toBe(true);
          for (const { capacity } of client.engines.values()) expect(capacity).toBeGreaterThanOrEqual(1);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('the newer name of a region counts, whichever stands first', () => {
    const lines = ['drm-memory-vram:\t5 KiB', 'drm-resident-vram:\t7 KiB'];
    for (const order of [lines, lines.toReversed()]) {
      const text = `${fdinfo({ driver: 'amdgpu', pdev: '0000:03:00.0', id: 1 })}${order.join('\n')}\n`;
      expect(parseFdinfo(text)!.bytesIn('vram')).toBe(7 * 1024);
    }
  });
});

describe('engine time as shares of time', () => {
  const client = (busy: number, of: number, capacity: number, id = 'a') =>
    new DrmClient(new DrmShape(['xe', '0000:03:00.0', id], ['ccs'], [], []), [busy, of, capacity]);
  const shareOf = (use: EngineUse | null): number => use?.percents[0] ?? Number.NaN;

  it('lies within 0 and 100 for whatever counters, and adds up to what was counted at most', () => {
    const reading = fc.tuple(fc.nat(2e9), fc.integer({ min: 1, max: 5000 }));
    fc.assert(
      fc.property(fc.array(reading, { minLength: 1 }), fc.integer({ min: 1, max: 8 }), (readings, capacity) => {
        const meter = new EngineMeter();
        let atMs = 0;
        let counted = 0;
        for (const [busy, passedMs] of readings) {
          atMs += passedMs;
          meter.begin();
          const percent = shareOf(meter.measure(client(busy, Number.NaN, capacity), atMs));
          if (Number.isNaN(percent)) continue;
          expect(percent).toBeGreaterThanOrEqual(0);
          expect(percent).toBeLessThanOrEqual(100);
          counted += (percent / 100) * passedMs * 1e6 * capacity;
        }
        expect(counted).toBeLessThanOrEqual(Math.max(...readings.map(([busy]) => busy)) * (1 + 1e-9) + 1);
      }),
    );
  });

  it('is not known of a client that has worked before its first reading, and 0 of one that has not', () => {
    const meter = new EngineMeter();
    meter.begin();
    expect(meter.measure(client(5, Number.NaN, 1), 0)).toBeNull();
    expect(meter.measure(client(0, Number.NaN, 1, 'b'), 0)).toEqual({ engines: [], percents: [], everBusy: false });
  });

  it('is 0 while the clock of cycles stands still, and not known where it steps back', () => {
    const meter = new EngineMeter();
    const at = (ms: number, busy: number, of: number) => {
      meter.begin();
      return shareOf(meter.measure(client(busy, of, 4), ms));
    };
    at(0, 10, 1000);
    expect(at(1000, 10, 1000)).toBe(0);
    expect(at(2000, 410, 1200)).toBe(50);
    expect(at(3000, 420, 5)).toBeNaN();
  });

  it('goes by the names of engines where a kernel says more of a client, or in another order', () => {
    const meter = new EngineMeter();
    const at = (ms: number, busy: Readonly<Record<string, number>>) => {
      const names = Object.keys(busy);
      const shape = new DrmShape(['xe', '0000:03:00.0', '1'], names, [], []);
      meter.begin();
      const use = meter.measure(
        new DrmClient(
          shape,
          names.flatMap((name) => [busy[name]!, Number.NaN, 1]),
        ),
        ms,
      );
      return use && Object.fromEntries(use.engines.map((name, i) => [name, use.percents[i]]));
    };
    expect(at(0, { render: 1e6, copy: 5e6 })).toBeNull();
    expect(at(10, { video: 7e6, copy: 6e6, render: 6e6 })).toEqual({ video: Number.NaN, copy: 10, render: 50 });
    expect(at(20, { copy: 6e6, render: 7e6, video: 9e6 })).toEqual({ copy: 0, render: 10, video: 20 });
  });
});

describe('cards and nodes', () => {
  it('uevent and properties never throw; what they give can be', () => {
    const key = fc.constantFrom(
      'PCI_SLOT_NAME',
      'DRIVER',
      'PCI_ID',
      'location_id',
      'simd_count',
      'gfx_target_version',
      'domain',
    );
    const value = fc.oneof(fc.string(), fc.nat(2 ** 31 - 1).map(String), pdev);
    fc.assert(
      fc.property(fc.array(fc.tuple(key, value, fc.constantFrom('=', ' '))), (lines) => {
        const text = lines.map(([name, content, between]) => `${name}${between}${content}`).join('\n');
        const card = cardIdentity(text);
        if (card !== null) expect(isPciAddress(card.pdev)).toBe(true);
        const node = parseKfdNode(text);
        if (node !== null) expect(node.target).toMatch(/^(gfx[0-9a-f]{3,6})?$/);
      }),
      { numRuns: 500 },
    );
  });

  it('numbers of a file are whole, in their unit, and of 0 or more unless they have a sign, or have a reason', () => {
    const content = fc.oneof(
      fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }).map(String),
      fc.constantFrom(
        '4294967295',
        '18446744073709551615',
        '-4294967295',
        '',
        ' 7 ',
        '+7',
        '1e9',
        '0x10',
        '7.5',
        'N/A',
        '7 8',
        '999999999999999999999',
        '\n7\n',
        '-0',
      ),
      fc.string(),
    );
    fc.assert(
      fc.property(content, fc.constantFrom(1, 1e3, 1e6), fc.boolean(), (text, unit, signed) => {
        const reading = new CardReading(new Map([['file', Buffer.from(text, 'latin1').toString('latin1')]]), []);
        const read = reading.number('file', unit, signed);
        const plain = Buffer.from(text, 'latin1').toString('latin1').trim();
        const isNumber = (signed ? /^-?[0-9]{1,20}$/ : /^[0-9]{1,20}$/).test(plain);
        const isAllOnes = ['4294967295', '18446744073709551615'].includes(plain) || Number(plain) >= 2 ** 64 - 1;
        if (isNumber && !isAllOnes) expect(read).toEqual({ value: Number(plain) / unit });
        else expect(read).toMatchObject({ reason: { code: 'IMPLAUSIBLE' } });
        expect(reading.number('missing', unit, signed)).toMatchObject({ reason: { name: 'notSupported' } });
        expect(reading.first(['missing', 'file'], unit, signed)).toEqual(read);
      }),
      { numRuns: 500 },
    );
  });

  it('labelled counts of a file are whole numbers or have a reason, whatever stands around them', () => {
    const count = fc.oneof(
      fc.nat().map(String),
      fc.constantFrom('-1', '1e9', '', '0x1', '99999999999999999999', 'N/A'),
    );
    const line = fc.tuple(fc.constantFrom('ue', 'ce', 'de', 'queue'), count);
    fc.assert(
      fc.property(fc.array(line), fc.string(), (lines, rest) => {
        const text = [...lines.map(([label, value]) => `${label}: ${value}`), rest.replace(/^ue/, '')].join('\n');
        const read = new CardReading(new Map([['errors', text]]), []).labelled('errors', 'ue');
        const first = lines.find(([label]) => label === 'ue')?.[1];
        if (first !== undefined && /^\d{1,15}$/.test(first)) expect(read).toEqual({ value: Number(first) });
        else expect(read).toHaveProperty('reason');
      }),
    );
  });

  it('the place and the target of a node', () => {
    const node = (location: number, target: number, domain = 0) =>
      parseKfdNode(
        `simd_count 8\ncpu_cores_count 0\nlocation_id ${location}\ndomain ${domain}\ngfx_target_version ${target}\n`,
      );
    expect(node(0x0300, 110_000)).toEqual({ pdev: '0000:03:00.0', target: 'gfx1100', hasCores: false });
    expect(node(0xc1fb, 90_010, 1)).toMatchObject({ pdev: '0001:c1:1f.3', target: 'gfx90a' });
    expect(parseKfdNode('simd_count 0\ncpu_cores_count 64\n')).toBeNull();
  });
});
