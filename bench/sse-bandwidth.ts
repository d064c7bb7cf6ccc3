/** What one open page costs the network: bytes of its event stream on the wire, once its snapshot is there. */
import { request } from 'node:http';
import { startQueen } from '../lib/daemon/queen.js';
import { SimulatedHive } from '../test/harness/simulated-fleet.js';
import type { BenchContext } from './metric.js';

const seconds = 5;
/** Snapshots are large, and come in the time of many heartbeats. */
const settleMs = 1500;

/** kB a second of `hives` hosts with four GPUs and four workers each, each of which sends a heartbeat a second. */
export async function bandwidthOf(context: BenchContext, hives: number, search: string): Promise<number> {
  const queen = await startQueen({ port: 0, warmingMs: 0, maxHives: 2 * hives });
  context.defer(() => queen.close());
  const fleet = Array.from(
    { length: hives },
    (_, i) => new SimulatedHive({ id: `gpu-${i}`, seed: i + 1, workers: 4, gpus: 4 }),
  );
  const send = (hive: SimulatedHive) => queen.registry.heartbeat(hive.nextHeartbeat());
  for (const hive of fleet) send(hive);
  let bytes = 0;
  const opened = request(`${queen.url}/v1/events${search}`, { headers: { 'accept-encoding': 'gzip' } });
  opened.on('response', (response) =>
    response.on('data', (data: Buffer) => {
      bytes += data.length;
    }),
  );
  opened.on('error', () => {});
  opened.end();
  await new Promise((resolve) => setTimeout(resolve, settleMs));
  // What is sent first of each host is whole.
  for (const hive of fleet) send(hive);
  await new Promise((resolve) => setTimeout(resolve, settleMs));
  bytes = 0;
  const started = performance.now();
  let sent = 0;
  while (sent < hives * seconds) {
    const due = Math.min(hives * seconds, Math.floor(((performance.now() - started) / 1000) * hives));
    for (; sent < due; sent++) send(fleet[sent % hives]!);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await new Promise((resolve) => setTimeout(resolve, 300));
  opened.destroy();
  await queen.close();
  return bytes / 1000 / seconds;
}
