import { expect, it } from 'vitest';
import { proxiedStreamModel } from './proxied-stream-model.js';

it('a stream through a bad network, with restarts on both ends, leaves what POST leaves', async () => {
  const { deltas, settled } = await proxiedStreamModel(3, 1000, 10);
  expect(deltas).toBeGreaterThan(20);
  expect(settled).toBeGreaterThan(0);
}, 60_000);
