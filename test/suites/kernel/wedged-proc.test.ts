import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { Snapshot } from '../../../lib/contract/heartbeat.js';
import type { RunningSampler } from '../../../lib/sampling/create.js';
import { createSampler } from '../../../lib/sampling/open.js';
import { mirror } from '../../harness/fuse.js';
import { waitFor } from '../../harness/wait.js';
import { useWorkerBench } from '../../harness/worker-suite.js';

const bench = useWorkerBench();
const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const work of cleanups.splice(0).reverse()) await work();
});

async function mirroredProc() {
  const mount = join(bench().runtimeDir, 'proc');
  mkdirSync(mount);
  const proc = await mirror('/proc', mount);
  cleanups.push(proc.close);
  return { mount, lines: proc.lines, tell: proc.tell };
}

it.each(['native', 'files'] as const)(
  'wedged_proc: %s reader: the tick goes on, the other worker keeps its figures, and all is well again after',
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
      timeoutMs: 150_000,
      what: 'a read that blocks',
    });
    const before = snapshots.length;
    const of = (snapshot: Snapshot | undefined, id: string) => snapshot?.workers.find((worker) => worker.id === id);
    // Ticks go on, the event loop is free to see them, and all but the one that is stuck keeps its figures.
    const during = await waitFor(
      () => {
        const snapshot = snapshots.at(-1);
        const named = snapshot?.faults.some(({ code, workerId }) => code === 'CGROUP_STALLED' && workerId === stuck.id);
        return named && (of(snapshot, busy.id)?.cpuPercent ?? 0) > 10 ? snapshot : null;
      },
      { timeoutMs: 150_000, what: 'the stuck worker named, and figures of the other' },
    );
    expect(snapshots.length).toBeGreaterThan(before + 5);
    expect(during.faults.filter(({ code, workerId }) => code === 'CGROUP_STALLED' && workerId !== stuck.id)).toEqual(
      [],
    );
    const held = of(during, stuck.id);
    if (held !== undefined) expect(held).toMatchObject({ cpuPercent: null, memoryBytes: null, state: 'unknown' });
    else expect(during.workersComplete).toBe(false);
    expect(during.host.cpuCount).toBeGreaterThan(0);

    await proc.tell('release');
    await waitFor(
      () => {
        const snapshot = snapshots.at(-1);
        const whole = snapshot?.workersComplete && !snapshot.faults.some(({ code }) => code === 'CGROUP_STALLED');
        return whole && typeof of(snapshot, stuck.id)?.cpuPercent === 'number' && of(snapshot, busy.id) !== undefined;
      },
      { timeoutMs: 150_000, what: 'figures of both after the release' },
    );
  },
  // The machine is emulated, and others work beside it.
  480_000,
);
