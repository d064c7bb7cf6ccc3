import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FakeGpuHost, fourH100, type Scenario } from '../../fakes/scenario.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));

interface Result {
  readonly exit: number | null;
  readonly output: string;
}

/** Runs the verification as `npm run verify:gpu` does. `while_` is called now and then, as long as it runs. */
function verify(
  env: NodeJS.ProcessEnv,
  args: readonly string[] = [],
  meanwhile: () => void = () => {},
): Promise<Result> {
  return new Promise((resolve) => {
    const tsx = ['--import', 'tsx', 'test/suites/gpu/verify.ts', ...args];
    const child = spawn(process.execPath, tsx, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    const timer = setInterval(meanwhile, 100);
    child.once('close', (exit) => {
      clearInterval(timer);
      resolve({ exit, output });
    });
  });
}

/** Without any load that this machine may have. */
const bare = (host: FakeGpuHost): NodeJS.ProcessEnv => ({ ...process.env, ...host.env });

describe('verify:gpu', { timeout: 120_000 }, () => {
  it('verify:gpu: says so and ends 3 where there is no GPU', async () => {
    using host = new FakeGpuHost({ gpus: [] });
    const { exit, output } = await verify(bare(host));
    expect(output).toMatch(/no GPU here/);
    expect(exit).toBe(3);
  });

  it('verify:gpu: names what differs and ends 1', async () => {
    const scenario: Scenario = { ...fourH100(), calls: { nvmlDeviceGetPowerUsage: { codes: [999] } } };
    using host = new FakeGpuHost(scenario);
    const { exit, output } = await verify(bare(host), ['--load', 'exit 1']);
    expect(output).toMatch(/DIFFERS: GPU 0 powerWatts: NVML null, nvidia-smi 593\.35/);
    expect(output).toMatch(/DIFFERS: the load's VRAM was not attributed/);
    expect(exit).toBe(1);
  });

  it('verify:gpu: ends 0 where both readers agree and the load is found in its worker', async () => {
    using host = new FakeGpuHost(fourH100());
    // The fake driver does not see who allocates: the load is shown as a GPU process once it runs.
    const marker = `sleep 9${process.pid}`;
    const { exit, output } = await verify(bare(host), ['--load', `exec ${marker}`], () => {
      const pid = readdirSync('/proc').find((name) => {
        try {
          return readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0').join(' ').trim() === marker;
        } catch {
          return false;
        }
      });
      if (pid) host.become(fourH100([Number(pid), 4102, 4103]));
    });
    expect(output).toMatch(/driver 550\.54\.15/);
    expect(output).toMatch(/worker verify\/gpu holds 70254 MiB on GPU-/);
    expect(output).toMatch(/\nverified\n/);
    expect(exit).toBe(0);
  });
});
