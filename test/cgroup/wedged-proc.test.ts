import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import type { Snapshot } from '../../lib/contract/heartbeat.js';
import type { RunningSampler } from '../../lib/sampling/create.js';
import { createSampler } from '../../lib/sampling/open.js';
import { waitFor } from '../harness/wait.js';
import { useWorkerBench } from '../harness/worker-suite.js';

const server = fileURLToPath(new URL('../harness/fuse-proc.js', import.meta.url));
const bench = useWorkerBench();
const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const work of cleanups.splice(0).reverse()) await work();
});

/** /proc behind FUSE: some of its files can be made never to answer. */
async function mirroredProc() {
  const mount = join(bench().runtimeDir, 'proc');
  mkdirSync(mount);
  const child = spawn(process.execPath, [server, '/proc', mount], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  const exited = new Promise((resolve) => child.once('exit', resolve));
  cleanups.push(async () => {
    // What still waits in a read of it is let go by the server's end.
    child.kill('SIGKILL');
    await exited;
    spawnSync('umount', ['-l', mount]);
  });
  const tell = async (command: string): Promise<void> => {
    child.stdin.write(`${command}\n`);
    await waitFor(() => lines.includes(`ok ${command}`));
  };
  await waitFor(() => lines.includes('mounted'), { timeoutMs: 60_000, what: 'the FUSE mount' });
  return { mount, lines, tell };
}

it.each(['native', 'files'] as const)(
  'a wedged /proc: the tick goes on, the other worker keeps its figures, and all is well again after (%s reader)',
  async (reader) => {
    const proc = await mirroredProc();
    const stuck = await bench().sh('exec sleep 600', { instance: 'stuck' });
    const busy = await bench().sh('while :; do :; done', { instance: 'busy' });
    await proc.tell(`wedge ${stuck.pid}/stat`);
    await proc.tell(`wedge ${stuck.pid}/cmdline`);
    const sampler: RunningSampler = await createSampler({
      root: bench().tree.root,
      runtimeDir: bench().runtimeDir,
      procRoot: proc.mount,
      reader,
      gpu: 'none',
      auto: false,
      readiness: false,
      intervalMs: 200,
    });
    cleanups.push(() => sampler.close());
    const snapshots: Snapshot[] = [];
    sampler.start((snapshot) => snapshots.push(snapshot));
    await waitFor(() => proc.lines.some((line) => line === `blocked ${stuck.pid}/stat`), {
      timeoutMs: 60_000,
      what: 'a read that blocks',
    });
    const before = snapshots.length;
    // Ticks go on, and the event loop is free to see them.
    await waitFor(() => snapshots.length >= before + 5, {
      timeoutMs: 60_000,
      what: 'five ticks while /proc is wedged',
    });
    const during = await waitFor(() => snapshots.find((snapshot, i) => i >= before && snapshot.faults.length > 0), {
      timeoutMs: 60_000,
      what: 'a fault that says what is wedged',
    });
    expect(during.faults.map(({ source, code }) => `${source} ${code}`).join(), JSON.stringify(during.faults)).toMatch(
      /proc|cgroup|hive/,
    );
    expect(during.host.cpuCount).toBeGreaterThan(0);

    await proc.tell('release');
    await waitFor(
      () => {
        const worker = snapshots.at(-1)?.workers.find(({ id }) => id === busy.id);
        return worker !== undefined && (worker.cpuPercent ?? 0) > 10;
      },
      { timeoutMs: 60_000, what: 'figures after the release' },
    );
  },
);
