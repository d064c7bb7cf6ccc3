import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { HeartbeatIntake, type IntakeLimits } from '../../lib/queen/intake.js';
import { Registry } from '../../lib/queen/registry.js';
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
    expect(await send(heartbeat(3))).toMatchObject({ code: 'RATE_LIMITED', retryAfterSeconds: 1, hive: 'a' });
    expect(await send(heartbeat(1, 'b'))).toMatchObject({ code: 'TOO_MANY_HIVES', retryAfterSeconds: 10 });
  });

  it('reads no more from who sent too many that were refused, and from nobody else', async () => {
    const { send, intake } = intakeOf({ refusedHeartbeatsPerSecond: 0.1 });
    expect(intake.admit('k')).toBeNull();
    await send(Buffer.from('{'));
    expect(intake.admit('k')).toMatchObject({ code: 'RATE_LIMITED', retryAfterSeconds: 1 });
    expect(intake.admit('other')).toBeNull();
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
