import { cpus, totalmem } from 'node:os';
import { describe, expect, test } from 'vitest';
import { nodeHostReader, procHostReader } from '../../lib/procfs/host.js';
import { ManualClock, settle } from '../harness/manual-clock.js';
import { waitFor } from '../harness/wait.js';
import { MemoryTree } from '../io/fake-files.js';

describe('a host without /proc (macOS)', () => {
  test('what Node knows of it; nothing before the first reading, no rate from one reading', async () => {
    let now = 1000;
    const reader = nodeHostReader(() => now);
    expect(reader.latest()).toBeNull();
    await reader.read();
    expect(reader.latest()).toMatchObject({
      atMs: 1000,
      faults: [],
      host: {
        cpuCount: cpus().length,
        cpuPercent: null,
        memoryTotalBytes: totalmem(),
        pressure: { cpu: null, memory: null, io: null },
      },
    });
    now = 2000;
    // Ticks are 10 ms, so two readings may see none go by.
    const percent = await waitFor(async () => {
      await reader.read();
      return reader.latest()?.host.cpuPercent;
    });
    expect(percent).toBeGreaterThanOrEqual(0);
    expect(percent).toBeLessThanOrEqual(100 * cpus().length);
    const { host, atMs } = reader.latest()!;
    expect(atMs).toBe(2000);
    expect(host.memoryAvailableBytes).toBeGreaterThan(0);
    expect(host.memoryAvailableBytes).toBeLessThan(host.memoryTotalBytes as number);
    expect(host.uptimeSeconds).toBeGreaterThan(0);
  });
});

describe('a host whose /proc hangs', () => {
  const files: Readonly<Record<string, string>> = {
    stat: 'cpu  100 0 100 1000 0 0 0 0 0 0\ncpu0 50 0 50 500 0 0 0 0 0 0\n',
    meminfo: 'MemTotal: 1000 kB\nMemAvailable: 600 kB\n',
    loadavg: '0.50 0.40 0.30 1/100 9\n',
    uptime: '100.00 1.00\n',
    'pressure/cpu': 'some avg10=1.00 avg60=0.00 avg300=0.00 total=5\n',
    'pressure/memory': 'some avg10=2.00 avg60=0.00 avg300=0.00 total=5\n',
    'pressure/io': 'some avg10=3.00 avg60=0.00 avg300=0.00 total=5\n',
  };
  const hostWith = () => {
    const clock = new ManualClock();
    const tree = new MemoryTree();
    for (const [name, content] of Object.entries(files)) tree.write(`/proc/${name}`, content);
    return { clock, tree, reader: procHostReader(() => tree.reader(clock), '/proc', clock) };
  };
  const values = (reader: ReturnType<typeof procHostReader>) => {
    const { memoryTotalBytes, load1, uptimeSeconds, pressure } = reader.latest()!.host;
    return { meminfo: memoryTotalBytes, loadavg: load1, uptime: uptimeSeconds, ...pressure };
  };
  const whole = { meminfo: 1_024_000, loadavg: 0.5, uptime: 100, cpu: 1, memory: 2, io: 3 };

  test.each([
    ['meminfo', 'meminfo'],
    ['loadavg', 'loadavg'],
    ['uptime', 'uptime'],
    ['pressure/io', 'io'],
  ])('%s costs its own value, is named, and is read again when it returns', async (file, value) => {
    const { clock, tree, reader } = hostWith();
    await reader.read();
    expect(reader.latest()?.faults).toEqual([]);
    tree.hangs.add(`/proc/${file}`);
    const second = reader.read();
    await clock.advance(1001);
    expect(reader.latest()?.faults).toEqual([expect.objectContaining({ code: 'PROC_STALLED', field: 'host' })]);
    await clock.advance(1000);
    await second;
    expect(values(reader)).toEqual({ ...whole, [value]: null });
    for (let i = 0; i < 5; i += 1) await reader.read();
    expect(tree.readers).toHaveLength(2);
    tree.hangs.clear();
    await settle();
    await reader.read();
    expect(reader.latest()?.faults).toEqual([]);
    expect(values(reader)).toEqual(whole);
  });

  test('all of it: every value is null, and each file is named', async () => {
    const { clock, tree, reader } = hostWith();
    for (const file of Object.keys(files)) tree.hangs.add(`/proc/${file}`);
    const reading = reader.read();
    await clock.advance(15_000);
    await reading;
    expect(new Set(Object.values(values(reader)))).toEqual(new Set([null]));
    expect(reader.latest()?.faults).toHaveLength(7);
  });
});
