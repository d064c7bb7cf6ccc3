/** The doctor with its real tools and its real GPU reader, on machines whose driver is sick. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { report } from '../../lib/cli/doctor-report.js';
import { examine } from '../../lib/doctor/examine.js';
import type { Finding } from '../../lib/doctor/finding.js';
import { type Host, thisHost } from '../../lib/doctor/host.js';
import { FakeGpuHost, fakeLibrary, h100, type Scenario } from '../fakes/scenario.js';

const hosts: FakeGpuHost[] = [];
afterEach(() => {
  for (const host of hosts.splice(0)) host[Symbol.dispose]();
});

/** What a driver leaves in /proc, /dev and /usr/lib, beside what it answers. */
function hostOf(scenario: Scenario, deadlineMs = 20_000): Host {
  const host = new FakeGpuHost(scenario);
  hosts.push(host);
  const root = join(host.directory, 'root');
  const files = {
    '/proc/driver/nvidia/version':
      'NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n',
    '/dev/nvidiactl': '',
    ...Object.fromEntries(scenario.gpus.map((_, index) => [`/dev/nvidia${index}`, ''])),
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  const library = join(root, '/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1');
  mkdirSync(dirname(library), { recursive: true });
  symlinkSync(fakeLibrary(scenario.generation), library);
  const real = thisHost({ ...process.env, ...host.env });
  return {
    ...real,
    root,
    run: (file, args, timeoutMs) => real.run(file, args, Math.min(timeoutMs, deadlineMs)),
    readGpus: (timeoutMs, vendor) => real.readGpus(Math.min(timeoutMs, deadlineMs), vendor),
  };
}

const of = (findings: readonly Finding[], check: string) => findings.filter((finding) => finding.check === check);

describe('doctor: real tools on a sick driver', () => {
  test('a driver that is well is ok, GPU by GPU', async () => {
    const findings = await examine(hostOf({ gpus: [h100(0), h100(1)] }));
    expect(of(findings, 'gpuDevices')).toMatchObject([{ status: 'ok' }]);
    expect(of(findings, 'nvml')).toMatchObject([{ status: 'ok', message: expect.stringContaining('2 GPUs') }]);
    expect(of(findings, 'nvidiaSmi')).toMatchObject([{ status: 'ok', message: expect.stringContaining('2 GPUs') }]);
    expect(of(findings, 'gpuHealth')).toEqual([]);
  });

  test('GPUs that are lost, need a reset or count errors are named, each with its fix', async () => {
    const handle = (code: number) => ({ codes: { nvmlDeviceGetHandleByIndex_v2: code } });
    const host = hostOf({
      gpus: [h100(0), h100(1, handle(15)), h100(2, { recovery: 1 }), h100(3, handle(4))],
      generation: 590,
    });
    const findings = await examine(host);
    const health = of(findings, 'gpuHealth').map(({ status, message, fix }) => [status, message, fix]);
    expect(health).toEqual([
      ['fail', 'GPU 1: lost.', expect.stringContaining('drain')],
      ['fail', 'GPU 2: reset required.', expect.stringContaining('--gpu-reset')],
      ['warn', 'GPU 3: no permission.', expect.stringContaining('group video')],
    ]);
    const text = report(findings, 100, false).join('\n');
    expect(text).toMatch(/✕ gpuHealth +GPU 1: lost/);
    expect(text).toMatch(/[1-9]\d* failed$/);
  });

  test('a driver that hangs costs its deadline, and all other checks go on', async () => {
    const findings = await examine(
      hostOf({ gpus: [h100(0)], calls: { nvmlInit_v2: { hang: true } }, smi: { delayMs: 600_000 } }, 700),
    );
    expect(of(findings, 'nvml')).toMatchObject([
      { status: 'fail', message: expect.stringContaining('has not answered'), fix: expect.stringContaining('dmesg') },
    ]);
    expect(of(findings, 'nvidiaSmi')).toMatchObject([
      { status: 'fail', message: expect.stringContaining('did not answer'), fix: expect.stringContaining('dmesg') },
    ]);
    expect(findings.map(({ check }) => check)).toEqual(expect.arrayContaining(['kernel', 'cgroup', 'addon', 'clock']));
  });

  test('a library of another version than the driver', async () => {
    const findings = await examine(
      hostOf({ gpus: [h100(0)], calls: { nvmlInit_v2: { codes: [18] } }, smi: { exit: 18 } }),
    );
    expect(of(findings, 'nvml')).toMatchObject([
      { status: 'fail', message: expect.stringMatching(/NVML does not work/) },
    ]);
    expect(of(findings, 'nvidiaSmi')).toMatchObject([
      {
        status: 'fail',
        message: expect.stringContaining('different versions'),
        fix: expect.stringContaining('reboot'),
      },
    ]);
  });
});
