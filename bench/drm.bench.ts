import { setTimeout as delay } from 'node:timers/promises';
import { amdCards } from '../lib/gpu/amd/cards.js';
import { openDrm } from '../lib/gpu/drm/reader.js';
import { FakeDrmHost, fdinfo, radeon } from '../test/gpu/drm/fake-host.js';
import { type BenchContext, type Metric, median, metric } from './metric.js';

const cards = 8;
const processes = 100;
/** Processes of the host that hold no GPU. */
const others = 200;
const passes = 60;

const placeOf = (card: number) => `0000:${(0x10 + card).toString(16)}:00.0`;

/** Eight Radeons, and processes that each hold one of them through two descriptors, as Vulkan engines do. */
function fixture(): FakeDrmHost {
  const host = new FakeDrmHost(Array.from({ length: cards }, (_, i) => radeon(placeOf(i))));
  for (let i = 0; i < processes; i++) {
    const text = fdinfo({
      driver: 'amdgpu',
      pdev: placeOf(i % cards),
      id: 100 + i,
      lines: {
        'drm-total-vram': '6293504 KiB',
        'drm-shared-vram': '0',
        'drm-resident-vram': '6291456 KiB',
        'drm-memory-vram': '6291456 KiB',
        'drm-resident-gtt': '12288 KiB',
        'drm-memory-gtt': '12288 KiB',
        'drm-engine-gfx': '1000 ns',
        'drm-engine-compute': '5000000000 ns',
        'drm-engine-dec': '0 ns',
        'drm-engine-enc': '0 ns',
      },
    });
    host.process(40_000 + i, [text, text]);
  }
  for (let i = 0; i < others; i++) host.process(50_000 + i, []);
  return host;
}

export const rows = ['drm'] as const;

/** One pass over 8 GPUs with 100 processes by plain files: all threads of the process. */
export async function run(context: BenchContext): Promise<readonly Metric[]> {
  const host = fixture();
  context.defer(() => host[Symbol.dispose]());
  let now = 0;
  const reader = openDrm(amdCards, { roots: host.roots, now: () => now, intervalMs: 1000 });
  context.defer(() => reader.close());
  const pass = async (): Promise<number> => {
    now += 1000;
    const from = process.cpuUsage();
    for (;;) {
      const reading = reader.read();
      if (reading.status === 'working' && reading.at === now) break;
      await delay(4);
    }
    const { user, system } = process.cpuUsage(from);
    return (user + system) / 1000;
  };
  for (let i = 0; i < 20; i++) await pass();
  const spent: number[] = [];
  for (let i = 0; i < passes; i++) spent.push(await pass());
  const reading = reader.read();
  if (
    reading.status !== 'working' ||
    reading.report.devices.length !== cards ||
    reading.report.processes.length !== processes
  )
    throw new Error(`the report is not that of the fixture: ${JSON.stringify(reading).slice(0, 300)}`);
  return [
    metric('drm pass by files, 8 GPUs, 100 processes', median(spent), 'ms CPU', { atMost: 3 }),
    metric('drm pass by files, the costliest', Math.max(...spent), 'ms CPU'),
  ];
}
