/** One GPU and one host at one moment: the registry, the tables of the commands, `top` and /metrics have the same figures. */
import { describe, expect, test } from 'vitest';
import { gpuColumns } from '../../lib/cli/columns.js';
import { hiveColumns, hostCpu } from '../../lib/cli/hive-columns.js';
import { type Column, csvLines, printTable } from '../../lib/cli/table.js';
import { plain } from '../../lib/cli/text.js';
import { render } from '../../lib/cli/top/render.js';
import { initialUi } from '../../lib/cli/top/ui.js';
import {
  formatBytes,
  formatCelsius,
  formatCores,
  formatGib,
  formatPercent,
  formatWatts,
} from '../../lib/present/units.js';
import { fleetSamples } from '../harness/every-output.js';
import { gpuOf, heartbeatOf } from '../harness/heartbeats.js';
import { TestQueen } from '../queen/heartbeats.js';
import { topState } from './fleet.js';

const GiB = 1024 ** 3;

const gpu = gpuOf('GPU-7', {
  index: 2,
  memoryTotalBytes: 80 * GiB,
  memoryUsedBytes: 61.25 * GiB,
  memoryReservedBytes: null,
  utilizationPercent: 82,
  temperatureCelsius: 64,
  powerWatts: 412,
  powerLimitWatts: 700,
});

function fleet() {
  const registry = new TestQueen();
  const heartbeat = heartbeatOf('a', 1, { gpus: [gpu] });
  registry.heartbeat({
    ...heartbeat,
    host: {
      ...heartbeat.host,
      cpuCount: 8,
      cpuPercent: 341.5,
      memoryTotalBytes: 64 * GiB,
      memoryAvailableBytes: 48 * GiB,
    },
  });
  const hives = registry.hives({}).items;
  const gpus = registry.gpus({}).items;
  const series = new Map(fleetSamples(registry));
  const of = (name: string) => series.get(`hivepulse_fleet_${name}`) ?? null;
  const items = { hives, workers: [], gpus, events: [] };
  const screen = (ui: object) =>
    render(topState(items, { ui: { ...initialUi, ...ui } }), { columns: 200, rows: 60 })
      .map(plain)
      .join('\n')
      .replace(/\s+/g, ' ');
  return { hives, gpus, of, screen };
}

const texts = <T>(columns: readonly Column<T>[], rows: readonly T[]): readonly (readonly [string, string])[] => [
  ['table', printTable(columns, rows, 1000, false).join('\n').replace(/\s+/g, ' ')],
  ['csv', csvLines(columns, rows).join('\n').replace(/\s+/g, ' ')],
];

describe('a GPU at one moment', () => {
  test('has the same use, memory, temperature and power everywhere, in the same units', () => {
    const { gpus, of, screen } = fleet();
    const [item] = gpus;
    const figures = {
      use: formatPercent(item!.utilizationPercent),
      memory: formatGib(item!.memoryUsedBytes),
      temperature: formatCelsius(item!.temperatureCelsius),
      power: formatWatts(item!.powerWatts),
    };
    expect(figures).toEqual({ use: '82 %', memory: '61.3 GiB', temperature: '64 °C', power: '412 W' });
    expect({
      use: formatPercent(of('gpu_utilization_ratio')! * 100),
      memory: formatGib(of('gpu_memory_used_bytes')),
      temperature: formatCelsius(of('gpu_temperature_celsius')),
      power: formatWatts(of('gpu_power_watts')),
    }).toEqual(figures);
    const shown = { ...figures, memory: '61.3 / 80.0 GiB', power: '412 / 700 W' };
    for (const [where, text] of [
      ...texts(gpuColumns, gpus),
      ['top', screen({ view: 'gpus' })] as const,
      ['its hive in top', screen({ detail: { kind: 'hive', key: 'a' } })] as const,
    ])
      for (const [what, figure] of Object.entries(shown)) expect(text, `${what} in ${where}`).toContain(figure);
  });
});

describe('a host at one moment', () => {
  test('has the same CPU in cores, and memory, everywhere', () => {
    const { hives, of, screen } = fleet();
    const { host } = hives[0]!;
    const used = host.memoryTotalBytes! - host.memoryAvailableBytes!;
    expect(formatCores(host.cpuPercent)).toBe('3.4');
    expect(formatCores(of('hive_cpu_used_cores')! * 100)).toBe('3.4');
    expect(of('hive_memory_total_bytes')! - of('hive_memory_available_bytes')!).toBe(used);
    const detail = screen({ detail: { kind: 'hive', key: 'a' } });
    for (const [where, text] of [
      ...texts(hiveColumns, hives),
      ['top', screen({ view: 'hives' })] as const,
      ['its details in top', detail] as const,
    ]) {
      expect(text, where).toMatch(/\b3\.4 \/ 8\b/);
      expect(text, where).toContain('16.0 / 64.0 GiB');
    }
  });

  test('a host inside a container is measured by the CPUs that its limit leaves it', () => {
    const { hives } = fleet();
    const container = {
      ...{ cpus: 1.5, machineCpuCount: 8, throttledPercent: null },
      ...{ memoryBytes: null, machineMemoryTotalBytes: 64 * GiB, machineMemoryAvailableBytes: null },
    };
    const [hive] = hives.map((view) => ({ ...view, host: { ...view.host, cpuPercent: 75, container } }));
    const items = { hives: [hive!], workers: [], gpus: [], events: [] };
    const ui = { ...initialUi, detail: { kind: 'hive' as const, key: 'a' } };
    const detail = render(topState(items, { ui }), { columns: 100, rows: 60 }).map(plain);
    expect(detail.find((line) => line.includes('CPU'))).toContain('0.75 / 1.5 cores');
    expect(hostCpu(hive!)).toBe(0.5);
    for (const [where, text] of texts(hiveColumns, [hive!])) expect(text, where).toContain('0.75 / 1.5');
  });

  test('bytes go by size', () => {
    expect([0, 512 * 1024, 11.2 * GiB, 2.7 * 1024 * GiB].map(formatBytes)).toEqual([
      '0 B',
      '512 KiB',
      '11.2 GiB',
      '2.70 TiB',
    ]);
  });
});
