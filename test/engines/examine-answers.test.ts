import { describe, expect, it } from 'vitest';
import type { Answer } from '../../lib/engines/answer.js';
import type { Asker, Ways } from '../../lib/engines/ask.js';
import type { Connection } from '../../lib/engines/connection.js';
import { examine, type Finding, late, type Server, unasked } from '../../lib/engines/examine.js';

type Said = number | Answer | Error;

const failed = (code: string): Error => Object.assign(new Error(`it says ${code}`), { code });
const version: Answer = { status: 200, json: { version: '0.11.0' } };
const models: Answer = { status: 200, json: { object: 'list', data: [{ id: 'a/b' }] } };

/** Servers by `scheme host path`, or `path` alone, of which each answer is given once more than its last one; `tls host`: a handshake. */
function asking(answers: Readonly<Record<string, Said | readonly Said[]>>) {
  const asked: string[] = [];
  const ways: (Ways | undefined)[] = [];
  const times = new Map<string, number>();
  const next = (...keys: string[]): Said => {
    const key = keys.find((each) => each in answers);
    const all = key === undefined ? 404 : answers[key];
    if (!Array.isArray(all)) return all as Said;
    const time = times.get(key as string) ?? 0;
    times.set(key as string, time + 1);
    return all[Math.min(time, all.length - 1)] as Said;
  };
  const asker: Asker = {
    get: async (scheme, { host }, path, _signal, way) => {
      asked.push(`${scheme} ${host} ${path}`);
      ways.push(way);
      const said = next(`${scheme} ${host} ${path}`, `${host} ${path}`, path);
      if (said instanceof Error) throw said;
      return typeof said === 'number' ? { status: said, json: undefined } : said;
    },
    offersTls: async ({ host }) => {
      asked.push(`tls ${host}`);
      const said = next(`tls ${host}`);
      if (said instanceof Error) throw said;
      return said === 200;
    },
  };
  const run = (server: Partial<Server> = {}, known: Finding = unasked, unnamed = false, signal?: AbortSignal) =>
    examine(
      asker,
      { engine: 'vllm', held: true, addresses: [{ host: 'a', port: 1 }], ...server },
      known,
      signal ?? new AbortController().signal,
      unnamed,
    );
  return { asker, asked, ways, run };
}

const both = ['a', 'b'].map((host) => ({ host, port: 1 }));
const connect = () => Promise.reject(new Error('not here'));
const found = (over: Partial<Finding> = {}): Finding => ({
  ...{ scheme: 'http', own: true, ready: true, reason: null, unclear: null, silent: false, host: 'a' },
  ...over,
});
const isOwn = found();

describe('a server is asked', () => {
  it('who it is and then whether it is ready', async () => {
    const { run, asked } = asking({ '/version': version, '/health': 200 });
    expect(await run()).toEqual(found());
    expect(asked).toEqual(['http a /version', 'http a /health']);
  });

  it('only whether it is ready where it is known who it is, and by its scheme', async () => {
    for (const scheme of ['http', 'https'] as const) {
      const { run, asked, ways } = asking({ '/health': 200 });
      expect(await run({}, found({ scheme }))).toEqual(found({ scheme }));
      expect([asked, ways[0]?.kept]).toEqual([[`${scheme} a /health`], undefined]);
    }
  });

  it('again who it is where another program answered before', async () => {
    const { run, asked } = asking({ '/version': version, '/health': 200 });
    expect(await run({}, found({ own: false, ready: false }))).toEqual(found());
    expect(asked).toEqual(['http a /version', 'http a /health']);
  });

  it('over one connection where it is asked more than one question, which ends with them', async () => {
    const { run, ways } = asking({ '/version': version, '/health': 200, '/v1/models': models });
    await run({ connect }, unasked, true);
    const [first] = ways;
    expect(first?.kept).toBeDefined();
    expect(ways.map((way) => way?.kept === first?.kept && way?.connect === connect)).toEqual([true, true, true]);
    const named = asking({ '/health': 200, '/v1/models': models });
    await named.run({}, isOwn, true);
    expect(named.ways.map((way) => way?.kept !== undefined)).toEqual([true, true]);
  });

  it('over a connection that is closed at the end', async () => {
    const { run, ways } = asking({ '/version': version, '/health': 200 });
    let closed = 0;
    await run();
    const kept = ways[0]?.kept;
    kept?.give({ isOpen: true, close: () => (closed += 1) } as unknown as Connection);
    const again = asking({ '/version': version });
    again.asker.get = async (_scheme, _address, _path, _signal, way) => {
      way?.kept?.give({ isOpen: true, close: () => (closed += 1) } as unknown as Connection);
      return version;
    };
    await again.run();
    expect(closed).toBeGreaterThan(1);
    const failing = closed;
    again.asker.get = async (_scheme, _address, _path, _signal, way) => {
      way?.kept?.give({ isOpen: true, close: () => (closed += 1) } as unknown as Connection);
      throw failed('ECONNREFUSED');
    };
    await again.run();
    expect(closed).toBe(failing + 1);
  });
});

describe('whether it is ready', () => {
  it.each<[number, Partial<Finding>]>([
    [200, {}],
    [204, {}],
    [299, {}],
    [199, { ready: false, reason: 'status 199' }],
    [300, { ready: false, reason: 'status 300' }],
    [503, { ready: false, reason: 'status 503' }],
    [401, { ready: null, reason: 'status 401', unclear: 'keyNeeded' }],
    [403, { ready: null, reason: 'status 403', unclear: 'keyNeeded' }],
    [404, { own: null, ready: false, reason: 'status 404' }],
  ])('its health path says %i', async (status, over) => {
    const { run } = asking({ '/version': version, '/health': status });
    expect(await run()).toEqual(found(over));
    expect(await run({}, isOwn)).toEqual(found(over));
  });
});

describe('who it is', () => {
  const other = found({ own: false, ready: false, reason: 'another program answers' });
  it.each<[string, Said, Partial<Server>, Finding]>([
    ['something else', { status: 200, json: { detail: 'hello' } }, {}, other],
    ['not found', 404, {}, other],
    ['an error of the question', 499, {}, other],
    ['an error of its own', 500, {}, found({ own: null, ready: false, reason: 'status 500' })],
    ['it loads', 503, {}, found({ own: null, ready: false, reason: 'status 503' })],
    ['a key is needed, and its process holds the socket', 401, { held: true }, found()],
    ['it may not, and its process holds the socket', 403, { held: true }, found()],
    ['a key is needed, and who holds the socket is not known', 401, { held: false }, other],
    ['not found, whoever holds the socket', 404, { held: true }, other],
  ])('it answers: %s', async (_what, said, server, expected) => {
    const { run, asked } = asking({ '/version': said, '/health': 200 });
    expect(await run(server)).toEqual(expected);
    expect(asked.includes('http a /health')).toBe(expected.ready === true);
  });

  it.each<[string, Said, boolean]>([
    ['lists models', models, true],
    ['lists none', { status: 200, json: { data: [] } }, false],
    ['lists them with another status', { ...models, status: 201 }, false],
    ['knows no list', 404, false],
    ['ends the connection', failed('ECONNRESET'), false],
  ])('where only its answer can show it, it %s as well', async (_what, said, own) => {
    const { run, asked } = asking({ '/version': version, '/health': 200, '/v1/models': said, 'tls a': 404 });
    expect(await run({ guessed: true, held: false })).toEqual(own ? found() : other);
    expect(asked.slice(0, 2)).toEqual(['http a /version', 'http a /v1/models']);
    expect((await asking({ '/version': version, '/health': 200 }).run()).own).toBe(true);
  });

  it('asked by one path after the other until one is its own', async () => {
    const tei = { engine: 'llama-cpp-python' } as const;
    const { run } = asking({ '/v1/models': 503 });
    expect(await run(tei)).toMatchObject({ own: null, reason: 'status 503' });
  });
});

describe('for which models it may be asked', () => {
  it('where nothing else names them', async () => {
    const { run, asked } = asking({ '/version': version, '/health': 503, '/v1/models': models });
    expect(await run({}, unasked, true)).toEqual(found({ ready: false, reason: 'status 503', models: ['a/b'] }));
    expect(asked).toEqual(['http a /version', 'http a /health', 'http a /v1/models']);
  });

  it('only where that is wanted', async () => {
    const { asker, asked } = asking({ '/version': version, '/health': 200, '/v1/models': models });
    const server: Server = { engine: 'vllm', held: true, addresses: [{ host: 'a', port: 1 }] };
    expect(await examine(asker, server, unasked, new AbortController().signal)).toEqual(found());
    expect(asked).toEqual(['http a /version', 'http a /health']);
  });

  it.each<[string, Said]>([
    ['says something else', 500],
    ['ends the connection', failed('ECONNREFUSED')],
  ])('is left open where it %s', async (_what, said) => {
    const { run } = asking({ '/version': version, '/health': 200, '/v1/models': said });
    expect(await run({}, unasked, true)).toEqual(found());
  });

  it('is not asked of a program that does not know the health path, nor of an engine without such a list', async () => {
    const { run, asked } = asking({ '/version': version, '/v1/models': models });
    expect(await run({}, isOwn, true)).toEqual(found({ own: null, ready: false, reason: 'status 404' }));
    expect(asked).toEqual(['http a /health']);
    const triton = asking({ '/v2/health/ready': 200 });
    expect(await triton.run({ engine: 'tritonserver' }, isOwn, true)).toEqual(found());
    expect(triton.asked).toHaveLength(1);
  });
});

describe('a server that expects TLS', () => {
  it.each<[string, Said]>([
    ['ends the connection', failed('ECONNRESET')],
    ['answers in no HTTP', failed('NOT_HTTP')],
    ['says so in HTTP', 400],
  ])('and %s is asked with it', async (_what, said) => {
    const { run, asked } = asking({
      'http a /version': said,
      'tls a': 200,
      'https a /version': version,
      'https a /health': 200,
    });
    expect(await run()).toEqual(found({ scheme: 'https' }));
    expect(asked).toEqual(['http a /version', 'tls a', 'https a /version', 'https a /health']);
  });

  it('now, where it was one without before', async () => {
    const { run, asked } = asking({ 'http a /health': failed('ECONNRESET'), 'tls a': 200, 'https a /health': 200 });
    expect(await run({}, isOwn)).toEqual(found({ scheme: 'https' }));
    expect(asked).toEqual(['http a /health', 'tls a', 'https a /health']);
  });

  it('is not one that ends the connection and offers none, or refuses', async () => {
    const resetting = asking({ '/version': failed('ECONNRESET'), 'tls a': 404 });
    expect(await resetting.run()).toEqual({ ...unasked, ready: false, unclear: null, reason: 'ECONNRESET' });
    const refusing = asking({ '/version': failed('ECONNREFUSED'), 'tls a': 200 });
    expect(await refusing.run()).toEqual({ ...unasked, ready: false, unclear: null, reason: 'ECONNREFUSED' });
    expect(refusing.asked).toEqual(['http a /version']);
    const plain = asking({ '/version': 400, 'tls a': 404 });
    expect(await plain.run()).toEqual(found({ own: false, ready: false, reason: 'another program answers' }));
  });

  it('is not tried for it where it is known to, whatever it answers', async () => {
    const { run, asked } = asking({ '/health': 400, 'tls a': 200 });
    expect(await run({}, found({ scheme: 'https' }))).toMatchObject({ ready: false, reason: 'status 400' });
    expect(asked).toEqual(['https a /health']);
  });

  it('and asks for a certificate: nobody can say what it is', async () => {
    const certificate = {
      ...{ scheme: 'https', ready: null, reason: 'it asks for a certificate' },
      ...{ unclear: 'certificateNeeded', silent: false, host: 'a' },
    };
    const alert = failed('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED');
    const { run } = asking({ '/version': failed('ECONNRESET'), 'tls a': 200, 'https a /version': alert });
    expect(await run({ addresses: both })).toEqual({ ...certificate, own: null });
    expect(await asking({ '/health': alert }).run({}, found({ scheme: 'https' }))).toEqual({
      ...certificate,
      own: true,
    });
  });
});

describe('a server at which nobody answers', () => {
  it.each<[string, Partial<Server>, Finding]>([
    ['no address', { addresses: [] }, { ...unasked, ready: false, reason: 'no address', unclear: null }],
    [
      'no address and no engine',
      { addresses: [], engine: null },
      { ...unasked, ready: null, reason: 'no address', unclear: 'serverUnknown' },
    ],
  ])('%s', async (_what, server, expected) => {
    expect(await asking({}).run(server)).toEqual(expected);
  });

  it('is asked at its next address, and what the last one said counts', async () => {
    const refused = { ...unasked, ready: false, unclear: null, reason: 'ECONNREFUSED' };
    const { run, asked } = asking({ 'a /version': failed('ETIMEDOUT'), 'b /version': failed('ECONNREFUSED') });
    expect(await run({ addresses: both })).toEqual(refused);
    expect(asked).toEqual(['http a /version', 'http b /version']);
    const second = asking({ 'a /version': failed('EPERM'), 'b /version': version, 'b /health': 200 });
    expect(await second.run({ addresses: both })).toEqual(found({ host: 'b' }));
    expect((await asking({ '/version': failed('ETIMEDOUT') }).run()).silent).toBe(true);
    expect((await asking({ '/version': new Error('odd') }).run()).reason).toBe('odd');
  });

  it.each('EPERM EACCES ENOTSUP ESTALE ENOENT ESRCH EBUSY EMFILE ENFILE'.split(' '))(
    'for the hive could not get there (%s): nothing is said of it, and nowhere else in its namespace is it tried',
    async (code) => {
      const { run, asked } = asking({ '/version': failed(code) });
      const expected = { ...unasked, ready: null, reason: code, unclear: 'serverUnreachable' };
      expect(await run({ addresses: both, connect })).toEqual(expected);
      expect(asked).toHaveLength(1);
      expect(await run({ addresses: both })).toEqual(expected);
      expect(asked).toHaveLength(3);
    },
  );

  it('in another namespace is asked at its next address there where it refuses', async () => {
    const { run, asked } = asking({ 'a /version': failed('ECONNREFUSED'), 'b /version': version, '/health': 200 });
    expect(await run({ addresses: both, connect })).toEqual(found({ host: 'b' }));
    expect(asked).toHaveLength(3);
  });

  it('keeps what earlier answers have shown', async () => {
    const { run } = asking({ '/health': failed('ECONNREFUSED') });
    const known = found({ scheme: 'https', models: ['m'], silent: true });
    expect(await run({}, known)).toEqual({ ...known, ready: false, reason: 'ECONNREFUSED', silent: false });
  });
});

/** What is asked gets no answer before the time of the check is over. */
function endLate(stop: AbortController): never {
  stop.abort(late);
  throw late;
}

describe('a check', () => {
  it('that nobody waits for ends with the reason', async () => {
    const stop = new AbortController();
    const why = new Error('gone');
    const { asker, run } = asking({});
    asker.get = async () => {
      stop.abort(why);
      throw failed('ECONNREFUSED');
    };
    await expect(run({ addresses: both }, unasked, false, stop.signal)).rejects.toBe(why);
  });

  it('whose time is over says what it has learned, and that the server is silent', async () => {
    const stop = new AbortController();
    const { asker, run, asked } = asking({});
    asker.get = async (scheme, { host }, path) => {
      asked.push(`${scheme} ${host} ${path}`);
      if (scheme === 'http') throw failed('ECONNRESET');
      if (path === '/version') return version;
      return endLate(stop);
    };
    asker.offersTls = async () => true;
    expect(await run({ addresses: both }, unasked, false, stop.signal)).toEqual(
      found({ scheme: 'https', ready: false, reason: 'timeout', silent: true }),
    );
    expect(asked).toEqual(['http a /version', 'https a /version', 'https a /health']);
    const nothing = await run({}, unasked, false, stop.signal);
    expect(nothing).toMatchObject({ scheme: 'https', reason: 'timeout', silent: true });
  });

  it('whose time is over once the server has shown that it wants TLS goes on from that', async () => {
    const stop = new AbortController();
    const { asker, run } = asking({});
    asker.get = async (scheme) => {
      if (scheme === 'http') throw failed('NOT_HTTP');
      return endLate(stop);
    };
    asker.offersTls = async () => true;
    expect(await run({}, unasked, false, stop.signal)).toEqual(
      found({ scheme: 'https', own: null, ready: false, reason: 'timeout', silent: true }),
    );
  });

  it('of no known engine whose time is over says that it is silent', async () => {
    const stop = new AbortController();
    const { asker, run } = asking({});
    asker.offersTls = async () => endLate(stop);
    const expected = { ...unasked, reason: 'timeout', unclear: 'serverUnknown', silent: true };
    expect(await run({ engine: null }, unasked, false, stop.signal)).toEqual(expected);
  });

  it('whose time is over before anything was answered has learned nothing', async () => {
    const stop = new AbortController();
    const { asker, run } = asking({});
    asker.get = async () => endLate(stop);
    const expected = { ...unasked, ready: false, unclear: null, reason: 'timeout', silent: true };
    expect(await run({}, unasked, false, stop.signal)).toEqual(expected);
  });
});

describe('a server of no known engine', () => {
  it.each([
    [200, 'https'],
    [404, 'http'],
  ] as const)('is tried for TLS alone (%i: %s)', async (said, scheme) => {
    const { run, asked } = asking({ 'tls a': said });
    expect(await run({ engine: null }, isOwn)).toEqual(
      found({ scheme, own: null, ready: null, reason: null, unclear: 'serverUnknown' }),
    );
    expect(asked).toEqual(['tls a']);
  });

  it('at which nobody answers is as unknown as before', async () => {
    const { run } = asking({ 'tls a': failed('ECONNREFUSED') });
    expect(await run({ engine: null })).toEqual({ ...unasked, reason: 'ECONNREFUSED', unclear: 'serverUnknown' });
  });
});
