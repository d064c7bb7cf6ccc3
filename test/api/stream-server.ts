import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { HeartbeatStreams } from '../../lib/api/heartbeat-streams.js';
import { buildServer } from '../../lib/api/server.js';
import { StreamHub } from '../../lib/api/stream-hub.js';
import { memoryBus } from '../../lib/cluster/memory.js';
import type { TokenGrant } from '../../lib/config/options.js';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { StreamTransport } from '../../lib/hive/transport-stream.js';
import { TokenTable } from '../../lib/http/auth.js';
import { HeartbeatIntake } from '../../lib/queen/intake.js';
import { Registry } from '../../lib/queen/registry.js';
import { SimulatedHive } from '../harness/simulated-fleet.js';

export interface Given {
  readonly grants?: readonly TokenGrant[];
  readonly heartbeatsPerSecond?: number;
  readonly hasStreams?: boolean;
  readonly clock?: () => number;
  readonly manyStreams?: number;
}

/** A queen on a port of loopback. */
export async function serve({
  grants: given = [],
  heartbeatsPerSecond = 1000,
  hasStreams = true,
  clock,
  manyStreams = 256,
}: Given = {}) {
  const registry = new Registry(clock === undefined ? {} : { clock });
  const table = new TokenTable(given);
  const limits = { maxHeartbeatBytes: 1024 * 1024, maxWorkersPerHive: 500, heartbeatsPerSecond };
  const intake = new HeartbeatIntake(registry, limits);
  const warnings: string[] = [];
  const log = { warn: (_fields: object, message: string) => void warnings.push(message) };
  const streams = hasStreams ? new HeartbeatStreams({ registry, intake, log, manyStreams }) : null;
  const app = await buildServer({
    registry,
    hub: new StreamHub(registry),
    tokens: table,
    version: '0.0.0',
    loopback: true,
    pageDirectory: '/nonexistent',
    bus: memoryBus(registry),
    intake,
    streams,
    requestsPerSecond: 10_000,
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  onTestFinished(() => app.close());
  const { port } = app.server.address() as AddressInfo;
  return { registry, intake, streams, table, app, port, warnings, url: `http://127.0.0.1:${port}` };
}

const never = new AbortController().signal;

export function transportTo(url: string, token?: string) {
  const said: string[] = [];
  const log = { info: (_: object, message: string) => void said.push(message), warn: () => undefined };
  const transport = new StreamTransport(url, { log, ...(token === undefined ? {} : { token }) });
  onTestFinished(() => transport.close());
  const send = (heartbeat: Heartbeat) => transport.send(heartbeat, never);
  return { transport, send, said };
}

export const hiveOf = (id = 'a') => new SimulatedHive({ id, workers: 4, gpus: 2, asksEngines: true });

/** A client that says what it likes. */
export async function rawClient(port: number, headers: Record<string, string> = {}) {
  const client = new WebSocket(`ws://127.0.0.1:${port}/v1/stream`, 'hivepulse.1', { headers });
  onTestFinished(() => client.terminate());
  const heard: { type: string; [name: string]: unknown }[] = [];
  const waiting: (() => void)[] = [];
  client.on('message', (data) => {
    heard.push(JSON.parse(String(data)));
    for (const wake of waiting.splice(0)) wake();
  });
  const next = async () => {
    while (heard.length === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    return heard.shift()!;
  };
  await once(client, 'open');
  return { client, next, closed: once(client, 'close') as Promise<[number]> };
}
