import { expect, it, vi } from 'vitest';
import { workerColumns, workerRows } from '../../lib/cli/columns.js';
import { hiveColumns } from '../../lib/cli/hive-columns.js';
import { snapshotLines } from '../../lib/cli/snapshot.js';
import { printTable } from '../../lib/cli/table.js';
import { plain } from '../../lib/cli/text.js';
import { render } from '../../lib/cli/top/render.js';
import { initialUi } from '../../lib/cli/top/ui.js';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { drawnPage } from '../harness/drawn-page.js';
import { gpuOf, heartbeatOf, workerOf } from '../harness/heartbeats.js';
import { TestQueen } from '../queen/heartbeats.js';

// Components are called without a renderer: what hooks would do later plays no part in what they say.
vi.mock('preact/hooks', () => ({
  useEffect: () => undefined,
  useRef: (current: unknown) => ({ current }),
  useState: (initial: unknown) => [initial, () => undefined],
  useMemo: (make: () => unknown) => make(),
}));
vi.mock('uplot', () => ({ default: class {} }));

const gpusReason = 'the driver does not answer';
const held = { uuid: 'GPU-0', memoryUsedBytes: 2 ** 33, utilizationPercent: 50 };

/** A worker holds VRAM; then the reader fails, and 14 s later says so still. */
function heartbeats(): readonly [Heartbeat, Heartbeat] {
  const well = heartbeatOf('h', 1, {
    gpus: [gpuOf('GPU-0')],
    workers: [workerOf('llm/0', { gpus: [held], vramUsedBytes: 2 ** 33 })],
  });
  const blank = { gpus: [], vramUsedBytes: null, vramTotalBytes: null, gpuUtilizationPercent: null, gpusReason };
  const failed = heartbeatOf('h', 2, {
    gpusKnown: 'unknown',
    gpusReason,
    gpus: [gpuOf('GPU-0', { health: 'stalled', memoryUsedBytes: null, utilizationPercent: null })],
    faults: [{ source: 'gpu', code: 'NVML_STALLED', message: gpusReason, field: 'gpus' }],
    workers: [workerOf('llm/0', { ...blank, state: 'unknown' })],
    collection: { ...well.collection, gpuAgeMs: 14_000 },
  });
  return [well, failed];
}

it('a worker that held VRAM, and whose reader then failed, is "unknown since 14 s" everywhere, never "no GPU"', async () => {
  const page = await drawnPage();
  const queen = new TestQueen();
  const [well, failed] = heartbeats();
  for (const each of [well, failed]) queen.heartbeat(each);
  const [hives, workers] = [queen.hives({}).items, queen.workers({}).items];
  const inTop = (ui: Partial<typeof initialUi>): string => {
    const items = { hives, workers, gpus: queen.gpus({}).items, events: [] };
    const rest = {
      source: 'queen',
      connection: { kind: 'live' },
      warming: false,
      history: null,
      attention: [],
      missing: null,
      past: null,
    } as const;
    const state = { ui: { ...initialUi, ...ui }, items, ...rest, nowMs: 0, clock: '', colours: false };
    return render(state, { columns: 160, rows: 50 }).map(plain).join('\n');
  };
  const key = workers[0]?.key ?? '';
  const shown = {
    'hivepulse workers': printTable(workerColumns, workerRows(workers, hives), 200, false).join('\n'),
    'hivepulse sample': snapshotLines(failed, 160, false).join('\n'),
    'top, workers': inTop({ view: 'workers' }),
    'top, one worker': inTop({ view: 'workers', detail: { kind: 'worker', key } }),
    'the page': page(hives, workers),
  };
  for (const [where, text] of Object.entries(shown)) {
    expect(text, where).toMatch(/unknown/);
    expect(text, where).toMatch(/since 14 s/);
    expect(text, where).not.toMatch(/no GPU/i);
  }
  expect(printTable(hiveColumns, hives, 200, false).join('\n')).not.toMatch(/no GPU/i);
});
