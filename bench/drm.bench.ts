import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { amdCards } from '../lib/gpu/amd/cards.js';
import { openDrm } from '../lib/gpu/drm/reader.js';
import { type OpenFiles } from '../lib/io/guarded.js';
import { WorkerFileReader } from '../lib/io/open-file-reader.js';
import { FakeDrmHost, fdinfo, radeon } from '../test/gpu/drm/fake-host.js';
import { buildLimit, limitReader } from './limit.js';
import { type BenchContext, type Metric, median, metric } from './metric.js';

const cards = 8;
const processes = 100;
/** Processes of the host that hold no GPU. */
const others = 200;
/** A hive runs for days: what it costs is what it costs once its code is compiled and its processes are old. */
const warmUp = 200;
const passes = 200;

const placeOf = (card: number) => `0000:${(0x10 + card).toString(16)}:00.0`;

/** What process `i` says in a pass: each works a little all the time. */
const textOf = (i: number, pass: number): string =>
  fdinfo({
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
      'drm-engine-compute': `${5_000_000_000 + pass * 50_000_000} ns`,
      'drm-engine-dec': '0 ns',
      'drm-engine-enc': '0 ns',
    },
  });

const pidOf = (i: number) => 40_000 + i;

/** Eight Radeons, and processes that each hold one of them through two descriptors, as Vulkan engines do. */
function fixture(): FakeDrmHost {
  const host = new FakeDrmHost(Array.from({ length: cards }, (_, i) => radeon(placeOf(i))));
  for (let i = 0; i < processes; i++) host.process(pidOf(i), [textOf(i, 0), textOf(i, 0)]);
  for (let i = 0; i < others; i++) host.process(50_000 + i, []);
  return host;
}

/** CPU of each pass, of all threads of this process, ms. */
async function measure(context: BenchContext, host: FakeDrmHost, open?: OpenFiles): Promise<readonly number[]> {
  let now = 0;
  const reader = openDrm(amdCards, { roots: host.roots, now: () => now, intervalMs: 1000 }, open);
  context.defer(() => reader.close());
  const pass = async (): Promise<number> => {
    now += 1000;
    for (let i = 0; i < processes; i++) host.write(`proc/${pidOf(i)}/fdinfo/3`, textOf(i, now / 1000));
    const from = process.cpuUsage();
    for (;;) {
      const reading = reader.read();
      if (reading.status === 'working' && reading.at === now) break;
      await delay(4);
    }
    const { user, system } = process.cpuUsage(from);
    return (user + system) / 1000;
  };
  for (let i = 0; i < warmUp; i++) await pass();
  const spent: number[] = [];
  for (let i = 0; i < passes; i++) spent.push(await pass());
  const reading = reader.read();
  reader.close();
  if (
    reading.status !== 'working' ||
    reading.report.devices.length !== cards ||
    reading.report.processes.length !== processes ||
    reading.report.processes.some(({ utilization }) => utilization !== 5)
  )
    throw new Error(`the report is not that of the fixture: ${JSON.stringify(reading).slice(0, 300)}`);
  return spent;
}

/** What a pass reads: the changing files of each card, and one fdinfo of each client. */
const filesOf = ({ root }: FakeDrmHost): readonly string[] => [
  ...Array.from({ length: cards }, (_, i) => join(root, `sys/class/drm/card${i}/device`)).flatMap((device, i) => [
    join(device, 'power/runtime_status'),
    ...['gpu_busy_percent', 'mem_busy_percent', 'mem_info_vram_used', 'mem_info_gtt_used'].map((name) =>
      join(device, name),
    ),
    ...['temp1_input', 'temp2_input', 'power1_average', 'freq1_input', 'fan1_input'].map((name) =>
      join(device, `hwmon/hwmon${i}`, name),
    ),
  ]),
  ...Array.from({ length: processes }, (_, i) => join(root, `proc/${pidOf(i)}/fdinfo/3`)),
];

export const rows = ['drm'] as const;

/** One pass over 8 GPUs with 100 processes by plain files: all threads of the process. */
export async function run(context: BenchContext): Promise<readonly Metric[]> {
  const host = fixture();
  context.defer(() => host[Symbol.dispose]());
  const limit = limitReader(context, buildLimit(context), filesOf(host));
  await limit.passes(20);
  const native = await measure(context, host);
  const floor = median((await limit.passes(passes)).map(({ cpu }) => cpu));
  await limit.end();
  const files = await measure(context, host, () => new WorkerFileReader());
  return [
    metric('drm pass, 8 GPUs, 100 processes', median(native), 'ms CPU', { atMost: 3 }),
    metric('drm pass, the costliest', Math.max(...native), 'ms CPU'),
    metric('drm pass by the TypeScript reader', median(files), 'ms CPU'),
    metric('drm files in C, opened once and not parsed', floor, 'ms CPU'),
  ];
}
