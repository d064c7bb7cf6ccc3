import { describe, expect, it, vi } from 'vitest';
import { audit } from '../../lib/queen/audit.js';
import { HiveRemovals, type RemovalReason } from '../../lib/queen/hive-removals.js';
import { gpuSample, TestQueen, workerSample } from './heartbeats.js';

/** A hive of two GPUs and three workers, and what takes hives out of all that holds them. */
class Queen extends TestQueen {
  readonly budget = { release: vi.fn() };
  readonly publisher = { saveAckedSeq: vi.fn(), publishHiveEvent: vi.fn() };
  readonly removals = new HiveRemovals({
    ...{ indexes: this.indexes, histories: this.histories, missing: this.missing },
    ...{ budget: this.budget as never, publisher: this.publisher as never },
  });

  constructor(state: 'ready' | 'stopping' = 'ready') {
    super();
    this.hear('a', 1, {
      hive: { state },
      gpus: [0, 1].map((index) => gpuSample(`GPU-${index}`, { index })),
      workers: [1, 2, 3].map((n) => workerSample(`llm/${n}`)),
    });
  }

  get record() {
    return this.indexes.hives.get('a')!;
  }

  /** What is left of the hive. */
  get left(): readonly string[] {
    const { gpuOrder, workerOrder } = this.record;
    return [...gpuOrder.map(({ current }) => current.uuid), ...workerOrder.map(({ current }) => current.id)];
  }

  take(most: number, reason: RemovalReason = 'silent') {
    return this.removals.remove(this.record, reason, most, this.time.nowMs);
  }

  get wrong(): readonly string[] {
    return audit(this.indexes, this.histories);
  }
}

const all = Number.POSITIVE_INFINITY;

describe('a hive that is removed', () => {
  it('goes a part at a time: GPUs, then workers from the last one on, then itself', () => {
    const queen = new Queen();
    const added = vi.spyOn(queen.missing, 'add');
    const { record } = queen;
    const { charge, heartbeats } = record;
    record.unwritten = {
      writeAll: vi.fn(),
      writeHead: vi.fn(),
      writeGpu: vi.fn(),
      writeWorker: vi.fn(),
      powerRows: () => null,
    };
    const { writeAll } = record.unwritten;
    expect(queen.removals.hasBegun(record)).toBe(false);
    expect([queen.take(1), queen.left]).toEqual([{ rows: 1, isGone: false }, ['GPU-1', 'llm/1', 'llm/2', 'llm/3']]);
    expect(queen.removals.hasBegun(record)).toBe(true);
    // Whoever sends only what changes has to send all of it anew.
    expect([record.heartbeats, record.unwritten, writeAll]).toEqual([heartbeats + 1, null, expect.anything()]);
    expect(writeAll).toHaveBeenCalledTimes(1);
    expect([queen.take(2), queen.left]).toEqual([{ rows: 2, isGone: false }, ['llm/1', 'llm/2']]);
    expect(record.heartbeats).toBe(heartbeats + 1);
    expect(queen.wrong).toEqual([]);
    expect([queen.budget.release, queen.publisher.publishHiveEvent].map((each) => each.mock.calls)).toEqual([[], []]);

    expect(queen.take(2)).toEqual({ rows: 3, isGone: true });
    expect(queen.removals.hasBegun(record)).toBe(false);
    expect(added.mock.calls.map(([kind, key, reason]) => `${kind} ${key} ${reason}`)).toEqual([
      ...['gpu GPU-0 silent', 'gpu GPU-1 silent', 'worker a/llm/3 silent', 'worker a/llm/2 silent'],
      ...['worker a/llm/1 silent', 'hive a silent'],
    ]);
    // As it was before a part of it was gone.
    expect(queen.missing.list({ kind: 'hive' }).items[0]?.last).toMatchObject({ workerCount: 3, gpus: { length: 2 } });
    expect(queen.budget.release.mock.calls).toEqual([[charge]]);
    expect(queen.publisher.saveAckedSeq.mock.calls).toEqual([[record]]);
    expect(queen.publisher.publishHiveEvent.mock.calls).toEqual([
      ['hiveRemoved', 'a', { reason: 'silent', workers: 3 }],
    ]);
    expect([queen.hiveCount, queen.wrong]).toEqual([0, []]);
  });

  it('of no rows stays as it is, and of all goes at once', () => {
    const queen = new Queen('stopping');
    const added = vi.spyOn(queen.missing, 'add');
    expect([queen.take(0), queen.left.length]).toEqual([{ rows: 0, isGone: false }, 5]);
    expect([queen.take(2), queen.left]).toEqual([{ rows: 2, isGone: false }, ['llm/1', 'llm/2', 'llm/3']]);
    expect(queen.take(all)).toEqual({ rows: 4, isGone: true });
    expect(added.mock.calls.map(([, , reason]) => reason)).toEqual(Array(6).fill('stopped'));
    expect(queen.wrong).toEqual([]);
  });

  it('by an admin leaves nothing among what is missing', () => {
    const queen = new Queen();
    const { record } = queen;
    expect(queen.take(all, 'admin')).toEqual({ rows: 6, isGone: true });
    expect(queen.missing.counts()).toMatchObject({ hives: 0, gpus: 0, workers: 0 });
    expect(queen.publisher.saveAckedSeq).not.toHaveBeenCalled();
    expect(queen.budget.release).toHaveBeenCalledWith(record.charge);
    expect(queen.publisher.publishHiveEvent.mock.calls).toEqual([
      ['hiveRemoved', 'a', { reason: 'admin', workers: 3 }],
    ]);
    expect(queen.wrong).toEqual([]);
  });
});
