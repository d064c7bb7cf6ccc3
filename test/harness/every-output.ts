import { type FleetSource, familiesOfQueen } from '../../lib/api/metric-families.js';
import { gpuColumns, workerColumns, workerRows } from '../../lib/cli/columns.js';
import { hiveColumns } from '../../lib/cli/hive-columns.js';
import { printTable } from '../../lib/cli/table.js';
import { plain } from '../../lib/cli/text.js';
import { render, type TopState } from '../../lib/cli/top/render.js';
import { initialUi, views } from '../../lib/cli/top/ui.js';
import { attentionOf } from '../../lib/present/attention.js';
import { hiveGpusText, workerGpusText } from '../../lib/present/knowledge.js';
import { HeartbeatCounts } from '../../lib/queen/intake.js';
import type { Registry } from '../../lib/queen/registry.js';
import { fleetScrape } from './fleet-scrape.js';

/** Numbers with more digits than any value has before its decimal point: an impossible one that got through. */
export const monstrous = /(?<!\.\d*)(?:\d{17,}|4294967295)|e\+\d{2,}/;

const heartbeats = new HeartbeatCounts();

/** What the queen's /metrics has of hives, GPUs and workers: name and value of each sample. */
export function fleetSamples(registry: Registry): (readonly [name: string, value: number])[] {
  const scrape = fleetScrape({
    ...{
      registry,
      maxWorkers: 100,
      maxGpus: 100,
      heartbeats,
      streams: 0,
      version: '1',
      bus: 'memory',
      shared: null,
    },
  } as FleetSource);
  return familiesOfQueen.flatMap(({ name, collect }) =>
    name.startsWith('hivepulse_fleet_')
      ? Array.from(collect(scrape), ({ value }) => [name, Number(value)] as const)
      : [],
  );
}

let turn = 0;

/** All that people are shown of a fleet: tables of the commands, one screen of `top` after the other, and the model of the page. */
export function shownText(registry: Registry): string {
  // Faults of impossible values name them.
  const hives = registry.hives({}).items.map((hive) => ({
    ...hive,
    faults: hive.faults.filter(({ code }) => code !== 'IMPLAUSIBLE'),
  }));
  const workers = registry.workers({}).items;
  const gpus = registry.gpus({}).items;
  const state: TopState = {
    ui: initialUi,
    items: { hives, workers, gpus, events: [] },
    source: 'queen',
    connection: { kind: 'live' },
    warming: false,
    history: null,
    past: null,
    missing: null,
    attention: [],
    nowMs: 0,
    clock: '',
    colours: false,
  };
  const screens = [
    ...views.map((view) => ({ view, detail: null })),
    ...hives.map(({ id }) => ({ view: 'hives' as const, detail: { kind: 'hive' as const, key: id } })),
    ...workers.slice(0, 1).map(({ key }) => ({ view: 'hives' as const, detail: { kind: 'worker' as const, key } })),
  ];
  // Drawing all of them takes longer than the rest of a test: each call draws the next one.
  const screen = screens[turn++ % screens.length];
  const texts = [...hives.map((hive) => hiveGpusText(hive)), ...workers.map((worker) => workerGpusText(worker))];
  return [
    ...printTable(hiveColumns, hives, 200, false),
    ...printTable(gpuColumns, gpus, 200, false),
    ...printTable(workerColumns, workerRows(workers, hives), 200, false),
    ...render({ ...state, ui: { ...initialUi, ...screen } }, { columns: 160, rows: 50 }).map(plain),
    ...texts.map((text) => `${text?.text ?? ''} ${text?.reason ?? ''}`),
    ...attentionOf(hives.map((view) => ({ view, workers: [] }))).map(({ title, text }) => `${title} ${text}`),
  ].join('\n');
}
