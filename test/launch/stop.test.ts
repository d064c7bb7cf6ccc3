import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { stopCgroup, stopProcess } from '../../lib/launch/stop.js';

// A directory in place of a cgroup whose files never change: as if what is in it waited in the kernel.
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'hivepulse-stop-'));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(dir, { recursive: true, force: true });
});

function stuck(pids: readonly number[]): void {
  writeFileSync(join(dir, 'cgroup.events'), 'populated 1\nfrozen 0\n');
  writeFileSync(join(dir, 'cgroup.procs'), pids.map((pid) => `${pid}\n`).join(''));
}

async function sleeper(script = 'setInterval(() => {}, 1e6)') {
  const child = spawn(process.execPath, ['-e', `${script}; console.log('up')`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  await once(child.stdout, 'data');
  return { pid: child.pid as number, startTicks: null, child, exited };
}

describe('stopCgroup', () => {
  it('what outlives SIGKILL is named with its state, after SIGTERM, the grace and SIGKILL', async () => {
    const child = await sleeper("process.on('SIGTERM', () => {}); setInterval(() => {}, 1e6)");
    stuck([child.pid, 2 ** 22 + 1]);
    const attempt = stopCgroup(dir, 'llm/0', 'cgroup', { graceMs: 30, killMs: 30 });
    await expect(attempt).rejects.toMatchObject({
      code: 'STOP_TIMEOUT',
      subject: 'llm/0',
      message: expect.stringContaining(`${2 ** 22 + 1} (?, state ?)`),
    });
    expect(await child.exited).toEqual([null, 'SIGKILL']);
  });

  it('the signal that was asked for comes first', async () => {
    const child = await sleeper();
    stuck([child.pid]);
    // It may end by the second before it has taken the first.
    const sent = vi.spyOn(process, 'kill');
    await expect(
      stopCgroup(dir, 'llm/0', 'cgroup', { signal: 'SIGINT', graceMs: 30, killMs: 0 }),
    ).rejects.toMatchObject({ code: 'STOP_TIMEOUT' });
    expect(sent.mock.calls).toEqual([
      [child.pid, 'SIGINT'],
      [child.pid, 'SIGKILL'],
    ]);
    await child.exited;
  });

  it('a cgroup that is gone is stopped', async () => {
    rmSync(dir, { recursive: true });
    expect(await stopCgroup(dir, 'llm/0', 'cgroup')).toEqual({ id: 'llm/0', signalled: 0, killed: false });
  });
});

describe('stopProcess', () => {
  it('SIGTERM ignored: SIGKILL after the grace', async () => {
    const child = await sleeper("process.on('SIGTERM', () => {}); setInterval(() => {}, 1e6)");
    expect(await stopProcess(child, 'mac/0', { graceMs: 30 })).toEqual({
      id: 'mac/0',
      signalled: 1,
      killed: true,
    });
    expect(await child.exited).toEqual([null, 'SIGKILL']);
  });

  it.each([-1, 0, 1, 2, 4711])('pid %d without a start time is never signalled, whoever has it now', async (pid) => {
    await expect(stopProcess({ pid, startTicks: null }, 'mac/0')).rejects.toMatchObject({ code: 'PROCESS_UNVERIFIED' });
    const other = await sleeper();
    await expect(stopProcess({ ...other, pid }, 'mac/0')).rejects.toMatchObject({ code: 'PROCESS_UNVERIFIED' });
    process.kill(other.pid, 'SIGTERM');
    expect(await other.exited).toEqual([null, 'SIGTERM']);
  });

  it('a pid that has passed to another process is left alone', async () => {
    const child = await sleeper();
    expect(await stopProcess({ pid: child.pid, startTicks: 1 }, 'mac/0', { graceMs: 30 })).toMatchObject({
      signalled: 0,
    });
    process.kill(child.pid, 'SIGTERM');
    expect(await child.exited).toEqual([null, 'SIGTERM']);
  });
});
