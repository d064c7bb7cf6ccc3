import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  classifyHeartbeat,
  type Incarnations,
  maxEventSeqJump,
  maxSeqJump,
  replaceRun,
  retiredKept,
  seqResyncMs,
} from '../../lib/queen/incarnations.js';
import { runA, runB, runC, TestQueen, workerSample } from './heartbeats.js';

const t1 = '2026-01-02T03:00:00.000Z';
const t2 = '2026-01-02T03:10:00.000Z';
const known = (): Incarnations => ({
  current: runB,
  seq: 10,
  eventSeq: 7,
  startedAt: t2,
  heardAtMs: 100_000,
  retired: [{ incarnation: runA, atMs: 100_000 }],
});

const cases: readonly [
  what: string,
  incarnation: string,
  seq: number,
  startedAt: string,
  nowMs: number,
  verdict: string,
][] = [
  ['the next heartbeat', runB, 11, t2, 101_000, 'next'],
  ['a heartbeat after a gap', runB, 500, t2, 101_000, 'next'],
  ['the same heartbeat again', runB, 10, t2, 101_000, 'staleSeq'],
  ['an older heartbeat', runB, 3, t2, 101_000, 'staleSeq'],
  ['a heartbeat after the longest gap', runB, 10 + maxSeqJump, t2, 101_000, 'next'],
  ['a seq that the run cannot have reached', runB, 11 + maxSeqJump, t2, 101_000, 'seqJump'],
  ['the same once the run was silent', runB, 11 + maxSeqJump, t2, 100_000 + seqResyncMs, 'next'],
  ['a retired run within the deadline', runA, 99, t1, 105_000, 'latePacket'],
  ['a retired run after the deadline', runA, 99, t1, 105_001, 'duplicate'],
  ['a new run', runC, 1, '2026-01-02T03:20:00.000Z', 101_000, 'restarted'],
  ['a run never heard that is older than the current, under way', runC, 9, t1, 101_000, 'latePacket'],
  ['the same at the deadline', runC, 9, t1, 105_000, 'latePacket'],
  ['a new run that started when the current one did', runC, 1, t2, 101_000, 'restarted'],
  ['a new run after the clock was set back, once the old one is silent', runC, 9, t1, 105_001, 'restarted'],
];

describe('incarnations', () => {
  it.each(cases)('%s', (_, incarnation, seq, startedAt, nowMs, verdict) => {
    expect(classifyHeartbeat(known(), { incarnation, seq, startedAt, eventSeq: 0 }, nowMs)).toBe(verdict);
  });

  it.each([
    ['the most that events may rise by', 7 + maxEventSeqJump, 101_000, 'next'],
    ['one more', 8 + maxEventSeqJump, 101_000, 'seqJump'],
    ['one more after a silence', 8 + maxEventSeqJump, 100_000 + seqResyncMs, 'next'],
  ])('events of the current run: %s', (_, eventSeq, nowMs, verdict) => {
    expect(classifyHeartbeat(known(), { incarnation: runB, seq: 11, startedAt: t2, eventSeq }, nowMs)).toBe(verdict);
  });

  it('remembers a bounded number of retired runs, the newest', () => {
    const runs = known();
    for (let i = 0; i < 50; i++) replaceRun(runs, { incarnation: `run-${i}`, startedAt: t2 }, i);
    expect(runs.retired).toHaveLength(retiredKept);
    expect(runs.retired.at(-1)?.incarnation).toBe('run-48');
    expect(runs.current).toBe('run-49');
  });

  it('takes each heartbeat of a run at most once, however they arrive', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 60 }), (seqs) => {
        const queen = new TestQueen({ clock: () => 0 });
        const taken = seqs.filter((seq) => queen.hear('a', seq).accepted);
        expect(taken).toEqual([...new Set(taken)].sort((a, b) => a - b));
        if (seqs.length > 0) expect(taken.at(-1)).toBe(Math.max(...seqs));
      }),
    );
  });
});

describe('a registry and the runs of a hive', () => {
  it('an out-of-order or doubled heartbeat changes nothing', () => {
    const queen = new TestQueen({ clock: () => 0 });
    queen.hear('a', 2, { workers: [workerSample('llm/1', { state: 'busy' })] });
    for (const seq of [1, 2])
      expect(queen.hear('a', seq, { workers: [] })).toMatchObject({
        accepted: false,
        code: 'STALE_SEQ',
      });
    expect(queen.worker('a', 'llm', '1')?.state).toBe('busy');
  });

  it('a late packet of the run before is no clone; the same run alive later is, and is said once a minute', () => {
    const queen = new TestQueen();
    queen.hear('a', 5);
    queen.hear('a', 1, { hive: { incarnation: runB, startedAt: t2 } });
    expect(queen.hear('a', 6)).toMatchObject({ accepted: false, code: 'RETIRED_INCARNATION' });
    expect(queen.events.recent().map((event) => event.kind)).toEqual(['hiveJoined', 'hiveRestarted']);

    const clones = () => queen.events.recent().filter((event) => event.kind === 'duplicateHiveId');
    for (let second = 0; second < 50; second++) {
      queen.time.advance(1000);
      queen.hear('a', 2 + second, { hive: { incarnation: runB, startedAt: t2 } });
      const outcome = queen.hear('a', 7 + second, { hive: { hostname: 'clone' } });
      if (second >= 5) expect(outcome).toMatchObject({ accepted: false, code: 'DUPLICATE_HIVE_ID' });
    }
    expect(clones()).toHaveLength(1);
    expect(clones()[0]?.detail).toMatchObject({ hostname: 'clone', currentIncarnation: runB });
  });

  it('one that goes on is said again after a minute, and not before', () => {
    const queen = new TestQueen();
    queen.hear('a', 5);
    queen.hear('a', 1, { hive: { incarnation: runB, startedAt: t2 } });
    const saidAt: number[] = [];
    let before = 0;
    for (let second = 1; second < 140; second++) {
      queen.time.advance(1000);
      queen.hear('a', 1 + second, { hive: { incarnation: runB, startedAt: t2 } });
      queen.hear('a', 6 + second);
      const count = queen.events.recent().filter((event) => event.kind === 'duplicateHiveId').length;
      if (count > before) saidAt.push(second);
      before = count;
    }
    expect(saidAt.slice(1).map((second, i) => second - (saidAt[i] as number))).toEqual([60, 60]);
  });

  it('refuses more hives and more workers than it was told to take, and says how many that is', () => {
    const queen = new TestQueen({ clock: () => 0, maxHives: 1, maxWorkersPerHive: 2 });
    expect(queen.hear('a', 1).accepted).toBe(true);
    expect(queen.hear('b', 1)).toMatchObject({
      code: 'TOO_MANY_HIVES',
      message: expect.stringMatching(/1/),
    });
    const workers = ['g/1', 'g/2', 'g/3'].map((id) => workerSample(id));
    expect(queen.hear('a', 2, { workers })).toMatchObject({ code: 'TOO_MANY_WORKERS' });
    expect(queen.hear('a', 2).accepted).toBe(true);
  });
});
