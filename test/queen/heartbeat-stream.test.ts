import { describe, expect, it } from 'vitest';
import { Random } from '../harness/random.js';
import { ChangingHive, copyOf, expectAlike, intakeOf, pairOfQueens, StreamLink, streamModel } from './stream-model.js';

describe('a registry by a stream, and one by POST', () => {
  it('answer every query alike after any changes, losses, cuts and restarts', async () => {
    const { keyframes, deltas, resyncs } = await streamModel(7, 3000, 20);
    expect(deltas).toBeGreaterThan(keyframes / 4);
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
});
