import type { DrmClient } from '../../../lib/native/drm-clients.js';

/** What a client says, by name. */
export function plain(client: DrmClient) {
  const { driver, pdev, id, engines, percents, regions } = client.shape;
  return {
    driver,
    pdev,
    id,
    engines: new Map(
      engines.map((name, i) => [name, { busy: client.busy(i), of: client.of(i), capacity: client.capacity(i) }]),
    ),
    enginePercents: new Map(percents.map((name, i) => [name, client.percent(i)])),
    residentBytes: new Map(regions.map((name, i) => [name, client.bytes(i)])),
  };
}
