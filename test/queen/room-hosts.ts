import type { PlacementHost } from '../../lib/queen/placement.js';
import type { HiveRecord } from '../../lib/queen/records.js';
import type { ActiveReservation } from '../../lib/queen/reservations.js';
import type { RoomTable } from '../../lib/queen/room-table.js';
import type { Random } from '../harness/random.js';

export interface RoomHost {
  readonly record: HiveRecord;
  /** The same, as placement sees it. */
  readonly host: PlacementHost;
  readonly promised: ReadonlySet<ActiveReservation>;
}

/** What of a host its room is made of. */
export interface GivenHost extends Partial<Omit<PlacementHost, 'hive' | 'gpus' | 'workerCount'>> {
  readonly workers?: number;
  readonly gpus?: readonly (Partial<PlacementHost['gpus'][number]> & { readonly reservations?: number })[];
}

/** A host that is nothing but what its room is made of. Numbers are small, so that many are alike. */
export function roomHost(hive: string, { workers = 0, gpus = [], ...given }: GivenHost, table: RoomTable): RoomHost {
  const whole = gpus.map(({ reservations = 0, ...gpu }, i) => ({
    // In no order of their own.
    ...{
      uuid: `${hive}-${(i * 7) % 12}`,
      vendor: 'NVIDIA',
      health: 'ok',
      isParent: false,
      memoryKind: 'device' as const,
    },
    ...{ freeBytes: 8, workerCount: 0, reservations },
    ...gpu,
  }));
  const promised = new Set(
    whole.flatMap(({ uuid, reservations }) =>
      Array.from({ length: reservations }, () => ({ gpuUuids: [uuid] }) as unknown as ActiveReservation),
    ),
  );
  const host: PlacementHost = {
    ...{ hive, liveness: 'online', state: 'ready', cordonReason: null, labels: {}, memoryAvailableBytes: 16 },
    ...{ gpusKnown: 'known', gpusReason: null },
    ...given,
    workerCount: workers + promised.size,
    gpus: whole.map(({ reservations, ...gpu }) => ({ ...gpu, workerCount: gpu.workerCount + reservations })),
  };
  const isSchedulable = host.liveness === 'online' && host.state === 'ready' && host.cordonReason === null;
  const record = {
    id: hive,
    info: { labels: host.labels },
    gpusKnown: host.gpusKnown,
    workers: { size: workers },
    gpuOrder: whole.map(({ freeBytes, isParent, workerCount, ...current }) => ({
      ...{ freeBytes, isParent, workerCount, current },
    })),
    room: { table: null, place: -1, memoryBytes: null, workerCount: 0, gpus: [], vendors: [] },
    noteSchedulable: () => table.setSchedulable(record.room.place, isSchedulable),
  } as unknown as HiveRecord;
  return { record, host, promised };
}

const sometimes = <T>(random: Random, chance: number, rare: readonly T[], usual: T): T =>
  random.chance(chance) ? random.pick(rare) : usual;

/** Any host, with room enough more often than not. */
export function anyHost(random: Random): GivenHost {
  const vendor = random.pick(['NVIDIA', 'AMD', null]);
  const isMixed = random.chance(0.15);
  const isOfBoth = random.chance(0.2);
  const memoryKind = random.pick(['device', 'device', 'unified'] as const);
  // A row has room for eight.
  const gpus = random.chance(0.1) ? random.whole(8, 11) : random.whole(0, 4);
  return {
    liveness: sometimes(random, 0.06, ['late', 'offline'], 'online'),
    state: sometimes(random, 0.04, ['draining'], 'ready'),
    cordonReason: sometimes(random, 0.04, ['a fan'], null),
    labels: random.pick<Record<string, string>>([{ zone: 'x' }, { zone: 'x', disk: 'ssd' }, { zone: 'y' }, {}]),
    memoryAvailableBytes: random.chance(0.1) ? null : random.whole(0, 14),
    gpusKnown: sometimes(random, 0.06, ['none', 'unknown'] as const, 'known' as const),
    workers: random.whole(0, 2),
    gpus: Array.from({ length: gpus }, () => ({
      vendor: isMixed ? random.pick(['NVIDIA', 'AMD', null]) : vendor,
      memoryKind: isOfBoth ? random.pick(['device', 'unified'] as const) : memoryKind,
      health: sometimes(random, 0.25, ['degraded', 'lost'], 'ok'),
      isParent: random.chance(0.06),
      freeBytes: random.chance(0.08) ? null : random.whole(0, 6),
      workerCount: random.whole(0, 2),
      reservations: random.chance(0.2) ? random.whole(1, 2) : 0,
    })),
  };
}
