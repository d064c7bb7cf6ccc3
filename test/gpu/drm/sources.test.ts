import { expect, it } from 'vitest';
import { waitFor } from '../../harness/wait.js';
import { FakeDrmHost, MiB, radeon } from './fake-host.js';
import { at, held, vulkan } from './hazard.js';
import { drmSource, failingVendors } from './sources.js';

it('a pass over the cards is a new one, though a vendor without cards is some passes behind', async () => {
  using host = new FakeDrmHost([radeon(at)]);
  let isBehind = false;
  const [amd] = failingVendors(() => undefined);
  const [, intel] = failingVendors(() => (isBehind ? 'hangs' : undefined));
  using drm = drmSource(host, { vendors: [amd!, intel!] });
  await drm.next();
  isBehind = true;
  // It is called stalled as soon as it is more than two seconds behind.
  for (let pass = 0; pass < 3; pass++) expect((await drm.next()).status).toBe('working');
  host.process(4100, [vulkan(7, 1000, 0)]);
  const next = drm.next();
  await waitFor(() => drm.source.latest().status === 'stalled', { what: 'a vendor that is called stalled' });
  isBehind = false;
  const reading = await next;
  expect([reading.status, held(reading)]).toEqual(['working', [[4100, 1000 * MiB, 0]]]);
});
