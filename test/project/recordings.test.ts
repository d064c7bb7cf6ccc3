import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { familiesOfQueen } from '../../lib/api/metric-families.js';
import { workerColumns } from '../../lib/cli/columns.js';
import { hiveColumns } from '../../lib/cli/hive-columns.js';
import { snapshotLines } from '../../lib/cli/snapshot.js';
import { printTable } from '../../lib/cli/table.js';
import { noPast } from '../../lib/cli/top/history.js';
import { hiveDetail } from '../../lib/cli/top/hive-detail.js';
import { plainFrame, plainUi } from '../../lib/cli/top/plain.js';
import { render } from '../../lib/cli/top/render.js';
import { itemsAt } from '../../lib/cli/top/run.js';
import { initialUi, views } from '../../lib/cli/top/ui.js';
import { workerDetail } from '../../lib/cli/top/worker-detail.js';
import { FleetMirror } from '../../lib/client/mirror.js';
import type { History, HiveView, WorkerView } from '../../lib/contract/api.js';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { familiesOfHive, hiveScrape, type WorkerCounters } from '../../lib/hive/metric-families.js';
import { Exposition } from '../../lib/metrics/exposition.js';
import { HeartbeatCounts } from '../../lib/queen/intake.js';
import { buildTestServer } from '../api/build-server.js';
import { topState } from '../cli/fleet.js';
import { drawnLines } from '../harness/drawn-page.js';
import { fleetScrape } from '../harness/fleet-scrape.js';
import { recordedFleet } from '../harness/recorded-fleet.js';

// Components are called without a renderer: what hooks would do later plays no part in what a panel says.
vi.mock('preact/hooks', () => ({
  useEffect: () => undefined,
  useRef: (current: unknown) => ({ current }),
  useState: (initial: unknown) => [initial, () => undefined],
}));
vi.mock('uplot', () => ({ default: class {} }));

// Times of the page and of `top` are local.
process.env.TZ = 'UTC';

const directory = fileURLToPath(new URL('../fixtures/recordings/', import.meta.url));

/**
 * What one fixed fleet looks like in every output, held byte for byte to a recording. A change that is wanted is recorded
 * anew with HIVEPULSE_RECORD=1, and its diff is read in review.
 */
function expectRecorded(file: string, text: string): void {
  if (process.env.HIVEPULSE_RECORD === '1') {
    mkdirSync(directory, { recursive: true });
    writeFileSync(directory + file, text);
  }
  expect(text).toBe(readFileSync(directory + file, 'utf8'));
}

async function fleet() {
  const server = await buildTestServer();
  const offline = recordedFleet().at(-1) as Heartbeat;
  server.registry.heartbeat(offline);
  server.clock.ms += 60_000;
  for (const heartbeat of recordedFleet().slice(0, -1)) {
    server.clock.ms += 137;
    server.registry.heartbeat(heartbeat);
  }
  server.clock.ms += 321;
  return server;
}

const json = (value: unknown) => `${JSON.stringify(value, null, 1)}\n`;

/** Ids that are made anew at each start. */
const stable = (text: string, queenId: string) => text.replaceAll(queenId, 'queen-id');

const countersOf = (n: number): WorkerCounters => {
  const names = [
    ...[
      'usageUsec',
      'userUsec',
      'systemUsec',
      'nrPeriods',
      'nrThrottled',
      'throttledUsec',
      'ioReadBytes',
      'ioWriteBytes',
    ],
    ...['ioReads', 'ioWrites', 'cpuSomeTotalUsec', 'memorySomeTotalUsec', 'ioSomeTotalUsec'],
  ];
  return Object.fromEntries(
    names.map((name, i) => [name, 1_000_003 * (n * names.length + i + 1)]),
  ) as unknown as WorkerCounters;
};

describe('what every output shows of one fixed fleet is as recorded', () => {
  it('the metrics of a queen', async () => {
    const { registry } = await fleet();
    const scrape = fleetScrape({
      registry,
      maxWorkers: 100,
      maxGpus: 100,
      heartbeats: new HeartbeatCounts(),
      streams: 3,
      streamsParted: 5,
      version: '9.8.7',
      bus: 'memory',
      shared: null,
    });
    const { queenId } = registry.fleet('memory');
    const exposition = new Exposition(familiesOfQueen);
    expectRecorded('queen-metrics.txt', stable(await exposition.text('prometheus', scrape), queenId));
    expectRecorded('queen-metrics-open.txt', stable(await exposition.text('openMetrics', scrape), queenId));
  });

  it('the metrics of a hive', async () => {
    const exposition = new Exposition(familiesOfHive);
    const texts: string[] = [];
    for (const [n, heartbeat] of recordedFleet().entries()) {
      const counters = new Map(
        heartbeat.workers.map(({ id }, i) => [id, { row: countersOf(10 * n + i), ioWhole: i % 2 === 0 }]),
      );
      counters.delete(heartbeat.workers[1]?.id ?? '');
      const scrape = hiveScrape({
        heartbeat,
        sinceSnapshotMs: 456,
        counters,
        sends: { taken: 17, failed: 19 },
        oomKills: 23,
      });
      texts.push(await exposition.text('prometheus', scrape));
    }
    expectRecorded('hive-metrics.txt', texts.join('\n'));
  });

  it('the API: its description, and lists in every order', async () => {
    const { app, registry } = await fleet();
    const get = async (url: string) => (await app.inject({ url, headers: { host: 'localhost' } })).json() as unknown;
    expectRecorded('openapi.json', json(await get('/openapi.json')));
    const { queenId } = registry.fleet('memory');
    for (const name of ['fleet', 'hives', 'workers', 'gpus'])
      expectRecorded(`api-${name}.json`, stable(json(await get(`/v1/${name}`)), queenId));
    const sorts = [
      'cpuPercent',
      'memoryBytes',
      'workingSetBytes',
      'gpuUtilizationPercent',
      'vramUsedBytes',
      'uptimeSeconds',
    ];
    const lines: string[] = [];
    for (const sort of ['key', ...sorts, ...sorts.map((each) => `-${each}`)]) {
      const { items } = (await get(`/v1/workers?sort=${sort}`)) as { items: { key: string }[] };
      lines.push(`${sort}: ${items.map(({ key }) => key).join(' ')}`);
    }
    expectRecorded('api-sorts.txt', `${lines.join('\n')}\n`);
  });

  it('tables of the commands, and `sample`', async () => {
    const { registry } = await fleet();
    const text: string[] = [];
    for (const width of [80, 140, Number.POSITIVE_INFINITY])
      for (const colours of [false, true]) {
        text.push(`== ${width} ${colours}`, ...printTable(hiveColumns, registry.hives({}).items, width, colours));
        text.push(...printTable(workerColumns, registry.workers({}).items, width, colours));
        for (const { sentAt: _, ...snapshot } of recordedFleet()) text.push(...snapshotLines(snapshot, width, colours));
      }
    expectRecorded('cli-tables.txt', `${text.join('\n')}\n`);
  });

  it('every view of `top`, plain and drawn, and its details', async () => {
    const { registry } = await fleet();
    const hives = registry.hives({}).items as HiveView[];
    const workers = registry.workers({}).items as WorkerView[];
    const mirror = new FleetMirror();
    mirror.apply({ type: 'snapshot', data: { hives, workers, warming: false, lastEventId: '' } }, 0);
    const items = itemsAt(mirror, 0);
    const history: History = {
      stepMs: 10_000,
      newestAgeMs: 500,
      series: { cpuPercent: [1, null, 55.5, 120], workingSetBytes: [2 ** 31, 2 ** 32, null], vramUsedBytes: [null] },
    };
    const text: string[] = [];
    for (const width of [100, 220]) {
      for (const view of views) {
        text.push(`== ${view} ${width}`, ...plainFrame(topState(items, { ui: plainUi(view, '') }), width));
        const ui = { ...initialUi, view };
        text.push(...render(topState(items, { ui, colours: true }), { columns: width, rows: 30 }));
      }
      const spans = (lines: ReturnType<typeof hiveDetail>) =>
        lines.map((line) => line.map(({ text: part, sgr }) => (sgr ? `{${sgr}|${part}}` : part)).join(''));
      for (const hive of hives)
        text.push(
          `== hive ${width}`,
          ...spans(
            hiveDetail(
              hive,
              workers.filter((w) => w.hive === hive.id),
              noPast,
              width,
            ),
          ),
        );
      for (const worker of workers) {
        const hive = hives.find(({ id }) => id === worker.hive) ?? null;
        text.push(`== worker ${width}`, ...spans(workerDetail(worker, hive, { ...noPast, history }, width)));
      }
    }
    expectRecorded('top.txt', `${text.join('\n')}\n`);
  });

  it('panels of the page', async () => {
    vi.stubGlobal('matchMedia', () => ({ matches: false, addEventListener: () => undefined }));
    vi.stubGlobal('window', {
      location: new URL('http://queen.example/'),
      addEventListener: () => undefined,
      matchMedia: () => ({ matches: false, addEventListener: () => undefined }),
    });
    vi.stubGlobal('location', new URL('http://queen.example/'));
    vi.stubGlobal('document', { documentElement: { dataset: {} }, addEventListener: () => undefined });
    vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => undefined });
    vi.spyOn(performance, 'now').mockReturnValue(1_000_000);
    const [{ WorkerPanel }, { GpuPanel }, { HivePanel }] = await Promise.all([
      import('../../lib/dashboard/views/panel-worker.js'),
      import('../../lib/dashboard/views/panel-gpu.js'),
      import('../../lib/dashboard/views/panel-hive.js'),
    ]);
    const { mirror } = await import('../../lib/dashboard/data/fleet.js');
    const { registry } = await fleet();
    vi.stubGlobal('requestAnimationFrame', () => 0);
    const hives = registry.hives({}).items as HiveView[];
    const workers = registry.workers({}).items as WorkerView[];
    mirror.apply({ type: 'snapshot', data: { hives, workers, warming: false, lastEventId: '' } }, 1_000_000);
    const text: string[] = [];
    for (const hive of mirror.hives.values()) {
      text.push(`== hive ${hive.view.id}`, ...drawnLines(HivePanel({ hive })));
      for (const gpu of hive.view.gpus) text.push(`== gpu ${gpu.uuid}`, ...drawnLines(GpuPanel({ hive, gpu })));
    }
    for (const worker of mirror.workers.values())
      text.push(`== worker ${worker.key}`, ...drawnLines(WorkerPanel({ worker })));
    expectRecorded('page-panels.txt', `${text.join('\n')}\n`);
  });
});
