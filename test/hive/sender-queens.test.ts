import { describe, expect, it } from 'vitest';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { HeartbeatSender, type SenderOptions } from '../../lib/hive/heartbeat-sender.js';
import { encodeHeartbeat, type RefusalReason, type SendOutcome } from '../../lib/hive/transport.js';
import { ManualClock, settle } from '../harness/manual-clock.js';

type Answer = SendOutcome | Promise<SendOutcome>;

const hang = new Promise<SendOutcome>(() => undefined);
const ack = (ackEventSeq = 0, degraded = false): SendOutcome => ({
  kind: 'ack',
  reply: { accepted: true, queenId: 'q', ackEventSeq, intervalMs: 1000, ...(degraded ? { degraded } : {}) },
});
const failed: SendOutcome = { kind: 'failed', failure: { code: 'E', message: 'no' }, retryAfterMs: null };
const refused = (reason: RefusalReason): SendOutcome => ({
  kind: 'refused',
  reason,
  failure: { code: 'REFUSED', message: 'no' },
});

/** A sender to queens that answer as they are given to, by name. */
function scene(queens: Record<string, (count: number) => Answer>, options: Partial<SenderOptions> = {}) {
  const clock = new ManualClock();
  const start = clock.now();
  const sent: { queen: string; at: number }[] = [];
  const logs: unknown[] = [];
  const replies: [ack: number, queen: string][] = [];
  let built = 0;
  const sender = new HeartbeatSender({
    transports: Object.entries(queens).map(([queen, answer]) => ({
      queen,
      send: async () => {
        sent.push({ queen, at: clock.now() - start });
        return answer(sent.filter((each) => each.queen === queen).length);
      },
      close: async () => undefined,
    })),
    intervalMs: 1000,
    build: () => ({ seq: ++built }) as unknown as Heartbeat,
    onReply: ({ ackEventSeq }, queen) => replies.push([ackEventSeq, queen]),
    log: { info: (fields, text) => logs.push([fields, text]), warn: (fields, text) => logs.push([fields, text]) },
    clock,
    random: () => 0,
    ...options,
  });
  return {
    clock,
    sender,
    sent,
    logs,
    replies,
    built: () => built,
    queens: () => sent.map(({ queen }) => queen).join(''),
    async seconds(count: number) {
      for (let i = 0; i < count; i++) {
        sender.tick();
        await clock.advance(1000);
      }
    },
  };
}

describe('the way back to the first queen', () => {
  it.each([
    [0, 15],
    [0.25, 22.5],
    [0.5, 30],
  ])('random draw %d: it is tried again after %d s with another, and not before', async (draw, stays) => {
    const { seconds, sent } = scene(
      { a: (count) => (count === 1 ? failed : ack()), b: () => ack() },
      { random: () => draw },
    );
    await seconds(60);
    const leftAt = sent.find(({ queen }) => queen === 'b')?.at as number;
    const backAt = sent.filter(({ queen }) => queen === 'a')[1]?.at as number;
    expect(backAt - leftAt).toBe(Math.ceil(stays) * 1000);
    expect(sent.filter(({ at }) => at > backAt).every(({ queen }) => queen === 'a')).toBe(true);
  });

  it('as long as it fails, the time is drawn anew for each try', async () => {
    const draws = [0, 0, 0.5, 0];
    const { seconds, sent } = scene({ a: () => failed, b: () => ack() }, { random: () => draws.shift() ?? 0 });
    await seconds(80);
    const tries = sent.filter(({ queen }) => queen === 'a').map(({ at }) => at / 1000);
    expect(tries).toEqual([0, 15, 45, 60, 75]);
  });

  it('the time may be given', async () => {
    const { seconds, sent } = scene({ a: () => failed, b: () => ack() }, { homeAfterMs: 4000 });
    await seconds(7);
    expect(sent.filter(({ queen }) => queen === 'a').map(({ at }) => at)).toEqual([0, 2000, 4000, 6000]);
  });
});

describe('queens that cannot pass on what they accept', () => {
  it('the others get it as well, and what most of its events are safe at counts', async () => {
    const { seconds, queens, replies, sender } = scene({ a: () => ack(7, true), b: () => ack(3) });
    await seconds(1);
    expect(queens()).toBe('ab');
    expect(replies).toEqual([[7, 'a']]);
    expect(sender.counts).toEqual({ taken: 1, failed: 0 });
    await seconds(1);
    expect(queens()).toBe('abb');
  });

  it('of two that are alike the later one counts', async () => {
    const { seconds, replies } = scene({ a: () => ack(5, true), b: () => ack(5) });
    await seconds(1);
    expect(replies).toEqual([[5, 'b']]);
  });

  it.each([
    ['refuses', refused('rights')],
    ['fails', failed],
    ['is degraded too', ack(2, true)],
  ])('where the other %s it was accepted all the same, and the first stays first', async (_, other) => {
    const { seconds, queens, replies, sender } = scene({ a: () => ack(4, true), b: () => other });
    await seconds(2);
    expect(queens()).toBe('abab');
    expect(replies.map(([seq]) => seq)).toEqual([4, 4]);
    expect(sender.failure).toBeNull();
  });

  it('one alone is stayed with', async () => {
    const { seconds, replies } = scene({ a: () => ack(4, true) });
    await seconds(2);
    expect(replies).toEqual([
      [4, 'a'],
      [4, 'a'],
    ]);
  });
});

describe('deadlines', () => {
  it('however many queens hang, an exchange as a whole ends after 5 s, 1 s for each', async () => {
    const { seconds, sent, sender } = scene(Object.fromEntries([...'abcdefgh'].map((name) => [name, () => hang])));
    await seconds(5);
    expect(sent.map(({ at }) => at)).toEqual([0, 1000, 2000, 3000, 4000]);
    expect(sender.failure?.code).toBe('REQUEST_TIMEOUT');
  });

  it('an exchange that is over leaves no timer behind', async () => {
    const { sender, clock, seconds } = scene({ a: () => failed, b: () => ack() });
    await seconds(1);
    expect(clock.timers).toBe(0);
    await sender.stop(1200);
    expect(clock.timers).toBe(0);
  });

  it('the shortest pause after a failure is 50 ms', async () => {
    const { sender, clock, sent } = scene({ a: () => failed });
    sender.tick();
    await clock.advance(149);
    expect(sent.map(({ at }) => at)).toEqual([0, 50, 100]);
  });

  it('after a failure one timer waits, for the next try, and none once it has stopped', async () => {
    const { sender, clock } = scene({ a: () => failed });
    sender.tick();
    await settle();
    expect(clock.timers).toBe(1);
    await sender.stop(1200);
    expect(clock.timers).toBe(0);
  });
});

describe('refusals', () => {
  it.each([
    ['rights', 1000, 10_000],
    ['duplicateId', 1000, 10_000],
    ['malformed', 1000, 5000],
    ['malformed', 8000, 8000],
    ['overtaken', 1000, 1000],
    ['overtaken', 3000, 3000],
  ] as const)('%s, sending each %d ms: the next try after %d ms', async (reason, intervalMs, waitMs) => {
    const { sender, clock, sent } = scene({ a: (count) => (count === 1 ? refused(reason) : ack()) }, { intervalMs });
    sender.tick();
    await clock.advance(waitMs - 1);
    expect(sent).toHaveLength(1);
    await clock.advance(1);
    expect(sent.map(({ at }) => at)).toEqual([0, waitMs]);
  });
});

describe('ticks', () => {
  it('one that is due sends at once; up to a tenth of the interval early is due', async () => {
    const { sender, clock, sent } = scene({ a: () => ack() });
    sender.tick();
    await settle();
    await clock.advance(899);
    sender.tick();
    await settle();
    expect(sent).toHaveLength(1);
    await clock.advance(1);
    expect(sent).toHaveLength(1);
    const late = scene({ a: () => ack() });
    late.sender.tick();
    await settle();
    await late.clock.advance(900);
    late.sender.tick();
    await settle();
    expect(late.sent.map(({ at }) => at)).toEqual([0, 900]);
  });

  it('one that is earlier is made up for on time, once', async () => {
    const { sender, clock, sent } = scene({ a: () => ack() });
    for (const ms of [0, 500, 100, 100, 100]) {
      await clock.advance(ms);
      sender.tick();
    }
    await clock.advance(1000);
    expect(sent.map(({ at }) => at)).toEqual([0, 1000]);
  });

  it('where a queen asked for a longer interval, nothing is sent once the ticks have ended', async () => {
    const slow: SendOutcome = {
      kind: 'ack',
      reply: { accepted: true, queenId: 'q', ackEventSeq: 0, intervalMs: 3000 },
    };
    const { sender, clock, sent } = scene({ a: () => slow });
    for (const ms of [0, 1000, 1000]) {
      await clock.advance(ms);
      sender.tick();
    }
    await clock.advance(10_000);
    expect(sent).toHaveLength(1);
  });

  it('without a queen nothing is built, sent or called a failure', async () => {
    const { seconds, sender, built, clock } = scene({});
    await seconds(3);
    await sender.stop(1000);
    expect([built(), sender.failure, clock.timers]).toEqual([0, null, 0]);
    expect(sender.counts).toEqual({ taken: 0, failed: 0 });
  });
});

describe('what is said of it', () => {
  it('failures and the recovery are counted, and logged with code, count and queen', async () => {
    const error = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
    const { seconds, sender, logs } = scene({ a: (count) => (count < 4 ? Promise.reject(error) : ack()) });
    await seconds(2);
    expect(logs).toEqual([
      [{ code: 'ECONNREFUSED', failures: 1 }, 'heartbeat not taken: a: connect'],
      [{ queen: 'a', failures: 3 }, 'heartbeats are taken again'],
    ]);
    expect(sender.counts).toEqual({ taken: 2, failed: 3 });
  });
});

describe('stop', () => {
  it('passes on what the last heartbeat was answered, once; a second call sends nothing', async () => {
    const { sender, replies, sent } = scene({ a: () => ack(9) });
    await sender.stop(1000);
    await sender.stop(1000);
    expect(replies).toEqual([[9, 'a']]);
    expect(sent).toHaveLength(1);
  });

  it('nobody has to listen to replies', async () => {
    const { sender, seconds } = scene({ a: () => ack() }, { onReply: undefined } as never);
    await seconds(1);
    await sender.stop(1000);
    expect(sender.counts).toEqual({ taken: 1, failed: 0 });
  });

  it('a last heartbeat that is not taken is no reply', async () => {
    const { sender, replies } = scene({ a: () => failed });
    await sender.stop(1000);
    expect(replies).toEqual([]);
  });

  it('ends in its time, however many queens hang', async () => {
    const { sender, clock } = scene({ a: () => hang, b: () => hang, c: () => hang });
    let ended = -1;
    const start = clock.now();
    void sender.stop(1200).then(() => {
      ended = clock.now() - start;
    });
    await clock.advance(1199);
    expect(ended).toBe(-1);
    await clock.advance(1);
    expect(ended).toBe(1200);
  });

  it('what was under way is given up, and its end changes and says nothing', async () => {
    const { sender, clock, logs, replies } = scene({ a: (count) => (count === 1 ? hang : ack(2)) });
    sender.tick();
    await settle();
    await sender.stop(1200);
    await clock.advance(10_000);
    expect(sender.counts).toEqual({ taken: 0, failed: 0 });
    expect([logs, replies]).toEqual([[], [[2, 'a']]]);
  });
});

describe('a heartbeat as bytes', () => {
  it('up to 16 KiB goes as it is; one byte more is compressed', async () => {
    const around = JSON.stringify({ filler: '' }).length;
    const ofSize = (bytes: number) => encodeHeartbeat({ filler: 'x'.repeat(bytes - around) } as unknown as Heartbeat);
    expect(await ofSize(16 * 1024)).toMatchObject({ encoding: null, bytes: { length: 16 * 1024 } });
    expect((await ofSize(16 * 1024 + 1)).encoding).toBe('gzip');
  });
});
