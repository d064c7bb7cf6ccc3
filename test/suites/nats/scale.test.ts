import { connect } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { heartbeatSubject } from '../../../lib/nats/subjects.js';
import { useHarness } from '../../harness/harness.js';
import { SimulatedHive } from '../../harness/simulated-fleet.js';
import { waitFor } from '../../harness/wait.js';
import { fleetOf, natsServer, queenOn, whole } from './cluster-of-queens.js';

const harness = useHarness();
const hives = 2000;
/** Longer than the default, so that the simulated hives leave the queens some of a small machine. */
const intervalMs = 5000;

test('a queen that joins a fleet of 2,000 hives is whole within two intervals', async () => {
  const server = await natsServer(harness());
  const first = await queenOn(harness(), server);
  const fleet = Array.from(
    { length: hives },
    (_, i) => new SimulatedHive({ id: `h${i}`, seed: i + 1, workers: 2, gpus: 1, intervalMs }),
  );
  const connection = await connect({ servers: server.url.replace('nats://', '') });
  harness().defer(() => connection.close());
  // Each second a fifth of them send, as hives do that were not started together.
  let turn = 0;
  const slices = 50;
  const timer = setInterval(() => {
    for (let i = turn % slices; i < hives; i += slices) {
      const hive = fleet[i] as SimulatedHive;
      connection.publish(heartbeatSubject(hive.id), JSON.stringify(hive.nextHeartbeat()));
    }
    turn++;
  }, intervalMs / slices);
  harness().defer(() => clearInterval(timer));
  harness().defer(async () => {
    await Promise.all(fleet.map((hive) => hive.close()));
  });
  await whole(first.url, hives, 60_000);

  const second = await harness().queen({ args: ['--nats', server.url] });
  const joined = performance.now();
  expect((await fleetOf(second.url)).warming).toBe(true);
  await waitFor(async () => (await fleetOf(second.url)).hives.online === hives, {
    timeoutMs: 2 * intervalMs,
    what: 'the joining queen to be whole',
  });
  console.log(
    `whole ${Math.round(performance.now() - joined)} ms after it listened, at an interval of ${intervalMs} ms`,
  );
});
