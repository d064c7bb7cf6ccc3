import { expect } from 'vitest';
import { countRows } from '../../lib/client/mirror.js';
import { gpuFields } from '../../lib/contract/fields/gpu.js';
import { plausibleRules } from '../../lib/contract/fields/plausible.js';
import type { GpuSample, Heartbeat } from '../../lib/contract/heartbeat.js';
import { readHeartbeat } from '../../lib/contract/validate.js';
import { gpuKnowledge } from '../../lib/gpu/knowledge.js';
import type { GpuReading } from '../../lib/gpu/reading.js';
import { familiesOfHive, hiveScrape } from '../../lib/hive/metric-families.js';
import { gpuNullText, nullPaths, unexplained } from '../../lib/present/null-text.js';
import type { TestQueen } from '../queen/heartbeats.js';
import { fleetSamples, monstrous, shownText } from './every-output.js';
import { heartbeatOf, wire, workerOf } from './heartbeats.js';

/** What no reader of GPUs fills in. */
export const notOfReaders: readonly string[] = ['processCount', 'unattributedBytes', 'lastXid'];

/** The heartbeat of a hive `h` whose GPUs were read so, with one worker that holds none of them; as a queen takes it. */
export function heartbeatOfReading(reading: GpuReading, seq: number): Heartbeat {
  const gpus: GpuSample[] = reading.devices.map(({ processesKnown: _, ...device }) => ({
    ...device,
    processCount: null,
    unattributedBytes: null,
  }));
  const knowledge = gpuKnowledge(reading);
  const { gpusReason } = knowledge;
  const heartbeat = heartbeatOf('h', seq, {
    gpus,
    ...knowledge,
    faults: [...reading.faults],
    workers: [workerOf('llm/0', { gpus: [], vramUsedBytes: null, gpusReason })],
  });
  expect(readHeartbeat(wire(heartbeat), { maxWorkers: 10 }).ok).toBe(true);
  return heartbeat;
}

const rules = plausibleRules(gpuFields).filter(({ name }) => !notOfReaders.includes(name));

const implausible = (faults: Heartbeat['faults'], uuid: string): readonly string[] =>
  faults.flatMap(({ code, field, gpuUuid }) =>
    code === 'IMPLAUSIBLE' && gpuUuid === uuid && field !== undefined ? [field] : [],
  );

/** Of each GPU: what is a number can be one, and what is null has its reason in words. */
export function holdValues({ gpus, ...hive }: Heartbeat): void {
  // What is wrong, asserted once: an assertion of each value takes longer than all that it asks.
  const wrong: string[] = [];
  for (const gpu of gpus) {
    const values = gpu as unknown as Record<string, Record<string, number> | number | null>;
    for (const { name, part, least, most } of rules) {
      const value = part === undefined ? values[name] : (values[name] as Record<string, number> | null)?.[part];
      if (typeof value === 'number' && !(value >= least && value <= most)) wrong.push(`${name} ${value}`);
    }
    for (const name of nullPaths(gpuFields, gpu))
      if (!notOfReaders.includes(name) && gpuNullText(gpu, name, { ...hive, gpus }).text === unexplained)
        wrong.push(`${name} of ${gpu.uuid} is null without a reason`);
    for (const field of implausible(hive.faults, gpu.uuid))
      if ((values[field] ?? null) !== null)
        wrong.push(`a fault of ${field}, which is ${JSON.stringify(values[field])}`);
  }
  expect(wrong).toEqual([]);
}

const isCounted = ({ memoryTotalBytes, memoryUsedBytes }: GpuSample): boolean =>
  memoryTotalBytes !== null && memoryUsedBytes !== null;

/** GPUs that make up the VRAM of a host: one that is cut by itself where its memory is known, else by its parts. */
const standing = (gpus: readonly GpuSample[]): readonly GpuSample[] =>
  gpus.flatMap((gpu) => {
    if (gpu.parentUuid !== null) return gpus.some(({ uuid }) => uuid === gpu.parentUuid) ? [] : [gpu];
    const parts = gpus.filter(({ parentUuid }) => parentUuid === gpu.uuid);
    return parts.length === 0 || isCounted(gpu) ? [gpu] : parts;
  });

/** What a queen shows of the heartbeat that it took last: queries, metrics, tables, `top`, page. */
export function holdOutputs(heartbeat: Heartbeat, queen: TestQueen): void {
  const unknownHive = heartbeat.gpusKnown === 'unknown';
  const { gpus } = queen.fleet();
  expect(gpus.total).toBe(heartbeat.gpus.length);
  expect(gpus.unknownHives).toBe(unknownHive ? 1 : 0);
  const own = standing(heartbeat.gpus);
  const counted = own.filter(isCounted);
  expect(gpus.memoryTotalBytes).toBe(
    counted.length === 0 ? null : counted.reduce((sum, gpu) => sum + (gpu.memoryTotalBytes ?? 0), 0),
  );
  expect(gpus.uncounted).toBe(own.length - counted.length);
  const hive = queen.hive('h');
  if (hive === null) throw new Error('no hive');
  expect(countRows([hive], []).unknownGpuHives).toBe(gpus.unknownHives);
  for (const { reason, detail } of queen.place({ vramBytes: 1 }).refusals) {
    expect(reason).not.toBe('noGpu');
    if (unknownHive)
      expect([reason, detail]).toEqual(['gpusUnknown', expect.stringContaining(heartbeat.gpusReason ?? '')]);
  }
  const rows = shownText(queen);
  expect(rows).not.toMatch(monstrous);
  if (unknownHive) expect(rows).not.toMatch(/no GPU/i);
  for (const gpu of queen.gpus({}).items) {
    expect(gpu).toMatchObject({ ...heartbeat.gpus.find(({ uuid }) => uuid === gpu.uuid) });
    // On unified memory it is what the host has free.
    if (gpu.memoryUsedBytes === null && gpu.memoryKind === 'device') expect(gpu.freeBytes).toBeNull();
  }
  const fleet = fleetSamples(queen);
  expect(fleet.filter(([, value]) => monstrous.test(String(value)))).toEqual([]);
  const unknownHives = fleet.filter(([name]) => name === 'hivepulse_fleet_unknown_gpu_hives');
  expect(unknownHives).toEqual([['hivepulse_fleet_unknown_gpu_hives', unknownHive ? 1 : 0]]);
  const scrape = hiveScrape({
    heartbeat,
    sinceSnapshotMs: 0,
    counters: new Map(),
    sends: { taken: 0, failed: 0 },
    oomKills: 0,
  });
  const samples = familiesOfHive.flatMap((family) =>
    family.name.startsWith('hivepulse_gpu_')
      ? Array.from(family.collect(scrape), ({ value }) => [family.name, value])
      : [],
  );
  expect(samples.filter(([name]) => name === 'hivepulse_gpu_memory_used_bytes')).toHaveLength(
    heartbeat.gpus.filter(({ memoryUsedBytes }) => memoryUsedBytes !== null).length,
  );
  expect(samples.filter(([name]) => name === 'hivepulse_gpu_throttled')).toHaveLength(
    heartbeat.gpus.reduce((sum, { throttleReasons }) => sum + new Set(throttleReasons).size, 0),
  );
  expect(samples.filter(([, value]) => monstrous.test(String(value)))).toEqual([]);
}
