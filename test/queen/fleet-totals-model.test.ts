import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PlacementRequest } from '../../lib/contract/api.js';
import { countFleet } from '../../lib/contract/counts.js';
import { gpuHealths, gpuKnowledge, workerStates } from '../../lib/contract/enums.js';
import { walkRooms } from '../../lib/queen/host-room.js';
import { fitHost, type PlacementHost, placementCandidates } from '../../lib/queen/placement.js';
import { compareHives, compareText, type HiveRecord } from '../../lib/queen/records.js';
import type { ActiveReservation } from '../../lib/queen/reservations.js';
import { RoomTable } from '../../lib/queen/room-table.js';
import { portion } from '../harness/draws.js';
import { gib, gpuSample, mib, onGpu, TestQueen, workerSample } from './heartbeats.js';

const hiveIds = ['a', 'b', 'c', 'd'];

/** Lets its rows be walked, and describes its hosts from nothing but what it answers. */
class Fleet extends TestQueen {
  get rooms() {
    return this.indexes.rooms;
  }

  hosts(): PlacementHost[] {
    const workers = this.workers({ limit: 1000 }).items;
    const gpus = this.gpus({ limit: 1000 }).items;
    return this.hives({ limit: 1000 }).items.map((hive) => {
      const own = gpus.filter((gpu) => gpu.hive === hive.id);
      const at = workers.filter((worker) => worker.hive === hive.id);
      const held = this.reservations().filter((each) => each.hive === hive.id);
      const workersWith = (id: string) => at.filter(({ reservationId }) => reservationId === id);
      const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);
      const vramUnused = (uuid: string) =>
        sum(
          held.map(({ id, gpuUuids, vramBytes }) => {
            const used = workersWith(id).flatMap((worker) => worker.gpus.filter((gpu) => gpu.uuid === uuid));
            const usedBytes = sum(used.map(({ memoryUsedBytes }) => memoryUsedBytes ?? 0));
            return gpuUuids.includes(uuid) ? Math.max(0, vramBytes - usedBytes) : 0;
          }),
        );
      const memoryUnused = sum(
        held.map(({ id, memoryBytes }) =>
          Math.max(0, memoryBytes - sum(workersWith(id).map((w) => w.workingSetBytes ?? w.memoryBytes ?? 0))),
        ),
      );
      const unified = own.filter(({ memoryKind }) => memoryKind === 'unified');
      const available = hive.host.memoryAvailableBytes;
      const left =
        available === null || held.length === 0
          ? available
          : Math.max(0, available - memoryUnused - sum(unified.map(({ uuid }) => vramUnused(uuid))));
      return {
        hive: hive.id,
        liveness: hive.liveness,
        state: hive.state,
        cordonReason: hive.cordon?.reason ?? null,
        labels: hive.labels,
        memoryAvailableBytes: left,
        workerCount: at.length + held.length,
        gpusKnown: hive.gpusKnown,
        gpusReason: hive.gpusReason,
        gpus: own.map(({ uuid, vendor, health, memoryKind, freeBytes, migMode, ...memory }) => ({
          uuid,
          vendor,
          health,
          memoryKind,
          // What was said of a GPU that cannot be read now is not room.
          freeBytes:
            hive.gpusKnown !== 'known'
              ? freeBytes
              : roomOf(memory, memoryKind, available, vramUnused(uuid), held.length === 0 ? 0 : memoryUnused),
          isParent: migMode === true || own.some(({ parentUuid }) => parentUuid === uuid),
          workerCount:
            at.filter((worker) => worker.gpus.some((gpu) => gpu.uuid === uuid)).length +
            held.filter(({ gpuUuids }) => gpuUuids.includes(uuid)).length,
        })),
      };
    });
  }
}

/** Room on a GPU: what it has left, less what is promised; on unified memory no more than the host has. */
function roomOf(
  {
    memoryTotalBytes: total,
    memoryUsedBytes: used,
    memoryReservedBytes: reserved,
  }: Record<'memoryTotalBytes' | 'memoryUsedBytes' | 'memoryReservedBytes', number | null>,
  kind: 'device' | 'unified',
  available: number | null,
  vramUnused: number,
  memoryUnused: number,
): number | null {
  const own = total === null || used === null ? null : Math.max(0, total - used - (reserved ?? 0));
  const room = kind === 'device' || available === null ? own : own === null ? available : Math.min(own, available);
  return room === null ? null : Math.max(0, room - vramUnused - (kind === 'unified' ? memoryUnused : 0));
}

const optionalGib = (max: number) => fc.option(fc.integer({ min: 0, max }).map(gib), { freq: 5 });
const gpuVendor = fc.constantFrom('NVIDIA', 'NVIDIA', 'AMD', 'Intel', null);
const gpuSeed = fc.record({
  vendor: gpuVendor,
  health: fc.oneof({ weight: 3, arbitrary: fc.constant('ok' as const) }, fc.constantFrom(...gpuHealths)),
  memoryKind: fc.constantFrom('device' as const, 'device' as const, 'unified' as const),
  memoryTotalBytes: fc.option(fc.constantFrom(gib(24), gib(48), gib(80), gib(141)), { freq: 8 }),
  memoryReservedBytes: fc.option(fc.constantFrom(0, mib(500), gib(2)), { freq: 4 }),
  memoryUsedBytes: optionalGib(24),
  /** Of which GPU before it this is a part. */
  partOf: fc.option(fc.nat(2), { freq: 1, nil: null }).map((of) => (of === 0 ? null : of)),
});
const workerSeed = fc.record({
  id: fc.constantFrom('llm/1', 'llm/2', 'embed/1'),
  state: fc.constantFrom(...workerStates),
  gpu: fc.option(fc.nat(2)),
  usedBytes: fc.constantFrom(0, gib(2), gib(9)),
  workingSetBytes: optionalGib(8),
  /** Which of the reservations in force it carries. */
  reservation: fc.option(fc.nat(3)),
});
const heartbeat = fc.record({
  do: fc.constant('heartbeat' as const),
  hive: fc.constantFrom(...hiveIds),
  state: fc.constantFrom('ready' as const, 'ready' as const, 'draining' as const),
  labels: fc.constantFrom<Record<string, string>>({}, { zone: 'x' }, { zone: 'y' }),
  gpusKnown: fc.oneof({ weight: 4, arbitrary: fc.constant('known' as const) }, fc.constantFrom(...gpuKnowledge)),
  gpus: fc.array(gpuSeed, { maxLength: 3 }),
  workers: fc.uniqueArray(workerSeed, { selector: ({ id }) => id, maxLength: 3 }),
  complete: fc.boolean(),
  memoryAvailableBytes: optionalGib(64),
  restart: fc.boolean(),
});
const request: fc.Arbitrary<PlacementRequest> = fc.record(
  {
    vramBytes: fc.constantFrom(0, gib(2), gib(8), gib(20)),
    gpuCount: fc.integer({ min: 1, max: 3 }),
    labels: fc.constantFrom<Record<string, string>>({}, { zone: 'x' }),
    memoryBytes: fc.constantFrom(0, gib(4), gib(30)),
    strategy: fc.constantFrom('binPack' as const, 'spread' as const, 'mostFree' as const),
    gpuVendor: fc.constantFrom('nvidia', 'AMD', 'other'),
  },
  { requiredKeys: ['vramBytes'] },
);
const step = fc.oneof(
  { weight: 6, arbitrary: heartbeat },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 3000, 10_000, 90_000) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cordon' as const), hive: fc.constantFrom(...hiveIds) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('uncordon' as const), hive: fc.constantFrom(...hiveIds) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), hive: fc.constantFrom(...hiveIds) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('reserve' as const), request, seconds: fc.constantFrom(1, 60) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('release' as const), which: fc.nat(3) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function take(queen: Fleet, runs: Map<string, { run: number; seq: number }>, one: Step): void {
  if (one.do === 'wait') return void queen.time.advance(one.ms);
  if (one.do === 'remove') return void queen.removeHive(one.hive);
  if (one.do === 'cordon') return void queen.cordons.set(one.hive, { reason: 'a card is changed', by: 'kim' });
  if (one.do === 'uncordon') return void queen.cordons.lift(one.hive);
  if (one.do === 'reserve') return void queen.place({ ...one.request, reserveSeconds: one.seconds });
  if (one.do === 'release') return void queen.releaseReservation(queen.reservations()[one.which]?.id ?? 'none');
  const run = runs.get(one.hive) ?? { run: 0, seq: 0 };
  run.seq++;
  if (one.restart) run.run++;
  runs.set(one.hive, run);
  const uuid = (i: number) => `GPU-${one.hive}-${i}`;
  const outcome = queen.hear(one.hive, run.seq, {
    hive: {
      incarnation: `run-${run.run}`,
      startedAt: new Date(run.run * 1000).toISOString(),
      state: one.state,
      labels: one.labels,
    },
    host: { memoryAvailableBytes: one.memoryAvailableBytes },
    gpusKnown: one.gpusKnown,
    gpusReason: one.gpusKnown === 'known' ? null : 'no driver',
    gpus: one.gpus.map(({ partOf, ...gpu }, index) =>
      gpuSample(uuid(index), {
        index,
        ...gpu,
        parentUuid: partOf !== null && partOf - 1 < index ? uuid(partOf - 1) : null,
      }),
    ),
    workers: one.workers.map(({ id, state, gpu, usedBytes, workingSetBytes, reservation }) =>
      workerSample(id, {
        state,
        workingSetBytes,
        reservationId: reservation === null ? null : (queen.reservations()[reservation]?.id ?? null),
        ...(gpu === null ? {} : onGpu(uuid(gpu), usedBytes)),
      }),
    ),
    workersComplete: one.complete,
  });
  expect(outcome.accepted).toBe(true);
}

/** Totals and placements are those of a walk over all that the queen answers. */
function checkAgainstWalk(queen: Fleet, requests: readonly PlacementRequest[], most: number): void {
  expect(queen.audit()).toEqual([]);
  const hosts = queen.hosts();
  const gpus = queen.gpus({ limit: 1000 }).items;
  const counts = countFleet(
    hosts.map(({ hive, ...host }) => ({
      liveness: host.liveness as 'online' | 'late' | 'offline',
      gpusKnown: host.gpusKnown,
      gpus: gpus.filter((gpu) => gpu.hive === hive),
    })),
    queen
      .workers({ limit: 1000 })
      .items.map(({ state, liveness }) => [liveness === 'offline' ? 'offline' : state, 1] as const),
  );
  expect(queen.fleet()).toMatchObject({
    hives: counts.liveness,
    gpus: {
      total: counts.gpus,
      memoryTotalBytes: counts.totalBytes,
      memoryUsedBytes: counts.usedBytes,
      uncounted: counts.uncounted,
      unknownHives: counts.unknownGpuHives,
    },
    workers: { total: counts.workers },
  });
  expect(queen.fleet().gpus.byHealth).toEqual(counts.health);
  expect(queen.fleet().workers.byState).toEqual(counts.state);

  for (const asked of requests) {
    const expected = placementCandidates(hosts, asked);
    const { candidates, candidateCount, refusals, refusedCount } = queen.place(asked);
    expect(candidates).toEqual(expected.candidates);
    expect(refusals.toSorted((a, b) => (a.hive < b.hive ? -1 : 1))).toEqual(expected.refusals);
    expect([candidateCount, refusedCount]).toEqual([candidates.length, refusals.length]);

    const hostOf = new Map(hosts.map((host) => [host.hive, host]));
    const walk = walkRooms(queen.rooms, asked, { most }, ({ id }) => fitHost(hostOf.get(id)!, asked));
    expect(walk.best).toEqual(candidates.slice(0, most));
    expect([walk.fits, walk.refusedCount]).toEqual([candidateCount, refusedCount]);
    expect(walk.refused).toHaveLength(Math.min(most, refusedCount));
  }
}

const gibBetween = (min: number, max: number) => fc.integer({ min, max }).map(gib);
const soundGpu = (kind: 'device' | 'unified', totalGib: number) =>
  fc.record({
    ...{
      vendor: fc.constant('NVIDIA' as const),
      health: fc.constant('ok' as const),
      partOf: fc.constant(null),
    },
    memoryKind: fc.constant(kind),
    memoryTotalBytes: fc.constant(gib(totalGib)),
    memoryReservedBytes: fc.integer({ min: 300, max: 4000 }).map(mib),
    memoryUsedBytes: gibBetween(1, 9),
  });
/** A host that has a GPU with reserved memory, one on unified memory, and one cut into MIG devices, and a worker on the first. */
const everything = (hive: string) =>
  fc.record({
    ...{ do: fc.constant('heartbeat' as const), hive: fc.constant(hive), state: fc.constant('ready' as const) },
    ...{ labels: fc.constant({ zone: 'x' }), gpusKnown: fc.constant('known' as const), complete: fc.constant(true) },
    restart: fc.constant(false),
    gpus: fc.tuple(
      soundGpu('device', hive === 'a' ? 80 : 48),
      soundGpu('unified', hive === 'a' ? 120 : 64),
      soundGpu('device', hive === 'a' ? 141 : 96),
      soundGpu('device', hive === 'a' ? 35 : 24).map((gpu) => ({ ...gpu, partOf: 3 })),
    ),
    workers: fc.tuple(
      fc.record({
        ...{ id: fc.constant('llm/1'), state: fc.constant('busy' as const), gpu: fc.nat(1) },
        usedBytes: gibBetween(1, 6),
        workingSetBytes: gibBetween(1, 5),
        reservation: fc.nat(1),
      }),
    ),
    // Room for both claims also where they land on unified memory.
    memoryAvailableBytes: gibBetween(40, 90),
  });
const claim = fc.record({
  do: fc.constant('reserve' as const),
  seconds: fc.constant(60),
  request: fc.record({
    vramBytes: gibBetween(2, 8),
    memoryBytes: gibBetween(3, 9),
    strategy: fc.constantFrom('binPack' as const, 'spread' as const, 'mostFree' as const),
  }),
});

describe('what is kept of a fleet against a walk over all of it', () => {
  const requests = fc.array(request, { minLength: 1, maxLength: 3 });
  const most = fc.integer({ min: 1, max: 3 });

  it('totals and placements are those of the whole fleet after any heartbeats, silences, removals and reservations', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), requests, most, (steps, asked, listed) => {
        const queen = new Fleet();
        const runs = new Map<string, { run: number; seq: number }>();
        for (const one of steps) {
          take(queen, runs, one);
          checkAgainstWalk(queen, asked, listed);
        }
      }),
      { numRuns: portion(120) },
    );
  });

  it('also where hosts have reserved and unified memory, MIG devices and claims at once, and one is cordoned', () => {
    const heard = fc.tuple(everything('a'), everything('b'), claim, claim, everything('a'), everything('b'));
    fc.assert(
      fc.property(heard, requests, fc.nat(6), (steps, asked, cordonAt) => {
        const queen = new Fleet();
        const runs = new Map<string, { run: number; seq: number }>();
        for (const [i, one] of steps.entries()) {
          if (i === cordonAt) take(queen, runs, { do: 'cordon', hive: 'b' });
          take(queen, runs, one);
          checkAgainstWalk(queen, asked, 2);
        }
        const parent = queen.gpu('GPU-a-2');
        expect(parent).toMatchObject({ memoryTotalBytes: gib(141) });
        expect(queen.reservations()).toHaveLength(2);
        const anything = queen.place({ vramBytes: 1, strategy: 'mostFree' });
        const chosen = anything.candidates.flatMap(({ gpus }) => gpus.map(({ uuid }) => uuid));
        expect(chosen).not.toContain('GPU-a-2');
        expect(anything.candidates.some(({ hive }) => hive === 'b')).toBe(cordonAt === 6);
      }),
      { numRuns: 60 },
    );
  });

  const fleetGpu = fc.record({
    health: fc.oneof({ weight: 4, arbitrary: fc.constant('ok') }, fc.constantFrom('degraded', 'lost')),
    isParent: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, fc.boolean()),
    freeBytes: optionalGib(12),
    workerCount: fc.nat(2),
    reservations: fc.nat(2),
  });
  const fleetHost = fc.record({
    vendor: gpuVendor,
    kind: fc.constantFrom('device', 'device', 'unified'),
    // A row has room for eight.
    gpus: fc.array(fleetGpu, { minLength: 1, maxLength: 10 }),
    workers: fc.nat(3),
    memoryAvailableBytes: optionalGib(40),
  });

  it('the best of many hosts are those of the whole list, in its order', () => {
    fc.assert(
      fc.property(
        fc.array(fleetHost, { maxLength: 40 }),
        request,
        fc.integer({ min: 1, max: 40 }),
        (seeds, asked, most) => {
          const records: HiveRecord[] = [];
          const table = new RoomTable(records);
          const hives = seeds.map(({ vendor, kind, gpus, workers, memoryAvailableBytes }, h) => {
            const promised = gpus.flatMap(({ reservations }, g) =>
              Array.from(
                { length: reservations },
                () => ({ gpuUuids: [`GPU-${h}-${g}`] }) as unknown as ActiveReservation,
              ),
            );
            const hive = {
              id: `h${h}`,
              liveness: 'online',
              info: { state: 'ready', labels: { zone: 'x' } },
              gpusKnown: 'known',
              workers: { size: workers },
              gpuOrder: gpus.map(({ health, ...gpu }, g) => ({
                ...gpu,
                current: { uuid: `GPU-${h}-${g}`, vendor, health, memoryKind: kind },
              })),
              room: { table: null, place: -1, memoryBytes: null, workerCount: 0, gpus: [], vendors: [] },
              cordon: null,
              noteSchedulable: () => table.setSchedulable(hive.room.place, true),
            } as unknown as HiveRecord;
            records.push(hive);
            table.add(hive);
            table.set(hive, memoryAvailableBytes, new Set(promised));
            const host: PlacementHost = {
              hive: hive.id,
              liveness: 'online',
              state: 'ready',
              cordonReason: null,
              labels: hive.info.labels,
              memoryAvailableBytes,
              workerCount: workers + promised.length,
              gpusKnown: 'known',
              gpusReason: null,
              gpus: gpus.map(({ reservations, ...gpu }, g) => ({
                ...gpu,
                uuid: `GPU-${h}-${g}`,
                vendor,
                memoryKind: kind as 'device' | 'unified',
                workerCount: gpu.workerCount + reservations,
              })),
            };
            return { hive, host };
          });
          const { candidates, refusals } = placementCandidates(
            hives.map(({ host }) => host),
            asked,
          );
          const never = () => expect.fail('each host has one kind of memory and one vendor');
          records.sort(compareHives);
          const walk = walkRooms(table, asked, { most }, never);
          expect(walk.best).toEqual(candidates.slice(0, most));
          const refusedIds = refusals.map(({ hive }) => hive).sort(compareText);
          expect(walk.refused.map(({ id }) => id)).toEqual(refusedIds.slice(0, most));
          expect([walk.fits, walk.refusedCount]).toEqual([candidates.length, refusals.length]);
        },
      ),
      { numRuns: portion(500) },
    );
  });
});
