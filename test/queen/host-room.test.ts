import { describe, expect, it } from 'vitest';
import type { PlacementRequest } from '../../lib/contract/api.js';
import { walkRooms } from '../../lib/queen/host-room.js';
import { fitHost, type PlacementHost, placementCandidates } from '../../lib/queen/placement.js';
import { compareHives, compareText, type HiveRecord } from '../../lib/queen/records.js';
import { RoomTable } from '../../lib/queen/room-table.js';
import { isPlaceable } from '../../lib/queen/scheduling.js';
import { Random } from '../harness/random.js';
import { anyHost, type GivenHost, type RoomHost, roomHost } from './room-hosts.js';

/** A table of hosts that came in any order, and in which some of those before them had places. */
function tableOf(given: readonly GivenHost[], random: Random): { table: RoomTable; hosts: readonly RoomHost[] } {
  const order: HiveRecord[] = [];
  const table = new RoomTable(order);
  const add = ({ record, host, promised }: RoomHost) => {
    table.add(record);
    table.set(record, host.memoryAvailableBytes, promised);
  };
  const gone = given.slice(0, 3).map((each, i) => roomHost(`gone-${i}`, each, table));
  for (const each of gone) add(each);
  const hosts = given.map((each, i) => roomHost(`host-${String(i).padStart(3, '0')}`, each, table));
  const [early, late] = [hosts.filter((_, i) => i % 3 === 0), hosts.filter((_, i) => i % 3 !== 0)];
  for (const each of random.chance(0.5) ? early : early.toReversed()) add(each);
  for (const { record } of gone) table.remove(record);
  for (const each of late.toReversed()) add(each);
  order.push(...hosts.map(({ record }) => record).sort(compareHives));
  return { table, hosts };
}

const anyRequest = (random: Random): PlacementRequest => ({
  vramBytes: random.whole(0, 4),
  ...(random.chance(0.6) && { gpuCount: random.whole(1, 3) }),
  ...(random.chance(0.3) && {
    labels: random.pick<Record<string, string>>([{ zone: 'x' }, { zone: 'x', disk: 'ssd' }]),
  }),
  ...(random.chance(0.4) && { memoryBytes: random.whole(0, 6) }),
  ...(random.chance(0.8) && { strategy: random.pick(['binPack', 'spread', 'mostFree'] as const) }),
  ...(random.chance(0.25) && { gpuVendor: random.pick(['nvidia', 'AMD', 'other']) }),
});

/** Its row does not say enough. */
function needsWhole({ gpus }: PlacementHost, { gpuVendor, gpuCount = 1 }: PlacementRequest): boolean {
  const placeable = gpus.filter((gpu) => gpu.freeBytes !== null && isPlaceable(gpu));
  const memories = new Set(placeable.map(({ memoryKind }) => memoryKind));
  const vendors = new Set(gpus.map(({ vendor }) => vendor));
  return memories.size > 1 || (vendors.size > 1 && (gpuVendor !== undefined || gpuCount > 1));
}

function checkWalk(given: readonly GivenHost[], request: PlacementRequest, most: number, random: Random): number {
  const { table, hosts } = tableOf(given, random);
  const byId = new Map(hosts.map(({ host }) => [host.hive, host]));
  const closed = new Set(hosts.filter(() => random.chance(0.2)).map(({ host }) => host.hive));
  const expected = placementCandidates(byId.values(), request);
  const whole: PlacementHost[] = [];
  const fitWhole = ({ id }: HiveRecord) => {
    whole.push(byId.get(id)!);
    return fitHost(byId.get(id)!, request);
  };
  const walk = walkRooms(table, request, { most }, fitWhole);
  expect(walk.best).toEqual(expected.candidates.slice(0, most));
  expect(walk.fits).toBe(expected.candidates.length);
  expect(walk.refusedCount).toBe(expected.refusals.length);
  const refused = expected.refusals.map(({ hive }) => hive).sort(compareText);
  expect(walk.refused.map(({ id }) => id)).toEqual(refused.slice(0, most));
  // A closer look costs more than the row: it is taken only where it has to be.
  expect(whole.filter((host) => !needsWhole(host, request))).toEqual([]);

  const isOpen = ({ id }: HiveRecord) => !closed.has(id);
  const open = walkRooms(table, request, { most, isOpen }, fitWhole);
  expect(open.best).toEqual(expected.candidates.filter(({ hive }) => !closed.has(hive)).slice(0, most));
  expect([open.fits, open.refusedCount]).toEqual([walk.fits, walk.refusedCount]);
  return walk.fits;
}

describe('a walk over the rows of hosts', () => {
  it('finds what a look at each of them finds, in the same order, whatever they are and however many are asked for', () => {
    const random = new Random(7);
    let fits = 0;
    for (let i = 0; i < 100; i++) {
      const given = Array.from({ length: random.chance(0.1) ? random.whole(30, 60) : random.whole(0, 9) }, () =>
        anyHost(random),
      );
      fits += checkWalk(given, anyRequest(random), random.pick([0, 1, 2, 3, 5, 100]), random);
    }
    expect(fits).toBeGreaterThan(100);
  });

  it.each([
    ['binPack', [0, 1, 2]],
    ['mostFree', [2, 1, 0]],
    ['spread', [0, 1, 2]],
  ] as const)(
    'scores a host with more GPUs than a row has by its best one, wherever that stands: %s',
    (strategy, order) => {
      const random = new Random(3);
      for (const place of [0, 1, 7, 8, 11]) {
        const given = [0, 1, 2].map((rank) => {
          const best = { freeBytes: strategy === 'mostFree' ? 20 + rank : 1 + rank, workerCount: rank };
          const gpus = Array.from({ length: 12 }, (_, i) => (i === place ? best : { freeBytes: 10, workerCount: 5 }));
          return { gpus };
        });
        const { table } = tableOf(given, random);
        const { best } = walkRooms(table, { vramBytes: 1, strategy }, { most: 3 }, () => expect.unreachable());
        expect(best.map(({ hive }) => hive)).toEqual(order.map((rank) => `host-00${rank}`));
      }
    },
  );

  it('keeps the best of many, whatever the order in which they come, and of those that are alike the first by name', () => {
    const random = new Random(11);
    for (let i = 0; i < 24; i++) {
      const given = Array.from({ length: 40 }, () => ({
        workers: random.whole(0, 1),
        gpus: [1, 2].map(() => ({
          freeBytes: random.whole(3, 6),
          workerCount: random.whole(0, 1),
          health: random.chance(0.3) ? 'degraded' : 'ok',
        })),
      }));
      const strategy = (['spread', 'binPack', 'mostFree'] as const)[i % 3]!;
      checkWalk(given, { vramBytes: 1, gpuCount: 1 + (i % 2), strategy }, random.whole(1, 20), random);
    }
  });
});
