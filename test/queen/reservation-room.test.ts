import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ActiveReservation,
  bytesOf,
  claim,
  Reservations,
  requestText,
  reservationView,
  unusedMemory,
  unusedVram,
} from '../../lib/queen/reservations.js';
import { gib, gpuSample, onGpu, TestQueen, workerSample } from './heartbeats.js';

const held = (fields: Partial<ActiveReservation> = {}): ActiveReservation => ({
  id: 'r1',
  idempotencyKey: null,
  request: '[]',
  hive: 'a',
  gpuUuids: ['GPU-0'],
  vramBytes: 5,
  memoryBytes: 3,
  expiresAtMs: 1000,
  ...fields,
});

describe('room that is promised and not yet used', () => {
  const used = (vram: Record<string, number>, memoryBytes: number) => () => ({
    vramBytes: (uuid: string) => vram[uuid] ?? 0,
    memoryBytes,
  });

  it.each([
    [0, 0, 5, 3],
    [2, 1, 3, 2],
    [5, 3, 0, 0],
    [9, 7, 0, 0],
  ])('%d bytes of VRAM and %d of memory in use leave %d and %d', (vram, memory, leftVram, leftMemory) => {
    expect(unusedVram([held()], 'GPU-0', used({ 'GPU-0': vram, 'GPU-1': 99 }, 0))).toBe(leftVram);
    expect(unusedMemory([held()], used({}, memory))).toBe(leftMemory);
  });

  it('adds up over reservations, each for its own GPUs', () => {
    const all = [held(), held({ gpuUuids: ['GPU-0', 'GPU-1'], vramBytes: 7, memoryBytes: 11 }), held({ gpuUuids: [] })];
    expect(['GPU-0', 'GPU-1', 'GPU-2'].map((uuid) => unusedVram(all, uuid, used({}, 0)))).toEqual([12, 7, 0]);
    expect(unusedMemory(all, used({}, 0))).toBe(17);
  });
});

describe('what is said of a reservation', () => {
  it('what it holds, and how long it still lasts', () => {
    const { hive, gpuUuids, vramBytes, memoryBytes } = held();
    const said = { id: 'r1', hive, gpuUuids, vramBytes, memoryBytes };
    expect(reservationView(held(), 400)).toEqual({ ...said, expiresInMs: 600 });
    expect(reservationView(held(), 1001)).toEqual({ ...said, expiresInMs: 0 });
  });

  it('it lasts as many seconds as were asked for', () => {
    const candidate = { hive: 'a', gpus: [{ uuid: 'GPU-7', freeBytes: 9 }], memoryAvailableBytes: null };
    const granted = claim(candidate, { vramBytes: 5, reserveSeconds: 60, idempotencyKey: 'k' }, 1000);
    expect(granted).toMatchObject({
      hive: 'a',
      gpuUuids: ['GPU-7'],
      vramBytes: 5,
      memoryBytes: 0,
      idempotencyKey: 'k',
    });
    expect(granted.expiresAtMs).toBe(61_000);
    expect(claim(candidate, { vramBytes: 5, memoryBytes: 3 }, 1000)).toMatchObject({
      memoryBytes: 3,
      expiresAtMs: 1000,
    });
  });
});

describe('the reservations in force', () => {
  it('any adding and removing: found by key and hive, with their memory and the next end, as a plain list has them', () => {
    const one = fc.record({
      id: fc.constantFrom('r1', 'r2', 'r3', 'r4'),
      idempotencyKey: fc.constantFrom(null, 'k', 'key-2'),
      hive: fc.constantFrom('a', 'b'),
      request: fc.constantFrom('[]', '[1,2,3]'),
      gpuUuids: fc.constantFrom([], ['GPU-0'], ['GPU-0', 'GPU-1', 'GPU-2']),
      expiresAtMs: fc.nat(20),
    });
    fc.assert(
      fc.property(fc.array(fc.tuple(one, fc.boolean()), { maxLength: 30 }), (steps) => {
        const reservations = new Reservations();
        let changes = 0;
        reservations.onChange = () => changes++;
        let list: ActiveReservation[] = [];
        let expectedChanges = 0;
        for (const [fields, add] of steps) {
          const item = held(fields);
          const before = list.find(({ id }) => id === item.id);
          list = list.filter(({ id }) => id !== item.id);
          if (add) {
            reservations.add(item);
            list.push(item);
          } else expect(reservations.remove(item.id)).toBe(before);
          if (add || before !== undefined) expectedChanges++;
          expect(changes).toBe(expectedChanges);
          expect([...reservations.all()].toSorted(byId)).toEqual(list.toSorted(byId));
          for (const key of ['k', 'key-2'])
            expect(reservations.withKey(key)).toBe(list.findLast(({ idempotencyKey }) => idempotencyKey === key));
          for (const hive of ['a', 'b']) {
            const there = list.filter((each) => each.hive === hive);
            const found = reservations.ofHive(hive);
            expect(found === undefined ? [] : [...found]).toEqual(there);
            expect(found === undefined).toBe(there.length === 0);
          }
          const ends = list.map(({ expiresAtMs }) => expiresAtMs);
          expect(reservations.nextExpiryMs()).toBe(ends.length === 0 ? null : Math.min(...ends));
          expect(reservations.bytes).toBe(list.reduce((sum, each) => sum + bytesOf(each), 0));
        }
      }),
    );
  });

  it('the memory of one grows with its texts and GPUs', () => {
    const least = bytesOf(held({ gpuUuids: [] }));
    expect(least).toBeGreaterThanOrEqual(1024);
    expect(bytesOf(held({ gpuUuids: [], request: '[]'.padEnd(102) })) - least).toBe(100);
    expect(bytesOf(held({ gpuUuids: [], idempotencyKey: 'k'.repeat(100) })) - least).toBe(100);
    expect(bytesOf(held({ gpuUuids: ['a', 'b'] })) - least).toBe(256);
  });

  it('requests that ask for the same are one text, whatever the order and what they leave to the default', () => {
    const labels = { zone: 'x', disk: 'y', arch: 'z' };
    const turned = { arch: 'z', zone: 'x', disk: 'y' };
    const other = { disk: 'y', arch: 'z', zone: 'x' };
    for (const given of [turned, other])
      expect(requestText({ vramBytes: 1, labels: given })).toBe(requestText({ labels, vramBytes: 1 }));
    expect(
      requestText({ vramBytes: 1, strategy: 'binPack', gpuCount: 1, memoryBytes: 0, reserveSeconds: 0, labels: {} }),
    ).toBe(requestText({ vramBytes: 1 }));
    expect(requestText({ vramBytes: 1, gpuVendor: 'AMD' })).toBe(requestText({ vramBytes: 1, gpuVendor: 'amd' }));
    // As queens before this one wrote it down.
    expect(requestText({ vramBytes: 1 })).toBe('[1,1,[],0,"binPack",0]');
    const differing = [
      { vramBytes: 2 },
      { gpuCount: 2 },
      { labels },
      { memoryBytes: 1 },
      { strategy: 'spread' },
      { reserveSeconds: 1 },
      { gpuVendor: 'AMD' },
      { gpuVendor: 'NVIDIA' },
    ] as const;
    const texts = differing.map((fields) => requestText({ vramBytes: 1, ...fields }));
    expect(new Set([...texts, requestText({ vramBytes: 1 })]).size).toBe(differing.length + 1);
  });
});

const byId = (a: ActiveReservation, b: ActiveReservation) => (a.id < b.id ? -1 : 1);

describe('room of a host with reservations, of which workers use some', () => {
  /** What a queen says is left on the GPU, on its neighbour and in host memory, in GiB. */
  function left(
    unified: boolean,
    worker: Parameters<typeof workerSample>[1] | null,
    available: number | null = gib(90),
  ) {
    const queen = new TestQueen({ clock: () => 0 });
    const gpus = [
      gpuSample('GPU-0', {
        memoryTotalBytes: gib(80),
        memoryUsedBytes: gib(2),
        memoryKind: unified ? 'unified' : 'device',
      }),
      gpuSample('GPU-1', { memoryTotalBytes: gib(48), memoryUsedBytes: gib(1) }),
    ];
    const host = { memoryAvailableBytes: available };
    queen.hear('a', 1, { gpus, host });
    const request = { vramBytes: gib(50), memoryBytes: gib(20), reserveSeconds: 600, idempotencyKey: 'k' };
    const id = queen.place(request).reservation?.id ?? null;
    const workers = worker === null ? [] : [workerSample('llm/1', { ...worker, ready: false, reservationId: id })];
    queen.hear('a', 2, { gpus, host, workers });
    const again = queen.place(request);
    const asGib = (bytes: number | null | undefined) => (bytes == null ? bytes : bytes / gib(1));
    expect(again.candidates[0]?.gpus).toEqual([{ uuid: 'GPU-0', freeBytes: queen.gpu('GPU-0')?.freeBytes }]);
    expect(again.refusals).toEqual([]);
    expect(queen.audit()).toEqual([]);
    return ['GPU-0', 'GPU-1']
      .map((uuid) => asGib(queen.gpu(uuid)?.freeBytes))
      .concat([asGib(again.candidates[0]?.memoryAvailableBytes)]);
  }

  const uses = (workingSetBytes: number | null, memoryBytes: number | null) => ({
    ...onGpu('GPU-0', gib(12)),
    gpus: [
      { uuid: 'GPU-0', memoryUsedBytes: gib(12), utilizationPercent: 0 },
      { uuid: 'GPU-1', memoryUsedBytes: gib(30), utilizationPercent: 0 },
    ],
    workingSetBytes,
    memoryBytes,
  });

  it.each([
    ['none is there yet', false, null, [28, 47, 70]],
    ['by its working set', false, uses(gib(5), gib(9)), [40, 47, 75]],
    ['by all its memory where that is not known', false, uses(null, gib(9)), [40, 47, 79]],
    ['neither is known', false, uses(null, null), [40, 47, 70]],
    ['more than was claimed', false, uses(gib(33), null), [40, 47, 90]],
    ['unified: none is there yet', true, null, [8, 47, 20]],
    ['unified: some in use', true, uses(gib(5), null), [25, 47, 37]],
  ] as const)('%s', (_, unified, worker, expected) => {
    expect(left(unified, worker)).toEqual(expected);
  });

  it('several workers of one reservation use it together', () => {
    const queen = new TestQueen({ clock: () => 0 });
    const gpus = [gpuSample('GPU-0', { memoryTotalBytes: gib(80), memoryUsedBytes: gib(3) })];
    queen.hear('a', 1, { gpus, host: { memoryAvailableBytes: gib(64) } });
    const id = queen.place({ vramBytes: gib(40), memoryBytes: gib(30), reserveSeconds: 60 }).reservation!.id;
    const workers = [1, 2].map((n) =>
      workerSample(`llm/${n}`, {
        ...onGpu('GPU-0', gib(4 * n)),
        workingSetBytes: gib(n),
        ready: false,
        reservationId: id,
      }),
    );
    queen.hear('a', 2, { gpus, host: { memoryAvailableBytes: gib(64) }, workers });
    expect(queen.gpu('GPU-0')?.freeBytes).toBe(gib(77 - 28));
    expect(queen.place({ vramBytes: 1 }).candidates[0]?.memoryAvailableBytes).toBe(gib(64 - 27));
  });
});
