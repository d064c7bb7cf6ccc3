import { cpus, totalmem } from 'node:os';
import { describe, expect, test } from 'vitest';
import { nodeHostReader } from '../../lib/procfs/host.js';
import { waitFor } from '../harness/wait.js';

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
