import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import type { HiveList, WorkerList } from '../../../../lib/contract/api.js';
import { ProcessMonitor } from '../../../../lib/launch/process-monitor.js';
import { processLives } from '../../../../lib/procfs/process-stat.js';
import { freePorts } from '../../../harness/free-ports.js';
import { getJson } from '../../../harness/harness.js';
import { waitFor } from '../../../harness/wait.js';
import { runTool } from './run-tool.js';

const root = fileURLToPath(new URL('../../../..', import.meta.url));
const main = join(root, 'dist/cli/main.js');
const installed: string[] = [];

const systemctl = async (...args: string[]): Promise<string> => {
  const { status, stdout, stderr } = await runTool('systemctl', args, 100_000);
  if (status !== 0) throw new Error(`systemctl ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
};

/** The unit as it ships, with only the path of the program and settings of the test put in. */
async function install(unit: 'hive' | 'queen', environment: Readonly<Record<string, string>>): Promise<string> {
  const name = `hivepulse-test-${unit}.service`;
  let text = readFileSync(join(root, `deploy/hivepulse-${unit}.service`), 'utf8');
  expect(text).toContain(`ExecStart=hivepulse ${unit}\n`);
  text = text.replace(`ExecStart=hivepulse ${unit}`, `ExecStart=${process.execPath} ${main} ${unit}`);
  // The bare guest has neither the network target nor what sysinit.target waits for.
  text = text.replace('[Unit]', '[Unit]\nDefaultDependencies=no').replace(/^(After|Wants)=network.*$/gm, '');
  // A checkout below /home or /root would be hidden from its own service.
  if (/^\/(home|root)\//.test(root)) text = text.replace('ProtectHome=yes', 'ProtectHome=read-only');
  // One below /tmp would be behind the service's private one.
  if (/^\/(var\/)?tmp\//.test(root)) text = text.replace('[Install]', `BindReadOnlyPaths=${root}\n[Install]`);
  const settings = Object.entries(environment).map(([key, value]) => `Environment=${key}=${value}`);
  text = text.replace('[Install]', `${settings.join('\n')}\n[Install]`);
  mkdirSync('/run/systemd/system', { recursive: true });
  writeFileSync(join('/run/systemd/system', name), text);
  installed.push(name);
  await systemctl('daemon-reload');
  await systemctl('start', name);
  return name;
}

const log = async (name: string) => (await runTool('systemctl', ['status', '--no-pager', '-l', name], 60_000)).stdout;

afterEach(async () => {
  for (const name of installed.splice(0)) {
    await runTool('systemctl', ['stop', name], 100_000);
    rmSync(join('/run/systemd/system', name), { force: true });
  }
  await systemctl('daemon-reload');
});

describe('deploy/*.service', () => {
  it('both work under their hardening, and workers outlive a restart of the hive, which finds them again with their labels', async () => {
    const [queenPort, hivePort] = (await freePorts(2)) as [number, number];
    const url = `http://127.0.0.1:${queenPort}`;
    const queen = await install('queen', { HIVEPULSE_PORT: String(queenPort) });
    await waitFor(async () => (await fetch(`${url}/healthz`)).ok, { timeoutMs: 200_000, everyMs: 200 }).catch(
      async (error) => {
        throw new Error(await log(queen), { cause: error });
      },
    );

    const monitor = new ProcessMonitor({ runtimeDir: '/run/hivepulse' });
    const worker = await monitor.spawn({
      group: 'units',
      instance: 'one',
      command: 'sleep',
      args: ['600'],
      stdio: 'ignore',
      model: 'm',
      labels: { team: 'search' },
    });
    try {
      const hive = await install('hive', {
        HIVEPULSE_PORT: String(hivePort),
        HIVEPULSE_QUEEN: url,
        HIVEPULSE_ID: 'guest',
      });
      const seen = () =>
        waitFor(
          async () =>
            (await getJson<WorkerList>(`${url}/v1/workers?group=units`)).items.find(
              ({ liveness, pid }) => liveness === 'online' && pid === worker.pid,
            ),
          { timeoutMs: 200_000, everyMs: 200 },
        ).catch(async (error) => {
          throw new Error(await log(hive), { cause: error });
        });
      expect(await seen()).toMatchObject({
        id: 'units/one',
        model: 'm',
        labels: { team: 'search' },
        origin: 'launched',
        memorySource: 'cgroup',
      });

      const before = (await getJson<HiveList>(`${url}/v1/hives`)).items[0]?.incarnation;
      await systemctl('restart', hive);
      await waitFor(async () => (await getJson<HiveList>(`${url}/v1/hives`)).items[0]?.incarnation !== before, {
        timeoutMs: 200_000,
        everyMs: 200,
      });
      expect(await processLives(worker.pid, worker.record.startTicks)).toBe(true);
      expect(await seen()).toMatchObject({ model: 'm', labels: { team: 'search' } });
    } finally {
      await monitor.stop(worker.id, { graceMs: 0 });
      await monitor.close();
    }
  }, 900_000);
});
