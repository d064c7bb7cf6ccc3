import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { FleetEvent } from '../../../lib/contract/api.js';
import type { Heartbeat } from '../../../lib/contract/heartbeat.js';
import { cgroupSuite } from '../../e2e/fleet.js';
import { FakeGpuHost, fakeLibrary, fourH100, h100, type Scenario } from '../../fakes/scenario.js';
import { faultGone, faultNamed } from '../../harness/cadence-watch.js';
import { getJson, useHarness } from '../../harness/harness.js';
import { running } from '../../harness/running.js';
import type { StreamReader } from '../../harness/sse.js';
import { waitFor } from '../../harness/wait.js';
import { comeAndGo, type FaultScenario, startFaultScenario, type Trial, withstand } from './fault-scenario.js';

const suite = cgroupSuite('a GPU driver that fails');
const snapshot = ({ hive }: FaultScenario): Promise<Heartbeat> => getJson<Heartbeat>(`${hive.url}/v1/snapshot`);
const measured = ({ gpus }: Heartbeat) =>
  gpus.flatMap((gpu) => [gpu.memoryUsedBytes, gpu.utilizationPercent, gpu.powerWatts]);
const hung = (call: string): Scenario => ({ ...fourH100(), calls: { [call]: { hang: true } } });

describe.skipIf(suite.skip)(suite.title, () => {
  const harness = useHarness();

  /** A hive with a queen that hears it throughout. */
  const heard = async (args: readonly string[], env: Readonly<Record<string, string | undefined>>) => {
    const queen = await harness().queen();
    const stream = harness().stream(`${queen.url}/v1/events`);
    return { stream, ...(await startFaultScenario(harness(), [queen.url], { args, env })) };
  };
  const scenarioOf = async (scenario: Scenario, gpu: string) => {
    const gpuHost = new FakeGpuHost(scenario);
    harness().defer(() => gpuHost[Symbol.dispose]());
    return { gpuHost, ...(await heard(['--gpu', gpu], gpuHost.env)) };
  };
  /** `withstand` of such a hive. */
  const trial = (
    now: FaultScenario & { readonly stream: StreamReader },
    rest: Omit<Trial, 'scenario' | 'happens' | 'stream'>,
  ): Promise<void> => withstand({ scenario: now, happens: () => comeAndGo(now), stream: () => now.stream, ...rest });
  const working = (now: FaultScenario, gpus = 4) =>
    waitFor(
      async () => {
        const heartbeat = await snapshot(now);
        return (
          heartbeat.gpus.length === gpus &&
          heartbeat.gpus.every(({ memoryUsedBytes }) => memoryUsedBytes !== null) &&
          heartbeat
        );
      },
      { timeoutMs: 60_000, what: `${gpus} GPUs with figures` },
    );
  const gpuFault = ({ source }: { source: string }) => source === 'gpu';
  const well = async (now: FaultScenario): Promise<void> => {
    await working(now);
    await faultGone(now.hive.url, gpuFault);
  };

  test('nvidia_smi_timeout: values turn null with the fault, the child is killed, and values come back', async () => {
    const now = await scenarioOf(fourH100(), 'nvidia-smi');
    await working(now);
    await trial(now, {
      breakIt: () => now.gpuHost.become({ ...fourH100(), smi: { delayMs: 600_000 } }),
      named: async () => {
        expect((await faultNamed(now.hive.url, gpuFault, 60_000)).code).toBe('NVIDIA_SMI_TIMEOUT');
      },
      meanwhile: async () => {
        const heartbeat = await snapshot(now);
        expect(heartbeat.gpus).toHaveLength(4);
        expect(new Set(measured(heartbeat))).toEqual(new Set([null]));
        expect(new Set(heartbeat.gpus.map(({ health }) => health))).toEqual(new Set(['stalled']));
        expect(heartbeat.host.cpuPercent).not.toBeNull();
        expect(running(/nvidia-smi/, now.gpuHost.file).length).toBeLessThanOrEqual(1);
      },
      fix: () => now.gpuHost.become(fourH100()),
      recovered: () => well(now),
    });
  });

  test('nvml_hung: stalled within seconds, everything else flows, a new helper takes over', async () => {
    const now = await scenarioOf(fourH100(), 'nvml');
    await working(now);
    await trial(now, {
      breakIt: () => now.gpuHost.become(hung('nvmlDeviceGetUtilizationRates')),
      named: async () => {
        expect((await faultNamed(now.hive.url, gpuFault, 15_000)).code).toBe('NVML_STALLED');
        const heartbeat = await snapshot(now);
        expect(new Set(measured(heartbeat))).toEqual(new Set([null]));
        expect(heartbeat.host.memoryAvailableBytes).not.toBeNull();
      },
      fix: () => now.gpuHost.become(fourH100()),
      recovered: () => well(now),
    });
  });

  test('gpu_lost: one GPU falls off the bus, the others keep their figures, loss and return are told once', async () => {
    const now = await scenarioOf(fourH100(), 'nvml');
    await working(now);
    const gone = 15; // NVML_ERROR_GPU_IS_LOST
    const codes = {
      nvmlDeviceGetHandleByIndex_v2: gone,
      nvmlDeviceGetMemoryInfo: gone,
      nvmlDeviceGetMemoryInfo_v2: gone,
    };
    const gpus = fourH100().gpus.map((gpu, i) => (i === 2 ? h100(2, { codes }) : gpu));
    const events = (wanted: FleetEvent['kind']) =>
      now.stream.messages.filter(({ event, data }) => event === 'event' && (data as FleetEvent).kind === wanted);
    await trial(now, {
      breakIt: () => now.gpuHost.become({ ...fourH100(), gpus }),
      named: async () => {
        const heartbeat = await waitFor(
          async () => {
            const found = await snapshot(now);
            return found.gpus[2]?.health === 'lost' && found;
          },
          { timeoutMs: 60_000, what: 'the GPU to be lost' },
        );
        expect(heartbeat.gpus).toHaveLength(4);
        expect(heartbeat.gpus[2]?.memoryUsedBytes).toBeNull();
        expect(heartbeat.gpus.filter(({ health }) => health === 'ok')).toHaveLength(3);
        expect(heartbeat.gpus[0]?.memoryUsedBytes).toBeGreaterThan(0);
        await waitFor(() => events('gpuLost').length > 0, { timeoutMs: 20_000, what: 'the event of a lost GPU' });
      },
      meanwhile: () => expect(events('gpuRecovered')).toEqual([]),
      fix: () => now.gpuHost.become(fourH100()),
      recovered: async () => {
        await well(now);
        await waitFor(() => events('gpuRecovered').length > 0, { timeoutMs: 20_000, what: 'the event of its return' });
      },
    });
    expect(events('gpuLost')).toHaveLength(1);
    expect(events('gpuRecovered')).toHaveLength(1);
  });

  test('gpu_absent: no driver is no fault, and costs nothing', async () => {
    const empty = harness().directory();
    const now = await heard(['--gpu', 'auto'], { LD_LIBRARY_PATH: empty, HIVEPULSE_FAKE_GPU: undefined });
    await trial(now, {
      breakIt: () => undefined,
      named: async () => {
        const heartbeat = await waitFor(
          async () => {
            const found = await snapshot(now);
            return found.collection.gpuReader === 'none' && found.hive.state === 'ready' && found;
          },
          { timeoutMs: 30_000, what: 'the hive to be ready without a GPU' },
        );
        expect(heartbeat.gpus).toEqual([]);
        expect(heartbeat.collection.gpuReaderReason).toBeTruthy();
      },
      fix: () => undefined,
      recovered: async () => expect((await snapshot(now)).faults.filter(gpuFault)).toEqual([]),
    });
  });

  test('gpu_late: a driver that is installed while the hive runs is found without a restart', async () => {
    const gpuHost = new FakeGpuHost(fourH100());
    harness().defer(() => gpuHost[Symbol.dispose]());
    const [libraries, programs] = [harness().directory(), harness().directory()];
    const now = await heard(['--gpu', 'auto'], {
      ...gpuHost.env,
      LD_LIBRARY_PATH: libraries,
      PATH: `${programs}:${process.env.PATH}`,
    });
    await trial(now, {
      breakIt: () => undefined,
      named: async () => expect((await snapshot(now)).gpus).toEqual([]),
      fix: () => symlinkSync(fakeLibrary(), join(libraries, 'libnvidia-ml.so.1')),
      recovered: async () => {
        // Where there was nothing it looks once a minute.
        const heartbeat = await waitFor(
          async () => {
            const found = await snapshot(now);
            return found.gpus.length === 4 && found;
          },
          { timeoutMs: 100_000, what: 'the GPUs of the driver that has come' },
        );
        expect(heartbeat.collection.gpuReader).toBe('nvml');
      },
    });
    expect(now.cadence.uneven()).toBeNull();
  });

  test.each([
    ['100 MB', 'head -c 100000000 /dev/zero | tr "\\0" x'],
    ['garbage', 'head -c 20000 /dev/urandom'],
    ['nothing', 'exit 0'],
  ])('nvidia_smi_output: %s: named, bounded, and all else goes on', async (_, script) => {
    const programs = harness().directory();
    const program = join(programs, 'nvidia-smi');
    writeFileSync(program, `#!/bin/sh\n${script}\n`);
    chmodSync(program, 0o755);
    const now = await heard(['--gpu', 'nvidia-smi'], { PATH: `${programs}:${process.env.PATH}` });
    await trial(now, {
      breakIt: () => undefined,
      named: async () => {
        const fault = await faultNamed(now.hive.url, gpuFault, 70_000);
        expect(fault.code).toMatch(/^NVIDIA_SMI_/);
        expect(fault.message.length).toBeLessThanOrEqual(1024);
      },
      meanwhile: async () => expect((await snapshot(now)).gpus).toEqual([]),
      fix: () => {
        // The program is repaired: the hive sees it at its next run.
        const gpuHost = new FakeGpuHost(fourH100());
        harness().defer(() => gpuHost[Symbol.dispose]());
        const proper = gpuHost.env.PATH!.split(':')[0]!;
        cpSync(join(proper, 'nvidia-smi'), join(programs, 'real'));
        writeFileSync(
          join(programs, 'next'),
          `#!/bin/sh\nHIVEPULSE_FAKE_GPU=${gpuHost.file} exec ${join(programs, 'real')} "$@"\n`,
        );
        chmodSync(join(programs, 'next'), 0o755);
        renameSync(join(programs, 'next'), program);
      },
      recovered: () => well(now),
    });
  });

  const freezer = '/sys/fs/cgroup/freezer';
  const noFreezer = existsSync(join(freezer, 'cgroup.procs')) ? '' : ' (skipped: no v1 freezer here)';
  test.skipIf(noFreezer !== '')(
    `helper_unkillable: SIGKILL does not end it${noFreezer}: it is left behind`,
    async () => {
      const now = await scenarioOf(fourH100(), 'nvml');
      await working(now);
      const [helper] = running(/hivepulse-gpu$/, now.gpuHost.file);
      const frozen = join(freezer, `hivepulse-test-${process.pid}`);
      mkdirSync(frozen);
      const thaw = async () => {
        writeFileSync(join(frozen, 'freezer.state'), 'THAWED');
        await waitFor(() => readFileSync(join(frozen, 'cgroup.procs'), 'utf8') === '', {
          what: 'the helper to be gone',
        });
        rmdirSync(frozen);
      };
      harness().defer(async () => {
        if (existsSync(frozen)) await thaw();
      });
      await trial(now, {
        breakIt: () => {
          writeFileSync(join(frozen, 'cgroup.procs'), String(helper));
          writeFileSync(join(frozen, 'freezer.state'), 'FROZEN');
        },
        named: async () => {
          expect((await faultNamed(now.hive.url, gpuFault, 20_000)).code).toBe('NVML_STALLED');
        },
        // A new one takes over while the old one still stands in the table of processes.
        meanwhile: () => working(now),
        fix: () => undefined,
        recovered: () => well(now),
      });
      expect(running(/hivepulse-gpu$/, now.gpuHost.file)).toContain(helper);
      expect(running(/hivepulse-gpu$/, now.gpuHost.file)).toHaveLength(2);
      // The hive ends in time although it cannot be waited for.
      const ending = performance.now();
      expect(await now.hive.process.stop(8000)).toBe(0);
      expect(performance.now() - ending).toBeLessThan(6000);
      await thaw();
    },
  );
});
