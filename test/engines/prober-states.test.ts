import { afterEach, describe, expect, it, vi } from 'vitest';
import type { PathQuestion } from '../../lib/engines/ask.js';
import type { ProbeTarget } from '../../lib/engines/prober.js';
import { at, failed, id, models, ofServers, prepared, target, version, vllm } from './prober-support.js';

const connect = () => Promise.reject(new Error('not here'));

afterEach(() => {
  vi.useRealTimers();
});

describe('what is said of a worker', () => {
  it('is nothing where nothing is asked of it', async () => {
    const { tick, state, prober } = prepared();
    expect(state()).toEqual([null, null, null]);
    expect([...prober.findingsOf(id)]).toEqual([]);
    expect(await tick(0, target({ readyUrl: null }))).toEqual([]);
    expect(state()).toEqual([null, null, null]);
    expect([...prober.findingsOf(id)]).toEqual([]);
  });

  it('is that nobody has answered yet where it has no server to be asked', async () => {
    const { tick, state } = prepared();
    await tick(0, ofServers());
    expect(state()).toEqual([null, 'noAnswerYet', null]);
  });

  it('by its own servers: it is ready where one of them is, and not where one says so', async () => {
    const { tick, state, asked, settle, answerLast } = prepared();
    await tick(0, ofServers(vllm(8000), vllm(9000)));
    expect(state()).toEqual([false, null, 'not asked yet']);
    for (const each of asked.slice(0, 2)) each.answer(version);
    await settle();
    asked[2]?.answer(401);
    await settle();
    expect(state()).toEqual([null, 'keyNeeded', 'status 401']);
    await answerLast(503);
    expect(state()).toEqual([false, null, 'status 401']);
    expect(await tick(1000, ofServers(vllm(8000), vllm(9000)))).toEqual(at(9000, '/health'));
    await answerLast(200);
    expect(state()).toEqual([true, null, null]);
  });

  it('is what the operator’s URL says, whatever its servers do', async () => {
    const { tick, state, asked, settle } = prepared();
    const worker = target({ servers: [vllm(8000)] });
    await tick(0, worker);
    expect(asked.map(({ url }) => url)).toEqual(['http://127.0.0.1:1/health', 'http://127.0.0.1:8000/version']);
    asked[1]?.answer(version);
    await settle();
    asked[2]?.answer(200);
    await settle();
    expect(state()).toEqual([false, null, 'not asked yet']);
    asked[0]?.answer(200);
    await settle();
    expect(state()).toEqual([true, null, null]);
  });

  it('is what the operator’s URL says also where it listens nowhere that is known', async () => {
    const { tick, state, answerLast } = prepared();
    await tick(0, target({ servers: 'none' }));
    expect(state()).toEqual([false, null, 'not asked yet']);
    await answerLast(503);
    expect(state()).toEqual([false, null, 'status 503']);
    await tick(1000, target({ servers: 'none' }));
    await answerLast(200);
    expect(state()).toEqual([true, null, null]);
    await tick(2000, target({ readyUrl: null, servers: 'none' }));
    expect(state()).toEqual([false, null, 'listens nowhere']);
  });

  it('before the first answer is that it is not ready, or that nobody can say where it may be out of reach', async () => {
    for (const [worker, ready] of [
      [target(), false],
      [target({ urlWay: { connect } }), null],
      [target({ urlWay: { localhost: '127.0.0.2' } }), false],
      [ofServers(vllm(8000)), false],
      [ofServers(vllm(8000, { engine: null })), null],
      [ofServers(vllm(8000, { connect })), null],
    ] as const) {
      const { tick, state } = prepared();
      await tick(0, worker);
      expect(state()).toEqual([ready, ready === null ? 'noAnswerYet' : null, 'not asked yet']);
    }
  });
});

describe('workers that come and go', () => {
  const [one, two] = ['a', 'b'].map((name) => target({ id: name })) as [ProbeTarget, ProbeTarget];

  it('each is forgotten by itself, also where another is named twice', async () => {
    for (const next of [[one], [one, one]]) {
      const { tick, asked, prober, settle } = prepared();
      await tick(0, one, two);
      for (const { answer } of asked) answer(200);
      await settle();
      await tick(100, ...next);
      expect([prober.readyOf('a'), prober.readyOf('b')]).toEqual([true, null]);
      await tick(200, one, two);
      expect([prober.readyOf('a'), prober.readyOf('b')]).toEqual([true, false]);
    }
  });

  it('end what is asked of them, and all does when the prober is closed', async () => {
    const { tick, asked, prober } = prepared();
    await tick(0, one, two);
    await tick(1, one);
    expect(asked.map(({ signal }) => signal.aborted)).toEqual([false, true]);
    await prober.close();
    expect(asked.map(({ signal }) => signal.aborted)).toEqual([true, true]);
    expect(prober.readyOf('a')).toBeNull();
  });
});

describe('what changes of a worker', () => {
  it('another URL is asked anew, and its servers stay what they are', async () => {
    const servers = [vllm(8000)];
    const { tick, asked, settle, state, prober } = prepared();
    await tick(0, target({ servers }));
    asked[0]?.answer(200);
    asked[1]?.answer(version);
    await settle();
    asked[2]?.answer(200);
    await settle();
    const found = prober.findingsOf(id).get('8000');
    expect([state()[0], found?.own]).toEqual([true, true]);
    const other = { servers, readyUrl: new URL('http://127.0.0.1:2/health') };
    expect(await tick(100, target(other))).toEqual(at(2, '/health'));
    expect(state()[0]).toBe(false);
    expect(prober.findingsOf(id).get('8000')).toBe(found);
    // The same address elsewhere.
    expect(await tick(200, target({ ...other, urlWay: { localhost: '127.0.0.2' } }))).toEqual(at(2, '/health'));
    expect(asked.at(-2)?.signal.aborted).toBe(true);
    expect(await tick(300, target({ ...other, urlWay: { localhost: '127.0.0.2' } }))).toEqual([]);
  });

  it('a socket that comes does not end what is asked of another', async () => {
    const { tick, asked, prober } = prepared();
    await tick(0, ofServers(vllm(8000)));
    expect(await tick(1, ofServers(vllm(8000), vllm(9000)))).toEqual(at(9000, '/version'));
    expect(asked.map(({ signal }) => signal.aborted)).toEqual([false, false]);
    expect([...prober.findingsOf(id).keys()]).toEqual(['8000', '9000']);
    await tick(2, ofServers(vllm(9000)));
    expect(asked.map(({ signal }) => signal.aborted)).toEqual([true, false]);
    expect([...prober.findingsOf(id).keys()]).toEqual(['9000']);
  });

  it('its findings are the same map as long as it answers the same at the same place', async () => {
    const worker = { ...ofServers(vllm(8000)), unnamed: true };
    const { tick, answerLast, prober } = prepared();
    const findings = () => prober.findingsOf(id);
    await tick(0, worker);
    const first = findings();
    await answerLast(version);
    await answerLast(503);
    await answerLast(models('a', 'b'));
    const known = findings();
    expect(known).not.toBe(first);
    expect(known.get('8000')).toMatchObject({ own: true, ready: false, models: ['a', 'b'], host: '127.0.0.1' });
    let ms = 0;
    const again = async (health: number, ...names: string[]) => {
      const before = findings();
      ms += 60_000;
      await tick(ms, worker);
      expect(findings()).toBe(before);
      await answerLast(health);
      await answerLast(models(...names));
      return findings() === before;
    };
    expect(await again(200, 'a', 'b')).toBe(true);
    expect(await again(503, 'a', 'b')).toBe(true);
    expect(await again(503, 'ab')).toBe(false);
    expect(await again(401, 'ab')).toBe(false);
    expect(await again(403, 'ab')).toBe(true);
    expect(await again(200, 'ab')).toBe(false);
    expect(await again(200, 'ab', 'c')).toBe(false);
  });

  it('its findings are others where it answers with TLS, at another address or as something else', async () => {
    const worker = ofServers(vllm(8000, { addresses: ['127.0.0.1', '::1'].map((host) => ({ host, port: 8000 })) }));
    const { tick, answerLast, answerBoth, prober } = prepared();
    const findings = () => prober.findingsOf(id);
    await tick(0, worker);
    await answerBoth();
    const first = findings();
    await tick(60_000, worker);
    await answerLast(failed('ECONNREFUSED'));
    await answerLast(200);
    const moved = findings();
    expect([moved === first, moved.get('8000')?.host]).toEqual([false, '::1']);
    await tick(120_000, worker);
    await answerLast(failed('ECONNRESET'));
    await answerLast(200);
    await answerLast(200);
    const secure = findings();
    expect([secure === moved, secure.get('8000')?.scheme]).toEqual([false, 'https']);
    await tick(180_000, worker);
    await answerLast(404);
    expect([findings() === secure, findings().get('8000')?.own]).toEqual([false, null]);
  });
});

describe('when it is asked again', () => {
  const rows: readonly [string, (all: ReturnType<typeof prepared>) => Promise<unknown>, number][] = [
    ['it is ready', ({ answerBoth }) => answerBoth(200), 30_000],
    ['it loads', ({ answerBoth }) => answerBoth(503), 1000],
    ['a key is needed', ({ answerBoth }) => answerBoth(401), 30_000],
    ['another program answers', ({ answerLast }) => answerLast(404), 30_000],
    ['it may be its own', ({ answerLast }) => answerLast(503), 1000],
    ['it refuses', ({ answerLast }) => answerLast(failed('ECONNREFUSED')), 1000],
    ['it is out of reach', ({ answerLast }) => answerLast(failed('EPERM')), 1000],
    ['it is silent', ({ answerLast }) => answerLast(failed('ETIMEDOUT')), 1000],
  ];
  it.each(rows)('%s: in time, from when it was asked', async (_what, answer, afterMs) => {
    const all = prepared();
    const worker = ofServers(vllm(8000));
    await all.tick(0, worker);
    all.clock.ms = 400;
    await answer(all);
    expect(await all.tick(afterMs - 1, worker)).toEqual([]);
    expect(await all.tick(afterMs, worker)).toHaveLength(1);
  });

  it.each([
    [0, 0, 24_000],
    [0.499, 0, 30_000],
    [0.999, 0, 36_000],
    [0.5, 2000, 30_000],
    [0.5, 4000, 36_000],
  ])('drawn %s, asked at %i ms: in groups, at %i', async (draw, startMs, dueMs) => {
    const { tick, answerBoth } = prepared(() => draw);
    const worker = ofServers(vllm(8000));
    await tick(startMs, worker);
    await answerBoth();
    expect(await tick(dueMs - 1, worker)).toEqual([]);
    expect(await tick(dueMs, worker)).toEqual(at(8000, '/health'));
  });

  it('one that was ready is believed through two silences in a row, and no longer unless it works', async () => {
    for (const working of [false, true]) {
      const { tick, answerBoth, answerLast, state } = prepared();
      const worker = { ...ofServers(vllm(8000)), working };
      await tick(0, worker);
      await answerBoth();
      let ms = 30_000;
      const silent = async () => {
        expect(await tick(ms, worker)).toEqual(at(8000, '/health'));
        await answerLast(failed('ETIMEDOUT'));
        ms += 1000;
        return state();
      };
      const ready = [true, null, null];
      expect([await silent(), await silent()]).toEqual([ready, ready]);
      // An answer between them counts anew.
      expect(await tick(ms, worker)).toEqual(at(8000, '/health'));
      await answerLast(200);
      ms += 30_000;
      expect([await silent(), await silent()]).toEqual([ready, ready]);
      expect(await silent()).toEqual(working ? ready : [false, null, 'ETIMEDOUT']);
    }
  });

  it('one that was ready and refuses, or was never ready and is silent, is not', async () => {
    const { tick, answerBoth, answerLast, state } = prepared();
    const worker = ofServers(vllm(8000));
    await tick(0, worker);
    await answerBoth(503);
    await tick(1000, worker);
    await answerLast(failed('ETIMEDOUT'));
    expect(state()).toEqual([false, null, 'ETIMEDOUT']);
    await tick(2000, worker);
    await answerLast(200);
    await tick(60_000, worker);
    await answerLast(failed('ECONNREFUSED'));
    expect(state()).toEqual([false, null, 'ECONNREFUSED']);
  });

  it('a check ends when its time is over, and one that was answered does not', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { tick, asked, settle, state, answerLast } = prepared();
    await tick(0, target());
    await vi.advanceTimersByTimeAsync(59_999);
    await settle();
    expect(asked[0]?.signal.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await settle();
    expect([asked[0]?.signal.aborted, ...state()]).toEqual([true, false, null, 'timeout']);
    await tick(1000, target());
    await answerLast(200);
    await vi.advanceTimersByTimeAsync(60_000);
    await settle();
    expect([asked[1]?.signal.aborted, ...state()]).toEqual([false, true, null, null]);
  });
});

describe('the operator’s URL', () => {
  it.each<[string, Partial<ProbeTarget>, string]>([
    ['http://127.0.0.1:8080/ready?x=1', {}, 'http://127.0.0.1:8080/ready?x=1'],
    ['http://example.org/ready', {}, 'http://example.org:80/ready'],
    ['http://[::1]:90/', {}, 'http://::1:90/'],
    ['http://localhost:90/', {}, 'http://localhost:90/'],
    ['http://localhost:90/', { urlWay: { connect, localhost: '127.0.0.2' } }, 'http://127.0.0.2:90/'],
    ['http://127.0.0.1:90/', { urlWay: { connect, localhost: '127.0.0.2' } }, 'http://127.0.0.1:90/'],
  ])('%s is asked at its place (%j)', async (url, over, expected) => {
    const { tick, asked } = prepared();
    expect(await tick(0, target({ readyUrl: new URL(url), ...over }))).toEqual([expected]);
    expect(asked[0]?.ways?.connect).toBe(over.urlWay?.connect);
  });

  it.each([
    [200, true],
    [299, true],
    [199, false],
    [300, false],
    [401, false],
  ])('that answers %i: ready %s', async (status, ready) => {
    const { tick, answerLast, state } = prepared();
    await tick(0, target());
    await answerLast(status);
    expect(state()).toEqual([ready, null, ready ? null : `status ${status}`]);
  });

  it('that cannot be reached in its namespace says nothing, one that refuses there is not ready', async () => {
    for (const [error, urlWay, expected] of [
      [failed('EPERM'), { connect }, [null, 'serverUnreachable', 'EPERM']],
      [failed('ECONNREFUSED'), { connect }, [false, null, 'ECONNREFUSED']],
      [failed('EPERM'), null, [false, null, 'EPERM']],
      [new Error('odd'), null, [false, null, 'odd']],
    ] as const) {
      const { tick, answerLast, state } = prepared();
      await tick(0, target({ urlWay }));
      await answerLast(error);
      expect(state()).toEqual(expected);
    }
  });
});

describe('what is asked of many at once', () => {
  const addresses = ['127.0.0.1', '::1'].map((host) => ({ host, port: 8000 }));
  async function ready(worker: ProbeTarget) {
    const batches: (readonly PathQuestion[])[] = [];
    const found: number[][] = [];
    const all = prepared(undefined, (questions) => {
      batches.push(questions);
      return Promise.resolve(found.shift() ?? []);
    });
    await all.tick(0, worker);
    return { ...all, batches, found };
  }

  it('is whether one is ready still, at the address at which it answered', async () => {
    const worker = ofServers(vllm(8000, { addresses }));
    const { tick, answerLast, answerBoth, batches, found, asked, state } = await ready(worker);
    await answerLast(failed('ECONNREFUSED'));
    await answerBoth();
    found.push([200]);
    expect(await tick(30_000, worker)).toEqual([]);
    expect(batches).toEqual([[{ address: addresses[1], path: '/health' }]]);
    expect(state()).toEqual([true, null, null]);
    expect(await tick(59_999, worker)).toEqual([]);
    // Of which no answer came, it is asked itself.
    found.push([]);
    expect(await tick(60_000, worker)).toEqual(at(8000, '/health'));
    for (let i = 0; i < addresses.length; i += 1) await answerLast(failed('ETIMEDOUT'));
    expect([asked.at(-1)?.url, batches.length, ...state()]).toEqual(['http://::1:8000/health', 2, true, null, null]);
    // Silent once, it is asked itself.
    expect(await tick(61_000, worker)).toHaveLength(1);
    expect(batches).toHaveLength(2);
  });

  it.each<[string, ProbeTarget, number]>([
    ['is not ready', ofServers(vllm(8000)), 503],
    ['asks for a key', ofServers(vllm(8000)), 401],
    ['has no model named', { ...ofServers(vllm(8000)), unnamed: true }, 200],
    ['is in another namespace', ofServers(vllm(8000, { connect })), 200],
  ])('is nothing of one that %s', async (_what, worker, health) => {
    const { tick, answerBoth, answerLast, batches } = await ready(worker);
    await answerBoth(health);
    if (worker.unnamed) await answerLast(models('a'));
    expect(await tick(60_000, worker)).toHaveLength(1);
    expect(batches).toEqual([]);
  });

  it('is nothing of the operator’s URL, of no known engine, and of an address that it has no more', async () => {
    for (const worker of [target(), ofServers(vllm(8000, { engine: null }))]) {
      const { tick, answerLast, batches } = await ready(worker);
      await answerLast(200);
      expect(await tick(60_000, worker)).toHaveLength(1);
      expect(batches).toEqual([]);
    }
    const { tick, answerBoth, batches } = await ready(ofServers(vllm(8000)));
    await answerBoth();
    const moved = ofServers(vllm(8000, { addresses: [{ host: '::1', port: 8000 }] }));
    expect(await tick(60_000, moved)).toEqual(['http://::1:8000/health']);
    expect(batches).toEqual([]);
  });
});
