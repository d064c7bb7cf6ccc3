import { describe, expect, it, vi } from 'vitest';
import { at, controlled, info, of, server, settle, slots, tgi } from './prober-support.js';

describe('the questions to one engine', () => {
  it('are asked one behind the other, each when it is due again', async () => {
    const { tick, last, load, clock, requests } = controlled();
    const target = of(server('text-generation'));
    expect(await tick(0, target)).toEqual(at(1, '/metrics'));
    expect(load()).toEqual({
      engine: 'text-generation',
      reading: null,
      atMs: null,
      countedMs: null,
      reason: 'notAsked',
    });
    // Under way, nothing else is asked.
    expect(await tick(5000, target)).toEqual([]);
    clock.ms = 300;
    await last().answer(200, tgi(2));
    expect(requests.at(-1)?.url).toBe('http://h:1/info');
    expect(load()).toMatchObject({ reading: { running: 2, version: null }, atMs: 300, countedMs: null, reason: null });
    clock.ms = 350;
    await last().answer(200, info);
    expect(load()).toMatchObject({ reading: { running: 2, version: '3.3.0' }, atMs: 300, reason: null });
    // From the begin of the last one.
    expect(await tick(999, target)).toEqual([]);
    expect(await tick(1000, target)).toEqual(at(1, '/metrics'));
    clock.ms = 1700;
    await last().answer(200, tgi(3));
    expect(load()).toMatchObject({ reading: { running: 3 }, atMs: 1700 });
    // It took 700 ms.
    expect(await tick(2399, target)).toEqual([]);
    expect(await tick(2400, target)).toEqual(at(1, '/metrics'));
    await last().answer(200, tgi(4));
    // What hardly changes: each minute.
    expect(await tick(60_299, target)).toEqual(at(1, '/metrics'));
    await last().answer(200, tgi(4));
    expect(await tick(60_300, target)).toEqual(at(1, '/info'));
  });

  it('take the defaults of 1 s and 800 ms, and end when their time is over', async () => {
    const { tick, last, load, requests } = controlled();
    const target = of(server('text-generation'));
    await tick(0, target);
    await vi.advanceTimersByTimeAsync(799);
    await settle();
    expect(last().cancellation.isCancelled).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await settle();
    expect(last().cancellation.isCancelled).toBe(true);
    // Nothing else is asked of what does not answer.
    expect([requests.length, load()?.reason]).toEqual([1, 'silent']);
    expect(await tick(1000, target)).toEqual(at(1, '/metrics'));
    const answered = last();
    await answered.answer(200, tgi(1));
    expect(load()).toMatchObject({ reason: null, reading: { running: 1 } });
    await vi.advanceTimersByTimeAsync(5000);
    await settle();
    expect(answered.cancellation.isCancelled).toBe(false);
  });

  it('end where it refuses, and are asked anew at the next turn', async () => {
    const { tick, last, load, requests } = controlled();
    const target = of(server('text-generation'));
    await tick(0, target);
    await last().fail();
    expect([requests.length, load()?.reason, load()?.reading]).toEqual([1, 'refused', null]);
    // What was not asked then is due still.
    expect(await tick(999, target)).toEqual(at(1, '/info'));
    await last().fail();
    expect(await tick(1000, target)).toEqual(at(1, '/metrics'));
  });

  it.each([
    ['loads', 503, 'loading', 1000],
    ['asks for a key', 401, 'keyNeeded', 10_000],
    ['refuses the key', 403, 'keyNeeded', 10_000],
    ['has its metrics off', 404, 'metricsOff', 10_000],
    ['gives a page without a figure', 200, 'metricsOff', 10_000],
  ] as const)(
    'of one that %s: said, the others are asked all the same, and it again when it may have changed',
    async (_what, status, reason, afterMs) => {
      const { tick, last, load } = controlled();
      const target = of(server('text-generation'));
      await tick(0, target);
      await last().answer(status, status === 200 ? 'other 1\n' : null);
      expect(last().url).toBe('http://h:1/info');
      expect(load()).toMatchObject({ reading: null, atMs: null, reason });
      await last().answer(200, info);
      expect(load()).toMatchObject({ reading: null, atMs: null, reason });
      expect(await tick(afterMs - 1, target)).toEqual([]);
      expect(await tick(afterMs, target)).toEqual(at(1, '/metrics'));
      await last().answer(200, tgi(1));
      expect(load()).toMatchObject({ reading: { running: 1, version: '3.3.0' }, atMs: afterMs, reason: null });
    },
  );

  it('of which a lesser one asks for a key: that is what it lacks', async () => {
    const { tick, last, load } = controlled();
    const target = of(server('text-generation'));
    await tick(0, target);
    await last().answer(200, tgi(1));
    await last().answer(401);
    expect(load()).toMatchObject({ reading: { running: 1 }, reason: 'keyNeeded' });
    expect(await tick(10_000, target)).toEqual(at(1, '/metrics'));
    await last().answer(200, tgi(1));
    expect(last().url).toBe('http://h:1/info');
    await last().answer(503);
    // Loading, it lacks nothing that it would not have soon.
    expect(load()).toMatchObject({ reading: { running: 1 }, reason: null });
  });

  it('that are no metrics and cannot be read are unreadable', async () => {
    const { tick, last, load } = controlled();
    const target = of(server('ollama'));
    expect(await tick(0, target)).toEqual(at(1, '/api/ps'));
    await last().answer(200, 'no');
    expect(load()).toMatchObject({ reading: null, reason: 'unreadable' });
    expect(last().url).toBe('http://h:1/api/version');
    await last().answer(404);
    expect(await tick(9999, target)).toEqual([]);
    expect(await tick(10_000, target)).toEqual(at(1, '/api/ps'));
    await last().answer(404);
    expect(load()?.reason).toBe('unreadable');
  });

  it('are none where the engine says nothing of its load, and none once it is closed', async () => {
    const { tick, load, prober } = controlled();
    expect(await tick(0, of(server('mlx-lm')))).toEqual([]);
    expect(load()).toBeNull();
    expect(await tick(0, of(server('vllm')))).toHaveLength(1);
    prober.close();
    expect(load()).toBeNull();
    expect(await tick(5000, of(server('vllm')))).toEqual([]);
    expect(load()).toBeNull();
  });

  it('each tell whoever listens that the engine has answered, and only then', async () => {
    const { tick, last, prober } = controlled();
    const called: string[] = [];
    prober.onAnswer = (id) => called.push(id);
    const target = of(server('text-generation'));
    await tick(0, target);
    await last().answer(503);
    await last().answer(404);
    expect(called).toEqual([]);
    await tick(1000, target);
    await last().answer(200, tgi(1));
    expect(called).toEqual(['llm/0']);
  });
});

describe('several ways to one answer', () => {
  const target = of(server('llama-server'));

  it('are tried in turn, and that which was answered is kept to for a minute', async () => {
    const { tick, last, load } = controlled();
    expect(await tick(0, target)).toEqual(at(1, '/metrics'));
    await last().answer(404);
    expect(last().url).toBe('http://h:1/slots');
    await last().answer(200, slots(true, false));
    expect(load()).toMatchObject({ reading: { running: 1, capacity: 2 }, atMs: 0, reason: 'metricsOff' });
    await last().answer(404);
    await last().answer(404);
    expect(await tick(1000, target)).toEqual(at(1, '/slots'));
    await last().answer(200, slots(true, true));
    expect(load()).toMatchObject({ reading: { running: 2 }, reason: 'metricsOff' });
    expect(await tick(59_999, target)).toEqual(at(1, '/slots'));
    await last().answer(200, slots(true, true));
    await last().answer(404);
    await last().answer(404);
    // Now and then the first again.
    expect(await tick(61_000, target)).toEqual(at(1, '/metrics'));
    await last().answer(200, 'llamacpp:requests_processing 1\n');
    expect(load()).toMatchObject({ reading: { running: 1, capacity: null }, atMs: 61_000, reason: null });
  });

  it('begin with the first again where the one that was kept to is answered no more', async () => {
    const { tick, last, load, requests } = controlled();
    await tick(0, target);
    await last().answer(404);
    await last().answer(200, slots(true));
    for (let i = 0; i < 2; i += 1) await last().answer(404);
    await tick(1000, target);
    await last().answer(501);
    expect(requests.filter(({ url }) => url.endsWith('/slots'))).toHaveLength(2);
    expect(load()).toMatchObject({ reading: { running: 1 }, atMs: 0, reason: 'metricsOff' });
    expect(await tick(10_999, target)).toEqual(at(1, '/props'));
    await last().answer(404);
    await last().answer(404);
    expect(await tick(11_000, target)).toEqual(at(1, '/metrics'));
  });

  it('are given up at the first that is asked for a key, loads, refuses or is silent', async () => {
    for (const [status, reason] of [
      [401, 'keyNeeded'],
      [503, 'loading'],
    ] as const) {
      const { tick, last, load } = controlled();
      await tick(0, target);
      await last().answer(status);
      expect([last().url, load()?.reason]).toEqual(['http://h:1/props', reason]);
    }
    const { tick, last, load, requests } = controlled();
    await tick(0, target);
    await last().fail();
    expect([requests.length, load()?.reason]).toEqual([1, 'refused']);
  });

  it('of which one that is no page of metrics cannot be read: unreadable, whatever else is off', async () => {
    const { tick, last, load } = controlled();
    await tick(0, target);
    await last().answer(404);
    await last().answer(200, 'no');
    expect(load()?.reason).toBe('unreadable');
    await last().answer(404);
    await last().answer(404);
    // One that answers and says nothing of its load.
    await tick(10_000, target);
    await last().answer(200, 'no\n');
    await last().answer(404);
    expect(load()?.reason).toBe('metricsOff');
  });

  it('are kept to for a minute from when the first was answered, however often it is', async () => {
    const { tick, last } = controlled();
    const sglang = of(server('sglang'));
    const loads = '{"loads":[{"num_running_reqs":1}]}';
    for (let ms = 0; ms < 180_000; ms += 5000) {
      expect(await tick(ms, sglang)).toEqual(at(1, '/v1/loads?include=core'));
      await last().answer(200, loads);
      while (!last().url.includes('loads')) {
        const { url } = last();
        await last().answer(404);
        if (last().url === url) break;
      }
    }
  });

  it('are kept to for a minute from the last change of the way, and no longer', async () => {
    const { tick, last, load } = controlled();
    const sglang = of(server('sglang'));
    const [loads, older, page] = at(1, '/v1/loads?include=core', '/get_load', '/metrics');
    const answerRest = async () => {
      for (let i = 0; i < 2; i += 1) await last().answer(404);
    };
    expect(await tick(0, sglang)).toEqual([loads]);
    await last().answer(404);
    expect(last().url).toBe(older);
    await last().answer(200, '{"num_reqs":3,"num_waiting_reqs":1}');
    expect(load()?.reading).toMatchObject({ running: 2, waiting: 1 });
    await answerRest();
    expect(load()?.reason).toBe('metricsOff');
    expect(await tick(10_000, sglang)).toEqual([older]);
    await last().answer(404);
    expect(last().url).toBe(page);
    await last().answer(200, 'sglang:num_running_reqs 5\n');
    await answerRest();
    expect(await tick(69_999, sglang)).toEqual([page]);
    await last().answer(200, 'sglang:num_running_reqs 6\n');
    await answerRest();
    expect(await tick(71_000, sglang)).toEqual([loads]);
  });

  it('begin with the first when the minute is just over', async () => {
    const { tick, last } = controlled();
    await tick(0, target);
    await last().answer(404);
    await last().answer(200, slots(true));
    await last().answer(404);
    await last().answer(404);
    expect(await tick(60_000, target)).toEqual(at(1, '/metrics'));
  });

  it.each([
    ['is too long', 200, null],
    ['is none of success', 404, 'tgi_batch_current_size 3\n'],
  ])('a page that %s says nothing', async (_what, status, body) => {
    const { tick, last, load } = controlled();
    await tick(0, of(server('text-generation')));
    await last().answer(status, body);
    expect(load()).toMatchObject({ reading: null, reason: 'metricsOff' });
  });
});
