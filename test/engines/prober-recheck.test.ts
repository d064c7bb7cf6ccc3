import { describe, expect, it } from 'vitest';
import type { PathQuestion } from '../../lib/engines/ask.js';
import type { ProbeTarget } from '../../lib/engines/prober.js';
import { controlled, ofServers, vllm } from './prober-support.js';

describe('a server for which nothing but its answer speaks', () => {
  it.each([
    ['lists models', { data: [{ id: 'a/b' }] }, true],
    ['lists none', { data: [] }, false],
    ['knows no such list', { detail: 'Not Found' }, false],
  ])('and that %s: asked each five seconds until it is the engine’s', async (_what, json, own) => {
    const { asked, clock, prober, answerLast } = controlled();
    const all = [ofServers(vllm(8000, { guessed: true, held: false }))];
    prober.update(all);
    await answerLast({ status: 200, json: { version: '1.0' } });
    expect(asked.at(-1)?.url).toBe('http://127.0.0.1:8000/v1/models');
    await answerLast({ status: 200, json });
    if (own) await answerLast(200);
    expect(prober.findingsOf('llm/8080').get('8000')?.own).toBe(own);
    expect(prober.readyOf('llm/8080')).toBe(own);
    const before = asked.length;
    clock.ms = 4999;
    prober.update(all);
    expect(asked).toHaveLength(before);
    clock.ms = 5000;
    prober.update(all);
    expect(asked).toHaveLength(before + (own ? 0 : 1));
  });
});

describe('servers that were ready', () => {
  /** Two that are ready, and the questions about many at once, each of which the test answers. */
  async function readyPair() {
    const batches: { questions: readonly PathQuestion[]; resolve: (found: number[]) => void; reject: () => void }[] =
      [];
    const all = controlled(
      () => 0.5,
      (questions) =>
        new Promise((resolve, reject) =>
          batches.push({ questions, resolve, reject: () => reject(new Error('closed')) }),
        ),
    );
    const workers = [8000, 8001].map((port) => ({ ...ofServers(vllm(port)), id: `llm/${port}` }));
    const tick = async (ms: number, ...these: ProbeTarget[]) => {
      all.clock.ms = ms;
      all.prober.update(these.length > 0 ? these : workers);
      await all.settle();
    };
    await tick(0);
    for (const answer of [{ status: 200, json: { version: '0.11.0' } }, 200] as const)
      for (const each of all.asked.slice(-2)) {
        each.answer(answer);
        await all.settle();
      }
    await tick(30_000);
    const ready = () => workers.map(({ id }) => all.prober.readyOf(id));
    expect(ready()).toEqual([true, true]);
    return { ...all, batches, workers, tick, ready, before: all.asked.length };
  }

  it('are asked all at once whether they still are, and nothing else', async () => {
    const { asked, batches, tick, settle, before, ready } = await readyPair();
    expect(batches.map(({ questions }) => questions)).toEqual([
      [8000, 8001].map((port) => ({ address: { host: '127.0.0.1', port }, path: '/health' })),
    ]);
    await tick(31_000);
    expect(batches).toHaveLength(1);
    batches[0]?.resolve([200, 204]);
    await settle();
    await tick(59_000);
    expect([asked.length, batches.length, ...ready()]).toEqual([before, 1, true, true]);
    await tick(60_000);
    expect(batches).toHaveLength(2);
  });

  it.each([0, 404, 503])('of which one answers %i: it alone is asked anew', async (status) => {
    const { asked, batches, settle, before, ready, answerLast } = await readyPair();
    batches[0]?.resolve([200, status]);
    await settle();
    expect(asked.slice(before).map(({ url }) => url)).toEqual(['http://127.0.0.1:8001/health']);
    expect(ready()).toEqual([true, true]);
    await answerLast(503);
    expect(ready()).toEqual([true, false]);
  });

  it('are asked one by one where asking all at once fails', async () => {
    const { asked, batches, settle, before } = await readyPair();
    batches[0]?.reject();
    await settle();
    expect(asked.length).toBe(before + 2);
  });

  it('of which one has gone meanwhile: nobody asks it any more', async () => {
    const { asked, batches, workers, tick, settle, before } = await readyPair();
    await tick(30_100, workers[0] as ProbeTarget);
    batches[0]?.resolve([200, 0]);
    await settle();
    expect(asked.length).toBe(before);
  });

  it.each([
    ['with TLS', vllm(8000), 'tls'],
    ['in another namespace', vllm(8000, { connect: () => Promise.reject(new Error('no')) }), 'http'],
  ] as const)('%s are asked by themselves', async (_title, server, scheme) => {
    const batches: unknown[] = [];
    const { asked, clock, prober, answerLast } = controlled(
      () => 0.5,
      (questions) => {
        batches.push(questions);
        return Promise.resolve([]);
      },
    );
    const all = [ofServers(server)];
    prober.update(all);
    if (scheme === 'tls') {
      await answerLast(Object.assign(new Error('reset'), { code: 'ECONNRESET' }));
      await answerLast(200);
    }
    await answerLast({ status: 200, json: { version: '0.11.0' } });
    await answerLast(200);
    expect(prober.readyOf('llm/8080')).toBe(true);
    const before = asked.length;
    clock.ms = 30_000;
    prober.update(all);
    expect([asked.length, batches.length]).toEqual([before + 1, 0]);
  });
});
