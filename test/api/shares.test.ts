import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import fc from 'fast-check';
import Fastify from 'fastify';
import { describe, expect, it, onTestFinished } from 'vitest';
import { StreamHub } from '../../lib/api/stream-hub.js';
import { registerTimeShares, timeShares } from '../../lib/api/time-shares.js';
import { replyProblem } from '../../lib/http/problem.js';
import { Registry } from '../../lib/queen/registry.js';
import { heartbeatOf } from '../harness/heartbeats.js';
import { grants, serverOfTest, tokens } from './build-server.js';

/** A reader of whom so much waits in the socket. */
class Reader extends EventEmitter {
  destroyed = false;
  writableLength = 0;
  writeHead(): void {}
  write(): void {}
  end(): void {
    this.destroy();
  }
  destroy(): void {
    this.destroyed = true;
    this.emit('close');
  }
}

const hubOf = (options: ConstructorParameters<typeof StreamHub>[1]) => {
  const registry = new Registry({ warmingMs: 0 });
  const hub = new StreamHub(registry, options);
  const open = (caller: string, filter = {}) => {
    if (hub.refusal(caller, filter) !== null) return null;
    const reader = new Reader();
    hub.open(reader as unknown as ServerResponse, filter, null, caller);
    return reader;
  };
  return { registry, hub, open };
};

describe('streams', () => {
  it('of one caller leave room for the next, whatever the others hold', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(4), { maxLength: 80 }), (callers) => {
        const { hub, open } = hubOf({ maxClients: 40 });
        for (const caller of callers) open(String(caller));
        expect(hub.clients).toBeLessThanOrEqual(40);
        if (hub.clients < 40) expect(open('somebody new')).not.toBeNull();
        hub.close();
      }),
    );
  });

  it('of one caller have 64 different filters at most: each is looked at for every change', () => {
    const { hub, open } = hubOf({ maxClients: 1000 });
    const opened = Array.from({ length: 100 }, (_, i) => open('a', { kinds: [`k${i}`] }));
    expect(opened.filter((reader) => reader !== null)).toHaveLength(64);
    expect(open('a', { kinds: ['k3', 'k3'] })).not.toBeNull();
    expect(open('b', { kinds: ['other'] })).not.toBeNull();
    hub.close();
  });

  it('for which most waits are evicted where memory ends, and a reader that keeps up is not', () => {
    const { registry, hub, open } = hubOf({ maxClients: 100, maxUnreadBytes: 1000 });
    const slow = Array.from({ length: 5 }, () => open('slow') as Reader);
    const fast = open('fast') as Reader;
    for (const reader of slow) reader.writableLength = 300;
    registry.heartbeat(heartbeatOf('a', 1));
    hub.flush();
    expect(slow.filter(({ destroyed }) => destroyed).length).toBeGreaterThanOrEqual(4);
    expect(fast.destroyed).toBe(false);
    hub.close();
  });
});

describe('wrong tokens', () => {
  const session = { method: 'GET', url: '/v1/session' } as const;
  const host = 'localhost';

  it('are slowed down as cookies too, and no right one waits for them; a stale cookie keeps nobody from the page', async () => {
    const { app } = await serverOfTest({ grants });
    const cookie = (token: string) => ({ host, cookie: `hivepulse_token=${token}` });
    const codes = new Set<number>();
    for (let i = 0; i < 15; i++)
      codes.add((await app.inject({ ...session, headers: cookie(`wrong-token-${i}-0000`) })).statusCode);
    expect(codes).toEqual(new Set([200, 429]));
    expect((await app.inject({ url: '/', headers: cookie('wrong-token-16-0000') })).statusCode).toBe(200);
    expect((await app.inject({ ...session, headers: cookie(tokens.read) })).json()).toMatchObject({ role: 'read' });
  });

  it('at the log-in too', async () => {
    const { app } = await serverOfTest({ grants });
    const logIn = (token: string) =>
      app.inject({ method: 'POST', url: '/v1/session', headers: { host }, payload: { token } });
    const codes = new Set<number>();
    for (let i = 0; i < 15; i++) codes.add((await logIn(`wrong-token-${i}-0000`)).statusCode);
    expect(codes).toEqual(new Set([401, 429]));
    expect((await logIn(tokens.read)).statusCode).toBe(200);
  });
});

describe('the time that answers take', () => {
  it('is charged to who asks, and to nobody else', async () => {
    const app = Fastify();
    onTestFinished(() => app.close());
    app.setErrorHandler(replyProblem);
    app.decorateRequest('caller', null);
    app.addHook('onRequest', async (request) => {
      request.caller = { role: 'read', hive: null, key: String(request.headers['x-who']) };
    });
    // 10 ms a second, 500 at once.
    registerTimeShares(app, timeShares(50));
    app.get('/costly', () => {
      const until = performance.now() + 30;
      while (performance.now() < until);
      return {};
    });
    const ask = async (who: string) => (await app.inject({ url: '/costly', headers: { 'x-who': who } })).json();
    const answers: unknown[] = [];
    for (let turn = 0; turn < 30; turn++) answers.push(await ask('a'));
    expect(answers[0]).toEqual({});
    expect(answers).toContainEqual(expect.objectContaining({ code: 'RATE_LIMITED' }));
    expect(await ask('b')).toEqual({});
  });
});
