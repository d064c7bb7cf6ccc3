import { stat } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../harness/wait.js';
import { FakeHost, fakeGpu } from '../sampling/fake-host.js';
import { runCli } from './run-cli.js';

/** A hive in this process, and the flags that find its control socket. */
async function controlled() {
  const host = new FakeHost();
  const released: number[] = [];
  const hive = await host.startHive(
    {},
    { gpu: { ...fakeGpu({}), release: async (seconds: number) => void released.push(seconds) } },
  );
  await waitFor(() => hive.snapshot()?.hive.state === 'ready');
  const port = new URL(hive.url).port;
  return { hive, released, place: ['--port', port, '--runtime-dir', host.runtimeDir], runtimeDir: host.runtimeDir };
}

describe('hivepulse drain, undrain, release-gpus', () => {
  it('drain takes the host out of scheduling, undrain takes it back', async () => {
    const { hive, place } = await controlled();
    expect(await runCli(['drain', ...place])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^draining/) });
    expect(hive.snapshot()?.hive.state).toBe('draining');
    expect(await runCli(['undrain', ...place])).toMatchObject({ code: 0, stdout: 'ready\n' });
    expect(hive.snapshot()?.hive.state).toBe('ready');
  });

  it('release-gpus lets the driver go for as long as it is told', async () => {
    const { released, place } = await controlled();
    expect(await runCli(['release-gpus', '30', ...place])).toMatchObject({ code: 0, stdout: 'released for 30 s\n' });
    expect(released).toEqual([30]);
  });

  it.each(['99999', '-5', 'soon'])(
    'release-gpus %s is refused by the hive, which is not unreachable',
    async (seconds) => {
      const { released, place } = await controlled();
      const { code, stdout, stderr } = await runCli(['release-gpus', ...place, '--', seconds]);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(/seconds/);
      expect(released).toEqual([]);
    },
  );

  it('without a hive: unreachable, with the socket’s path and what to do', async () => {
    const { hive, place, runtimeDir } = await controlled();
    await hive.close();
    const { code, stderr } = await runCli(['drain', ...place]);
    expect(code).toBe(3);
    expect(stderr).toContain(runtimeDir);
    expect(stderr).toMatch(/ENOENT.*is a hive running here\? --port/);
    await expect(stat(`${runtimeDir}/hive-${place[1]}.sock`)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
