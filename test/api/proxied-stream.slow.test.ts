import { expect, it } from 'vitest';
import { proxiedStreamModel } from './proxied-stream-model.js';

/** HIVEPULSE_MODEL_CHANGES: how many, 1,000,000 in the nights. */
const changes = Number(process.env.HIVEPULSE_MODEL_CHANGES ?? 20_000);

it(`${changes} changes through a proxy that loses, repeats, swaps, splits, delays, tears and cuts, with restarts on both ends, leave what POST leaves`, async () => {
  const found = await proxiedStreamModel(7, changes, 40);
  expect(found.deltas).toBeGreaterThan(changes / 50);
  for (const count of [found.whole, found.posts, found.streams, found.queenRestarts, found.hiveRestarts])
    expect(count).toBeGreaterThan(0);
  expect([...found.bytes.keys()].toSorted()).toEqual(
    ['delayed', 'ended', 'passed', 'refused', 'split', 'swallowed', 'torn'].toSorted(),
  );
}, 14_400_000);
