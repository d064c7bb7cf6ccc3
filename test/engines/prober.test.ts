import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Prober, type ProbeTarget } from '../../lib/engines/prober.js';
import { waitFor } from '../harness/wait.js';
import { type Asked, closing, controlled, ofServers, target, vllm } from './prober-support.js';

describe('the operator’s URL', () => {
  it('is asked each second until it is ready, then each ten', async () => {
    const { asked, clock, prober, settle, answerLast } = controlled();
    const tick = async (ms: number) => {
      clock.ms = ms;
      prober.update([target()]);
      await settle();
    };
    await tick(0);
    expect(asked).toHaveLength(1);
    expect(prober.readyOf('llm/8080')).toBe(false);
    await answerLast(503);
    expect(prober.reasonOf('llm/8080')).toBe('status 503');
    await tick(999);
    expect(asked).toHaveLength(1);
    await tick(1000);
    expect(asked).toHaveLength(2);
    await answerLast(200);
    expect(prober.readyOf('llm/8080')).toBe(true);
    // In groups of two seconds.
    await tick(11_999);
    expect(asked).toHaveLength(2);
    await tick(12_000);
    expect(asked).toHaveLength(3);
    await answerLast(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));
    expect(prober.readyOf('llm/8080')).toBe(false);
    await tick(13_000);
    expect(asked).toHaveLength(4);
  });

  it('a check that does not end is not joined by another, and no tick waits for it', async () => {
    const { asked, clock, prober } = controlled();
    for (let ms = 0; ms < 5000; ms += 1000) {
      clock.ms = ms;
      prober.update([target()]);
    }
    expect(asked).toHaveLength(1);
    expect(prober.readyOf('llm/8080')).toBe(false);
  });

  it('another process under the name starts anew: the old answer is not its own', async () => {
    const { asked, clock, prober, answerLast } = controlled();
    prober.update([target()]);
    await answerLast(200);
    expect(prober.readyOf('llm/8080')).toBe(true);
    clock.ms = 100;
    prober.update([target({ identity: '2:2' })]);
    expect(prober.readyOf('llm/8080')).toBe(false);
    expect(asked).toHaveLength(2);
  });

  it('a late answer of the process before does not make its successor ready', async () => {
    const { asked, prober, settle, answerLast } = controlled();
    prober.update([target()]);
    prober.update([target({ identity: '2:2' })]);
    asked[0]?.answer(200);
    await settle();
    expect(prober.readyOf('llm/8080')).toBe(false);
    await answerLast(200);
    expect(prober.readyOf('llm/8080')).toBe(true);
  });

  it('a worker that is gone is forgotten and its check aborted', () => {
    const { asked, prober } = controlled();
    prober.update([target()]);
    prober.update([]);
    expect(prober.readyOf('llm/8080')).toBeNull();
    expect(asked[0]?.signal.aborted).toBe(true);
  });

  it('closed twice, it asks no more', async () => {
    const { asked, prober } = controlled();
    await prober.close();
    await prober.close();
    prober.update([target()]);
    expect(asked).toHaveLength(0);
  });
});

describe('a worker’s own servers', () => {
  it('that listen nowhere are not ready, and nobody is asked', () => {
    const { asked, prober } = controlled();
    prober.update([target({ readyUrl: null, servers: 'none' })]);
    expect(prober.readyOf('llm/8080')).toBe(false);
    expect(prober.reasonOf('llm/8080')).toBe('listens nowhere');
    expect(asked).toHaveLength(0);
  });

  it('are null where there is nothing to ask', () => {
    const { asked, prober } = controlled();
    prober.update([target({ readyUrl: null })]);
    expect(prober.readyOf('llm/8080')).toBeNull();
    expect(asked).toHaveLength(0);
  });

  it('are asked who they are until one says so, and then only whether they are ready', async () => {
    const { asked, clock, prober, settle, answerLast } = controlled();
    const servers = [vllm(8000)];
    prober.update([target({ readyUrl: null, servers })]);
    await answerLast({ status: 200, json: { version: '0.9.1' } });
    await answerLast(503);
    expect(prober.readyOf('llm/8080')).toBe(false);
    expect(prober.findingsOf('llm/8080').get('8000')).toMatchObject({ own: true, scheme: 'http' });
    clock.ms = 1000;
    prober.update([target({ readyUrl: null, servers })]);
    await answerLast(200);
    expect(asked.map(({ url }) => url.slice(21))).toEqual(['/version', '/health', '/health']);
    expect(prober.readyOf('llm/8080')).toBe(true);
    await settle();
  });

  it('of which one answers as the engine: it alone decides', async () => {
    const { asked, prober, settle } = controlled();
    prober.update([ofServers(vllm(8000), vllm(9000))]);
    asked[0]?.answer({ status: 200, json: { detail: 'hello' } });
    asked[1]?.answer({ status: 200, json: { version: '0.9.1' } });
    await settle();
    asked[2]?.answer(200);
    await settle();
    expect(prober.readyOf('llm/8080')).toBe(true);
    expect([...prober.findingsOf('llm/8080').values()].map(({ own }) => own)).toEqual([false, true]);
  });

  it('keep what is known of a socket where another one comes or goes, and nothing of one that was replaced', async () => {
    const { asked, prober, answerLast } = controlled();
    prober.update([ofServers(vllm(8000))]);
    await answerLast({ status: 200, json: { version: '0.9.1' } });
    await answerLast(200);
    prober.update([ofServers(vllm(8000), vllm(9000))]);
    expect(asked).toHaveLength(3);
    expect(prober.readyOf('llm/8080')).toBe(true);
    prober.update([ofServers(vllm(8000, { key: 'another' }))]);
    expect(prober.readyOf('llm/8080')).toBe(false);
    expect(asked[2]?.signal.aborted).toBe(true);
    expect(asked[3]?.url).toBe('http://127.0.0.1:8000/version');
  });

  it('that no engine is known of are tried for TLS, and nothing is asked of them', async () => {
    const { asked, prober, answerLast } = controlled();
    prober.update([ofServers(vllm(8000, { engine: null }))]);
    expect(asked[0]?.url).toBe('tls 127.0.0.1:8000');
    await answerLast(200);
    expect(prober.findingsOf('llm/8080').get('8000')).toMatchObject({ own: null, scheme: 'https' });
    expect(prober.readyOf('llm/8080')).toBeNull();
  });
});

async function serve(handler: Parameters<typeof createServer>[1]): Promise<{ server: Server; url: URL; port: number }> {
  const server = createServer(handler as never);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing({
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  });
  const { port } = server.address() as AddressInfo;
  return { server, url: new URL(`http://localhost:${port}/ready?x=1`), port };
}

describe('where nobody can say whether it is ready, why', () => {
  it('not asked yet, then a key, then nothing: it is ready', async () => {
    const { clock, prober, settle, answerLast } = controlled();
    const servers = [vllm(8000, { connect: () => Promise.reject(new Error('not here')) })];
    const worker = target({ readyUrl: null, servers });
    expect(prober.unclearOf('llm/8080')).toBeNull();
    prober.update([worker]);
    expect([prober.readyOf('llm/8080'), prober.unclearOf('llm/8080')]).toEqual([null, 'noAnswerYet']);
    await answerLast({ status: 200, json: { version: '0.11.0' } });
    await answerLast(401);
    expect([prober.readyOf('llm/8080'), prober.unclearOf('llm/8080')]).toEqual([null, 'keyNeeded']);
    clock.ms = 60_000;
    prober.update([worker]);
    await settle();
    await answerLast(200);
    expect([prober.readyOf('llm/8080'), prober.unclearOf('llm/8080')]).toEqual([true, null]);
  });

  it('a router that starts a llama-server: its own server is none of a known engine', async () => {
    const { prober, settle, answerLast } = controlled();
    prober.update([ofServers(vllm(8000, { engine: null }))]);
    await settle();
    await answerLast(404);
    expect([prober.readyOf('llm/8080'), prober.unclearOf('llm/8080')]).toEqual([null, 'serverUnknown']);
  });

  it('no null without a reason, whatever the answers', async () => {
    const answer = fc.oneof(
      fc.constantFrom(200, 401, 403, 404, 500, 503),
      fc.constantFrom('EPERM', 'ESTALE', 'ECONNREFUSED', 'ERR_SSL_TLSV1_ALERT', 'NOT_HTTP'),
    );
    const candidate = fc.record({
      engine: fc.constantFrom('vllm' as const, 'ollama' as const, null),
      held: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(candidate, { maxLength: 3 }),
        fc.array(answer, { maxLength: 12 }),
        async (candidates, answers) => {
          const { asked, clock, prober, settle } = controlled();
          const worker = ofServers(...candidates.map((each, i) => vllm(8000 + i, each)));
          for (const each of answers) {
            clock.ms += 40_000;
            prober.update([worker]);
            await settle();
            const what = typeof each === 'number' ? each : Object.assign(new Error(each), { code: each });
            for (const question of asked) question.answer(what);
            await settle();
            if (candidates.length > 0)
              expect(prober.unclearOf('llm/8080') !== null).toBe(prober.readyOf('llm/8080') === null);
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('a server that is settled', () => {
  const known = { processes: [1], loadReason: null } as const;
  async function settled() {
    const all = controlled();
    const servers = [vllm(8000)];
    const tick = async (ms: number, over: Partial<ProbeTarget> = {}) => {
      all.clock.ms = ms;
      all.prober.update([target({ readyUrl: null, servers, ...known, ...over })]);
      await all.settle();
    };
    await tick(0);
    await all.answerLast({ status: 200, json: { version: '0.11.0' } });
    await all.answerLast(200);
    expect(all.prober.readyOf('llm/8080')).toBe(true);
    return { ...all, tick, before: all.asked.length };
  }

  it('is asked again after 30 s where nothing else about it changes', async () => {
    const { asked, tick, before } = await settled();
    for (let ms = 1000; ms < 30_000; ms += 1000) await tick(ms);
    expect(asked).toHaveLength(before);
    await tick(30_000);
    expect(asked.length).toBeGreaterThan(before);
  });

  it.each([
    ['a process came or went', { processes: [2] }],
    ['its engine does not report its load any more', { loadReason: 'silent' }],
  ] as const)('%s: it is asked at once, but not twice in 5 s', async (_what, change) => {
    const { asked, tick, before, answerLast } = await settled();
    await tick(3000, change);
    expect(asked).toHaveLength(before);
    await tick(5000, change);
    expect(asked).toHaveLength(before + 1);
    await answerLast(200);
    await tick(20_000, known);
    expect(asked).toHaveLength(before + 2);
    await answerLast(200);
    await tick(21_000, change);
    expect(asked).toHaveLength(before + 2);
  });

  it('many are asked in groups, and each about every 30 s', async () => {
    let drawn = 0;
    const { asked, clock, prober, settle } = controlled(() => (drawn++ % 40) / 40);
    const all = Array.from({ length: 40 }, (_unused, i) => ({ ...ofServers(vllm(8000 + i)), id: `llm/${i}` }));
    const times = new Map<string, number[]>();
    let answered = 0;
    for (let ms = 0; ms <= 300_000; ms += 1000) {
      clock.ms = ms;
      prober.update(all);
      for (; answered < asked.length; answered += 1) {
        const { url, answer } = asked[answered] as Asked;
        answer(url.endsWith('/version') ? { status: 200, json: { version: '0.11.0' } } : 200);
        if (url.endsWith('/health') && ms > 0) times.set(url, [...(times.get(url) ?? []), ms]);
        await settle();
      }
    }
    expect(times.size).toBe(40);
    expect(new Set([...times.values()].flat()).size).toBeLessThanOrEqual(300 / 6 + 1);
    for (const each of times.values())
      for (const [i, ms] of each.slice(1).entries()) {
        expect(ms - (each[i] as number)).toBeGreaterThanOrEqual(18_000);
        expect(ms - (each[i] as number)).toBeLessThanOrEqual(42_000);
      }
  });

  it('nothing names its model: it is asked each 10 s, since it may have loaded another', async () => {
    const { asked, tick, before } = await settled();
    await tick(0, { unnamed: true, processes: known.processes });
    await tick(30_000, { unnamed: true });
    expect(asked).toHaveLength(before + 1);
    asked.at(-1)?.answer(200);
    await tick(30_000, { unnamed: true });
    asked.at(-1)?.answer({ status: 200, json: { data: [{ id: 'm' }] } });
    await tick(39_999, { unnamed: true });
    const then = asked.length;
    await tick(40_000, { unnamed: true });
    expect(asked.length).toBe(then + 1);
  });
});

describe('real servers', () => {
  it('not ready, then ready, redirects not followed', async () => {
    let status = 503;
    const paths: string[] = [];
    const { url } = await serve((request, response) => {
      paths.push(request.url ?? '');
      response.writeHead(status, { location: '/elsewhere' }).end('x'.repeat(100_000));
    });
    const prober = new Prober({ intervalMs: 10, settledIntervalMs: 10, aloneIntervalMs: 10 });
    closing(prober);
    const ask = () => {
      prober.update([target({ readyUrl: url })]);
      return prober;
    };
    await waitFor(() => ask().reasonOf('llm/8080') === 'status 503');
    status = 302;
    await waitFor(() => ask().reasonOf('llm/8080') === 'status 302');
    status = 200;
    await waitFor(() => ask().readyOf('llm/8080') === true);
    expect(new Set(paths)).toEqual(new Set(['/ready?x=1']));
  });

  it.each([
    ['stands still: believed through two silences', false],
    ['works: it is busy, however long it is silent', true],
  ])('one that was ready, accepts and never answers, and %s', async (_title, working) => {
    let silent = true;
    let questions = 0;
    const { url } = await serve((_request, response) => {
      questions += 1;
      if (!silent) response.end();
    });
    const prober = new Prober({ intervalMs: 5, settledIntervalMs: 5, aloneIntervalMs: 5, timeoutMs: 60 });
    closing(prober);
    const ask = () => {
      prober.update([target({ readyUrl: url, working })]);
      return prober;
    };
    await waitFor(() => ask().reasonOf('llm/8080') === 'timeout');
    silent = false;
    await waitFor(() => ask().readyOf('llm/8080') === true);
    silent = true;
    const before = questions;
    await waitFor(() => ask().readyOf('llm/8080') === false || questions > before + 6);
    expect(prober.readyOf('llm/8080')).toBe(working);
  });
});
