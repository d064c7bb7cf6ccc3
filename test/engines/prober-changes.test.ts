import { describe, expect, it } from 'vitest';
import type { PathQuestion } from '../../lib/engines/ask.js';
import { at, failed, id, models, ofServers, prepared, target, version, vllm } from './prober-support.js';

describe('what changes about a worker', () => {
  it.each([
    ['its processes', { processes: [2] }],
    ['why its load is not known', { loadReason: 'silent' }],
    ['both', { processes: [2], loadReason: 'silent' }],
  ] as const)('%s: it is asked 5 s after it was asked last, and then as before', async (_what, change) => {
    const { tick, answerBoth, answerLast } = prepared();
    const worker = { ...ofServers(vllm(8000)), processes: [1] };
    const changed = { ...worker, ...change };
    await tick(0, worker);
    await answerBoth();
    expect(await tick(2000, worker)).toEqual([]);
    expect(await tick(2001, changed)).toEqual([]);
    expect(await tick(4999, changed)).toEqual([]);
    expect(await tick(5000, changed)).toEqual(at(8000, '/health'));
    await answerLast(200);
    expect(await tick(29_999, changed)).toEqual([]);
    expect(await tick(36_000, changed)).toEqual(at(8000, '/health'));
  });

  it('does not put off what is due sooner', async () => {
    const { tick, answerBoth } = prepared();
    const worker = ofServers(vllm(8000));
    await tick(0, worker);
    await answerBoth(503);
    expect(await tick(999, { ...worker, processes: [2] })).toEqual([]);
    expect(await tick(1000, { ...worker, processes: [3] })).toEqual(at(8000, '/health'));
  });
});

describe('a worker of which nothing else shows a change', () => {
  it.each([
    ['the operator’s URL', target(), false],
    ['no name of a model', { ...ofServers(vllm(8000)), unnamed: true }, true],
  ] as const)('%s: it is asked each ten seconds', async (_what, worker, isServer) => {
    const { tick, answerLast, answerBoth, state } = prepared();
    await tick(0, worker);
    if (isServer) {
      await answerBoth();
      await answerLast(models('a'));
    } else await answerLast(200);
    expect(state()).toEqual([true, null, null]);
    expect(await tick(9999, worker)).toEqual([]);
    expect(await tick(10_000, worker)).toHaveLength(1);
  });

  it('the operator’s URL is believed through two silences as well, and is no finding', async () => {
    const { tick, answerLast, state, prober } = prepared();
    const worker = target();
    await tick(0, worker);
    expect([...prober.findingsOf(id)]).toEqual([]);
    await answerLast(200);
    expect([...prober.findingsOf(id)]).toEqual([]);
    await tick(10_000, worker);
    await answerLast(failed('ECONNREFUSED'));
    expect(state()).toEqual([false, null, 'ECONNREFUSED']);
  });
});

describe('where the server may be another program’s', () => {
  it.each([
    ['answers as another', 404, 5000],
    ['refuses', failed('ECONNREFUSED'), 5000],
    ['is silent', failed('ETIMEDOUT'), 5000],
    ['loads', 503, 5000],
  ] as const)('and it %s: it is asked each five seconds', async (_what, said, afterMs) => {
    const { tick, answerLast } = prepared();
    const worker = ofServers(vllm(8000, { guessed: true, held: false }));
    await tick(0, worker);
    await answerLast(said);
    expect(await tick(afterMs - 1, worker)).toEqual([]);
    expect(await tick(afterMs, worker)).toEqual(at(8000, '/version'));
  });

  it('and it is the engine’s: it is asked as one that is', async () => {
    for (const [health, afterMs] of [
      [200, 30_000],
      [503, 1000],
    ] as const) {
      const { tick, answerLast } = prepared();
      const worker = ofServers(vllm(8000, { guessed: true, held: false }));
      await tick(0, worker);
      await answerLast(version);
      await answerLast(models('a'));
      await answerLast(health);
      expect(await tick(afterMs - 1, worker)).toEqual([]);
      expect(await tick(afterMs, worker)).toEqual(at(8000, '/health'));
    }
  });
});

describe('a prober that is closed', () => {
  it('asks nothing and knows nothing any more, and what comes late is nobody’s', async () => {
    const { tick, asked, prober, settle, state } = prepared();
    await tick(0, ofServers(vllm(8000)));
    await prober.close();
    asked[0]?.answer(version);
    await settle();
    expect(await tick(1000, ofServers(vllm(8000)))).toEqual([]);
    expect([asked.length, ...state()]).toEqual([1, null, null, null]);
  });
});

describe('asked with many at once', () => {
  const batched = () => {
    const batches: (readonly PathQuestion[])[] = [];
    return {
      batches,
      statuses: (questions: readonly PathQuestion[]) => Promise.resolve(batches.push(questions) ? [200] : []),
    };
  };

  it('is none that answers with TLS, nor one that has to say again who it is', async () => {
    const { batches, statuses } = batched();
    const { tick, answerLast, answerBoth } = prepared(undefined, statuses);
    const worker = ofServers(vllm(8000));
    await tick(0, worker);
    await answerLast(failed('ECONNRESET'));
    await answerLast(200);
    await answerBoth();
    expect(await tick(60_000, worker)).toEqual(['https://127.0.0.1:8000/health']);
    await answerLast(404);
    expect(await tick(120_000, worker)).toEqual(['https://127.0.0.1:8000/version']);
    expect(batches).toEqual([]);
  });

  it('fails: each is asked by itself', async () => {
    const { tick, answerBoth, asked } = prepared(undefined, () => Promise.reject(new Error('closed')));
    const worker = ofServers(vllm(8000));
    await tick(0, worker);
    await answerBoth();
    expect(await tick(60_000, worker)).toEqual(at(8000, '/health'));
    expect(asked).toHaveLength(3);
  });

  it('is answered late for a worker that is gone: nobody asks it', async () => {
    let give = (_found: number[]): void => undefined;
    const { tick, answerBoth, settle, asked } = prepared(
      undefined,
      () =>
        new Promise((resolve) => {
          give = resolve;
        }),
    );
    const worker = ofServers(vllm(8000));
    await tick(0, worker);
    await answerBoth();
    await tick(60_000, worker);
    await tick(60_100);
    give([0]);
    await settle();
    expect(asked).toHaveLength(2);
  });
});
