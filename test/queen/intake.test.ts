import { gzipSync } from 'node:zlib';
import { describe, expect, it, vi } from 'vitest';
import { HeartbeatIntake, type IntakeLimits, type StreamHooks, sharedKey } from '../../lib/queen/intake.js';
import { Registry } from '../../lib/queen/registry.js';
import type { HeartbeatOutcome } from '../../lib/queen/registry-options.js';
import type { StreamBase } from '../../lib/queen/stream-base.js';
import type { HeartbeatChange } from '../../lib/queen/stream-merge.js';
import { heartbeatOf, workerOf } from '../harness/heartbeats.js';

const maxHeartbeatBytes = 64 * 1024;

function intakeOf(limits: Partial<IntakeLimits> = {}) {
  const registry = new Registry({ clock: () => 0, maxHives: 1, queenId: 'q' });
  const intake = new HeartbeatIntake(registry, {
    maxHeartbeatBytes,
    maxWorkersPerHive: 1,
    heartbeatsPerSecond: 1000,
    ...limits,
  });
  const bodyOf = (value: unknown, encoding: string | null = null) => ({
    bytes: Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value)),
    encoding,
  });
  return {
    registry,
    intake,
    bodyOf,
    send: async (value: unknown, encoding: string | null = null, hive: string | null = null) =>
      intake.receive(bodyOf(value, encoding), { key: 'k', owner: 'k', hive }),
  };
}

const heartbeat = (seq = 1, id = 'a') => ({ ...heartbeatOf(id), seq });

describe('the intake', () => {
  it('acknowledges a heartbeat, plain or compressed, and counts it', async () => {
    const { send, intake, registry } = intakeOf();
    const ack = { accepted: true, queenId: 'q', ackEventSeq: 0, intervalMs: 100 };
    expect(await send(heartbeat(1))).toEqual({ accepted: true, ack });
    expect(await send(gzipSync(JSON.stringify(heartbeat(2))), ' GZIP ')).toEqual({ accepted: true, ack });
    expect(await send(heartbeat(3), 'identity')).toEqual({ accepted: true, ack });
    expect(intake.counts.accepted).toBe(3);
    expect(intake.acceptedMs).toBeGreaterThanOrEqual(0);
    expect(registry.hiveIds()).toEqual(['a']);
  });

  it.each([
    ['INVALID_JSON', Buffer.from('{'), null, undefined, undefined],
    ['INVALID_ENCODING', Buffer.from('{}'), 'gzip', 'content-encoding', undefined],
    ['UNSUPPORTED_ENCODING', Buffer.from('{}'), 'zstd', 'content-encoding', undefined],
    ['PAYLOAD_TOO_LARGE', gzipSync(Buffer.alloc(maxHeartbeatBytes + 1, 32)), 'gzip', undefined, undefined],
    ['INVALID_HEARTBEAT', { ...heartbeat(), seq: 'x' }, null, 'seq', undefined],
    ['UNSUPPORTED_SCHEMA', { ...heartbeat(), schema: 2 }, null, 'schema', undefined],
    [
      'TOO_MANY_WORKERS',
      { ...heartbeat(), workers: [workerOf('llm/0'), workerOf('llm/1')] },
      null,
      'workers',
      undefined,
    ],
    ['WRONG_HIVE', heartbeat(1, 'b'), null, 'hive.id', undefined],
    ['STALE_SEQ', heartbeat(1), null, undefined, undefined],
  ])(
    'refuses with %s, names the field, and says nothing of coming back',
    async (code, value, encoding, field, retry) => {
      const { send, intake } = intakeOf();
      await send(heartbeat(1));
      const outcome = await send(value, encoding, 'a');
      expect(outcome).toMatchObject({ accepted: false, code, message: expect.any(String) });
      expect(outcome).toHaveProperty('hive', code === 'STALE_SEQ' ? 'a' : null);
      if (outcome.accepted) return;
      expect([outcome.field, outcome.retryAfterSeconds]).toEqual([field, retry]);
      expect(intake.counts.refused).toEqual(new Map([[code, 1]]));
    },
  );

  it('says when to come back where that helps', async () => {
    const { send } = intakeOf({ heartbeatsPerSecond: 1 });
    for (const seq of [1, 2]) await send(heartbeat(seq));
    const refused = { accepted: false, code: 'RATE_LIMITED', retryAfterSeconds: 1, hive: 'a' };
    expect(await send(heartbeat(3))).toMatchObject(refused);
    expect(await send(heartbeat(1, 'b'))).toMatchObject({ code: 'TOO_MANY_HIVES', retryAfterSeconds: 10 });
  });

  it('reads no more from who sent too many that were refused, and from nobody else', async () => {
    const { send, intake } = intakeOf({ refusedHeartbeatsPerSecond: 0.1 });
    expect(intake.admit('k')).toBeNull();
    await send(Buffer.from('{'));
    expect(intake.admit('k')).toEqual({
      ...{ accepted: false, code: 'RATE_LIMITED', retryAfterSeconds: 1, hive: null },
      message: expect.stringContaining('were refused'),
    });
    expect(intake.admit('other')).toBeNull();
  });

  it('what is refused only for now does not count against its sender', async () => {
    const { send, intake } = intakeOf({ refusedHeartbeatsPerSecond: 0.1 });
    await send(heartbeat(1));
    for (let seq = 1; seq <= 5; seq++)
      expect(await send(heartbeat(seq, 'b'))).toMatchObject({ code: 'TOO_MANY_HIVES' });
    expect(intake.counts.refused).toEqual(new Map([['TOO_MANY_HIVES', 5]]));
    expect(intake.admit('k')).toBeNull();
  });

  it('two seconds of heartbeats may come at once', async () => {
    const { send } = intakeOf({ heartbeatsPerSecond: 3 });
    for (let seq = 1; seq <= 6; seq++) expect(await send(heartbeat(seq))).toMatchObject({ accepted: true });
  });

  it('of one sender so much waits to be read and no more, also after a body that could not be read', async () => {
    const { send } = intakeOf();
    expect(await send(Buffer.from('{}'), 'gzip')).toMatchObject({ code: 'INVALID_ENCODING' });
    const large = Buffer.alloc(7 * 2 ** 20, ' ');
    const sent = [1, 2, 3, 4].map(() => send(large));
    expect(await sent[3]).toEqual({
      ...{ accepted: false, code: 'RATE_LIMITED', retryAfterSeconds: 1, hive: null },
      message: expect.stringContaining('wait to be read'),
    });
    for (const each of sent.slice(0, 3)) expect(await each).toMatchObject({ code: 'INVALID_JSON' });
  });

  it('passes on what hives sent here, acknowledges what is safe there, and passes on nothing that others sent', async () => {
    const { send, intake, bodyOf } = intakeOf();
    const forwarded: number[] = [];
    intake.forwarder = {
      state: () => 'degraded',
      publishHeartbeat: async ({ seq }) => {
        forwarded.push(seq);
        return 7;
      },
      publishDelta: () => 7,
      publishLoads: () => undefined,
    };
    expect(await send(heartbeat(1))).toMatchObject({ ack: { ackEventSeq: 7, degraded: true } });
    expect(await intake.receiveShared(bodyOf(heartbeat(2)), 'a')).toMatchObject({ accepted: true });
    expect(await intake.receiveShared(bodyOf(heartbeat(2)), 'a')).toMatchObject({ code: 'STALE_SEQ', hive: 'a' });
    expect(await intake.receiveShared(bodyOf(heartbeat(3)), 'b')).toMatchObject({ code: 'WRONG_HIVE', hive: null });
    expect(forwarded).toEqual([1]);
    expect(intake.counts).toMatchObject({ accepted: 1, refused: new Map() });
  });

  it('refuses a text of more parts than any heartbeat has before it is parsed', async () => {
    const { send, intake } = intakeOf({ maxHeartbeatBytes: 2 ** 22 });
    const labels = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`key${i}`, '']));
    for (const body of [{ ...heartbeat(), labels }, Buffer.from(`{"x":${'['.repeat(200_000)}`)])
      expect(await send(gzipSync(Buffer.isBuffer(body) ? body : JSON.stringify(body)), 'gzip')).toMatchObject({
        code: 'TOO_COMPLEX',
      });
    expect(intake.counts.refused.get('TOO_COMPLEX')).toBe(2);
  });

  it('reads no more from a sender whose refused heartbeats took seconds, until that is paid; others are heard', async () => {
    let nowMs = 0;
    const registry = new Registry({ clock: () => 0, queenId: 'q' });
    const limits = { maxHeartbeatBytes, maxWorkersPerHive: 1, heartbeatsPerSecond: 1000 };
    // Each look at the clock is a second later.
    const now = () => {
      nowMs += 1000;
      return nowMs;
    };
    const intake = new HeartbeatIntake(registry, limits, now, () => nowMs);
    const send = (key: string, value: unknown) =>
      intake.receive({ bytes: Buffer.from(JSON.stringify(value)), encoding: null }, { key, owner: key, hive: null });
    for (let sent = 0; sent < 8; sent++) send('costly', {});
    expect(intake.admit('costly')).toMatchObject({ code: 'RATE_LIMITED', retryAfterSeconds: 1 });
    expect(intake.admit('other')).toBeNull();
    nowMs += 60_000;
    expect(intake.admit('costly')).toBeNull();
  });

  it('charges nobody for the time in which others had the core', async () => {
    let nowMs = 0;
    const now = () => {
      nowMs += 4000;
      return nowMs;
    };
    const limits = { maxHeartbeatBytes, maxWorkersPerHive: 1, heartbeatsPerSecond: 1000 };
    const intake = new HeartbeatIntake(new Registry({ clock: () => 0 }), limits, now, () => 0);
    const send = (value: unknown) =>
      intake.receive(
        { bytes: Buffer.from(JSON.stringify(value)), encoding: null },
        { key: 'k', owner: 'k', hive: null },
      );
    for (let seq = 1; seq <= 8; seq++) expect(await send(heartbeat(seq))).toMatchObject({ accepted: true });
    expect(intake.admit('k')).toBeNull();
  });
});

/** An intake before a registry whose answers a test gives, on a clock that its work moves. */
function accounts(limits: Partial<IntakeLimits> = {}) {
  const clock = { nowMs: 0, workMs: 0 };
  const answer = {
    outcome: { accepted: true, arrival: 'next', ackEventSeq: 5, intervalMs: 100 } as unknown as HeartbeatOutcome | null,
    hasLoads: true,
  };
  const work = <T>(result: T): T => {
    clock.nowMs += clock.workMs;
    return result;
  };
  const calls = {
    heartbeat: vi.fn((..._: unknown[]) => work(answer.outcome)),
    patch: vi.fn((..._: unknown[]) => work(answer.outcome)),
    patchLoads: vi.fn((..._: unknown[]) => work(answer.hasLoads)),
  };
  const now = () => clock.nowMs;
  const intake = new HeartbeatIntake(
    { queenId: 'q', ...calls } as unknown as Registry,
    { maxHeartbeatBytes, maxWorkersPerHive: 9, heartbeatsPerSecond: 1e6, ...limits },
    now,
    now,
  );
  const body = { bytes: Buffer.from(JSON.stringify(heartbeat())), encoding: null };
  const source = { key: 'k', owner: 'o', hive: null };
  return { intake, clock, answer, calls, body, source };
}
const refusedNow = { accepted: false, code: 'TOO_MUCH_MEMORY', message: 'no room' } as HeartbeatOutcome;

describe('what a sender may cost', () => {
  it('of heartbeats that are taken in their time is known, of one no more than a good one takes', async () => {
    const { intake, clock, body, source, answer } = accounts();
    clock.workMs = 30;
    await intake.receive(body, source);
    expect(intake.acceptedMs).toBe(30);
    clock.workMs = 400;
    await intake.receive(body, source);
    expect(intake.acceptedMs).toBe(80);
    intake.forwarder = { state: () => 'single', publishHeartbeat: async () => 7 } as never;
    await intake.receive(body, source);
    expect(intake.acceptedMs).toBe(130);
    await intake.receiveShared(body, 'a');
    expect(intake.acceptedMs).toBe(180);
    answer.outcome = refusedNow;
    await intake.receive(body, source);
    await intake.receiveShared(body, 'a');
    expect(intake.acceptedMs).toBe(180);
  });

  it('beyond that time of a good one counts against its sender, up to that nothing', async () => {
    const { intake, clock, body, source } = accounts();
    clock.workMs = 50;
    for (let i = 0; i < 100; i++) await intake.receive(body, source);
    expect(intake.admit('k')).toBeNull();
    clock.workMs = 1000;
    for (let i = 0; i < 4; i++) await intake.receive(body, source);
    expect(intake.admit('k')).toMatchObject({ message: expect.stringContaining('too much of the time') });
    // Good ones do not pay for it.
    clock.workMs = 1;
    for (let i = 0; i < 100; i++) await intake.receive(body, source);
    expect(intake.admit('k')).not.toBeNull();
    expect(intake.admit('other')).toBeNull();
    clock.nowMs += 60_000;
    expect(intake.admit('k')).toBeNull();
  });

  it('of a message of a stream is charged as of a heartbeat, also where its work fails', () => {
    const { intake, clock, source } = accounts();
    const spend = (ms: number, accepted: boolean) =>
      intake.shared.charged(
        source,
        () => {
          clock.nowMs += ms;
          return accepted;
        },
        (result) => result,
      );
    expect(spend(40, true)).toBe(true);
    expect(intake.acceptedMs).toBe(40);
    expect(spend(100, false)).toBe(false);
    const fails = () =>
      intake.charged(
        source,
        () => {
          clock.nowMs += 5000;
          throw new Error('no message');
        },
        () => true,
      );
    expect(fails).toThrow('no message');
    expect(intake.acceptedMs).toBe(40);
    expect(intake.admit('k')).toMatchObject({ code: 'RATE_LIMITED' });
  });

  it('of what another queen passes on is charged by its hive, and read no more once it is too much', async () => {
    const { intake, clock, body, calls } = accounts();
    clock.workMs = 1000;
    for (let i = 0; i < 3; i++)
      expect(await intake.receiveShared(body, 'a')).toEqual({
        ...{ accepted: true, arrival: 'next', ackEventSeq: 5, intervalMs: 100 },
      });
    expect(intake.admit(sharedKey('a'))).not.toBeNull();
    expect(await intake.receiveShared(body, 'a')).toMatchObject({ accepted: false, code: 'RATE_LIMITED' });
    expect(calls.heartbeat).toHaveBeenCalledTimes(3);
  });

  it('in memory is its text and what its stream takes beside it; who keeps the stream hears of what is taken in alone', async () => {
    const { intake, body, source, calls, answer } = accounts();
    const published: unknown[][] = [];
    intake.forwarder = {
      state: () => 'single',
      publishHeartbeat: (...given: unknown[]) => {
        published.push(given);
        return 5;
      },
    } as never;
    const taken: unknown[] = [];
    const origin = { stream: 's', epoch: 1, schema: 'x' };
    const hooks: StreamHooks = {
      origin,
      extraBytes: () => 1000,
      taken: ({ heartbeat: { hive } }, textBytes) => taken.push([hive.id, textBytes]),
    };
    const textBytes = body.bytes.length;
    await intake.receive(body, source, hooks);
    await intake.receive(body, source);
    expect(calls.heartbeat.mock.calls.map(([, cost]) => cost)).toEqual([
      { owner: 'o', textBytes: textBytes + 1000 },
      { owner: 'o', textBytes },
    ]);
    expect(published.map(([, given, acknowledged, from]) => [given, acknowledged, from])).toEqual([
      [body, 5, origin],
      [body, 5, null],
    ]);
    expect(taken).toEqual([['a', textBytes]]);
    answer.outcome = refusedNow;
    const refused = { accepted: false, code: 'TOO_MUCH_MEMORY', retryAfterSeconds: 10, hive: 'a' };
    expect(await intake.receive(body, source, hooks)).toMatchObject(refused);
    expect(taken).toHaveLength(1);
  });

  it('a body that the queen itself fails to read is no fault of its sender', async () => {
    const { intake, source, calls, body } = accounts();
    calls.heartbeat.mockImplementation(() => {
      throw new TypeError('a fault of the queen');
    });
    expect(() => intake.receive(body, source)).toThrow('a fault of the queen');
  });
});

describe('changes that come by a stream', () => {
  const base = { hive: { id: 'a' } } as StreamBase;
  const change = { seq: 2, text: null } as unknown as HeartbeatChange;
  const delta = { stream: 's', bytes: Buffer.from('x') };
  const ack = { accepted: true, queenId: 'q', ackEventSeq: 5, intervalMs: 100 };

  it('are taken in and counted, or a whole heartbeat is asked for', () => {
    const { intake, source, calls, answer } = accounts();
    expect(intake.receiveChange(base, change, source, delta)).toEqual({ accepted: true, ack });
    expect(calls.patch).toHaveBeenCalledWith(base, change, 'o');
    answer.outcome = null;
    expect(intake.receiveChange(base, change, source, delta)).toBeNull();
    answer.outcome = refusedNow;
    expect(intake.receiveChange(base, change, source, delta)).toBeNull();
    expect(intake.counts).toMatchObject({ accepted: 1, refused: new Map() });
  });

  it('are passed on with their events, and acknowledged as far as they are safe there', async () => {
    const { intake, source } = accounts();
    const publishDelta = vi.fn(async (..._: unknown[]) => 3);
    intake.forwarder = { state: () => 'degraded', publishDelta } as never;
    const events = [{ seq: 4 }];
    const outcomes = [
      intake.receiveChange(base, change, source, delta),
      intake.receiveChange(base, { ...change, text: { events } } as never, source, delta),
    ];
    for (const outcome of outcomes)
      expect(await outcome).toEqual({ accepted: true, ack: { ...ack, ackEventSeq: 3, degraded: true } });
    expect(publishDelta.mock.calls).toEqual([
      [{ base, events: [], ...delta }, 5],
      [{ base, events, ...delta }, 5],
    ]);
  });

  it('that are loads are passed on; where they do not follow it is said why', () => {
    const { intake, source, answer } = accounts();
    expect(intake.receiveLoads(base, change, source, delta)).toBeNull();
    const publishLoads = vi.fn();
    intake.forwarder = { publishLoads } as never;
    expect(intake.receiveLoads(base, change, source, delta)).toBeNull();
    answer.hasLoads = false;
    expect(intake.receiveLoads(base, change, source, delta)).toBe('replaced');
    expect(publishLoads.mock.calls).toEqual([[{ base, ...delta }]]);
    expect(intake.counts.accepted).toBe(0);
  });

  it('of one hive are no more a second than its heartbeats', () => {
    const { intake, source, calls } = accounts({ heartbeatsPerSecond: 0.001 });
    expect(intake.receiveChange(base, change, source, delta)).toMatchObject({ accepted: true });
    expect(intake.receiveLoads(base, change, source, delta)).toBeNull();
    expect(intake.receiveChange(base, change, source, delta)).toMatchObject({
      ...{ accepted: false, code: 'RATE_LIMITED', hive: 'a' },
      retryAfterSeconds: expect.any(Number),
    });
    expect(intake.receiveLoads(base, change, source, delta)).toBe('rate');
    expect([calls.patch.mock.calls.length, calls.patchLoads.mock.calls.length]).toEqual([1, 1]);
  });

  it('of another queen are taken in by the same limits, neither counted nor passed on', async () => {
    const { intake, source, answer, body } = accounts({ heartbeatsPerSecond: 0.001 });
    const { shared } = intake;
    intake.forwarder = { state: () => 'single' } as never;
    const own = { ...source, key: 'shared a', hive: 'a' };
    expect(await shared.receive(body, own, undefined as never)).toEqual({ accepted: true, ack });
    expect(shared.receiveChange(base, change, own, delta)).toEqual({ accepted: true, ack });
    answer.outcome = null;
    expect(shared.receiveChange(base, change, own, delta)).toBeNull();
    answer.outcome = { accepted: true } as never;
    expect(shared.receiveChange(base, change, own, delta)).toBeNull();
    expect(shared.receiveLoads(base, change, own, delta)).toBe('rate');
    const other = { ...own, key: 'shared b' };
    expect(shared.receiveLoads(base, change, other, delta)).toBeNull();
    answer.hasLoads = false;
    expect(shared.receiveLoads(base, change, other, delta)).toBe('replaced');
    answer.outcome = refusedNow;
    expect(shared.receiveChange(base, change, { ...own, key: 'shared c' }, delta)).toBeNull();
    expect(await shared.receive(body, own, undefined as never)).toMatchObject({ code: 'TOO_MUCH_MEMORY', hive: 'a' });
    expect(intake.counts).toMatchObject({ accepted: 0, refused: new Map() });
  });
});
