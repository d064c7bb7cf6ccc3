import { describe, expect, it, vi } from 'vitest';
import type { PlacementRequest } from '../../lib/contract/api.js';
import { CapacityTracker, holds } from '../../lib/queen/capacity.js';
import type { WorkerRecord } from '../../lib/queen/records.js';
import { bytesOf, claim } from '../../lib/queen/reservations.js';
import { gib, gpuSample, type HeartbeatFields, TestQueen } from './heartbeats.js';

/** Its records can be changed without a heartbeat, and looked at by a tracker of their own. */
class Queen extends TestQueen {
  tracker(maxBytes?: number): CapacityTracker {
    return new CapacityTracker(this.indexes, maxBytes);
  }

  record(id: string) {
    return this.indexes.hives.get(id)!;
  }
}

const heard = (fields: HeartbeatFields): Queen => {
  const queen = new Queen({ clock: () => 0 });
  queen.hear('a', 1, { host: { memoryAvailableBytes: gib(64) }, ...fields });
  return queen;
};
const device = gpuSample('GPU-0');
const unified = gpuSample('GPU-1', { index: 1, memoryKind: 'unified' });
const reserved: PlacementRequest = { vramBytes: gib(16), memoryBytes: gib(20), reserveSeconds: 600 };

describe('what is not known of a host is no room, and not none, also under a reservation', () => {
  it('of a GPU and of the memory of the host', () => {
    const queen = heard({ gpus: [device] });
    const request = { ...reserved, idempotencyKey: 'k' };
    expect(queen.place(request).reservation).not.toBeNull();
    queen.hear('a', 2, { gpus: [gpuSample('GPU-0', { memoryUsedBytes: null })], host: { memoryAvailableBytes: null } });
    expect(queen.gpu('GPU-0')?.freeBytes).toBeNull();
    expect(queen.place({ vramBytes: 0 }).refusals[0]?.detail).toBe('largest not known');
    expect(queen.place(request).candidates[0]?.memoryAvailableBytes).toBeNull();
    queen.hear('a', 3, { gpus: [device], host: { memoryAvailableBytes: null } });
    expect(queen.gpu('GPU-0')?.freeBytes).toBe(gib(8));
    expect(queen.place({ vramBytes: 1, memoryBytes: 1 }).refusals[0]?.detail).toBe('available memory is not known');
  });

  it.each([
    ['without a reservation', false],
    ['with one', true],
  ])('of a GPU that could not be read any more, %s', (_, isReserved) => {
    const queen = heard({ gpus: [device] });
    const tracker = queen.tracker();
    if (isReserved) expect(tracker.place(reserved, 0).reservation).not.toBeNull();
    queen.record('a').gpuOrder[0]!.unseenSinceMs = 0;
    tracker.refresh(queen.record('a'));
    expect(queen.gpu('GPU-0')?.freeBytes).toBeNull();
    expect(tracker.place({ vramBytes: 0 }, 0).candidates).toEqual([]);
  });

  it('of a hive that is gone, and of a GPU that is: the reservation stands, with no candidate, and no room is known', () => {
    const queen = new Queen();
    queen.hear('a', 1, { gpus: [device] });
    const request = { vramBytes: gib(16), reserveSeconds: 3600, idempotencyKey: 'k' };
    const first = queen.place(request).reservation;
    queen.hear('a', 2, { gpus: [unified] });
    const { candidates, reservation } = queen.place(request);
    expect(candidates).toMatchObject([{ hive: 'a', gpus: [{ uuid: 'GPU-0', freeBytes: null }] }]);
    expect(reservation).toEqual(first);
    queen.time.advance(90_000);
    expect(queen.hive('a')).toBeNull();
    expect(queen.place(request)).toMatchObject({ candidates: [], candidateCount: 0, reservation: { id: first?.id } });
  });
});

describe('a reservation', () => {
  it('is made only where one is asked for', () => {
    const queen = heard({ gpus: [device] });
    const { candidates, reservation } = queen.place({ vramBytes: gib(16) });
    expect(candidates).toHaveLength(1);
    expect(reservation).toBeNull();
    expect(queen.reservations()).toEqual([]);
    expect(queen.gpu('GPU-0')?.freeBytes).toBe(gib(24));
  });

  it('is made as long as all of them fit into their memory, to the byte', () => {
    const queen = heard({ gpus: [device] });
    const { reserveSeconds: _, ...asked } = reserved;
    const [candidate] = queen.place(asked).candidates;
    const bytes = bytesOf(claim(candidate!, reserved, 0));
    expect(() => queen.tracker(bytes - 1).place(reserved, 0)).toThrow(
      expect.objectContaining({ subject: 'reserveSeconds', message: expect.stringContaining('as much as memory') }),
    );
    expect(queen.tracker(bytes).place(reserved, 0).reservation).not.toBeNull();
  });

  it('costs no look at those in force before the first of them ends', () => {
    const queen = heard({ gpus: [device] });
    const tracker = queen.tracker();
    const looks = vi.spyOn(tracker.reservations, 'all');
    tracker.expire(1e9);
    for (const seconds of [60, 30])
      expect(tracker.place({ vramBytes: 1, reserveSeconds: seconds }, 0).reservation).not.toBeNull();
    tracker.expire(29_999);
    expect(looks).not.toHaveBeenCalled();
    tracker.expire(30_000);
    expect([...tracker.reservations.all()]).toHaveLength(1);
    expect(tracker.nextExpiryMs).toBe(60_000);
  });
});

describe('a heartbeat that changes nothing of what is free but the memory of the host', () => {
  const setMemory = (gpus: HeartbeatFields['gpus'], memoryBytes: number | null, isReserved = false) => {
    const queen = heard({ gpus: gpus ?? [] });
    const tracker = queen.tracker();
    if (isReserved) expect(tracker.place({ vramBytes: 1, reserveSeconds: 60 }, 0).reservation).not.toBeNull();
    const hive = queen.record('a');
    hive.memoryAvailableBytes = memoryBytes;
    return [tracker.setMemory(hive), hive.room.memoryBytes];
  };

  it('sets that', () => {
    expect(setMemory([device], gib(32))).toEqual([true, gib(32)]);
    expect(setMemory([device], null)).toEqual([true, null]);
    expect(setMemory([device], gib(64))).toEqual([true, gib(64)]);
  });

  it('leaves it to a look at all of the host where a GPU or a reservation shares it, if it changed', () => {
    expect(setMemory([device, unified], gib(32))).toEqual([false, gib(64)]);
    expect(setMemory([device, unified], gib(64))).toEqual([true, gib(64)]);
    for (const memoryBytes of [gib(32), gib(64)]) expect(setMemory([device], memoryBytes, true)[0]).toBe(false);
  });
});

it('a worker holds the GPUs that it names, and no other', () => {
  const worker = { current: { gpus: [{ uuid: 'GPU-0' }, { uuid: 'GPU-1' }] } } as unknown as WorkerRecord;
  expect(['GPU-0', 'GPU-1', 'GPU-2'].map((uuid) => holds(worker, uuid))).toEqual([true, true, false]);
});
