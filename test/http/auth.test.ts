import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import {
  bearerOf,
  hostName,
  isLocalName,
  parseTokens,
  readableByAll,
  readTokens,
  TokenTable,
} from '../../lib/http/auth.js';
import { HivepulseError } from '../../lib/util/errors.js';
import { grants, serverOfTest, type TestServer, tokens } from '../api/build-server.js';
import { heartbeatOf } from '../harness/heartbeats.js';

type Name = keyof typeof tokens | 'none' | 'wrong';

const authorization = (name: Name): Record<string, string> =>
  name === 'none' ? {} : { authorization: `Bearer ${name === 'wrong' ? 'wrong-token-0123456789' : tokens[name]}` };

const routes = {
  heartbeat: (server: TestServer, headers: Record<string, string>) =>
    server.post(heartbeatOf('a', server.clock.ms++), headers),
  read: (server: TestServer, headers: Record<string, string>) => ask(server, 'GET', '/v1/workers', headers),
  stream: (server: TestServer, headers: Record<string, string>) => ask(server, 'GET', '/v1/events?kind=bad!', headers),
  best: (server: TestServer, headers: Record<string, string>) =>
    ask(server, 'GET', '/v1/workers/best?model=x', headers),
  place: (server: TestServer, headers: Record<string, string>) =>
    ask(server, 'POST', '/v1/placements', headers, { vramBytes: 1 }),
  release: (server: TestServer, headers: Record<string, string>) =>
    ask(server, 'DELETE', '/v1/reservations/x', headers),
  remove: (server: TestServer, headers: Record<string, string>) => ask(server, 'DELETE', '/v1/hives/nobody', headers),
  audit: (server: TestServer, headers: Record<string, string>) => ask(server, 'GET', '/v1/audit', headers),
  health: (server: TestServer, headers: Record<string, string>) => ask(server, 'GET', '/healthz', headers),
  page: (server: TestServer, headers: Record<string, string>) => ask(server, 'GET', '/', headers),
} as const;

function ask(server: TestServer, method: 'GET' | 'POST' | 'DELETE', url: string, headers: object, payload?: object) {
  return server.app.inject({
    method,
    url,
    headers: { host: 'localhost', ...headers },
    ...(payload === undefined ? {} : { payload }),
  });
}

/** What each caller may do: `y` allowed (whatever the route then answers), `n` 403, `u` 401. */
const matrix: Record<keyof typeof routes, Record<Name, 'y' | 'n' | 'u'>> = {
  heartbeat: { hive: 'y', bound: 'y', read: 'n', schedule: 'n', admin: 'y', none: 'u', wrong: 'u' },
  read: { hive: 'n', bound: 'n', read: 'y', schedule: 'y', admin: 'y', none: 'u', wrong: 'u' },
  stream: { hive: 'n', bound: 'n', read: 'y', schedule: 'y', admin: 'y', none: 'u', wrong: 'u' },
  best: { hive: 'n', bound: 'n', read: 'n', schedule: 'y', admin: 'y', none: 'u', wrong: 'u' },
  place: { hive: 'n', bound: 'n', read: 'n', schedule: 'y', admin: 'y', none: 'u', wrong: 'u' },
  release: { hive: 'n', bound: 'n', read: 'n', schedule: 'y', admin: 'y', none: 'u', wrong: 'u' },
  remove: { hive: 'n', bound: 'n', read: 'n', schedule: 'n', admin: 'y', none: 'u', wrong: 'u' },
  audit: { hive: 'n', bound: 'n', read: 'n', schedule: 'n', admin: 'y', none: 'u', wrong: 'u' },
  health: { hive: 'y', bound: 'y', read: 'y', schedule: 'y', admin: 'y', none: 'y', wrong: 'u' },
  page: { hive: 'y', bound: 'y', read: 'y', schedule: 'y', admin: 'y', none: 'y', wrong: 'u' },
};

describe('tokens and roles', () => {
  it.each(Object.keys(matrix) as (keyof typeof routes)[])('%s is for whom it is for', async (route) => {
    const server = await serverOfTest({ grants });
    for (const [name, expected] of Object.entries(matrix[route]) as [Name, 'y' | 'n' | 'u'][]) {
      const { statusCode } = await routes[route](server, authorization(name));
      const seen = statusCode === 401 ? 'u' : statusCode === 403 ? 'n' : 'y';
      expect(`${name} ${seen}`).toBe(`${name} ${expected}`);
    }
  });

  it('a bound hive token sends for its hive alone', async () => {
    const server = await serverOfTest({ grants });
    expect((await server.post(heartbeatOf('a'), authorization('bound'))).statusCode).toBe(200);
    const other = await server.post(heartbeatOf('b'), authorization('bound'));
    expect(other.json()).toMatchObject({ status: 403, code: 'WRONG_HIVE', field: 'hive.id' });
    expect(server.registry.hive('b')).toBeNull();
  });

  it('without tokens everyone may do everything', async () => {
    const server = await serverOfTest();
    for (const route of Object.values(routes)) expect([401, 403]).not.toContain((await route(server, {})).statusCode);
  });

  it('what is open to anyone says nothing of the fleet', async () => {
    const server = await serverOfTest({ grants });
    const heartbeat = heartbeatOf('planted-hive');
    expect((await server.post(heartbeat, authorization('hive'))).statusCode).toBe(200);
    const [{ model } = { model: null }] = heartbeat.workers;
    const answers = async (path: string) => (await ask(server, 'GET', path, {})).body;
    expect(JSON.parse(await answers('/healthz'))).toEqual({ status: 'ok' });
    expect(JSON.parse(await answers('/readyz'))).toMatchObject({ code: 'WARMING' });
    server.clock.ms += 60_000;
    expect(JSON.parse(await answers('/readyz'))).toEqual({ status: 'ready' });
    expect(JSON.parse(await answers('/v1/session'))).toEqual({ required: true, role: null });
    for (const path of ['/', '/docs', '/docs/json', '/docs/yaml', '/openapi.json']) {
      const { statusCode, body } = await ask(server, 'GET', path, {});
      expect(statusCode, path).toBe(200);
      expect(body, path).not.toContain('planted-hive');
      expect(body, path).not.toContain(String(model));
    }
  });

  it('says how to authenticate, and slows down who guesses', async () => {
    const server = await serverOfTest({ grants });
    const none = await routes.read(server, {});
    expect(none.headers['www-authenticate']).toContain('Bearer');
    const codes = new Set<number>();
    for (let i = 0; i < 12; i++) codes.add((await routes.read(server, authorization('wrong'))).statusCode);
    expect(codes).toEqual(new Set([401, 429]));
  });

  it('lets a right token in from an address that has sent wrong ones, also as a cookie', async () => {
    const server = await serverOfTest({ grants });
    for (let i = 0; i < 30; i++) await routes.read(server, authorization('wrong'));
    expect((await routes.read(server, authorization('wrong'))).statusCode).toBe(429);
    expect((await routes.read(server, authorization('read'))).statusCode).toBe(200);
    expect((await routes.read(server, { cookie: `hivepulse_token=${tokens.read}` })).statusCode).toBe(200);
    expect((await routes.heartbeat(server, authorization('hive'))).statusCode).toBe(200);
  });

  it('never writes a token into a log or an answer', async () => {
    const lines: string[] = [];
    const logger = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
    const server = await serverOfTest({ grants, logger });
    const answers = [
      await routes.read(server, authorization('admin')),
      await routes.read(server, authorization('wrong')),
      await ask(server, 'POST', '/v1/session', {}, { token: 'wrong-token-0123456789' }),
      await ask(server, 'GET', `/v1/workers?token=${tokens.admin}`, authorization('admin')),
    ];
    server.app.log.error({ req: { headers: { authorization: tokens.admin } }, session: { token: tokens.read } }, 'x');
    const text = lines.join('\n') + answers.map((answer) => answer.body).join('\n');
    for (const token of Object.values(tokens)) expect(text).not.toContain(token);
    expect(text).not.toContain('wrong-token');
  });
});

describe('the session of the page', () => {
  it('keeps the token in a cookie that no script and no other site can use', async () => {
    const server = await serverOfTest({ grants });
    expect((await ask(server, 'GET', '/v1/session', {})).json()).toEqual({ required: true, role: null });
    expect((await ask(server, 'POST', '/v1/session', {}, { token: 'nope' })).statusCode).toBe(401);
    const login = await ask(server, 'POST', '/v1/session', {}, { token: tokens.read });
    const cookie = String(login.headers['set-cookie']);
    expect(cookie).toMatch(/HttpOnly/);
    expect(cookie).toMatch(/SameSite=Strict/);
    expect(cookie).not.toMatch(/Secure/);
    const headers = { cookie: cookie.split(';')[0] as string };
    expect((await ask(server, 'GET', '/v1/session', headers)).json()).toEqual({ required: true, role: 'read' });
    expect((await ask(server, 'GET', '/v1/workers', headers)).statusCode).toBe(200);
    const refused = await ask(server, 'POST', '/v1/placements', headers, { vramBytes: 1 });
    expect(refused.json()).toMatchObject({ status: 403, code: 'FORBIDDEN' });
    const out = await ask(server, 'DELETE', '/v1/session', headers);
    expect(String(out.headers['set-cookie'])).toMatch(/hivepulse_token=;/);
  });

  it('lets a stale cookie reach the page, but nothing else', async () => {
    const server = await serverOfTest({ grants });
    const headers = { cookie: 'hivepulse_token=a-token-that-was-taken-back' };
    expect((await ask(server, 'GET', '/', headers)).statusCode).toBe(200);
    expect((await ask(server, 'GET', '/v1/session', headers)).json().role).toBeNull();
    expect((await ask(server, 'GET', '/v1/workers', headers)).statusCode).toBe(401);
  });
});

describe('the built page', () => {
  it('is served to whoever has yet to log in, its assets for ever, and nothing beside it', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'hivepulse-'));
    try {
      mkdirSync(join(directory, 'page/assets'), { recursive: true });
      writeFileSync(join(directory, 'page/index.html'), '<title>page</title>');
      writeFileSync(join(directory, 'page/assets/index-abc123.js'), 'x');
      writeFileSync(join(directory, 'secret'), 'secret');
      const server = await serverOfTest({ grants, pageDirectory: join(directory, 'page') });
      const page = await ask(server, 'GET', '/', {});
      expect([page.statusCode, page.body]).toEqual([200, '<title>page</title>']);
      expect(page.headers['cache-control']).toBe('no-cache');
      expect(page.headers['content-security-policy']).toContain("default-src 'self'");
      const asset = await ask(server, 'GET', '/assets/index-abc123.js', {});
      expect(asset.headers['cache-control']).toContain('immutable');
      for (const url of ['/../secret', '/..%2fsecret', '/assets/%2e%2e/%2e%2e/secret', '/assets/'])
        expect((await ask(server, 'GET', url, {})).body, url).not.toContain('secret');
      expect((await ask(server, 'GET', '/v1/workers', {})).statusCode).toBe(401);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('DNS rebinding and other sites', () => {
  const status = async (server: TestServer, headers: Record<string, string>, method: 'GET' | 'POST' = 'GET') =>
    (
      await ask(
        server,
        method,
        method === 'GET' ? '/v1/fleet' : '/v1/placements',
        headers,
        method === 'POST' ? { vramBytes: 1 } : undefined,
      )
    ).json();

  it('answers on loopback only to names of loopback', async () => {
    const server = await serverOfTest({ allowedHosts: ['gpu.example.org'] });
    for (const host of [
      'localhost',
      'localhost:7833',
      '127.0.0.1:7833',
      '[::1]:7833',
      'queen.localhost',
      'GPU.example.org:80',
    ])
      expect(await status(server, { host }), host).toHaveProperty('queenId');
    for (const host of [
      'evil.example',
      '127.0.0.1.evil.example',
      'localhost.evil.example',
      '10.0.0.1',
      'localhost@evil.example',
    ])
      expect(await status(server, { host }), host).toMatchObject({ status: 403, code: 'HOST_NOT_ALLOWED' });
  });

  it('checks names also for the page and for what is not there', async () => {
    const server = await serverOfTest();
    for (const url of ['/', '/healthz', '/docs', '/nothing'])
      expect((await ask(server, 'GET', url, { host: 'evil.example' })).json().code, url).toBe('HOST_NOT_ALLOWED');
  });

  it('takes nothing from a page of another site', async () => {
    const server = await serverOfTest({ allowedHosts: ['gpu.example.org'] });
    const host = '127.0.0.1:7833';
    for (const origin of [
      'https://evil.example',
      'null',
      'http://127.0.0.1.evil.example',
      'http://localhost:9999',
      'file://',
    ])
      expect(await status(server, { host, origin }, 'POST'), origin).toMatchObject({ code: 'ORIGIN_NOT_ALLOWED' });
    for (const origin of ['http://127.0.0.1:7833', 'https://gpu.example.org'])
      expect(await status(server, { host, origin }, 'POST'), origin).toHaveProperty('candidates');
  });

  it.each([
    [{}, undefined],
    [{ loopback: false, grants }, 'admin'],
  ] as const)('whatever a page of another site asks for, only health is answered (%j)', async (options, role) => {
    const server = await serverOfTest(options);
    const site = { ...(role === undefined ? {} : authorization(role)), 'sec-fetch-site': 'cross-site' };
    for (const mode of ['no-cors', 'cors', 'navigate']) {
      for (const dest of ['iframe', 'script', 'image', 'empty', 'document']) {
        const headers = { ...site, 'sec-fetch-mode': mode, 'sec-fetch-dest': dest };
        for (const [name, call] of Object.entries(routes)) {
          const { statusCode, body } = await call(server, headers);
          const opensPage = name === 'page' && mode === 'navigate' && dest === 'document';
          if (name === 'health' || opensPage) expect(statusCode, name).not.toBe(403);
          else expect(JSON.parse(body).code, name).toBe('ORIGIN_NOT_ALLOWED');
        }
      }
    }
  });

  it('a pick is given to the queen’s own page and to programs, and to no other page', async () => {
    const server = await serverOfTest();
    for (const site of ['same-site', 'cross-site', 'none'])
      expect((await routes.best(server, { 'sec-fetch-site': site })).statusCode, site).toBe(403);
    for (const headers of [{}, { 'sec-fetch-site': 'same-origin' }])
      expect((await routes.best(server, headers)).statusCode).toBe(200);
  });

  it('beyond loopback any name is fine, and another site still is not', async () => {
    const server = await serverOfTest({ loopback: false, grants });
    const headers = { host: 'queen.example.org', ...authorization('schedule') };
    expect(await status(server, headers)).toHaveProperty('queenId');
    expect(await status(server, { ...headers, origin: 'https://queen.example.org' }, 'POST')).toHaveProperty(
      'candidates',
    );
    expect(await status(server, { ...headers, origin: 'https://evil.example' })).toMatchObject({
      code: 'ORIGIN_NOT_ALLOWED',
    });
  });

  it('sends no CORS header, and headers that shut other sites out', async () => {
    const server = await serverOfTest();
    const { headers } = await ask(server, 'GET', '/v1/fleet', { origin: 'http://localhost' });
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
    expect(headers['content-security-policy']).toContain("script-src 'self'");
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(headers['x-frame-options']).toBe('DENY');
    expect(headers['cross-origin-resource-policy']).toBe('same-origin');
    expect(headers['cross-origin-opener-policy']).toBe('same-origin');
    expect(headers['strict-transport-security']).toBeUndefined();
    const missing = await ask(server, 'GET', '/v2', {});
    expect(missing.headers['content-security-policy']).toContain("script-src 'self'");
  });

  it('lets the page run no script but its own, and ask no other host for anything', async () => {
    const server = await serverOfTest();
    const page = await ask(server, 'GET', '/', {});
    const policy = new Map(
      String(page.headers['content-security-policy'])
        .split(';')
        .map((directive) => directive.trim().split(/ +/))
        .map(([name = '', ...sources]) => [name, sources]),
    );
    expect(policy.get('default-src')).toEqual(["'self'"]);
    expect(policy.get('script-src')).toEqual(["'self'"]);
    // Whatever else is named: the queen itself, nothing, or what stands in the page.
    for (const [name, sources] of policy)
      for (const source of sources) expect(["'self'", "'none'", 'data:'], name).toContain(source);
  });

  it('runs none of that for a heartbeat of a fleet, which no browser sends', async () => {
    const server = await serverOfTest();
    const { headers } = await server.app.inject({
      method: 'POST',
      url: '/v1/heartbeats',
      headers: { host: 'localhost', 'content-type': 'application/json' },
      payload: '{}',
    });
    const ours = ['content-length', 'content-type'];
    expect(
      Object.keys(headers)
        .filter((name) => !['connection', 'date', 'keep-alive'].includes(name))
        .sort(),
    ).toEqual(ours);
  });
});

describe('the pieces', () => {
  it('reads lines of role, token and hive', () => {
    const text = `# fleet\n\nadmin  ${tokens.admin}\nhive ${tokens.bound} gpu-7\r\n`;
    expect(parseTokens(text, 'tokens')).toEqual([
      { role: 'admin', token: tokens.admin },
      { role: 'hive', token: tokens.bound, hive: 'gpu-7' },
    ]);
  });

  it.each([
    ['root secret-secret-secret', 'line 1'],
    ['\nhive', 'line 2'],
    ['read secret-secret-secret gpu-7', 'bound'],
    ['hive secret-secret-secret ../x', 'hive id'],
    ['hive secret-secret-secret a b', 'more than'],
  ])('names the line of %j that is wrong, and never the token', (text, why) => {
    const attempt = () => parseTokens(text, 'tokens');
    expect(attempt).toThrow(why);
    expect(attempt).not.toThrow(/secret/);
  });

  it('a token on two lines is refused by both lines, and one given twice by its place', () => {
    const text = `admin ${tokens.admin}\n# spare\nread ${tokens.admin}\n`;
    expect(() => parseTokens(text, 'tokens')).toThrow(/line 3: the token stands on line 1 too/);
    const twice = [
      { role: 'admin', token: tokens.admin },
      { role: 'read', token: tokens.admin },
    ] as const;
    expect(() => new TokenTable(twice)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION', subject: 'tokens.1' }),
    );
  });

  it('a reload is all or nothing', () => {
    const table = new TokenTable(grants);
    const key = table.find(tokens.read)?.key ?? '';
    expect(() =>
      table.replace([
        { role: 'admin', token: 'a-new-token-0123456789' },
        { role: 'read', token: 'short' },
      ]),
    ).toThrow(HivepulseError);
    expect(table.find(tokens.read)?.role).toBe('read');
    table.replace([{ role: 'admin', token: 'a-new-token-0123456789' }]);
    expect(table.find(tokens.read)).toBeNull();
    expect(table.knows(key)).toBe(false);
  });

  it('says which file it could not read', () => {
    const directory = mkdtempSync(join(tmpdir(), 'hivepulse-'));
    try {
      writeFileSync(join(directory, 'tokens'), `read ${tokens.read}\n`);
      expect(readTokens(join(directory, 'tokens')).length).toBe(1);
      chmodSync(join(directory, 'tokens'), 0o600);
      expect(readableByAll(join(directory, 'tokens'))).toBe(false);
      chmodSync(join(directory, 'tokens'), 0o644);
      expect(readableByAll(join(directory, 'tokens'))).toBe(true);
      expect(readableByAll(join(directory, 'missing'))).toBeNull();
      expect(() => readTokens(join(directory, 'missing'))).toThrow(/missing cannot be read: there is no such file/);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('finds no token that was not given, whatever it looks like', () => {
    const table = new TokenTable(grants);
    const known = new Set<string>(Object.values(tokens));
    fc.assert(fc.property(fc.string({ maxLength: 40 }), (token) => known.has(token) || table.find(token) === null));
    for (const token of Object.values(tokens)) {
      expect(table.find(token.slice(0, -1))).toBeNull();
      expect(table.find(`${token} `)).toBeNull();
      expect(table.find(token)).not.toBeNull();
    }
  });

  it('reads the Authorization header strictly', () => {
    expect(bearerOf('Bearer abc')).toBe('abc');
    expect(bearerOf('bearer  abc ')).toBe('abc');
    for (const header of [undefined, '', 'Bearer', 'Basic abc', 'Bearer a b', 'XBearer a'])
      expect(bearerOf(header)).toBeNull();
  });

  it('reads names out of authorities, and takes none but loopback’s for local', () => {
    expect(hostName('[::1]:80')).toBe('[::1]');
    expect(hostName('Localhost.:80')).toBe('localhost');
    for (const bad of ['a b', 'a/b', 'u@h', ':80', 'a:port', '']) expect(hostName(bad)).toBeNull();
    fc.assert(
      fc.property(fc.domain(), (name) => name.endsWith('.localhost') || !isLocalName(name.toLowerCase(), new Set())),
    );
  });
});
