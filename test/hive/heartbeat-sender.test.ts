import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { HeartbeatSender, isLogged, type SenderOptions } from '../../lib/hive/heartbeat-sender.js';
import {
  type Exchange,
  type ExchangeRequest,
  type ExchangeResponse,
  httpTransport,
} from '../../lib/hive/transport-http.js';
import { ManualClock, settle } from '../harness/manual-clock.js';

const ok = (intervalMs = 1000, ackEventSeq = 0): ExchangeResponse => ({
  status: 200,
  retryAfter: null,
  body: JSON.stringify({ accepted: true, queenId: 'q', ackEventSeq, intervalMs }),
});
const problem = (status: number, code: string, retryAfter: string | null = null): ExchangeResponse => ({
  status,
  retryAfter,
  body: JSON.stringify({ code, detail: 'because' }),
});

interface Harness {
  readonly clock: ManualClock;
  readonly sender: HeartbeatSender;
  readonly requests: (ExchangeRequest & { readonly atMs: number })[];
  readonly logs: string[];
  /** Seconds that pass, with a tick in each. */
  seconds(count: number): Promise<void>;
}

function harness(
  answer: (request: ExchangeRequest, count: number) => Promise<ExchangeResponse> | ExchangeResponse,
  { queens = ['http://q:1'], token, ...options }: Partial<SenderOptions> & { queens?: string[]; token?: string } = {},
): Harness {
  const clock = new ManualClock();
  const requests: Harness['requests'] = [];
  const logs: string[] = [];
  let seq = 0;
  const exchange: Exchange = async (request) => {
    requests.push({ ...request, atMs: clock.now() });
    return answer(request, requests.length);
  };
  const sender = new HeartbeatSender({
    transports: queens.map((queen) => httpTransport(queen, { token, exchange })),
    intervalMs: 1000,
    build: () => ({ seq: ++seq, hive: { state: 'ready' } }) as unknown as Heartbeat,
    log: { info: (_f, message) => logs.push(`info ${message}`), warn: (_f, message) => logs.push(`warn ${message}`) },
    clock,
    random: () => 0,
    ...options,
  });
  return {
    clock,
    sender,
    requests,
    logs,
    async seconds(count) {
      for (let i = 0; i < count; i += 1) {
        sender.tick();
        await clock.advance(1000);
      }
    },
  };
}

const seqOf = (request: ExchangeRequest): number =>
  (
    JSON.parse(String(request.headers['content-encoding'] === 'gzip' ? gunzipSync(request.body) : request.body)) as {
      seq: number;
    }
  ).seq;
const hang = () => new Promise<ExchangeResponse>(() => undefined);

describe('heartbeat sender', () => {
  it('heartbeat cadence: one each interval, always the newest', async () => {
    const { seconds, requests } = harness(() => ok());
    await seconds(10);
    expect(requests.map(({ atMs }) => (atMs - 1_000_000) / 1000)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(requests.map(seqOf)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(requests[0]?.url).toBe('http://q:1/v1/heartbeats');
  });

  it('ticks that jitter, or come too often, do not change it', async () => {
    const { sender, clock, requests } = harness(() => ok());
    for (let i = 0; i < 100; i += 1) {
      sender.tick();
      await clock.advance(95);
    }
    expect(requests.length).toBeGreaterThanOrEqual(9);
    expect(requests.length).toBeLessThanOrEqual(11);
  });

  it('the first heartbeat is staggered by up to an interval', async () => {
    const { sender, clock, requests } = harness(() => ok(), { random: () => 0.7 });
    sender.tick();
    await clock.advance(600);
    expect(requests).toHaveLength(0);
    await clock.advance(200);
    expect(requests).toHaveLength(1);
  });

  it('one exchange in flight; the whole of it has a deadline, and then the newest goes', async () => {
    const { seconds, requests, logs, sender } = harness((_request, count) => (count === 1 ? hang() : ok()));
    await seconds(4);
    expect(requests).toHaveLength(1);
    await seconds(2);
    expect(requests.length).toBeGreaterThanOrEqual(2);
    expect(requests[0]?.signal.aborted).toBe(true);
    expect(logs[0]).toMatch(/no answer within 5000 ms/);
    expect(logs[1]).toMatch(/taken again/);
    expect(sender.failure).toBeNull();
    // Nothing was queued while it hung: the second request is the second heartbeat ever built.
    expect(requests.map(seqOf)).toEqual(requests.map((_request, i) => i + 1));
  });

  it('backs off with full jitter from 0.25 s to 2 s', async () => {
    const { sender, clock, requests } = harness(() => Promise.reject(new Error('refused')), { random: () => 0.999 });
    await clock.advance(1000); // past the stagger
    sender.tick();
    await clock.advance(20_000);
    const gaps = requests.slice(1).map(({ atMs }, i) => Math.round(atMs - (requests[i] as { atMs: number }).atMs));
    expect(gaps.slice(0, 6)).toEqual([250, 500, 999, 1998, 1998, 1998]);
    expect(sender.failure).toMatchObject({ code: 'REQUEST_FAILED' });
  });

  it('rests a little even at the lowest draw', async () => {
    const { clock, sender, requests } = harness(() => Promise.reject(new Error('refused')));
    sender.tick();
    await clock.advance(1000);
    expect(requests.length).toBeLessThanOrEqual(21);
  });

  it('logs the 1st failure, the 10th, each doubling, and the recovery', async () => {
    expect(Array.from({ length: 200 }, (_u, i) => i + 1).filter(isLogged)).toEqual([1, 10, 20, 40, 80, 160]);
    let broken = true;
    const { seconds, logs } = harness(() => (broken ? problem(500, 'INTERNAL') : ok()), { random: () => 0.999 });
    await seconds(60);
    const failures = logs.length;
    broken = false;
    await seconds(5);
    expect(failures).toBe(3);
    expect(logs.slice(failures)).toEqual(['info heartbeats are taken again']);
  });

  it('honours a longer interval, and never one shorter than its own', async () => {
    const slow = harness(() => ok(3000));
    await slow.seconds(10);
    expect(slow.requests).toHaveLength(4);
    let asked = 3000;
    const back = harness(() => ok(asked));
    await back.seconds(10);
    asked = 100;
    await back.seconds(3);
    const before = back.requests.length;
    await back.seconds(5);
    expect(back.requests.length - before).toBe(5);
    const fast = harness(() => ok(100));
    await fast.seconds(5);
    expect(fast.requests).toHaveLength(5);
    expect(fast.sender.intervalMs).toBe(1000);
  });

  it.each([429, 503])('%d with Retry-After is waited out', async (status) => {
    const { seconds, requests } = harness((_request, count) =>
      count === 1 ? problem(status, 'RATE_LIMITED', '7') : ok(),
    );
    await seconds(6);
    expect(requests).toHaveLength(1);
    await seconds(3);
    expect(requests.length).toBeGreaterThanOrEqual(2);
    expect((requests[1]?.atMs ?? 0) - (requests[0]?.atMs ?? 0)).toBe(7000);
  });

  it('several queens: the next one is tried after 1 s, and the one that answered is kept', async () => {
    const { seconds, requests } = harness((request) => (request.url.startsWith('http://a') ? hang() : ok()), {
      queens: ['http://a:1', 'http://b:1'],
    });
    await seconds(5);
    expect(requests.slice(0, 4).map(({ url }) => new URL(url).host)).toEqual(['a:1', 'b:1', 'b:1', 'b:1']);
    expect((requests[1]?.atMs ?? 0) - (requests[0]?.atMs ?? 0)).toBe(1000);
  });

  it('a refusal speaks for all queens and is not repeated at once', async () => {
    const { seconds, requests, sender } = harness(() => problem(401, 'UNAUTHENTICATED'), {
      queens: ['http://a:1', 'http://b:1'],
    });
    await seconds(9);
    expect(requests).toHaveLength(1);
    expect(sender.failure).toMatchObject({ code: 'REFUSED_401' });
    await seconds(3);
    expect(requests).toHaveLength(2);
  });

  it('409: a stale number goes on with the next heartbeat, a duplicate id is told and tried slowly', async () => {
    const stale = harness((_request, count) => (count === 1 ? problem(409, 'STALE_SEQ') : ok()));
    await stale.seconds(4);
    expect(stale.requests.map(seqOf).slice(0, 3)).toEqual([1, 2, 3]);
    const duplicate = harness(() => problem(409, 'DUPLICATE_HIVE_ID'));
    await duplicate.seconds(9);
    expect(duplicate.requests).toHaveLength(1);
    expect(duplicate.sender.failure).toEqual({
      code: 'REFUSED_DUPLICATE_HIVE_ID',
      message: 'http://q:1: 409 DUPLICATE_HIVE_ID, because',
    });
  });

  it('an answer that is no queen’s is a failure, however friendly', async () => {
    const { seconds, sender } = harness(() => ({ status: 200, retryAfter: null, body: '<html>hello</html>' }));
    await seconds(2);
    expect(sender.failure).toMatchObject({ code: 'INVALID_RESPONSE' });
  });

  it('compresses above 16 KiB, sends the token, passes the acknowledgement on', async () => {
    const replies: number[] = [];
    const { seconds, requests } = harness(() => ok(1000, 41), {
      token: 'secret-token',
      build: () => ({ seq: 5, filler: 'x'.repeat(17 * 1024) }) as unknown as Heartbeat,
      onReply: ({ ackEventSeq }) => replies.push(ackEventSeq),
    });
    await seconds(1);
    // Compression has a thread of its own.
    const deadline = Date.now() + 5000;
    while (replies.length === 0 && Date.now() < deadline) await settle();
    expect(requests[0]?.headers).toMatchObject({ 'content-encoding': 'gzip', authorization: 'Bearer secret-token' });
    expect(requests[0]?.body.length).toBeLessThan(1024);
    expect(replies).toEqual([41]);
  });

  it('stop sends one last heartbeat past a hung one, and ends in time though that hangs too', async () => {
    const { sender, clock, requests, seconds } = harness(() => hang());
    await seconds(1);
    const stopped = sender.stop(1200);
    await clock.advance(1300);
    await stopped;
    expect(requests).toHaveLength(2);
    expect(requests[0]?.signal.aborted).toBe(true);
    sender.tick();
    await clock.advance(10_000);
    expect(requests).toHaveLength(2);
  });
});
