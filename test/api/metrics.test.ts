import { describe, expect, it, onTestFinished } from 'vitest';
import { familiesOfQueen } from '../../lib/api/metric-families.js';
import type { BusCounts } from '../../lib/cluster/bus.js';
import type { QueenOptions } from '../../lib/config/options.js';
import { type Queen, startQueen } from '../../lib/daemon/queen.js';
import { Exposition, type Family } from '../../lib/metrics/exposition.js';
import { HeartbeatCounts } from '../../lib/queen/intake.js';
import { Registry } from '../../lib/queen/registry.js';
import { fleetScrape } from '../harness/fleet-scrape.js';
import { eventOf, gpuOf, heartbeatOf, servingOf, workerOf } from '../harness/heartbeats.js';
import { parseExposition, sampleOf } from '../metrics/parse.js';
import { hasPromtool, promtool, withoutPromtool } from '../metrics/tools.js';

async function queenOf(options: QueenOptions = {}): Promise<Queen> {
  const queen = await startQueen({ port: 0, warmingMs: 0, ...options });
  onTestFinished(() => queen.close());
  return queen;
}

const postHeartbeat = (queen: Queen, heartbeat: unknown, token?: string) =>
  fetch(`${queen.url}/v1/heartbeats`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(heartbeat),
  });

const scrape = async (queen: Queen) => parseExposition(await (await fetch(`${queen.url}/metrics`)).text());

/** A registry on a clock that tests move, and what a scrape of it says. */
function fleet(maxWorkers = 1000, shared: BusCounts | null = null, maxGpus = 1000) {
  const clock = { ms: 0 };
  const registry = new Registry({ clock: () => clock.ms, warmingMs: 0, epoch: 'e' });
  const exposition = new Exposition(familiesOfQueen, { paced: true });
  const heartbeats = new HeartbeatCounts();
  const text = () =>
    exposition.text(
      'prometheus',
      fleetScrape({
        registry,
        maxWorkers,
        maxGpus,
        heartbeats,
        streams: 2,
        streamsParted: 0,
        version: '1',
        bus: 'memory',
        shared,
      }),
    );
  return { clock, registry, text, parsed: async () => parseExposition(await text()) };
}

describe('metrics of a queen', () => {
  it('families of any length are written in pieces with one head, and scrapes that overlap follow each other', async () => {
    const family: Family<number> = {
      ...{ name: 'm', type: 'gauge', help: 'Of many.', labels: ['i'] },
      *collect(count) {
        for (let i = 0; i < count; i++) yield { value: i, labels: { i } };
      },
    };
    const written = new Exposition([family, { ...family, name: 'n' }], { paced: true });
    const whole = (count: number) => {
      const lines = (name: string) => Array.from({ length: count }, (_, i) => `${name}{i="${i}"} ${i}`);
      const of = (name: string) => [`# HELP ${name} Of many.`, `# TYPE ${name} gauge`, ...lines(name)].join('\n');
      return `${of('m')}\n\n${of('n')}\n`;
    };
    const began: number[] = [];
    const scrape = (count: number) => written.text('prometheus', async () => began.push(count) && count);
    const failed = written.text('prometheus', () => Promise.reject(new Error('no scrape')));
    const counts = [0, 1, 499, 500, 501, 1000, 1723];
    const texts = counts.map(scrape);
    await expect(failed).rejects.toThrow('no scrape');
    expect(await Promise.all(texts)).toEqual(counts.map(whole));
    expect(began).toEqual(counts);
  });

  it('hives by liveness, the age of their last heartbeat, GPUs and workers; never under the names of a hive', async () => {
    const { clock, registry, parsed } = fleet();
    registry.heartbeat(heartbeatOf('a'));
    registry.heartbeat(
      heartbeatOf('b', 1, { gpus: [gpuOf('GPU-1', { memoryUsedBytes: null, health: 'stalled' })], workers: [] }),
    );
    clock.ms = 4000;
    registry.heartbeat(heartbeatOf('a', 2));
    clock.ms = 4500;
    const families = await parsed();
    const value = (name: string, labels: Record<string, string> = {}) => sampleOf(families, name, labels)?.value;
    expect(value('hivepulse_fleet_hives', { liveness: 'online' })).toBe(1);
    expect(value('hivepulse_fleet_hives', { liveness: 'late' })).toBe(1);
    expect(value('hivepulse_fleet_hive_liveness', { hive: 'b', liveness: 'late' })).toBe(1);
    expect(value('hivepulse_fleet_hive_last_heartbeat_age_seconds', { hive: 'b' })).toBe(4.5);
    expect(value('hivepulse_fleet_gpus', { health: 'stalled' })).toBe(1);
    expect(value('hivepulse_fleet_gpu_memory_used_bytes', { gpu: 'GPU-1' })).toBeUndefined();
    expect(value('hivepulse_fleet_worker_cpu_used_cores', { hive: 'a', worker: 'llm/0' })).toBe(0.8725);
    expect(value('hivepulse_queen_streams')).toBe(2);
    for (const name of families.keys()) expect(name).toMatch(/^hivepulse_(fleet|queen)_/);
    for (const { name, labels } of familiesOfQueen)
      for (const sample of families.get(name)?.samples ?? [])
        for (const label of Object.keys(sample.labels)) expect(labels, name).toContain(label);
  });

  it('events are counted by kind, also an OOM kill whose worker ended with it and never showed it', async () => {
    const { registry, parsed } = fleet();
    const events = async (kind: string) => sampleOf(await parsed(), 'hivepulse_queen_events_total', { kind })?.value;
    // From 0, so that the first is a rise.
    expect([await events('oomKill'), await events('hiveOffline'), await events('other')]).toEqual([0, 0, 0]);
    const told = (seq: number, kind: string) => eventOf(seq, { kind: kind as 'oomKill', workerId: 'llm/gone' });
    const ended = [told(1, 'oomKill'), told(2, 'workerExited')];
    registry.heartbeat(heartbeatOf('a', 1, { events: ended }));
    expect([await events('oomKill'), await events('workerExited'), await events('hiveJoined')]).toEqual([1, 1, 1]);
    // Sent again until it is acknowledged: counted once.
    registry.heartbeat(heartbeatOf('a', 2, { events: [...ended, told(3, 'ofANewerHive')] }));
    expect([await events('oomKill'), await events('other')]).toEqual([1, 1]);
    expect(sampleOf(await parsed(), 'hivepulse_queen_events_total', { kind: 'ofANewerHive' })).toBeUndefined();
  });

  it('what queens share is told where they do, and is absent where there is one', async () => {
    const counts = {
      forwarded: 1,
      received: 2,
      superseded: 3,
      malformed: 4,
      oversized: 5,
      conflicts: 6,
      isLeader: true,
    };
    const families = await fleet(1000, counts).parsed();
    const value = (name: string, labels: Record<string, string> = {}) => sampleOf(families, name, labels)?.value;
    for (const [count, result] of ['passed', 'heard', 'skipped', 'malformed', 'oversized'].entries())
      expect(value('hivepulse_queen_bus_heartbeats_total', { result }), result).toBe(count + 1);
    expect(value('hivepulse_queen_bus_speaks')).toBe(1);
    expect(value('hivepulse_queen_bus_reservation_conflicts_total')).toBe(6);
    const alone = await fleet().parsed();
    for (const [name, { samples }] of alone) if (name.startsWith('hivepulse_queen_bus_')) expect(samples).toEqual([]);
  });

  it('an offline hive keeps its liveness and loses its values; a forgotten one loses all', async () => {
    const { clock, registry, text, parsed } = fleet();
    registry.heartbeat(heartbeatOf('a'));
    clock.ms = 20_000;
    const families = await parsed();
    expect(sampleOf(families, 'hivepulse_fleet_hive_liveness', { liveness: 'offline' })?.value).toBe(1);
    expect(families.get('hivepulse_fleet_gpu_memory_used_bytes')?.samples).toEqual([]);
    expect(families.get('hivepulse_fleet_worker_memory_bytes')?.samples).toEqual([]);
    expect(sampleOf(families, 'hivepulse_fleet_workers', { state: 'offline' })?.value).toBe(1);
    clock.ms = 120_000;
    expect(await text()).not.toContain('hive="a"');
  });

  it('VRAM of which nothing is known has no sample, never 0', async () => {
    const { registry, parsed } = fleet();
    registry.heartbeat(heartbeatOf('a', 1, { gpus: [gpuOf('GPU-1', { memoryUsedBytes: null, health: 'stalled' })] }));
    const stalled = await parsed();
    for (const name of ['hivepulse_fleet_vram_total_bytes', 'hivepulse_fleet_vram_used_bytes'])
      expect(stalled.get(name)?.samples, name).toEqual([]);
    expect(sampleOf(stalled, 'hivepulse_fleet_vram_uncounted_gpus')?.value).toBe(1);
    registry.heartbeat(heartbeatOf('b', 1, { gpus: [gpuOf('GPU-2', { memoryTotalBytes: 8, memoryUsedBytes: 3 })] }));
    const some = await parsed();
    expect(sampleOf(some, 'hivepulse_fleet_vram_total_bytes')?.value).toBe(8);
    expect(sampleOf(some, 'hivepulse_fleet_vram_used_bytes')?.value).toBe(3);
  });

  it('the energy of a token says whether it is a share, and of a model counts workers beyond the cap too', async () => {
    const { registry, parsed } = fleet(1);
    const worker = (id: string, uuid: string) =>
      workerOf(id, {
        model: 'm',
        gpus: [{ uuid, memoryUsedBytes: 1, utilizationPercent: 40 }],
        serving: servingOf({ generationTokensPerSecond: 100 }),
      });
    const gpus = [gpuOf('A', { powerWatts: 300 }), gpuOf('B', { powerWatts: 200, memoryTotalBytes: 48 * 2 ** 30 })];
    registry.heartbeat(heartbeatOf('a', 1, { gpus, workers: [worker('llm/0', 'A'), worker('llm/1', 'B')] }));
    const own = await parsed();
    expect(sampleOf(own, 'hivepulse_fleet_worker_joules_per_token', { worker: 'llm/0', gpus: 'own' })?.value).toBe(3);
    expect(sampleOf(own, 'hivepulse_fleet_model_joules_per_token', { model: 'm', gpus: 'own' })?.value).toBe(2.5);
    registry.heartbeat(heartbeatOf('a', 2, { gpus, workers: [worker('llm/0', 'A'), worker('llm/1', 'A')] }));
    const shared = await parsed();
    expect(
      sampleOf(shared, 'hivepulse_fleet_worker_joules_per_token', { worker: 'llm/0', gpus: 'shared' })?.value,
    ).toBe(1.5);
  });

  it('series of a worker end with it', async () => {
    const { registry, text } = fleet();
    registry.heartbeat(heartbeatOf('a'));
    expect(await text()).toContain('worker="llm/0"');
    registry.heartbeat(heartbeatOf('a', 2, { workers: [] }));
    expect(await text()).not.toContain('worker="llm/0"');
  });

  it('workers beyond the cap have no series, and are counted', async () => {
    const { registry, parsed } = fleet(3);
    for (const id of ['a', 'b'])
      registry.heartbeat(heartbeatOf(id, 1, { workers: ['llm/0', 'llm/1'].map((each) => workerOf(each)) }));
    const families = await parsed();
    expect(families.get('hivepulse_fleet_worker_memory_bytes')?.samples).toHaveLength(3);
    expect(sampleOf(families, 'hivepulse_queen_workers_without_series')?.value).toBe(1);
    const none = fleet(0);
    none.registry.heartbeat(heartbeatOf('a'));
    expect((await none.parsed()).get('hivepulse_fleet_worker_info')?.samples).toEqual([]);
  });

  it('GPUs beyond metricsGpus have no series, but as many that are not healthy do, and the others are counted', async () => {
    const { registry, parsed } = fleet(0, null, 3);
    for (const id of ['a', 'b', 'c'])
      registry.heartbeat(
        heartbeatOf(id, 1, {
          workers: [],
          gpus: ['0', '1'].map((each) => gpuOf(`GPU-${id}-${each}`, { health: id === 'c' ? 'lost' : 'ok' })),
        }),
      );
    const families = await parsed();
    const listed = families.get('hivepulse_fleet_gpu_health')?.samples.map(({ labels }) => labels.gpu);
    expect(listed).toEqual(['GPU-a-0', 'GPU-a-1', 'GPU-b-0', 'GPU-c-0', 'GPU-c-1']);
    expect(sampleOf(families, 'hivepulse_queen_gpus_without_series')?.value).toBe(1);
    expect(sampleOf(families, 'hivepulse_queen_workers_without_series')?.value).toBe(0);
  });

  it('a hive with codes of faults without end has series of some, and of the others one', async () => {
    const { registry, parsed } = fleet(3);
    const faults = Array.from({ length: 900 }, (_, i) => ({ source: 'x', code: `C${i % 300}`, message: 'x' }));
    registry.heartbeat(heartbeatOf('a', 1, { faults: faults as never }));
    const samples = (await parsed()).get('hivepulse_fleet_hive_faults')?.samples ?? [];
    expect(samples).toHaveLength(33);
    expect(samples.reduce((sum, { value }) => sum + value, 0)).toBe(900);
    expect(samples.find(({ labels }) => labels.code === 'OTHER')?.value).toBe(900 - 32 * 3);
  });

  it('a running queen counts heartbeats taken and refused, by code', async () => {
    const queen = await queenOf();
    expect((await postHeartbeat(queen, heartbeatOf('a', 5))).status).toBe(200);
    expect((await postHeartbeat(queen, heartbeatOf('a', 5))).status).toBe(409);
    expect((await postHeartbeat(queen, { schema: 1 })).status).toBe(400);
    const families = await scrape(queen);
    expect(sampleOf(families, 'hivepulse_queen_heartbeats_accepted_total')?.value).toBe(1);
    expect(sampleOf(families, 'hivepulse_queen_heartbeats_refused_total', { code: 'STALE_SEQ' })?.value).toBe(1);
    expect(sampleOf(families, 'hivepulse_queen_heartbeats_refused_total', { code: 'INVALID_HEARTBEAT' })?.value).toBe(
      1,
    );
    expect(sampleOf(families, 'process_resident_memory_bytes')?.value).toBeGreaterThan(1e7);
    expect((await fetch(`${queen.url}/metrics`)).headers.get('content-type')).toBe(
      'text/plain; version=0.0.4; charset=utf-8',
    );
  });

  it('a token of role read is needed where tokens are, and a hive’s is not enough', async () => {
    const read = 'read-token-0123456789';
    const hive = 'hive-token-0123456789';
    const queen = await queenOf({
      tokens: [
        { role: 'read', token: read },
        { role: 'hive', token: hive },
      ],
    });
    const ask = async (token?: string) =>
      (await fetch(`${queen.url}/metrics`, { headers: token ? { authorization: `Bearer ${token}` } : {} })).status;
    expect(await ask()).toBe(401);
    expect(await ask(hive)).toBe(403);
    expect(await ask(read)).toBe(200);
    await postHeartbeat(queen, heartbeatOf('a'), 'wrong-token-0123456789');
    const text = await (await fetch(`${queen.url}/metrics`, { headers: { authorization: `Bearer ${read}` } })).text();
    expect(text).toContain('hivepulse_queen_heartbeats_refused_total{code="UNAUTHENTICATED"} 1');
  });

  it.skipIf(!hasPromtool)(`promtool check metrics finds nothing to say${withoutPromtool}`, async () => {
    const queen = await queenOf();
    await postHeartbeat(queen, heartbeatOf('a', 5));
    await postHeartbeat(queen, heartbeatOf('a', 5));
    const { status, output } = promtool(['check', 'metrics'], await (await fetch(`${queen.url}/metrics`)).text());
    expect(output).toBe('');
    expect(status).toBe(0);
  });
});
