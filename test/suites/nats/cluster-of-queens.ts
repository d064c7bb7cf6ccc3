import { expect } from 'vitest';
import type { Fleet, GpuView, HiveView, PlacementReply, WorkerView } from '../../../lib/contract/api.js';
import { type Daemon, getJson, type Harness } from '../../harness/harness.js';
import { SimulatedFleet, SimulatedHive } from '../../harness/simulated-fleet.js';
import { waitFor } from '../../harness/wait.js';
import { NatsServer, type NatsServerOptions } from './nats-server.js';

export async function natsServer(harness: Harness, options: NatsServerOptions = {}): Promise<NatsServer> {
  const server = await NatsServer.start(options);
  harness.defer(() => server.close());
  return server;
}

/** A queen on NATS; ready when it shares. */
export async function queenOn(harness: Harness, server: NatsServer, args: readonly string[] = []): Promise<Daemon> {
  const queen = await harness.queen({ args: ['--nats', server.url, '--warming', '0', ...args] });
  await sharing(queen.url);
  return queen;
}

export const fleetOf = (url: string): Promise<Fleet> => getJson<Fleet>(`${url}/v1/fleet`);

export function sharing(url: string, bus: Fleet['bus'] = 'nats', timeoutMs = 30_000): Promise<unknown> {
  return waitFor(async () => (await fleetOf(url)).bus === bus, { timeoutMs, what: `${url} to say ${bus}` });
}

export interface SpreadOptions {
  readonly hives: number;
  readonly workers?: number;
  readonly gpus?: number;
  readonly intervalMs?: number;
}

/** Hives that know all queens, each beginning with another one. */
export function spreadFleet(harness: Harness, urls: readonly string[], options: SpreadOptions): SimulatedFleet {
  const { hives, workers = 2, gpus = 2, intervalMs = 1000 } = options;
  const fleet = new SimulatedFleet(
    (agent) =>
      Array.from({ length: hives }, (_, i) => {
        const turn = i % urls.length;
        return new SimulatedHive({
          id: `node.${String(i).padStart(4, '0')}`,
          queenUrls: [...urls.slice(turn), ...urls.slice(0, turn)],
          workers,
          gpus,
          intervalMs,
          seed: i + 1,
          agent,
        });
      }),
    { connections: 32 },
  );
  harness.defer(() => fleet.close());
  return fleet;
}

async function all<T>(url: string, path: string): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null = null;
  do {
    const query: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const page: { items: T[]; nextCursor: string | null } = await getJson(`${url}${path}?limit=1000${query}`);
    items.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return items;
}

/** What a queen knows, without what is its own: the age of things. */
export async function knowledge(url: string): Promise<unknown> {
  const [hives, workers, gpus, fleet] = await Promise.all([
    all<HiveView>(url, '/v1/hives'),
    all<WorkerView>(url, '/v1/workers'),
    all<GpuView>(url, '/v1/gpus'),
    fleetOf(url),
  ]);
  return {
    totals: fleet.workers,
    hives: hives.map(({ ageMs: _, ...hive }) => hive).sort((a, b) => (a.id < b.id ? -1 : 1)),
    workers: workers.map(({ ageMs: _, ...worker }) => worker).sort((a, b) => (a.key < b.key ? -1 : 1)),
    gpus: gpus.map(({ ageMs: _, ...gpu }) => gpu).sort((a, b) => (a.uuid < b.uuid ? -1 : 1)),
    placements: await placements(url),
  };
}

async function placements(url: string): Promise<unknown> {
  const { candidates, candidateCount, refusedCount } = await place(url, { vramBytes: 2 * 2 ** 30 });
  return { candidateCount, refusedCount, hives: candidates.map(({ hive }) => hive).sort() };
}

export async function place(url: string, request: object): Promise<PlacementReply> {
  const response = await fetch(`${url}/v1/placements`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request),
  });
  const body = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${body}`);
  return JSON.parse(body) as PlacementReply;
}

/** All queens know the same within 2 s, now that nobody speaks. */
export async function agree(urls: readonly string[], hives: number): Promise<void> {
  const deadline = performance.now() + 2000;
  let views: readonly unknown[] = [];
  do {
    views = await Promise.all(urls.map(knowledge));
    if (new Set(views.map((view) => JSON.stringify(view))).size === 1) break;
  } while (performance.now() < deadline);
  for (const view of views.slice(1)) expect(view).toEqual(views[0]);
  expect((views[0] as { hives: unknown[] }).hives).toHaveLength(hives);
}

/** Waits until each hive was taken `count` more times. */
export async function heartbeats(fleet: SimulatedFleet, count = 1): Promise<void> {
  const before = fleet.hives.map(({ counts }) => counts.accepted);
  await waitFor(() => fleet.hives.every(({ counts }, i) => counts.accepted >= (before[i] as number) + count), {
    timeoutMs: 20_000,
    what: `${count} more heartbeats of every hive`,
  });
}

/** Ends the heartbeats of a fleet, so that all is quiet: a last one of each at once, so that none is late while queens are compared. */
export async function hush(fleet: SimulatedFleet): Promise<void> {
  await Promise.all(fleet.hives.map((hive) => hive.stop()));
  await fleet.sendHeartbeat();
}

/** Every hive is online at a queen. */
export function whole(url: string, hives: number, timeoutMs = 15_000): Promise<unknown> {
  return waitFor(async () => (await fleetOf(url)).hives.online === hives, {
    timeoutMs,
    what: `${url} to hear all ${hives} hives`,
  });
}
