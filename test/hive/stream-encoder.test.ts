import { describe, expect, it } from 'vitest';
import { messageTypes } from '../../lib/contract/stream/codec.js';
import { StreamEncoder } from '../../lib/hive/stream-encoder.js';
import { SimulatedHive } from '../harness/simulated-fleet.js';

/** At which of so many seconds a hive sends a keyframe, where nothing but time makes it. */
async function keyframeSeconds(seconds: number, asks: boolean, resetAt = -1): Promise<number[]> {
  let second = 0;
  const encoder = new StreamEncoder(
    () => second * 1000,
    () => 0.5,
  );
  encoder.asksForKeyframes = asks;
  const hive = new SimulatedHive({ id: 'one', workers: 1, gpus: 1, now: () => 0 });
  const { seq, ...rest } = hive.nextHeartbeat();
  const at: number[] = [];
  for (; second < seconds; second++) {
    if (second === resetAt) encoder.reset();
    const { bytes } = await encoder.encode({ ...rest, seq: seq + second });
    if (bytes[0] === messageTypes.keyframe) at.push(second);
  }
  return at;
}

describe('keyframes of a hive', () => {
  it('come each minute by themselves, at a time of its own', async () => {
    expect(await keyframeSeconds(200, false)).toEqual([0, 30, 90, 150]);
  });

  it('come each ten minutes and when the queen asks, where it says that it does', async () => {
    expect(await keyframeSeconds(1000, true, 77)).toEqual([0, 77, 300, 900]);
  });
});
