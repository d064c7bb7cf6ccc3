import { expect, it } from 'vitest';
import { streamModel } from './stream-model.js';

/** HIVEPULSE_MODEL_CHANGES: how many, 1,000,000 in the nights. */
const changes = Number(process.env.HIVEPULSE_MODEL_CHANGES ?? 20_000);

it(`${changes} changes by a lossy stream, with cuts and restarts, leave what POST leaves`, async () => {
  const { deltas, resyncs } = await streamModel(11, changes, 50);
  expect(deltas).toBeGreaterThan(changes / 20);
  expect([...resyncs]).toEqual(expect.arrayContaining(['malformed', 'outOfOrder', 'replaced', 'value']));
}, 14_400_000);
