import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ProcessMonitor } from '../../../../lib/launch/process-monitor.js';

let dir: string;
let monitor: ProcessMonitor;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'hivepulse-scope-'));
  monitor = new ProcessMonitor({ runtimeDir: dir });
});
afterEach(async () => {
  await monitor.close();
  await rm(dir, { recursive: true, force: true });
});

it('systemd_scope_lifecycle: a scope is held to its CPUs by a property of the unit', async () => {
  const worker = await monitor.spawn({
    group: 'cpus',
    instance: 'one',
    command: 'sleep',
    args: ['600'],
    stdio: 'ignore',
    cpuset: '0',
  });
  expect(worker).toMatchObject({ owner: 'systemd', notApplied: [] });
  const file = join(worker.cgroupPath as string, 'cpuset.cpus.effective');
  expect((await readFile(file, 'utf8')).trim()).toBe('0');
  expect(await monitor.stop(worker.id, { graceMs: 0 })).toMatchObject({ signalled: 1 });
});
