import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaults } from '../../lib/contract/defaults.js';
import { audit } from '../../lib/queen/audit.js';
import { rowsAtOnce } from '../../lib/queen/liveness-monitor.js';
import { Random } from '../harness/random.js';
import { gpuSample, onGpu, TestQueen, workerSample } from './heartbeats.js';
import { ChangingHive, copyOf, pairOfQueens, StreamLink } from './stream-model.js';

const rowsOf = (workers: number, gpus: number, id = 'large') => ({
  gpus: Array.from({ length: gpus }, (_, i) => gpuSample(`GPU-${id}-${i}`, { index: i })),
  workers: Array.from({ length: workers }, (_, i) =>
    workerSample(`llm/${i}`, { model: `m${i % 3}`, ...(gpus > 0 ? onGpu(`GPU-${id}-${i % gpus}`) : {}) }),
  ),
});

/** Can be looked at without a look of its own, which each of its answers has. */
class Queen extends TestQueen {
  get rows(): { readonly kept: number; readonly missing: number } {
    const { gpus, workers } = this.missing.counts();
    return { kept: this.indexes.workerCount + this.indexes.gpuCount, missing: gpus + workers };
  }

  get wrong(): readonly string[] {
    return audit(this.indexes, this.histories);
  }
}

/** Events of a hive. */
const eventsOf = (queen: TestQueen, hive: string) => {
  const { lastEventId } = queen;
  const events = queen.eventsSince(`${lastEventId.slice(0, lastEventId.lastIndexOf('-'))}-0`).events;
  return events.map(({ json }) => JSON.parse(json)).filter((event) => event.hive === hive);
};

describe('a large hive that falls silent', () => {
  it('is removed a part at a time: what is left of it is offline, the rest is missing, and one event has all', () => {
    const queen = new Queen();
    queen.hear('large', 1, rowsOf(2000, 256));
    queen.time.advance(defaults.staleAfterMs);
    const removed: number[] = [];
    for (let before = 0; queen.rows.kept > 0; before = queen.rows.missing) {
      expect(queen.missing.counts().hives).toBe(0);
      queen.advance();
      removed.push(queen.rows.missing - before);
      expect(queen.rows.kept + queen.rows.missing).toBe(2256);
      expect(queen.wrong).toEqual([]);
      if (removed.length === 1) expect(queen.hive('large')?.liveness).toBe('offline');
    }
    expect(removed.length).toBeGreaterThan(4);
    expect(removed.length).toBeLessThan(20);
    expect(removed[0]).toBe(rowsAtOnce);
    expect(queen.cleanupStale()).toEqual(['large']);
    const [hive] = queen.missing.list({ kind: 'hive' }).items;
    expect(hive?.last).toMatchObject({ workerCount: 2000, gpus: { length: 256 } });
    expect(eventsOf(queen, 'large').filter(({ kind }) => kind === 'hiveRemoved')).toMatchObject([
      { detail: { reason: 'silent', workers: 2000 } },
    ]);
  });

  it('and is heard before all of it is gone, is a new one', () => {
    const queen = new Queen();
    queen.hear('large', 1, rowsOf(10, 2));
    queen.time.advance(defaults.staleAfterMs);
    for (const seq of [1, 2, 3]) queen.hear('other', seq);
    expect(queen.rows).toEqual({ kept: 9, missing: 3 });
    queen.hear('large', 2, rowsOf(9, 1));
    expect(
      eventsOf(queen, 'large')
        .map(({ kind }) => kind)
        .slice(-2),
    ).toEqual(['hiveRemoved', 'hiveJoined']);
    expect(queen.fleet()).toMatchObject({
      workers: { total: 9 },
      gpus: { total: 1 },
      missing: { hives: 0, gpus: 1, workers: 1 },
    });
    expect(queen.audit()).toEqual([]);
  });

  it('and is heard by its stream meanwhile, is asked for a whole heartbeat', async () => {
    const { time, streamed } = pairOfQueens(0);
    const { hive } = new ChangingHive('a', 1, new Random(1), 0);
    const link = new StreamLink(streamed, () => 0);
    for (let i = 0; i < 2; i++) expect(await link.send(copyOf(hive.nextHeartbeat()))).toBe(true);
    time.advance(defaults.staleAfterMs);
    streamed.hear('other', 1);
    const last = copyOf(hive.nextHeartbeat());
    expect(await link.send(last)).toBe(true);
    expect([...link.counts.resyncs.values()]).toEqual([1]);
    expect(streamed.workers({ hive: 'a' }).items.map(({ id }) => id)).toEqual(last.workers.map(({ id }) => id).sort());
    expect(streamed.missing.counts()).toMatchObject({ hives: 0, gpus: 0, workers: 0 });
    expect(streamed.audit()).toEqual([]);
  });

  it('leaves sound indexes at every step, and each of its rows in one place', () => {
    const step = fc.constantFrom('other heard' as const, 'heard' as const, 'forgotten' as const, 'look' as const);
    fc.assert(
      fc.property(fc.nat({ max: 6 }), fc.nat({ max: 3 }), fc.array(step, { maxLength: 12 }), (workers, gpus, steps) => {
        const queen = new Queen();
        let seq = 1;
        queen.hear('large', seq, rowsOf(workers, gpus));
        queen.time.advance(defaults.staleAfterMs);
        for (const [i, each] of steps.entries()) {
          if (each === 'other heard') queen.hear('other', i + 1);
          else if (each === 'heard') queen.hear('large', ++seq, rowsOf(workers, gpus));
          else if (each === 'look') queen.advance();
          else queen.removeHive('large');
          expect(queen.wrong).toEqual([]);
          const { kept, missing } = queen.rows;
          const isForgotten = !queen.hasHive('large') && queen.missing.counts().hives === 0;
          expect(kept + missing).toBe(isForgotten ? 0 : workers + gpus);
        }
      }),
    );
  });

  it('together with others goes before them: no more rows at one look than of one large hive', () => {
    const queen = new Queen();
    const ids = ['a', 'b', 'c'];
    for (const id of ids) queen.hear(id, 1, rowsOf(rowsAtOnce - 50, 49, id));
    queen.time.advance(defaults.staleAfterMs);
    const left = () => ids.filter((id) => queen.hasHive(id)).length;
    const looks = [0, 1, 2].map(() => {
      queen.advance();
      return left();
    });
    expect(looks).toEqual([2, 1, 0]);
    expect(queen.missing.counts()).toMatchObject({ hives: 3, workers: 600, gpus: 147 });
  });
});

describe('a hive counts as a row itself', () => {
  it('so that of many without any no more go at one look', () => {
    const queen = new Queen();
    for (let i = 0; i < rowsAtOnce + 30; i++) queen.hear(`h${i}`, 1);
    queen.time.advance(defaults.staleAfterMs);
    queen.advance();
    expect(queen.missing.counts().hives).toBe(rowsAtOnce);
    const again = new Queen();
    for (let i = 0; i < rowsAtOnce + 30; i++) again.hear(`h${i}`, 1, rowsOf(0, 1, `h${i}`));
    again.time.advance(defaults.staleAfterMs);
    again.advance();
    expect(again.rows.missing).toBe(rowsAtOnce / 2);
  });
});

describe('a hive that an admin removes', () => {
  it('leaves nothing behind: neither what is missing, nor which of its events are known', () => {
    const queen = new Queen();
    const event = { seq: 1, at: '2026-01-02T03:04:05.000Z', kind: 'oomKill', workerId: 'llm/1', detail: {} } as const;
    expect(queen.hear('a', 1, { ...rowsOf(2, 1, 'a'), events: [event] })).toMatchObject({ ackEventSeq: 1 });
    expect(queen.removeHive('a')).toBe(true);
    expect(queen.missing.counts()).toMatchObject({ hives: 0, gpus: 0, workers: 0 });
    expect(queen.hear('a', 2)).toMatchObject({ ackEventSeq: 0 });
    expect(eventsOf(queen, 'a').filter(({ kind }) => kind === 'hiveRemoved')).toMatchObject([
      { detail: { reason: 'admin', workers: 2 } },
    ]);
    expect(queen.cleanupStale()).toEqual([]);
  });
});

describe('a GPU that its host names no longer', () => {
  it.each([
    ['is missing where the other host that named it is not heard', 20_000, ['GPU-0']],
    ['was moved where the other host is heard', 0, []],
  ])('%s', (_, silentMs, missing) => {
    const queen = new Queen();
    queen.hear('other', 1, { gpus: [gpuSample('GPU-0')] });
    queen.time.advance(silentMs);
    queen.hear('a', 1, { gpus: [gpuSample('GPU-0')] });
    queen.hear('a', 2, { gpus: [] });
    expect(queen.listMissing().items.map(({ key }) => key)).toEqual(missing);
  });
});

it('the ids of those forgotten are kept for whoever asks, up to ten thousand: of more, the last ones', () => {
  const queen = new TestQueen();
  const forget = (...ids: readonly string[]) => {
    for (const id of ids) queen.hear(id, 1);
    queen.time.advance(defaults.staleAfterMs);
    // As where nobody asks.
    while (queen.hiveCount > 0) queen.advance();
  };
  forget('first');
  forget(...Array.from({ length: 9998 }, (_, i) => `h${i}`));
  forget('second', 'third');
  const ids = new Set(queen.cleanupStale());
  expect([ids.size, ids.has('h0'), ids.has('h9997')]).toEqual([10_000, true, true]);
  // One more was forgotten.
  expect(['first', 'second', 'third'].map((id) => ids.has(id))).toEqual([false, true, true]);
  expect(queen.cleanupStale()).toEqual([]);
});
