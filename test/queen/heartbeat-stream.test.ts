import { describe, expect, it } from 'vitest';
import { Random } from '../harness/random.js';
import { ManualClock, TestQueen } from './heartbeats.js';
import { ChangingHive, copyOf, expectAlike, intakeOf, StreamLink } from './stream-model.js';

/** HIVEPULSE_MODEL_CHANGES: how many changes, for the nights. */
const changes = Number(process.env.HIVEPULSE_MODEL_CHANGES ?? 6000);

/** Two registries on one clock: one is sent whole heartbeats, the other a stream. */
function pair(startedMs: number) {
  const time = new ManualClock(startedMs);
  const options = { clock: time.read, wallClock: time.read, epoch: 'e', queenId: 'q', random: () => 0.5 };
  return { time, posted: new TestQueen(options), streamed: new TestQueen(options) };
}

/** Every way in which a link can fail, a little of each. */
async function model(seed: number, count: number, settleEvery: number) {
  const random = new Random(seed);
  const hives = ['a', 'b', 'c'].map((id, i) => new ChangingHive(id, seed + i, random));
  const perHeartbeat = 3;
  let { time, posted, streamed } = pair(1_000_000);
  let intake = intakeOf(posted);
  let faulty = false;
  const carry = (bytes: Buffer) => {
    if (!faulty || random.chance(0.9)) return bytes;
    return random.chance(0.5) ? null : bytes.subarray(0, random.whole(0, bytes.length - 1));
  };
  const linkOf = () => new StreamLink(streamed, () => time.nowMs, carry);
  let links = hives.map(linkOf);
  const totals = { keyframes: 0, deltas: 0, resyncs: new Set<string>() };
  const addUp = () => {
    for (const { counts } of links) {
      totals.keyframes += counts.keyframes;
      totals.deltas += counts.deltas;
      for (const reason of counts.resyncs.keys()) totals.resyncs.add(reason);
    }
  };
  const send = async (i: number) => {
    const heartbeat = hives[i]!.next();
    const taken = await links[i]!.send(heartbeat);
    if (taken === null) return;
    const body = { bytes: Buffer.from(JSON.stringify(heartbeat)), encoding: null };
    const outcome = await intake.receive(body, { key: 'k', owner: 'o', hive: null });
    expect(outcome.accepted ? true : outcome.code).toBe(taken);
  };
  for (let done = 0, round = 0; done < count; round++) {
    for (let i = 0; i < hives.length; i++, done += perHeartbeat) await send(i);
    time.advance(random.pick([1000, 1000, 1000, 1000, 4000]));
    if (random.chance(0.02)) links[random.whole(0, 2)]!.reconnect();
    if (random.chance(0.002)) {
      addUp();
      ({ time, posted, streamed } = pair(time.nowMs + 1000));
      intake = intakeOf(posted);
      links = hives.map(linkOf);
    }
    if (random.chance(0.01)) for (const queen of [posted, streamed]) queen.removeHive('b');
    faulty = !faulty && random.chance(0.3);
    if (round % settleEvery === 0) {
      faulty = false;
      for (let i = 0; i < hives.length; i++) await send(i);
      expectAlike(streamed, posted);
    }
  }
  addUp();
  return totals;
}

describe('a registry by a stream, and one by POST', () => {
  it('answer every query alike after any changes, losses, cuts and restarts', async () => {
    const { keyframes, deltas, resyncs } = await model(7, changes, 20);
    expect(deltas).toBeGreaterThan(keyframes / 4);
    expect([...resyncs]).toEqual(expect.arrayContaining(['malformed', 'outOfOrder', 'replaced', 'value']));
  }, 3_600_000);

  it('a link that works sends keyframes only where rows come or go, and each minute', async () => {
    const { time, posted, streamed } = pair(0);
    const hive = new ChangingHive('a', 1, new Random(1), 0).hive;
    const link = new StreamLink(streamed, () => time.nowMs);
    const intake = intakeOf(posted);
    for (let i = 0; i < 240; i++) {
      const heartbeat = copyOf(hive.nextHeartbeat());
      expect(await link.send(heartbeat)).toBe(true);
      await intake.receive(
        { bytes: Buffer.from(JSON.stringify(heartbeat)), encoding: null },
        { key: 'k', owner: 'o', hive: null },
      );
      time.advance(1000);
      expectAlike(streamed, posted);
    }
    expect(link.counts.resyncs.size).toBe(0);
    expect(link.counts.keyframes).toBeLessThanOrEqual(6);
  });
});
