import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WorkerClass } from '../../lib/queen/speeds.js';
import { type LoadReport, WorkerLoad } from '../../lib/queen/worker-load.js';

const idle: LoadReport = {
  running: 0,
  waiting: 0,
  waitingTokens: 0,
  promptTokensPerSecond: 0,
  generationTokensPerSecond: 0,
};
const debitMs = 5000;

function quietWorker(): WorkerLoad {
  const load = new WorkerLoad(new WorkerClass());
  load.report(idle, 0);
  return load;
}

/** An engine whose figures are late, and the picks that were sent to it. */
type Step =
  | { readonly kind: 'pick'; readonly tokens: number; readonly afterMs: number }
  | { readonly kind: 'report'; readonly computed: number; readonly afterMs: number }
  | { readonly kind: 'done'; readonly which: number; readonly afterMs: number };

const afterMs = fc.integer({ min: 2, max: 2500 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('pick' as const), tokens: fc.integer({ min: 1, max: 20_000 }), afterMs }),
  fc.record({ kind: fc.constant('report' as const), computed: fc.integer({ min: 0, max: 40_000 }), afterMs }),
  fc.record({ kind: fc.constant('done' as const), which: fc.nat(50), afterMs }),
);

describe('a debit is neither lost nor counted twice', () => {
  it('a pick counts once until it is shown, done or 5 s old, and never after', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const load = quietWorker();
        const open = new Map<number, { tokens: number; atMs: number }>();
        let nowMs = 0;
        let id = 0;
        let reportedMs = 0;
        for (const each of steps) {
          nowMs += each.afterMs;
          if (each.kind === 'pick') {
            load.pick(++id, each.tokens, nowMs);
            open.set(id, { tokens: each.tokens, atMs: nowMs });
          } else if (each.kind === 'done') {
            const wasOpen = load.done(each.which, nowMs);
            // What is over by time may still be taken off, and what was not picked never is.
            if (wasOpen) expect(open.has(each.which)).toBe(true);
            open.delete(each.which);
            expect(load.done(each.which, nowMs)).toBe(false);
          } else {
            const seconds = (nowMs - reportedMs) / 1000;
            const before = load.debitTokens(nowMs);
            load.report({ ...idle, promptTokensPerSecond: each.computed / seconds }, nowMs);
            expect(load.debitTokens(nowMs)).toBeLessThanOrEqual(before);
            reportedMs = nowMs;
          }
          for (const [number, { atMs }] of open) if (nowMs - atMs > debitMs) open.delete(number);
          const most = [...open.values()].reduce((sum, { tokens }) => sum + tokens, 0);
          expect(load.picks(nowMs)).toBeLessThanOrEqual(open.size);
          expect(load.debitTokens(nowMs)).toBeLessThanOrEqual(most);
          expect(load.debitTokens(nowMs) > 0).toBe(load.picks(nowMs) > 0);
        }
        expect(load.picks(nowMs + debitMs + 1)).toBe(0);
        expect(load.debitTokens(nowMs + debitMs + 1)).toBe(0);
      }),
    );
  });

  it('without a counter that moves no pick is lost before 5 s, however many heartbeats come', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 30 }), (prompts) => {
        const load = quietWorker();
        prompts.forEach((tokens, i) => {
          load.pick(i, tokens, 10 + i);
        });
        for (let atMs = 100; atMs <= debitMs; atMs += 100) load.report(idle, atMs);
        expect(load.picks(debitMs)).toBe(prompts.length);
        expect(load.debitTokens(debitMs)).toBe(prompts.reduce((a, b) => a + b));
      }),
    );
  });
});

describe('what the engine shows', () => {
  it('what the engine computed or has waiting takes off just the picks that it covers, first in, first out', () => {
    const load = quietWorker();
    for (const [id, tokens] of [
      [1, 300],
      [2, 500],
      [3, 200],
    ] as const)
      load.pick(id, tokens, id);
    load.report({ ...idle, running: 1, promptTokensPerSecond: 300 }, 1000);
    expect([load.picks(1000), load.debitTokens(1000)]).toEqual([2, 700]);
    load.report({ ...idle, running: 1, waiting: 1, waitingTokens: 500 }, 2000);
    expect([load.picks(2000), load.debitTokens(2000)]).toEqual([1, 200]);
    // The same tokens, computed now: they had been counted while they waited.
    load.report({ ...idle, running: 2, promptTokensPerSecond: 500 }, 3000);
    expect([load.picks(3000), load.debitTokens(3000)]).toEqual([1, 200]);
    load.report({ ...idle, running: 3, promptTokensPerSecond: 200 }, 4000);
    expect([load.picks(4000), load.debitTokens(4000)]).toEqual([0, 0]);
  });

  it('an engine that is cold reports all at once what it did, and seems no faster for it', () => {
    const load = quietWorker();
    const working = { ...idle, running: 4, generationTokensPerSecond: 100 };
    // Nothing for 18 s, and then the prompts of all of them in one second.
    for (let second = 1; second <= 18; second++) {
      load.pick(second, 1000, 1000 * second - 500);
      load.report(idle, 1000 * second);
    }
    load.pick(19, 1000, 18_500);
    load.report({ ...working, promptTokensPerSecond: 19_000 }, 19_000);
    for (let second = 20; second <= 80; second++) {
      load.pick(second, 1000, 1000 * second - 500);
      load.report({ ...working, promptTokensPerSecond: 1000 }, 1000 * second);
    }
    expect(1000 * load.tokensPerMs).toBeLessThan(3000);
  });

  it('late figures do not make picks wait that have been computed since', () => {
    const load = quietWorker();
    load.pick(1, 1000, 10);
    load.pick(2, 1000, 3400);
    // Measured at 3500, and as old as the first pick: 1000 tokens are computed in 200 ms.
    load.report(idle, 3500);
    expect(load.picks(3500)).toBe(2);
    expect(load.queueTokens(3500)).toBeCloseTo(500);
    // What waited then is computed before them.
    load.report({ ...idle, waiting: 1, waitingTokens: 900 }, 3600);
    expect(load.queueTokens(3600)).toBe(0);
  });

  it('a report cannot show a pick that was made after it was measured', () => {
    const load = quietWorker();
    load.pick(1, 300, 1500);
    load.report({ ...idle, promptTokensPerSecond: 5000 }, 1000);
    expect(load.picks(1500)).toBe(1);
  });

  it('what others send takes no debits off', () => {
    const load = quietWorker();
    let id = 0;
    const foreign = 4000;
    // A minute in which others send as much as we do.
    for (let second = 1; second <= 60; second++) {
      load.pick(++id, 4000, 1000 * second - 500);
      load.report({ ...idle, running: 3, promptTokensPerSecond: 4000 + foreign }, 1000 * second);
    }
    for (let i = 0; i < 4; i++) load.pick(1000 + i, 1000, 60_001);
    const before = load.picks(60_001);
    load.report({ ...idle, running: 3, promptTokensPerSecond: foreign }, 61_000);
    // Half of what others send is noise at most, not all of it.
    expect(before - load.picks(61_000)).toBeLessThanOrEqual(2);
  });

  it('one report read twice is taken once', () => {
    const load = quietWorker();
    load.pick(1, 1000, 10);
    load.pick(2, 1000, 11);
    for (let i = 0; i < 5; i++) load.report({ ...idle, promptTokensPerSecond: 1000 }, 1000);
    expect(load.picks(1000)).toBe(1);
  });
});

describe('the queue of a worker', () => {
  it('shrinks while time passes, never below nothing, and a pick adds its tokens', () => {
    fc.assert(
      fc.property(fc.nat(100_000), fc.nat(100_000), fc.nat(4000), (waitingTokens, tokens, laterMs) => {
        const load = new WorkerLoad(new WorkerClass());
        load.report({ ...idle, waiting: 1, waitingTokens }, 0);
        expect(load.queueTokens(0)).toBe(waitingTokens);
        const later = load.queueTokens(laterMs);
        expect(later).toBeLessThanOrEqual(waitingTokens);
        expect(later).toBeGreaterThanOrEqual(0);
        load.pick(1, tokens, laterMs);
        expect(load.queueTokens(laterMs)).toBeCloseTo(later + tokens, 6);
        load.done(1, laterMs);
        expect(load.queueTokens(laterMs)).toBeCloseTo(later, 6);
      }),
    );
  });
});

describe('speeds', () => {
  const busy = (factor: number): LoadReport => ({
    running: 10,
    waiting: 0,
    waitingTokens: 0,
    promptTokensPerSecond: 6000 / factor,
    generationTokensPerSecond: 400 / factor,
  });
  const watch = (like: WorkerClass, factor: number, seconds: number): WorkerLoad => {
    const load = new WorkerLoad(like);
    for (let i = 0; i <= seconds; i++) load.report(busy(factor), 1000 * i);
    return load;
  };

  it('are learned from counters: half the tokens a second is half the speed', () => {
    const [fast, slow] = [1, 2].map((factor) => watch(new WorkerClass(), factor, 600));
    expect(fast!.speeds.stepMs).toBeCloseTo(25, 0);
    expect(slow!.speeds.stepMs / fast!.speeds.stepMs).toBeCloseTo(2, 1);
    expect(fast!.speeds.prefillTokensPerSecond / slow!.speeds.prefillTokensPerSecond).toBeGreaterThan(1.8);
  });

  it('start from the median of the like, which one odd worker does not move far', () => {
    const like = new WorkerClass();
    for (let i = 0; i < 9; i++) watch(like, 2, 300);
    watch(like, 20, 31);
    const fresh = new WorkerLoad(like);
    expect(fresh.speeds.stepMs).toBeGreaterThan(40);
    expect(fresh.speeds.stepMs).toBeLessThan(65);
  });
});

describe('the figures of one report', () => {
  const report = (over: Partial<LoadReport>): LoadReport => ({ ...idle, ...over });

  it('what is not said is nothing, and tokens that wait are as many as prompts of this kind have', () => {
    const like = new WorkerClass();
    like.learnPrompt(2000);
    const load = new WorkerLoad(like, '2026-01-02T03:04:05.000Z');
    expect([load.startedAt, load.requests(0), load.queueTokens(0)]).toEqual(['2026-01-02T03:04:05.000Z', 0, 0]);
    expect(new WorkerLoad(like).startedAt).toBeNull();
    load.report(report({ running: 4, waiting: 3, waitingTokens: null }), 100);
    expect([load.requests(100), load.queueTokens(100)]).toEqual([7, 3 * 1010]);
    load.report({ ...idle, running: null, waiting: null, waitingTokens: null }, 200);
    expect([load.requests(200), load.queueTokens(200)]).toEqual([0, 0]);
  });

  it('is taken where it is of more than a millisecond later', () => {
    const load = quietWorker();
    load.report(report({ running: 3 }), 1);
    expect(load.requests(1)).toBe(0);
    load.report(report({ running: 3 }), 1.5);
    expect(load.requests(2)).toBe(3);
    load.report(report({ running: 9 }), -100);
    expect(load.requests(2)).toBe(3);
  });

  it('a queue is computed at the speed of the worker, and not before it is known', () => {
    const load = new WorkerLoad(new WorkerClass());
    load.report(report({ waiting: 1, waitingTokens: 1000 }), 1000);
    expect([900, 1000, 1100, 1200, 9000].map((at) => load.queueTokens(at))).toEqual([1000, 1000, 500, 0, 0]);
  });

  it('where requests wait in two reports the speed is that of late, else the most it reached', () => {
    const load = quietWorker();
    load.report(report({ running: 1, waiting: 2, waitingTokens: 9, promptTokensPerSecond: 100 }), 1000);
    expect(load.tokensPerMs).toBeGreaterThan(1);
    const most = load.speeds.prefillTokensPerSecond / 1000;
    load.report(report({ running: 1, waiting: 2, waitingTokens: 9, promptTokensPerSecond: 100 }), 2000);
    // A tenth of the most is left at least.
    expect(load.tokensPerMs).toBeCloseTo(most * 0.1, 6);
    load.report(report({ running: 1, promptTokensPerSecond: 100 }), 3000);
    expect(load.tokensPerMs).toBeGreaterThan(1);
  });
});

describe('a pick', () => {
  it('is debited for five seconds, and the tokens of its prompt wait', () => {
    const load = quietWorker();
    load.pick(1, 600, 1000);
    load.pick(2, 400, 1100);
    // Of the first 500 were computed meanwhile.
    expect([load.picks(1100), load.debitTokens(1100), load.queueTokens(1100), load.requests(1100)]).toEqual([
      2, 1000, 500, 2,
    ]);
    expect([load.picks(6000), load.debitTokens(6000)]).toEqual([2, 1000]);
    expect([load.picks(6000.5), load.debitTokens(6000.5)]).toEqual([1, 400]);
    expect([load.picks(6100.5), load.debitTokens(6100.5)]).toEqual([0, 0]);
  });

  it('that is over takes its tokens off the queue, and is over once', () => {
    const load = quietWorker();
    load.pick(1, 600, 1000);
    load.pick(2, 400, 1000);
    expect(load.done(1, 1020)).toBe(true);
    expect([load.picks(1020), load.debitTokens(1020), load.queueTokens(1020)]).toEqual([1, 400, 300]);
    expect([load.done(1, 1020), load.done(7, 1020)]).toEqual([false, false]);
    expect(load.queueTokens(1040)).toBe(200);
    expect(load.done(2, 1040)).toBe(true);
    expect([load.picks(1040), load.debitTokens(1040), load.queueTokens(1040)]).toEqual([0, 0, 0]);
  });

  it('that was measured at the same moment is not shown by that report', () => {
    const load = quietWorker();
    load.pick(1, 300, 1000);
    load.report({ ...idle, promptTokensPerSecond: 300 }, 1000);
    expect(load.picks(1000)).toBe(1);
  });
});
