import { afterEach, describe, expect, it, vi } from 'vitest';
import type { WorkerSample } from '../../lib/contract/heartbeat.js';
import { Indexes } from '../../lib/queen/indexes.js';
import type { WorkerRecord } from '../../lib/queen/records.js';
import { type PickQuery, RequestRouting } from '../../lib/queen/request-routing.js';
import { debitMs, WorkerLoad } from '../../lib/queen/worker-load.js';
import { servingOf } from '../harness/heartbeats.js';
import { gpuSample, TestQueen, workerSample } from './heartbeats.js';

const model = 'm';
type Given = Partial<WorkerSample>;
/** In the order of their numbers. */
const idOf = (i: number) => `llm/${String(i).padStart(4, '0')}`;

/** Chance is what a test says, the last of it for ever. */
class Queen extends TestQueen {
  readonly chances: number[];
  #seq = 0;

  constructor(...chances: number[]) {
    const left = [...chances];
    super({ random: () => (left.length > 1 ? left.shift()! : (left[0] ?? 0)), warmingMs: 0, historyRings: 0 });
    this.chances = left;
  }

  /** One hive with these workers. */
  hearWorkers(workers: readonly Given[], gpus = [gpuSample('GPU-0')]): this {
    this.hear('a', ++this.#seq, {
      gpus,
      workers: workers.map((given, i) => workerSample(idOf(i), { model, state: 'busy', ...given })),
    });
    return this;
  }

  at(i: number): WorkerRecord {
    return this.indexes.hives.get('a')!.workers.get(idOf(i))!;
  }

  /** Which worker is picked, and why. */
  pick(query: Partial<PickQuery> = {}) {
    const picked = this.routing.pick({ model, ...query }, this.time.nowMs);
    return picked && { ...picked.why, at: Number(picked.worker.current.instance), id: picked.id };
  }

  done(id: string): boolean {
    return this.routing.done(id, this.time.nowMs);
  }
}

const reports = (over: Parameters<typeof servingOf>[0] = {}): Given => ({
  serving: servingOf({ running: 0, waiting: 0, ageMs: 0, promptTokensPerSecond: null, ...over }),
});
/** No engine reports for it. */
const silent: Given = { serving: null };
const full = reports({ kvPercent: 100 });
const many = (count: number, given: Given): Given[] => Array.from({ length: count }, () => given);
const key = (i: number) => `a/${idOf(i)}`;

describe('the figures of a pick', () => {
  it('are those by which it was made', () => {
    const queen = new Queen().hearWorkers([reports({ running: 2 })]);
    const of = { reason: 'leastCost', gate: 'open', at: 0, compared: 1, tokensPerSecond: 5000, stepMs: 30 };
    expect(queen.pick({ promptTokens: 1000 })).toMatchObject({
      ...{ ...of, costMs: 200 + 0.1 * 3 * 30, queueTokens: 0, requests: 2, debits: 0 },
    });
    expect(queen.pick({ promptTokens: 1000 })).toMatchObject({
      ...{ ...of, costMs: 400 + 0.1 * 4 * 30, queueTokens: 1000, requests: 3, debits: 1 },
    });
    queen.time.advance(100);
    expect(queen.pick({ promptTokens: 1000 })).toMatchObject({ queueTokens: 1500, requests: 4, debits: 2 });
  });

  it('are none where no engine reports', () => {
    const unknown = {
      costMs: null,
      queueTokens: null,
      requests: null,
      debits: null,
      tokensPerSecond: null,
      stepMs: null,
    };
    expect(new Queen().hearWorkers([silent]).pick()).toMatchObject({
      ...{ ...unknown, reason: 'utilization', gate: 'unknown', compared: 1 },
    });
    // Nor where it reported once, and is not heard of now.
    const queen = new Queen().hearWorkers([reports()]).hearWorkers([silent]);
    expect(queen.at(0).load).not.toBeNull();
    expect(queen.pick()).toMatchObject({ ...unknown, gate: 'unknown' });
  });

  it('are of its use where nothing else is known now, whatever its engine said before', () => {
    const queen = new Queen().hearWorkers([reports({ running: 90 }), reports()]);
    queen.hearWorkers([
      { ...silent, cpuPercent: 10 },
      { ...silent, cpuPercent: 90 },
    ]);
    expect(queen.pick()).toMatchObject({ at: 0, gate: 'unknown' });
  });

  it('are none of one that stalls and of which no engine reports', () => {
    expect(new Queen().hearWorkers([{ ...silent, state: 'stalled' }]).pick()).toMatchObject({
      ...{ reason: 'leastBad', gate: 'stalled', costMs: null, requests: null },
    });
  });

  it('a prompt whose length is not said is as long as those before it on average', () => {
    const queen = new Queen().hearWorkers([reports()]);
    expect(queen.pick()).toMatchObject({ costMs: 203 });
    expect(queen.pick()).toMatchObject({ queueTokens: 1000 });
    expect(queen.at(0).load!.speeds.like.meanPromptTokens).toBe(1000);
    queen.pick({ promptTokens: 3000 });
    expect(queen.at(0).load!.speeds.like.meanPromptTokens).toBe(1020);
    expect(queen.pick()).toMatchObject({ queueTokens: 5000 });
    expect(queen.pick()).toMatchObject({ queueTokens: 6020 });
  });

  it('prompt and answer have to fit into the context', () => {
    const gate = (maxContext: number, query: Partial<PickQuery>) =>
      new Queen().hearWorkers([reports({ maxContext })]).pick(query)?.gate;
    expect([gate(1000, {}), gate(999, {})]).toEqual(['open', 'tooLong']);
    expect([gate(1500, { maxTokens: 500 }), gate(1500, { maxTokens: 501 })]).toEqual(['open', 'tooLong']);
    expect([gate(500, { promptTokens: 500 }), gate(499, { promptTokens: 500 })]).toEqual(['open', 'tooLong']);
  });

  it('are as old as they were when they came, and as long ago as that is', () => {
    const gate = (ageMs: number | null, waitMs: number) => {
      const queen = new Queen().hearWorkers([reports({ ageMs })]);
      queen.time.advance(waitMs);
      return queen.pick()?.gate;
    };
    expect([gate(2000, 1000), gate(2000, 1001), gate(null, 3000), gate(null, 3001)]).toEqual([
      ...['open', 'stale', 'open', 'stale'],
    ]);
  });
});

describe('workers that are not to be picked', () => {
  const queen = () => new Queen().hearWorkers([reports(), reports({ running: 9 }), silent]);

  it('by one key or by several', () => {
    expect(queen().pick()).toMatchObject({ at: 0, compared: 3 });
    expect(queen().pick({ exclude: key(0) })).toMatchObject({ at: 1, compared: 2 });
    expect(queen().pick({ exclude: [key(0), key(1)] })).toMatchObject({ at: 2, compared: 1, reason: 'utilization' });
    expect(queen().pick({ exclude: [0, 1, 2].map(key) })).toBeNull();
    expect(queen().pick({ exclude: key(7) })).toMatchObject({ at: 0, compared: 3 });
  });

  it('those that could not serve are not compared', () => {
    expect(new Queen().hearWorkers([{ ...reports(), ready: false }, reports({ running: 9 })]).pick()).toMatchObject({
      ...{ at: 1, compared: 1 },
    });
    expect(new Queen().pick()).toBeNull();
  });
});

describe('a model of many workers', () => {
  it('of up to 256 looks at all, of more at 32 that are drawn', () => {
    expect(new Queen(0.5).hearWorkers(many(256, reports())).pick()).toMatchObject({ compared: 256 });
    expect(new Queen(0.5).hearWorkers(many(257, reports())).pick()).toMatchObject({ compared: 32, at: 128 });
  });

  it('draws others six times while none is open, and keeps the best of those before', () => {
    expect(new Queen(0).hearWorkers(many(300, full)).pick()).toMatchObject({
      ...{ gate: 'full', reason: 'leastBad', compared: 32 + 5 * 33 },
    });
    const stalled = many(300, { ...reports(), state: 'stalled' });
    stalled[0] = full;
    // The first that is drawn is the best of them; none of the later ones is.
    expect(new Queen(0, 0.9).hearWorkers(stalled).pick()).toMatchObject({ at: 0, gate: 'full' });
  });

  it('stops as soon as one is open', () => {
    const workers = many(300, full);
    workers[150] = reports();
    const late = [...Array(70).fill(0), 0.501];
    expect(new Queen(...late).hearWorkers(workers).pick()).toMatchObject({ at: 150, gate: 'open', compared: 32 + 33 });
  });

  it('looks at all where none of those drawn can serve', () => {
    const workers = many(300, { ...reports(), ready: false });
    workers[299] = full;
    expect(new Queen(0).hearWorkers(workers).pick()).toMatchObject({ at: 299, compared: 1 });
  });

  it('of which no engine reports it is an idle one while there is one', () => {
    const busy = many(300, { ...silent, cpuPercent: 80 });
    const with299 = (given: Given) => [...busy.slice(0, 299), given];
    const pick = (workers: readonly Given[], query: Partial<PickQuery> = {}) =>
      new Queen(0).hearWorkers(workers).pick(query);
    const idle = { ...silent, state: 'idle' as const };
    expect(pick(with299(idle))).toMatchObject({ at: 299, reason: 'utilization' });
    expect(pick([...many(1100, busy[0]!), idle])).toMatchObject({ at: 1100, reason: 'utilization' });
    expect(pick([...many(299, reports()), idle])).toMatchObject({ at: 0, reason: 'leastCost' });
    expect(pick(busy)).toMatchObject({ reason: 'utilization', gate: 'unknown' });
    // Not one that is full by what its engine says, nor where some are left out: then it is one of those drawn.
    expect(pick(with299({ ...full, state: 'idle' }))).toMatchObject({ at: 0, reason: 'utilization' });
    expect(pick(with299(idle), { exclude: key(7) })).toMatchObject({ at: 0 });
  });
});

describe('where a prefix was before', () => {
  const owner = (queen: Queen) => queen.pick({ prefixKey: 'session', promptTokens: 100_000 })!;

  it('a request goes while that costs no more than half of its prompt does', () => {
    const at = owner(new Queen().hearWorkers(many(3, reports()))).at;
    const pick = (running: number, query: Partial<PickQuery> = {}) =>
      new Queen()
        .hearWorkers(many(3, reports()).map((each, i) => (i === at ? reports({ running }) : each)))
        .pick({ prefixKey: 'session', ...query });
    expect(pick(33)).toMatchObject({ at, reason: 'prefix', requests: 33 });
    expect(pick(34)).toMatchObject({ reason: 'leastCost', requests: 0 });
    expect(pick(66, { promptTokens: 2000 })).toMatchObject({ at, reason: 'prefix' });
    expect(pick(67, { promptTokens: 2000 })).toMatchObject({ reason: 'leastCost' });
    expect(pick(2, { prefixKey: undefined as never })).toMatchObject({ reason: 'leastCost' });
  });

  it('a request also goes of many workers of which all others are full', () => {
    const at = owner(new Queen(0.5).hearWorkers(many(300, reports()))).at;
    const workers = many(300, full);
    workers[at] = reports();
    const drawn = (at + 1) % 300;
    const pick = (query: Partial<PickQuery>) => new Queen(drawn / 300 + 1e-9).hearWorkers(workers).pick(query);
    expect(pick({ prefixKey: 'session' })).toMatchObject({ at, gate: 'open', reason: 'prefix' });
    expect(pick({})).toMatchObject({ at: drawn, gate: 'full', reason: 'leastBad' });
  });

  it('not where that worker is left out, cannot take it, or is not known to', () => {
    const at = owner(new Queen().hearWorkers(many(3, reports()))).at;
    const pick = (instead: Given, query: Partial<PickQuery> = {}) =>
      new Queen()
        .hearWorkers(many(3, reports()).map((each, i) => (i === at ? instead : each)))
        .pick({ prefixKey: 'session', ...query });
    expect(pick(reports(), { exclude: key(at) })).toMatchObject({ reason: 'leastCost' });
    for (const instead of [full, silent, { ...reports(), ready: false }]) {
      const picked = pick(instead);
      expect(picked).toMatchObject({ reason: 'leastCost', gate: 'open' });
      expect(picked?.at).not.toBe(at);
    }
    expect(new Queen().hearWorkers([full]).pick({ prefixKey: 'session' })).toMatchObject({ reason: 'leastBad' });
    expect(new Queen().hearWorkers([silent]).pick({ prefixKey: 'session' })).toMatchObject({ reason: 'utilization' });
  });
});

describe('picks that are over', () => {
  it('count no longer, once, also the second of several', () => {
    const queen = new Queen().hearWorkers([reports()]);
    const ids = [1, 2, 3].map(() => queen.pick()!.id);
    expect(new Set(ids).size).toBe(3);
    expect([queen.done(ids[1]!), queen.done(ids[1]!), queen.at(0).load!.picks(queen.time.nowMs)]).toEqual([
      true,
      false,
      2,
    ]);
    for (const id of ['', 'x', `x-${ids[0]!.split('-')[1]}`, `${ids[0]!.split('-')[0]}-9`])
      expect(queen.done(id)).toBe(false);
  });

  it('of a worker for which no engine reports hold until its next heartbeat, whoever is done', () => {
    const queen = new Queen().hearWorkers([silent]);
    const { id } = queen.pick()!;
    queen.pick();
    expect([queen.at(0).picks, queen.done(id), queen.at(0).picks]).toEqual([2, false, 2]);
  });

  it('of a run that ended, of which no engine reports any more, are no picks', () => {
    const queen = new Queen().hearWorkers([reports()]);
    const { id } = queen.pick()!;
    queen.hearWorkers([{ ...silent, startedAt: '2026-02-02T00:00:00.000Z' }]);
    expect([queen.at(0).load, queen.done(id)]).toEqual([null, false]);
  });

  it('are remembered as long as they are debited', () => {
    const queen = new Queen().hearWorkers([reports(), reports()]);
    const ids = [0, 1].map(() => queen.pick({ exclude: key(1) })!.id);
    queen.time.advance(debitMs);
    queen.pick({ exclude: key(0) });
    expect(queen.done(ids[0]!)).toBe(true);
    queen.time.advance(1);
    queen.pick({ exclude: key(0) });
    expect(queen.done(ids[1]!)).toBe(false);
  });
});

describe('what an engine reports', () => {
  afterEach(() => void vi.restoreAllMocks());

  it('is as old as it says', () => {
    const report = vi.spyOn(WorkerLoad.prototype, 'report');
    const queen = new Queen();
    for (const [ageMs, atMs] of [
      [300, -300],
      [null, 0],
    ] as const) {
      queen.hearWorkers([reports({ ageMs })]);
      expect(report).toHaveBeenLastCalledWith(expect.objectContaining({ running: 0 }), queen.time.nowMs + atMs);
    }
  });

  it('is of one run of a worker: another begins without it, and one of which nothing is said for once keeps it', () => {
    const queen = new Queen().hearWorkers([silent]);
    expect(queen.at(0).load).toBeNull();
    const first = queen.hearWorkers([reports()]).at(0).load;
    expect(first).not.toBeNull();
    expect(queen.hearWorkers([reports()]).at(0).load).toBe(first);
    expect(queen.hearWorkers([silent]).at(0).load).toBe(first);
    const startedAt = '2026-02-02T00:00:00.000Z';
    const second = queen.hearWorkers([{ ...reports(), startedAt }]).at(0).load;
    expect([second === first, second?.startedAt]).toEqual([false, startedAt]);
    expect(queen.hearWorkers([silent]).at(0).load).toBeNull();
  });

  it('is taken together for workers of one model on one kind of GPU, as soon as that is known', () => {
    const on = (uuid: string, given: Given = {}): Given => ({
      ...reports(),
      gpus: [{ uuid, memoryUsedBytes: 0, utilizationPercent: 0 }],
      ...given,
    });
    const workers = [on('GPU-0'), on('GPU-1'), on('GPU-2'), on('GPU-0', { model: 'n' }), reports(), on('GPU-0')];
    const gpus = ['A', 'A', 'B'].map((name, index) => gpuSample(`GPU-${index}`, { index, name }));
    const queen = new Queen().hearWorkers(workers, []);
    const likes = () => workers.map((_, i) => queen.at(i).load!.speeds.like);
    expect(likes().map(({ gpuName }) => gpuName)).toEqual(Array(6).fill(null));
    queen.hearWorkers(workers, gpus);
    const found = likes();
    expect(found.map(({ gpuName }) => gpuName)).toEqual(['A', 'A', 'B', 'A', null, 'A']);
    expect(found.map((each) => found.indexOf(each))).toEqual([0, 0, 2, 3, 4, 0]);
    // What is known of the kind stays, whatever is said of the GPU later.
    queen.hearWorkers(workers, []);
    expect(likes()).toEqual(found);
  });

  it('is kept of 4096 kinds; a worker of another one stands for itself', () => {
    const routing = new RequestRouting(new Indexes(), () => 0);
    const likeOf = (name: string) => {
      const current = { startedAt: null, model: name, gpus: [] };
      const worker = { current, hive: { gpus: new Map() }, load: null } as unknown as WorkerRecord;
      routing.observe(worker, { ...servingOf(), ageMs: 0 }, 0);
      return worker.load!.speeds.like;
    };
    const first = Array.from({ length: 4096 }, (_, i) => likeOf(`m${i}`));
    expect([likeOf('m0') === first[0], likeOf('m4095') === first[4095]]).toEqual([true, true]);
    expect(likeOf('one more')).not.toBe(likeOf('one more'));
  });
});
