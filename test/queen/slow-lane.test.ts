import { expect, it, vi } from 'vitest';
import { SlowLane } from '../../lib/queen/slow-lane.js';

const large = 1024 * 1024;

/** A lane whose clock moves as work and waits say. */
function laneOfTest() {
  let nowMs = 0;
  const waits: number[] = [];
  const lane = new SlowLane({
    now: () => nowMs,
    wait: async (ms) => {
      waits.push(Math.max(0, ms));
      nowMs += Math.max(0, ms);
    },
  });
  const work = (ms: number) => () => {
    nowMs += ms;
    return ms;
  };
  return { lane, waits, work };
}

it('short heartbeats never wait; large ones that take long are followed by a pause of three times as long', async () => {
  const { lane, waits, work } = laneOfTest();
  expect(lane.run(1000, 'a', work(5))).toBe(5);
  const turns = [300, 20, 20, 5000, 1].map((ms) => lane.run(large, 'a', work(ms)));
  expect(await Promise.all(turns)).toEqual([300, 20, 20, 5000, 1]);
  expect(waits).toEqual([0, 900, 0, 0, 1000]);
});

it('those of 256 KiB and more are read one after the other, shorter ones beside them', async () => {
  const { lane } = laneOfTest();
  const began: string[] = [];
  const ends: (() => void)[] = [];
  const slow = (name: string) => () => {
    began.push(name);
    return new Promise<void>((resolve) => void ends.push(resolve));
  };
  const border = 256 * 1024;
  const turns = [lane.run(border, 'a', slow('first')), lane.run(border, 'b', slow('second'))];
  void lane.run(border - 1, 'c', slow('short'));
  await vi.waitFor(() => expect(began).toEqual(['short', 'first']));
  ends[1]?.();
  await turns[0];
  await vi.waitFor(() => expect(began).toEqual(['short', 'first', 'second']));
  ends[2]?.();
  await turns[1];
});

it('what waits has a limit in bytes, of all and of one sender; the lane goes on after an error', async () => {
  const { lane, work } = laneOfTest();
  const failing = lane.run(large, 'a', () => {
    throw new Error('work failed');
  });
  const ofOne = Array.from({ length: 30 }, () => lane.run(large, 'a', work(1)));
  expect(ofOne.filter((turn) => turn === null)).toHaveLength(7);
  expect(lane.run(large, 'b', work(1))).not.toBeNull();
  await expect(failing).rejects.toThrow('work failed');
  await Promise.all(ofOne);
  expect(await lane.run(large, 'a', work(2))).toBe(2);
});
