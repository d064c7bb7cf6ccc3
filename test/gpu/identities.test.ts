import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GpuIdentities } from '../../lib/gpu/identities.js';
import { gpuReason } from '../../lib/gpu/reasons.js';
import type { ReportedGpu } from '../../lib/gpu/report.js';
import type { VendorReading } from '../../lib/gpu/vendor.js';
import { VendorGpus } from '../../lib/gpu/vendor-gpus.js';

const busId = (n: number) => `00000000:${(n + 1).toString(16).padStart(2, '0')}:00.0`;

/**
 * GPUs as a reader that numbers only those that answer lists them. Of a lost one it knows the bus id alone, or, of the
 * first `nameless` of them, nothing. `guesses`: what it is called is a guess by its place, and the name of one that answers.
 */
function listing(count: number, lost: ReadonlySet<number>, nameless = 0, guesses = false): readonly ReportedGpu[] {
  const common = { parentUuid: '', computeCapability: '', unifiedMemory: false, values: {}, reasons: {}, problems: [] };
  const all = Array.from({ length: count }, (_unused, n) => n);
  const alive = all.filter((n) => !lost.has(n));
  const rows = alive.map((n, index) => ({
    ...common,
    index,
    uuid: `GPU-${n}`,
    name: 'card',
    busId: busId(n),
    unreachable: null,
    processesKnown: true,
  }));
  const gone = [...lost].map((n, i) => ({
    ...common,
    index: alive.length + i,
    uuid: guesses && i === 0 && alive[0] !== undefined ? `GPU-${alive[0]}` : '',
    name: '',
    busId: i < nameless ? '' : i % 2 === 0 ? busId(n).toUpperCase() : busId(n).slice(4),
    unreachable: gpuReason('lost'),
    processesKnown: false,
  }));
  return [...rows, ...gone];
}

const readerOf = (read: () => VendorReading) =>
  new VendorGpus(() => ({
    read,
    takeEvents: () => [],
    release: async () => undefined,
    resume: () => undefined,
    close: () => undefined,
  }));

describe('which GPU is which', () => {
  it('one that never answered in full is the same once it does not say its uuid any more', () => {
    const [first] = listing(1, new Set());
    const half = { ...first!, unreachable: gpuReason('lost') };
    for (const then of [first!, half]) {
      const identities = new GpuIdentities();
      expect(identities.identify([half])[0]?.uuid).toBe('GPU-0');
      expect(identities.identify([{ ...then, uuid: '' }])[0]?.uuid).toBe('GPU-0');
      expect(identities.busIds()).toEqual([busId(0)]);
    }
  });

  it('boards and virtual GPUs that all have one uuid, or none: no uuid stands twice, and none is lost by the next pass', () => {
    const uuids = fc.array(fc.constantFrom('GPU-00000000-0000-0000-0000-000000000000', 'GPU-a', ''), { maxLength: 6 });
    fc.assert(
      fc.property(uuids, fc.boolean(), (names, placed) => {
        const devices = names.map((uuid, index) => ({
          ...listing(6, new Set())[index]!,
          uuid,
          ...(placed ? {} : { busId: '' }),
        }));
        const report = { unlisted: null, devices, processes: [] };
        const vendor = readerOf(() => ({
          status: 'working',
          reader: 'none',
          reason: null,
          at: 0,
          report: { ...report },
        }));
        for (let pass = 0; pass < 3; pass++) {
          vendor.update();
          const found = vendor.reading(0).devices;
          expect(new Set(found.map(({ uuid }) => uuid)).size).toBe(names.length);
          expect(found.map(({ health }) => health)).toEqual(names.map(() => 'ok'));
        }
        expect(vendor.takeEvents()).toEqual([]);
      }),
    );
  });

  it('by uuid, else by bus id, however the others are renumbered: no uuid twice, one event for each loss and return', () => {
    const lostGpus = fc.tuple(fc.uniqueArray(fc.nat(7), { maxLength: 7 }), fc.nat(7), fc.boolean());
    const lostSets = fc.array(lostGpus, { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(lostSets, (losses) => {
        let reading: VendorReading;
        const say = (lost: readonly number[], nameless = 0, guesses = false) => {
          const devices = listing(8, new Set(lost), nameless, guesses && nameless > 0);
          const report = { unlisted: null, devices, processes: [] };
          reading = { status: 'working', reader: 'none', reason: null, at: 0, report };
        };
        say([]);
        const vendor = new VendorGpus(() => ({
          read: () => reading,
          takeEvents: () => [],
          release: async () => undefined,
          resume: () => undefined,
          close: () => undefined,
        }));
        vendor.update();
        let before = new Set<number>();
        for (const [lost, nameless, guesses] of losses) {
          say(lost, nameless, guesses);
          vendor.update();
          vendor.update();
          const { devices } = vendor.reading(0);
          expect(new Set(devices.map(({ uuid }) => uuid)).size).toBe(8);
          for (const { uuid, health, pciBusId } of devices) {
            const n = Number(uuid.slice(4));
            expect(health).toBe(lost.includes(n) ? 'lost' : 'ok');
            expect(pciBusId).toBe(busId(n));
          }
          const now = new Set(lost);
          const events = vendor.takeEvents().map(({ kind, gpuUuid }) => `${kind} ${gpuUuid}`);
          expect(events.sort()).toEqual(
            [
              ...[...now].filter((n) => !before.has(n)).map((n) => `gpuLost GPU-${n}`),
              ...[...before].filter((n) => !now.has(n)).map((n) => `gpuRecovered GPU-${n}`),
            ].sort(),
          );
          before = now;
        }
      }),
    );
  });
});
