import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GpuIdentities, isUnidentified, sameBusId } from '../../lib/gpu/identities.js';
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

const named = (index: number, over: Partial<ReportedGpu> = {}): ReportedGpu => ({
  ...(listing(8, new Set())[index] as ReportedGpu),
  ...over,
});
const gone = (over: Partial<ReportedGpu>): ReportedGpu =>
  named(0, { uuid: '', name: '', busId: '', unreachable: gpuReason('lost'), ...over });
const uuidsOf = (identities: GpuIdentities, ...devices: readonly ReportedGpu[]) =>
  identities.identify(devices).map(({ uuid }) => uuid);

describe('which GPU is which', () => {
  it('of several without uuid and place: those that are missing, by their index, and no other', () => {
    const identities = new GpuIdentities();
    uuidsOf(identities, named(2), named(0), named(1));
    expect(uuidsOf(identities, named(1), gone({ index: 1 }), gone({ index: 2 }), gone({ index: 3 }))).toEqual([
      'GPU-1',
      'GPU-0',
      'GPU-2',
      'unidentified-3',
    ]);
  });

  it('of one that answers with the uuid of another it is not known, and it takes no name of one that is missing', () => {
    const identities = new GpuIdentities();
    uuidsOf(identities, named(0), named(1));
    const second = named(3, { uuid: 'GPU-0', busId: '' });
    expect(uuidsOf(identities, named(0), second, gone({ index: 4 }))).toEqual(['GPU-0', 'unidentified-3', 'GPU-1']);
  });

  it('of one that is lost in a place where none was seen it is not known, though another is missing', () => {
    const identities = new GpuIdentities('two-');
    uuidsOf(identities, named(0));
    expect(uuidsOf(identities, gone({ index: 5, busId: busId(6) }))).toEqual(['unidentified-two-5']);
  });

  it('parts of a GPU are named by their own uuid, and are never one that is missing', () => {
    const identities = new GpuIdentities();
    const part = named(1, { uuid: 'MIG-1', parentUuid: 'GPU-0', busId: '' });
    const silent = named(2, { uuid: 'MIG-2', parentUuid: 'GPU-0', busId: '', unreachable: gpuReason('unknown') });
    expect(uuidsOf(identities, named(0), part, silent)).toEqual(['GPU-0', 'MIG-1', 'MIG-2']);
    expect(uuidsOf(identities, named(0), gone({ index: 7 }), gone({ index: 8 }))).toEqual([
      'GPU-0',
      'unidentified-7',
      'unidentified-8',
    ]);
    expect(identities.busIds()).toEqual([busId(0)]);
  });

  it('by place: whichever was seen there last, in any spelling; none where it has no place', () => {
    const identities = new GpuIdentities();
    expect(identities.indexAt(busId(0))).toBeNull();
    uuidsOf(identities, named(0), named(1, { busId: '' }), named(2));
    uuidsOf(identities, named(4, { busId: busId(0) }), named(2));
    expect(['0:01:00.0', busId(0), busId(2).toUpperCase(), '', busId(7)].map((at) => identities.indexAt(at))).toEqual([
      4,
      4,
      2,
      null,
      null,
    ]);
    expect(identities.busIds()).toEqual([busId(0), busId(2)]);
    expect(sameBusId('0000:0a:00.0', '00000000:0A:00.0')).toBe(true);
    expect(sameBusId('0000:1a:00.0', '0001:1a:00.0')).toBe(false);
    expect(sameBusId('0000:10:00.0', '0000:01:00.0')).toBe(false);
    expect(isUnidentified('unidentified-two-5')).toBe(true);
    expect(isUnidentified('GPU-unidentified-')).toBe(false);
  });

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
