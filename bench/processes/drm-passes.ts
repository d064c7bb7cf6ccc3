// Passes of a reader of GPUs over plain files: 8 cards and 100 processes, in a process that does nothing else. argv: the
// checkout whose reader it is, and `native` or `files`. Says where its files are; answers each message with the next passes.
import { existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type * as Amd from '../../lib/gpu/amd/cards.js';
import type * as Reader from '../../lib/gpu/drm/reader.js';
import type * as Files from '../../lib/io/open-file-reader.js';
import type * as Hosts from '../../test/gpu/drm/fake-host.js';

export interface DrmFixture {
  /** What a pass reads: the changing files of each card, and one fdinfo of each client. */
  readonly files: readonly string[];
}

export interface DrmPasses {
  /** CPU of each pass, of all threads, ms. */
  readonly cpuMs: readonly number[];
  /** System calls that read (the kernel's `syscr`), a pass. */
  readonly readCalls: number;
}

const [checkout = '', kind = ''] = process.argv.slice(2);
const cards = 8;
const processes = 100;
/** Processes of the host that hold no GPU. */
const others = 200;

// A disk that is busy is not what is measured.
if (existsSync('/dev/shm')) process.env.TMPDIR = '/dev/shm';
const load = async <T>(path: string) => (await import(pathToFileURL(join(checkout, path)).href)) as T;
const { FakeDrmHost, fdinfo, radeon } = await load<typeof Hosts>('test/gpu/drm/fake-host.ts');
// As it is shipped: what runs TypeScript as it is has a cost of its own.
const { amdCards } = await load<typeof Amd>('dist/gpu/amd/cards.js');
const { openDrm } = await load<typeof Reader>('dist/gpu/drm/reader.js');
const { WorkerFileReader } = await load<typeof Files>('dist/io/open-file-reader.js');

const placeOf = (card: number) => `0000:${(0x10 + card).toString(16)}:00.0`;
const pidOf = (i: number) => 40_000 + i;

const counterOf = (pass: number): string => String(50_000_000_000 + pass * 50_000_000);

/** What process `i` says. */
const textOf = (i: number): string =>
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
      'drm-engine-compute': `${counterOf(0)} ns`,
      'drm-engine-dec': '0 ns',
      'drm-engine-enc': '0 ns',
    },
  });

/** Eight Radeons, and processes that each hold one of them through two descriptors, as Vulkan engines do. */
const host = new FakeDrmHost(Array.from({ length: cards }, (_, i) => radeon(placeOf(i))));
for (let i = 0; i < processes; i++) host.process(pidOf(i), [textOf(i), textOf(i)]);
for (let i = 0; i < others; i++) host.process(50_000 + i, []);

/** Counters of engines where they stand in their files: each process works a little all the time. */
const counters = Array.from({ length: processes }, (_, i) => ({
  file: openSync(join(host.root, `proc/${pidOf(i)}/fdinfo/3`), 'r+'),
  at: textOf(i).indexOf(counterOf(0)),
}));

/** Makes next to no garbage: to collect it would be counted as a cost of passes. */
function work(pass: number): void {
  const text = Buffer.from(counterOf(pass));
  for (const { file, at } of counters) writeSync(file, text, 0, text.length, at);
}

let now = 0;
const open = kind === 'files' ? () => new WorkerFileReader() : undefined;
const reader = openDrm(amdCards, { roots: host.roots, now: () => now, intervalMs: 1000 }, open);

async function pass(): Promise<{ readonly cpuMs: number; readonly readCalls: number }> {
  now += 1000;
  work(now / 1000);
  const calls = readCalls();
  const from = process.cpuUsage();
  for (;;) {
    const reading = reader.read();
    if (reading.status === 'working' && reading.at === now) break;
    // To ask costs too, and a hive asks once a second.
    await delay(20);
  }
  const { user, system } = process.cpuUsage(from);
  return { cpuMs: (user + system) / 1000, readCalls: readCalls() - calls };
}

const readCalls = (): number => Number(/^syscr: (\d+)$/m.exec(readFileSync('/proc/self/io', 'latin1'))?.[1]);

function check(): void {
  const reading = reader.read();
  if (
    reading.status !== 'working' ||
    reading.report.devices.length !== cards ||
    reading.report.processes.length !== processes ||
    reading.report.processes.some(({ utilization }) => utilization !== 5)
  )
    throw new Error(`the report is not that of the fixture: ${JSON.stringify(reading).slice(0, 300)}`);
}

process.on('message', async (count: number) => {
  const spent = [];
  for (let i = 0; i < count; i++) spent.push(await pass());
  check();
  const calls = spent.map((each) => each.readCalls).toSorted((a, b) => a - b);
  process.send?.({
    cpuMs: spent.map(({ cpuMs }) => cpuMs),
    readCalls: calls[calls.length >> 1] ?? Number.NaN,
  } satisfies DrmPasses);
});
process.on('disconnect', () => {
  reader.close();
  host[Symbol.dispose]();
  process.exit(0);
});

process.send?.({
  files: [
    ...Array.from({ length: cards }, (_, i) => join(host.root, `sys/class/drm/card${i}/device`)).flatMap(
      (device, i) => [
        join(device, 'power/runtime_status'),
        ...['gpu_busy_percent', 'mem_busy_percent', 'mem_info_vram_used', 'mem_info_gtt_used'].map((name) =>
          join(device, name),
        ),
        ...['temp1_input', 'temp2_input', 'power1_average', 'freq1_input', 'fan1_input'].map((name) =>
          join(device, `hwmon/hwmon${i}`, name),
        ),
      ],
    ),
    ...Array.from({ length: processes }, (_, i) => join(host.root, `proc/${pidOf(i)}/fdinfo/3`)),
  ],
} satisfies DrmFixture);
