import { describe, expect, it } from 'vitest';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { Random } from '../harness/random.js';
import { ChangingHive, copyOf, expectAlike, intakeOf, pairOfQueens, StreamLink, streamModel } from './stream-model.js';

describe('a registry by a stream, and one by POST', () => {
  it('answer every query alike after any changes, losses, cuts and restarts', async () => {
    const { keyframes, deltas, loads, resyncs } = await streamModel(7, 2000, 20);
    expect(deltas).toBeGreaterThan(keyframes / 4);
    expect(loads).toBeGreaterThan(10);
    expect([...resyncs]).toEqual(expect.arrayContaining(['outOfOrder', 'value']));
  }, 120_000);

  it('a link that works sends keyframes only where rows come or go, and each minute', async () => {
    const { time, posted, streamed } = pairOfQueens(0);
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

  it.each([
    ['all ones', (hive: Heartbeat) => Object.assign(hive.workers[0]!, { memoryBytes: 2 ** 32 - 1 })],
    ['what is below nothing', (hive: Heartbeat) => Object.assign(hive.workers[0]!.serving!, { running: -2 })],
    ['a part of something', (hive: Heartbeat) => Object.assign(hive.workers[0]!, { processCount: 1.5 })],
    ['more than the whole', (hive: Heartbeat) => Object.assign(hive.gpus[0]!, { memoryUsedBytes: 2 ** 45 })],
    ['a null where none can be', (hive: Heartbeat) => Object.assign(hive.gpus[0]!, { index: null })],
  ])('of a number that no device has (%s) nothing is merged before it is judged whole', async (_, change) => {
    const { time, posted, streamed } = pairOfQueens(0);
    const hive = new ChangingHive('a', 1, new Random(1), 0).hive;
    const link = new StreamLink(streamed, () => time.nowMs);
    const intake = intakeOf(posted);
    for (let i = 0; i < 3; i++) {
      const heartbeat = copyOf(hive.nextHeartbeat());
      if (i === 2) change(heartbeat);
      const body = { bytes: Buffer.from(JSON.stringify(heartbeat)), encoding: null };
      const taken = await link.send(heartbeat);
      const outcome = await intake.receive(body, { key: 'k', owner: 'o', hive: null });
      expect(outcome.accepted ? true : outcome.code).toBe(taken);
      time.advance(1000);
      expectAlike(streamed, posted);
    }
    expect([...link.counts.resyncs]).toEqual([['value', 1]]);
  });
});
