import { describe, expect, it, vi } from 'vitest';
import type { KeptConnection } from '../../../lib/engines/connection.js';
import type { LoadTarget } from '../../../lib/engines/load/prober.js';
import { at, controlled, info, of, server, tgi } from './prober-support.js';

describe('the key of a worker', () => {
  it('goes only to an engine that asks for it, and then at once with each question', async () => {
    const asked: string[] = [];
    const { tick, last, load, requests } = controlled((id) => {
      asked.push(id);
      return 'secret';
    });
    const target = of(server('text-generation'));
    await tick(0, target);
    expect(last().options.key).toBeNull();
    await last().answer(403);
    expect([requests.length, last().url, last().options.key]).toEqual([2, 'http://h:1/metrics', 'secret']);
    await last().answer(200, tgi(1));
    expect(load()).toMatchObject({ reading: { running: 1 }, reason: null });
    expect([last().url, last().options.key]).toEqual(['http://h:1/info', 'secret']);
    // One that does not take the key is not asked twice.
    await last().answer(401);
    expect([requests.length, load()?.reason]).toEqual([3, 'keyNeeded']);
    expect(new Set(asked)).toEqual(new Set(['llm/0']));
  });

  it('that nobody has named is not sent', async () => {
    const { tick, last, requests } = controlled();
    await tick(0, of(server('text-generation')));
    await last().answer(401);
    expect(requests.map(({ url, options }) => [url, options.key])).toEqual([
      ['http://h:1/metrics', null],
      ['http://h:1/info', null],
    ]);
  });
});

describe('connections', () => {
  it('are kept to a server that likes it, and none to a runner or to one with a thread for each', async () => {
    const { tick, last, requests } = controlled();
    await tick(0, of(server('text-generation'), [server('llama-server', 2)]));
    await last().answer(200, tgi(1));
    await last().answer(200, info);
    const [first, second, third] = requests.map(({ options }) => options.kept);
    expect(first).toBeDefined();
    expect(second).toBe(first);
    expect(third).toBeUndefined();
    const other = controlled();
    await other.tick(0, of(server('llama-server')));
    expect(other.last().options.kept).toBeUndefined();
    expect(other.last().options.maxBodyBytes).toBe(2 * 1024 * 1024);
  });

  it('go the way of their server', async () => {
    const { tick, last } = controlled();
    const connect = () => Promise.reject(new Error('no'));
    await tick(0, of(server('vllm', 1, { scheme: 'https', connect })));
    expect([last().url, last().options.connect]).toEqual(['https://h:1/metrics', connect]);
  });

  it('and requests end with the worker that is gone or was replaced, and its late answer counts for nobody', async () => {
    for (const next of [[], [of(server('text-generation'), [], '2/2')]]) {
      const { tick, last, load, prober } = controlled();
      const called: string[] = [];
      prober.onAnswer = (id) => called.push(id);
      await tick(0, of(server('text-generation')));
      const before = last();
      const kept = before.options.kept as KeptConnection;
      const closed = vi.spyOn(kept, 'close');
      await tick(100, ...next);
      expect([before.cancellation.isCancelled, closed.mock.calls.length]).toEqual([true, 1]);
      await before.answer(200, tgi(7));
      expect(load()?.reading ?? null).toBeNull();
      expect(called).toEqual([]);
    }
    const { tick, last, load, requests } = controlled();
    await tick(0, of(server('text-generation')));
    // An answer that came just before it was gone.
    const coming = last().answer(200, tgi(7));
    await Promise.all([coming, tick(0)]);
    expect([load(), requests.length]).toEqual([null, 1]);
  });

  it('end when the prober is closed', async () => {
    const { tick, last, prober } = controlled();
    await tick(0, of(server('text-generation')));
    prober.close();
    expect(last().cancellation.isCancelled).toBe(true);
  });
});

describe('what makes a worker another one', () => {
  const connect = () => Promise.reject(new Error('no'));
  const main = server('text-generation');
  const runner = server('llama-server', 5);
  it.each<[string, LoadTarget, boolean]>([
    ['nothing', of(server('text-generation'), [server('llama-server', 5)]), false],
    ['another process', of(main, [runner], '2/2'), true],
    ['another engine', of(server('vllm'), [runner]), true],
    ['another scheme', of(server('text-generation', 1, { scheme: 'https' }), [runner]), true],
    ['another host', of(server('text-generation', 1, { address: { host: 'i', port: 1 } }), [runner]), true],
    ['another port', of(server('text-generation', 2), [runner]), true],
    ['another way', of(server('text-generation', 1, { connect }), [runner]), true],
    ['a runner more', of(main, [runner, server('llama-server', 6)]), true],
    ['no runner', of(main), true],
    ['another runner', of(main, [server('llama-server', 6)]), true],
  ])('%s', async (_what, next, isOther) => {
    const { tick, last } = controlled();
    await tick(0, of(main, [runner]));
    const { cancellation } = last();
    expect(await tick(0, next)).toHaveLength(isOther ? 1 : 0);
    expect(cancellation.isCancelled).toBe(isOther);
  });

  it('what was known of it stays where only its address or its runners are others, until they answer', async () => {
    const { tick, last, load } = controlled();
    await tick(0, of(main));
    await last().answer(200, tgi(7));
    await last().fail();
    const before = load();
    expect(before?.reading?.running).toBe(7);
    await tick(10, of(server('text-generation', 2)));
    expect(load()).toBe(before);
    await last().fail();
    expect(load()).toEqual({ ...before, reason: 'refused' });
    await tick(20, of(server('text-generation', 2), [], '2/2'));
    expect(load()).toMatchObject({ reading: null, reason: 'notAsked' });
    await last().answer(200, tgi(1));
    await tick(30, of(server('vllm', 2), [], '2/2'));
    expect(load()).toMatchObject({ engine: 'vllm', reading: null, reason: 'notAsked' });
  });
});

describe('runners', () => {
  const main = server('ollama');
  const runners = [server('llama-server', 5), server('llama-server', 6)];

  it('are asked only what matters most, and their sum is as old as the oldest answer', async () => {
    const { tick, last, load, clock, requests } = controlled();
    await tick(0, of(main, runners));
    await last().answer(200, '{"models":[{"name":"m"}]}');
    await last().answer(200, '{"version":"0.13.1"}');
    expect(load()).toMatchObject({
      reading: { models: ['m'], running: null, version: '0.13.1' },
      atMs: 0,
      reason: null,
    });
    clock.ms = 200;
    await last().answer(200, 'llamacpp:requests_processing 1\nllamacpp:tokens_predicted_total 5\n');
    // Its sum is not known without the other.
    expect(load()).toMatchObject({ reading: { running: null }, atMs: 0 });
    clock.ms = 300;
    await last().answer(200, 'llamacpp:requests_processing 2\n');
    expect(requests.map(({ url }) => url)).toEqual([
      ...at(1, '/api/ps', '/api/version'),
      ...at(5, '/metrics'),
      ...at(6, '/metrics'),
    ]);
    expect(load()).toMatchObject({
      reading: { models: ['m'], running: 3, version: '0.13.1' },
      atMs: 0,
      countedMs: null,
    });
    clock.ms = 1000;
    await tick(1000, of(main, runners));
    await last().answer(200, '{"models":[]}');
    await last().fail();
    expect(load()).toMatchObject({ reading: { running: 0 }, atMs: 200, reason: null });
  });

  it('of which one has not answered yet, and why, is why the load is not known', async () => {
    const { tick, last, load } = controlled();
    await tick(0, of(main, runners));
    await last().answer(200, '{"models":[{"name":"m"}]}');
    await last().answer(404);
    await last().answer(200, 'llamacpp:requests_processing 1\n');
    expect(load()?.reason).toBeNull();
    await last().answer(503);
    expect(load()).toMatchObject({ reading: { running: null }, reason: 'loading' });
  });
});

it('a runner whose engine says nothing of its load is not asked', async () => {
  const { tick, last, load, requests } = controlled();
  await tick(0, of(server('ollama'), [server('mlx-lm', 5), server('llama-server', 6)]));
  await last().answer(200, '{"models":[{"name":"m"}]}');
  await last().answer(404);
  await last().answer(200, 'llamacpp:requests_processing 2\n');
  expect(requests.map(({ url }) => url).slice(2)).toEqual(at(6, '/metrics'));
  expect(load()?.reading?.running).toBe(2);
});

describe('the counters', () => {
  it('are dated by the answer that has them', async () => {
    const { tick, last, load, clock } = controlled();
    await tick(0, of(server('sglang')));
    await last().answer(200, '{"loads":[{"num_running_reqs":1}]}');
    expect(load()).toMatchObject({ atMs: 0, countedMs: null });
    clock.ms = 100;
    await last().answer(200, 'sglang:num_running_reqs 1\nsglang:prompt_tokens_total 9\n');
    expect(load()).toMatchObject({ atMs: 0, countedMs: 100, reading: { counters: { promptTokens: 9 } } });
    await last().answer(404);
    await tick(1000, of(server('sglang')));
    await last().answer(200, '{"loads":[{"num_running_reqs":2}]}');
    expect(load()).toMatchObject({ atMs: 1000, countedMs: 100, reading: { running: 2 } });
  });

  it('are of the first answer that has some', async () => {
    const { tick, last, load, clock } = controlled();
    await tick(0, of(server('sglang')));
    await last().answer(404);
    await last().answer(404);
    const page = (tokens: number) => `sglang:num_running_reqs 1\nsglang:prompt_tokens_total ${tokens}\n`;
    await last().answer(200, page(9));
    clock.ms = 100;
    await last().answer(200, page(10));
    expect(load()).toMatchObject({ atMs: 0, countedMs: 0, reading: { counters: { promptTokens: 9 } } });
  });
});
