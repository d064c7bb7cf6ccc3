/** One worker at one moment: API, page, `top`, commands and /metrics have the same figures. */
import { describe, expect, it } from 'vitest';
import type { WorkerList } from '../../../lib/contract/api.js';
import { formatCores, formatGib } from '../../../lib/present/units.js';
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

/** The value of the one series of a family that is of the worker. */
function seriesOf(text: string, family: string): number {
  const lines = text.split('\n').filter((line) => line.startsWith(`${family}{`) && line.includes('worker="llm/0"'));
  expect(lines, family).toHaveLength(1);
  return Number(lines[0]!.slice(lines[0]!.lastIndexOf(' ') + 1));
}

describe('a worker at one moment', () => {
  it('has the same cores, memory, GPU and VRAM everywhere, in the same units', async () => {
    const queen = await use.queen({ staleAfterMs: 3_600_000 });
    // Nothing is sent after it, and nothing is late: all that look see the same moment.
    const gpus = uuids.map((uuid, index) => gpuOf(uuid, { index }));
    queen.registry.heartbeat({ ...heartbeatOf('a', 1, { gpus, workers: [worker] }), intervalMs: 600_000 });
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
