import type { FastifyInstance, LightMyRequestResponse } from 'fastify';
import { onTestFinished } from 'vitest';
import { buildServer, type ServerDeps } from '../../lib/api/server.js';
import { StreamHub } from '../../lib/api/stream-hub.js';
import { memoryBus } from '../../lib/cluster/memory.js';
import type { TokenGrant } from '../../lib/config/options.js';
import { TokenTable } from '../../lib/http/auth.js';
import { RequestTurns } from '../../lib/http/request-turns.js';
import { HeartbeatIntake, type IntakeLimits } from '../../lib/queen/intake.js';
import { Registry } from '../../lib/queen/registry.js';

export const tokens = {
  hive: 'hive-token-0123456789',
  bound: 'bound-token-0123456789',
  read: 'read-token-0123456789',
  schedule: 'schedule-token-0123456789',
  admin: 'admin-token-0123456789',
} as const;

export const grants: readonly TokenGrant[] = [
  { role: 'hive', token: tokens.hive },
  { role: 'hive', token: tokens.bound, hive: 'a' },
  { role: 'read', token: tokens.read },
  { role: 'schedule', token: tokens.schedule },
  { role: 'admin', token: tokens.admin },
];

export interface TestServer {
  readonly app: FastifyInstance;
  readonly registry: Registry;
  readonly hub: StreamHub;
  readonly table: TokenTable;
  readonly clock: { ms: number };
  post(heartbeat: unknown, headers?: Record<string, string>): Promise<LightMyRequestResponse>;
}

type TestServerOptions = {
  readonly grants?: readonly TokenGrant[];
  readonly limits?: Partial<IntakeLimits>;
} & Partial<ServerDeps>;

/** One that closes after the test that builds it. */
export async function serverOfTest(options?: TestServerOptions): Promise<TestServer> {
  const server = await buildTestServer(options);
  onTestFinished(() => server.app.close());
  return server;
}

/** A server on a clock that stands still, asked without a socket. */
export async function buildTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const { grants: given = [], limits, ...deps } = options;
  const clock = { ms: 1_000_000 };
  const registry = new Registry({ clock: () => clock.ms, epoch: 'test' });
  const hub = new StreamHub(registry);
  const table = new TokenTable(given);
  const bus = deps.bus ?? memoryBus(registry);
  const intake = new HeartbeatIntake(registry, {
    maxHeartbeatBytes: 1024 * 1024,
    maxWorkersPerHive: 500,
    heartbeatsPerSecond: 1000,
    refusedHeartbeatsPerSecond: 1e6,
    ...limits,
  });
  intake.forwarder = bus;
  const app = await buildServer({
    registry,
    hub,
    tokens: table,
    version: '0.0.0',
    loopback: true,
    pageDirectory: '/nonexistent',
    bus,
    intake,
    requestsPerSecond: 10_000,
    ...deps,
  });
  return {
    app,
    registry,
    hub,
    table,
    clock,
    post: (heartbeat, headers = {}) =>
      app.inject({
        method: 'POST',
        url: '/v1/heartbeats',
        headers: { 'content-type': 'application/json', host: 'localhost', ...headers },
        payload: typeof heartbeat === 'string' || Buffer.isBuffer(heartbeat) ? heartbeat : JSON.stringify(heartbeat),
      }),
  };
}

/** One turn that never ends: whatever is to be written is written at once. */
export const endlessTurn = (): RequestTurns =>
  new RequestTurns({ now: () => 0, soon: () => undefined, settled: (then) => then() });
