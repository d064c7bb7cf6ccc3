import { describe, expect, it } from 'vitest';
import type { GpuRecord, HiveRecord } from '../../lib/queen/records.js';
import type { ActiveReservation } from '../../lib/queen/reservations.js';
import { holdersOf, RoomTable, rowBits, rowNumbers } from '../../lib/queen/room-table.js';
import { type GivenHost, type RoomHost, roomHost } from './room-hosts.js';

class Table extends RoomTable {
  readonly order: HiveRecord[];

  constructor() {
    const order: HiveRecord[] = [];
    super(order);
    this.order = order;
  }

  /** Adds a host. */
  put(id: string, given: GivenHost): RoomHost {
    const each = roomHost(id, given, this);
    this.order.push(each.record);
    this.add(each.record);
    this.set(each.record, each.host.memoryAvailableBytes, each.promised);
    return each;
  }

  drop({ record }: RoomHost): void {
    this.order.splice(this.order.indexOf(record), 1);
    this.remove(record);
  }

  row({ record }: RoomHost, length = 12): number[] {
    const first = this.rowAt(record.room.place);
    return [...this.numbers.slice(first, first + length)];
  }

  bits({ record }: RoomHost): number {
    return this.numbers[this.rowAt(record.room.place) + rowNumbers.bits]!;
  }
}

const { taken, schedulable, isUnified, severalMemories, severalVendors, isWide } = rowBits;
const unified = { memoryKind: 'unified' } as const;

describe('the row of a host', () => {
  it('has the host, and each GPU of it on which something can be placed', () => {
    const table = new Table();
    table.put('first', {});
    const host = table.put('host', {
      workers: 2,
      memoryAvailableBytes: 70,
      gpus: [
        { freeBytes: 5, workerCount: 1, reservations: 2 },
        { freeBytes: null },
        { isParent: true },
        { health: 'lost' },
        { freeBytes: 6, health: 'degraded' },
      ],
    });
    expect(table.row(host)).toEqual([taken | schedulable, 2, 70, 4, 5, 3, 0, 0, 6, 0, 1, 4]);
    expect(host.record.room).toMatchObject({ memoryBytes: 70, workerCount: 4, gpus: [], vendors: ['NVIDIA'] });
  });

  it.each<[string, GivenHost, number]>([
    ['one whose memory is that of its host', { gpus: [unified, unified] }, isUnified],
    ['GPUs of both kinds of memory', { gpus: [unified, {}] }, severalMemories],
    ['one of another kind on which nothing can be placed', { gpus: [unified, { health: 'lost' }] }, isUnified],
    ['none', { gpus: [] }, 0],
    ['GPUs that it is not said to have', { gpus: [unified], gpusKnown: 'none' }, 0],
    ['GPUs of two vendors', { gpus: [{}, { vendor: 'AMD' }, {}] }, severalVendors],
    ['one of a vendor that is not known', { gpus: [{}, { vendor: null }] }, severalVendors],
    ['eight GPUs', { gpus: Array(8).fill({}) }, 0],
    ['nine GPUs', { gpus: Array(9).fill({}) }, isWide],
    [
      'nine, of two vendors and memories',
      { gpus: [...Array(8).fill({}), { vendor: 'AMD', ...unified }] },
      isWide | severalVendors | severalMemories,
    ],
  ])('says what is true of a host with %s', (_, given, bits) => {
    const table = new Table();
    const host = table.put('host', given);
    expect(table.bits(host)).toBe(taken | schedulable | bits);
  });

  it('of a host that is said to have no GPU has none', () => {
    const table = new Table();
    const host = table.put('host', { gpus: [unified], gpusKnown: 'none' });
    expect(table.row(host, 4)).toEqual([taken | schedulable, 0, 16, 0]);
  });

  it('names each vendor once, and those whose vendor is not said as one', () => {
    const table = new Table();
    const gpus = [{ vendor: 'AMD' }, { vendor: null }, { vendor: 'AMD' }, { vendor: undefined }, {}];
    const { record, promised } = table.put('host', { gpus });
    const vendors = ['AMD', null, 'NVIDIA'];
    expect(record.room.vendors).toEqual(vendors);
    table.set(record, null, promised);
    expect(record.room.vendors).toEqual(vendors);
  });

  it('of more than eight GPUs has them in a list of their own, as long as they are so many', () => {
    const table = new Table();
    const host = table.put('host', { gpus: Array.from({ length: 9 }, (_, i) => ({ freeBytes: i })) });
    const { record } = host;
    expect(record.room.gpus).toHaveLength(9 * 4);
    expect(record.room.gpus.slice(-4)).toEqual([8, 0, 0, 8]);
    record.gpuOrder.pop();
    table.set(record, 5, undefined);
    expect(record.room.gpus).toEqual([]);
    expect(table.row(host, 8)).toEqual([taken | schedulable, 8, 5, 0, 0, 0, 0, 0]);
  });

  it('whether work may be sent to it is written alone, and stays when the rest is written', () => {
    const table = new Table();
    const host = table.put('host', { gpus: [unified], liveness: 'late' });
    expect(table.bits(host)).toBe(taken | isUnified);
    table.setSchedulable(host.record.room.place, true);
    expect(table.bits(host)).toBe(taken | isUnified | schedulable);
    table.set(host.record, 5, undefined);
    expect(table.bits(host)).toBe(taken | isUnified | schedulable);
    table.setSchedulable(host.record.room.place, true);
    table.setSchedulable(host.record.room.place, false);
    expect(table.bits(host)).toBe(taken | isUnified);
  });

  it('memory that is not known is no number', () => {
    const table = new Table();
    const host = table.put('host', { memoryAvailableBytes: null });
    expect([table.row(host, 3)[2], host.record.room.memoryBytes]).toEqual([Number.NaN, null]);
    table.setMemory(host.record, 0);
    expect([table.row(host, 3)[2], host.record.room.memoryBytes]).toEqual([0, 0]);
  });
});

describe('the table of rows', () => {
  it('has as many as it needs, and each stays as it was when it grows', () => {
    const table = new Table();
    const hosts = Array.from({ length: 70 }, (_, i) =>
      table.put(`h${i}`, { memoryAvailableBytes: i, gpus: Array(8).fill({ freeBytes: 1000 + i }) }),
    );
    for (const [i, host] of hosts.entries()) {
      expect(table.row(host, 5)).toEqual([taken | schedulable, 8, i, 0, 1000 + i]);
      expect(table.row(host, 36).slice(-4)).toEqual([1000 + i, 0, 0, 7]);
      expect(table.hiveAt(host.record.room.place)).toBe(host.record);
    }
    expect(table.size).toBe(70);
  });

  it('gives the place of one that is gone to the next, without what stood there', () => {
    const table = new Table();
    const [a, b] = ['a', 'b'].map((id) => table.put(id, { gpus: [unified] }));
    const { place } = a!.record.room;
    table.drop(a!);
    expect(table.numbers[table.rowAt(place)]).toBe(0);
    expect([a!.record.room.table, a!.record.room.place, table.size]).toEqual([null, -1, 1]);
    const c = roomHost('c', { liveness: 'late' }, table);
    table.order.push(c.record);
    table.add(c.record);
    expect([c.record.room.place, c.record.room.table]).toEqual([place, table]);
    expect(table.row(c, 2)).toEqual([taken, 0]);
    expect(table.size).toBe(2);
    expect([...table.placesInOrder()]).toEqual([b!.record.room.place, place]);
  });

  it('is put into order when hosts have come or gone, and not for each walk', () => {
    const table = new Table();
    const a = table.put('a', {});
    const first = table.placesInOrder();
    expect(table.placesInOrder()).toBe(first);
    table.put('b', {});
    expect([...table.placesInOrder()]).toEqual([0, 1]);
    table.drop(a);
    expect([...table.placesInOrder()]).toEqual([1]);
  });

  it('is audited: a host without a row, and one whose row says something else', () => {
    const table = new Table();
    const { record } = table.put('a', {});
    expect(table.audit(record, true)).toBeNull();
    expect(table.audit(record, false)).toBe('is schedulable in one of row and record');
    table.setSchedulable(0, false);
    expect(table.audit(record, false)).toBeNull();
    expect(table.audit(record, true)).toBe('is schedulable in one of row and record');
    expect(new Table().audit(record, false)).toBe('has no row');
    const other = roomHost('b', {}, table).record;
    other.room.table = table;
    other.room.place = 0;
    expect(table.audit(other, false)).toBe('has no row');
    const elsewhere = new Table();
    elsewhere.add(record);
    expect(table.audit(record, false)).toBe('has no row');
  });
});

it('a GPU is held by its workers and by those that it is reserved for', () => {
  const gpu = { workerCount: 2, current: { uuid: 'GPU-0' } } as unknown as GpuRecord;
  const held = (...gpuUuids: string[]) => ({ gpuUuids }) as unknown as ActiveReservation;
  expect(holdersOf(gpu, undefined)).toBe(2);
  expect(holdersOf(gpu, new Set([held('GPU-1', 'GPU-0'), held('GPU-1'), held('GPU-0')]))).toBe(4);
});
