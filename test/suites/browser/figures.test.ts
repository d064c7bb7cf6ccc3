/** A worker, a GPU and a host at one moment: API, page, `top`, commands and /metrics have the same figures. */
import { describe, expect, it } from 'vitest';
import type { GpuList, HiveList, WorkerList } from '../../../lib/contract/api.js';
import type { Queen } from '../../../lib/daemon/queen.js';
import { coresOf, usedMemoryOf } from '../../../lib/present/host-figures.js';
import {
  formatCelsius,
  formatCores,
  formatGib,
  formatGibOf,
  formatPercent,
  formatWatts,
} from '../../../lib/present/units.js';
import { formatGpuUse } from '../../../lib/present/worker-figures.js';
import { runCli } from '../../cli/run-cli.js';
import { gpuOf, heartbeatOf, workerOf } from '../../harness/heartbeats.js';
import { useBrowser } from './support.js';

const use = useBrowser();
const GiB = 1024 ** 3;
const uuids = ['GPU-0', 'GPU-1', 'GPU-2', 'GPU-3'];

/** Its page cache is large: whoever shows all that is charged shows 22 GiB. */
const worker = workerOf('llm/0', {
  model: 'm',
  cpuPercent: 341.5,
  memoryBytes: 22 * GiB,
  workingSetBytes: 3.14 * GiB,
  memoryLimitBytes: null,
  gpus: uuids.map((uuid) => ({ uuid, memoryUsedBytes: 11.5 * GiB, utilizationPercent: 82 })),
  gpuUtilizationPercent: 328,
  vramUsedBytes: 46 * GiB,
  vramTotalBytes: 96 * GiB,
  state: 'busy',
});

/** Kept apart by all that they show. */
const gpus = uuids.map((uuid, index) =>
  gpuOf(uuid, {
    index,
    memoryTotalBytes: 80 * GiB,
    memoryUsedBytes: (61.25 + index) * GiB,
    memoryReservedBytes: null,
    utilizationPercent: 82 - index,
    temperatureCelsius: 64 - index,
    powerWatts: 412 - index,
    powerLimitWatts: 700,
  }),
);

/** Its processes may use six of the 96 CPUs: whoever counts by those of the machine shows another share. */
const container = {
  cpus: 6,
  machineCpuCount: 96,
  memoryBytes: 64 * GiB,
  machineMemoryTotalBytes: 512 * GiB,
  machineMemoryAvailableBytes: null,
  throttledPercent: null,
};

/** Nothing is sent after it, and nothing is late: all that look see the same moment. */
function send(queen: Queen): void {
  const heartbeat = { ...heartbeatOf('a', 1, { gpus, workers: [worker] }), intervalMs: 600_000 };
  const host = {
    cpuCount: 96,
    cpuPercent: 341.5,
    memoryTotalBytes: 64 * GiB,
    memoryAvailableBytes: 48 * GiB,
    container,
  };
  const outcome = queen.registry.heartbeat({ ...heartbeat, host: { ...heartbeat.host, ...host } });
  expect(outcome.accepted).toBe(true);
}

/** What the API, /metrics and the commands give of one kind. */
async function ask<List>(queen: Queen, kind: 'workers' | 'gpus' | 'hives') {
  const [list, metrics, table, csv, json, top] = await Promise.all([
    fetch(`${queen.url}/v1/${kind}`).then((reply) => reply.json() as Promise<List>),
    fetch(`${queen.url}/metrics`).then((reply) => reply.text()),
    runCli([kind, '--queen', queen.url]),
    runCli([kind, '--queen', queen.url, '-o', 'csv']),
    runCli([kind, '--queen', queen.url, '-o', 'json']),
    runCli(['top', '--view', kind, '--queen', queen.url]),
  ]);
  const texts = { [kind]: table.stdout, csv: csv.stdout, top: top.stdout };
  return { list, metrics, texts, json: JSON.parse(json.stdout) as List };
}

const lineWith = (text: string, word: string) =>
  (text.split('\n').find((line) => line.includes(word)) ?? '').replace(/\s+/g, ' ');

/** Each figure is in each text. */
function expectAll(figures: Readonly<Record<string, string>>, texts: Readonly<Record<string, string>>): void {
  for (const [where, text] of Object.entries(texts))
    for (const [what, figure] of Object.entries(figures))
      expect(text.replace(/\s+/g, ' '), `${what} in ${where}`).toContain(figure);
}

/** The value of the one series of a family that has a label. */
function seriesOf(text: string, family: string, label = 'worker="llm/0"'): number {
  const lines = text.split('\n').filter((line) => line.startsWith(`${family}{`) && line.includes(label));
  expect(lines, family).toHaveLength(1);
  return Number(lines[0]!.slice(lines[0]!.lastIndexOf(' ') + 1));
}

describe('a worker at one moment', () => {
  it('has the same cores, memory, GPU and VRAM everywhere, in the same units', async () => {
    const queen = await use.queen({ staleAfterMs: 3_600_000 });
    send(queen);
    const page = await use.open(`${queen.url}/?view=workers`);
    await page.waitForSelector('.worker-row[data-key="a/llm/0"]');
    const cells = await page.locator('.worker-row[data-key="a/llm/0"]').innerText();
    const list = (await (await fetch(`${queen.url}/v1/workers`)).json()) as WorkerList;
    const metrics = await (await fetch(`${queen.url}/metrics`)).text();
    const [table, json, top] = await Promise.all([
      runCli(['workers', '--queen', queen.url]),
      runCli(['workers', '--queen', queen.url, '--json']),
      runCli(['top', '--view', 'workers', '--queen', queen.url]),
    ]);

    const [item] = list.items;
    expect((JSON.parse(json.stdout) as WorkerList).items[0]).toEqual({ ...item, ageMs: expect.any(Number) });
    const figures = {
      cores: formatCores(item!.cpuPercent),
      memory: formatGib(item!.workingSetBytes),
      gpu: formatGpuUse(item!.gpuUtilizationPercent, item!.gpus.length),
      vram: formatGib(item!.vramUsedBytes),
    };
    expect(figures).toEqual({ cores: '3.4', memory: '3.1 GiB', gpu: '82 % of 4', vram: '46.0 GiB' });
    const family = (name: string) => seriesOf(metrics, `hivepulse_fleet_worker_${name}`);
    expect({
      cores: formatCores(family('cpu_used_cores') * 100),
      memory: formatGib(family('memory_working_set_bytes')),
      gpu: formatGpuUse(family('gpu_utilization_ratio') * 100, uuids.length),
      vram: formatGib(family('vram_used_bytes')),
    }).toEqual(figures);
    const row = (text: string) => text.split('\n').find((line) => line.includes('llm/0')) ?? '';
    for (const [where, text] of Object.entries({ page: cells, workers: row(table.stdout), top: row(top.stdout) }))
      for (const [what, figure] of Object.entries(figures)) {
        // A table has the unit behind used and total together.
        const shown = what === 'vram' && where !== 'page' ? figure.replace(' GiB', ' / 96.0 GiB') : figure;
        expect(text.replace(/\s+/g, ' '), `${what} in ${where}`).toContain(shown);
      }
    expect(cells).not.toContain('22.0');
  });
});

describe('a GPU at one moment', () => {
  it('has the same use, memory, temperature and power everywhere, in the same units', async () => {
    const queen = await use.queen({ staleAfterMs: 3_600_000 });
    send(queen);
    const page = await use.open(`${queen.url}/?view=gpus`);
    const row = page.locator('.gpu-table-row[data-key="a/GPU-2"]');
    await row.waitFor();
    const { list, metrics, texts, json } = await ask<GpuList>(queen, 'gpus');
    const item = list.items.find(({ uuid }) => uuid === 'GPU-2')!;
    expect(json.items.find(({ uuid }) => uuid === 'GPU-2')).toEqual({ ...item, ageMs: expect.any(Number) });
    const figures = {
      use: formatPercent(item.utilizationPercent),
      memory: formatGibOf(item.memoryUsedBytes, item.memoryTotalBytes),
      temperature: formatCelsius(item.temperatureCelsius),
      power: formatWatts(item.powerWatts),
    };
    expect(figures).toEqual({ use: '80 %', memory: '63.3 / 80.0 GiB', temperature: '62 °C', power: '410 W' });
    const family = (name: string) => seriesOf(metrics, `hivepulse_fleet_gpu_${name}`, 'gpu="GPU-2"');
    expect({
      use: formatPercent(family('utilization_ratio') * 100),
      memory: formatGibOf(family('memory_used_bytes'), family('memory_total_bytes')),
      temperature: formatCelsius(family('temperature_celsius')),
      power: formatWatts(family('power_watts')),
    }).toEqual(figures);
    const inRows = Object.fromEntries(Object.entries(texts).map(([where, text]) => [where, lineWith(text, '80 %')]));
    // A table has the limit behind the power.
    expectAll({ ...figures, power: '410 / 700 W' }, inRows);
    const cells = await row.innerText();
    await row.click();
    await page.waitForSelector('.panel h2:has-text("GPU 2")');
    const panel = await page.locator('.panel .charts').innerText();
    await page.goto(`${queen.url}/?view=hives`);
    const card = page.locator('.card .gpu-row').nth(2);
    await card.waitFor();
    expectAll(figures, { 'its row': cells, 'its panel': panel, 'its row in the card': await card.innerText() });
    await page.goto(`${queen.url}/?as=heat`);
    await page.waitForSelector('.heat-said');
    await page.locator('.heat-map').focus();
    for (let i = 0; i < 3; i++) await page.keyboard.press('ArrowRight');
    const said = await page.locator('.heat-map [aria-selected=true]').getAttribute('aria-label');
    const { use: used, memory, temperature } = figures;
    expectAll({ used, memory, temperature }, { 'the heat map': said ?? '' });
  });
});

describe('a host at one moment', () => {
  it('has the same cores, memory, GPU use, VRAM and power everywhere, in the same units', async () => {
    const queen = await use.queen({ staleAfterMs: 3_600_000 });
    send(queen);
    const page = await use.open(`${queen.url}/?as=table`);
    const row = page.locator('.hive-row[data-key="a"]');
    await row.waitFor();
    const { list, metrics, texts, json } = await ask<HiveList>(queen, 'hives');
    const [item] = list.items;
    expect(json.items[0]).toEqual({ ...item, ageMs: expect.any(Number) });
    const { host } = item!;
    const own = { cores: coresOf(host), memory: formatGibOf(usedMemoryOf(host), host.memoryTotalBytes) };
    const ofGpus = { gpu: '81 %', vram: '251.0 / 320.0 GiB' };
    expect(own).toEqual({ cores: '3.4 / 6', memory: '16.0 / 64.0 GiB' });
    const family = (name: string) => seriesOf(metrics, `hivepulse_fleet_${name}`, 'hive="a"');
    expect(formatCores(family('hive_cpu_used_cores') * 100)).toBe('3.4');
    const total = family('hive_memory_total_bytes');
    expect(formatGibOf(total - family('hive_memory_available_bytes'), total)).toBe(own.memory);
    const sumOf = (name: string) =>
      uuids.reduce((sum, uuid) => sum + seriesOf(metrics, `hivepulse_fleet_gpu_${name}`, `gpu="${uuid}"`), 0);
    expect(formatPercent((sumOf('utilization_ratio') / uuids.length) * 100)).toBe(ofGpus.gpu);
    expect(formatGibOf(sumOf('memory_used_bytes'), sumOf('memory_total_bytes'))).toBe(ofGpus.vram);
    const { hives, ...others } = texts;
    expectAll({ ...own, ...ofGpus }, { hives: hives!, ...others, 'its row': await row.innerText() });
    await row.click();
    await page.waitForSelector('.panel h2:has-text("a")');
    const panel = await page.locator('.panel .charts').innerText();
    expectAll({ cores: '3.4 of 6', memory: own.memory }, { 'its panel': panel });
    await page.goto(`${queen.url}/?view=hives`);
    await page.waitForSelector('.card .host');
    expectAll(own, { 'its card': await page.locator('.card .host').innerText() });
  });
});
