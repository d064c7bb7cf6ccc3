import { expect, it } from 'vitest';
import { proxiedStreamModel } from './proxied-stream-model.js';

it('a stream through a bad network, with restarts on both ends, leaves what POST leaves', async () => {
  const { deltas, settled } = await proxiedStreamModel(3, 3000, 10);
  expect(deltas).toBeGreaterThan(60);
  expect(settled).toBeGreaterThan(3);
}, 60_000);
