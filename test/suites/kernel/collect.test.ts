import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { openReader } from '../../../lib/cgroup/reader.js';
import type { Snapshot, WorkerSample } from '../../../lib/contract/heartbeat.js';
import type { SpawnedWorker } from '../../../lib/launch/process-monitor.js';
import { cell } from '../../../lib/native/layout.js';
import type { RunningSampler } from '../../../lib/sampling/create.js';
import { createSampler } from '../../../lib/sampling/open.js';
import { waitFor } from '../../harness/wait.js';
import { firstLine, useWorkerBench } from '../../harness/worker-suite.js';

const bench = useWorkerBench();
const opened: RunningSampler[] = [];
afterEach(async () => {
  for (const sampler of opened.splice(0)) await sampler.close();
});

async function sampler(): Promise<RunningSampler> {
  const made = await createSampler({
    root: bench().tree.root,
    runtimeDir: bench().runtimeDir,
    gpu: 'none',
    auto: false,
  });
  opened.push(made);
  return made;
}
const byId = (snapshot: Snapshot, id: string): WorkerSample => {
  const found = snapshot.workers.find((worker) => worker.id === id);
  if (!found) throw new Error(`no ${id} among ${snapshot.workers.map((worker) => worker.id).join(', ')}`);
  return found;
};

/** A worker in Node that burns CPU on demand and tells its own getrusage: answers each line of input with one of output. */
const burner = `
process.stdin.setEncoding('utf8').on('data', (text) => {
  const end = process.cpuUsage().user + Number(text) * 1000;
  while (process.cpuUsage().user < end);
  const { user, system } = process.cpuUsage();
  console.log(user + system);
});
console.log('ready');`;

/** Holds as many bytes more as each line of input says, and answers by how much it has grown by its own count. */
const holder = `
const held = [];
process.stdin.setEncoding('utf8').on('data', (text) => {
  const before = process.memoryUsage.rss();
  held.push(Buffer.alloc(Number(text), 1));
  console.log(process.memoryUsage.rss() - before);
});
console.log('ready');`;

/** A worker that runs such a script; `ask` gives it a number and resolves with its answer. */
async function conversation(script: string) {
  const worker = await bench().monitor.spawn({
    group: 'test',
    instance: 'asked',
    command: process.execPath,
    args: ['-e', script],
    stdio: 'pipe',
  });
  let text = '';
  worker.stdout?.on('data', (chunk) => {
    text += String(chunk);
  });
  const answers = () => text.split('\n').slice(0, -1);
  await waitFor(() => answers().length === 1, { timeoutMs: 60_000 });
  const ask = async (value: number): Promise<number> => {
    const before = answers().length;
    worker.stdin?.write(`${value}\n`);
    return Number(await waitFor(() => answers()[before], { timeoutMs: 90_000 }));
  };
  return { worker, ask };
}

describe('collect_reads_cgroup_stats', () => {
  it.each(['native', 'files'] as const)(
    'collect_reads_cgroup_stats: CPU time agrees with the process’s own getrusage (%s reader)',
    async (kind) => {
      const { worker, ask } = await conversation(burner);
      const { reader } = openReader(kind, { procRoot: '/proc', processMemory: false, processIo: false });
      try {
        const slot = reader.add(worker.cgroupPath as string);
        // What it burns between its own reading and ours is in the difference; a busy machine adds to that, so it has three goes.
        const differences: number[] = [];
        while (differences.length < 3 && !differences.some((difference) => difference < 0.05)) {
          const ownBefore = await ask(50);
          const before = cell(reader.passSync(), slot, 'usageUsec') as number;
          const ownAfter = await ask(2000);
          const after = cell(reader.passSync(), slot, 'usageUsec') as number;
          const own = ownAfter - ownBefore;
          // Exactly as much where the kernel counts in ticks.
          expect(own).toBeGreaterThanOrEqual(2_000_000);
          differences.push(Math.abs(after - before - own) / own);
        }
        expect(Math.min(...differences), String(differences)).toBeLessThan(0.05);
      } finally {
        reader.close();
      }
    },
  );

  it.each(['native', 'files'] as const)(
    'collect_reads_cgroup_stats: memory grows by what the process holds by its own count (%s reader)',
    async (kind) => {
      const { worker, ask } = await conversation(holder);
      const { reader } = openReader(kind, { procRoot: '/proc', processMemory: false, processIo: false });
      try {
        const slot = reader.add(worker.cgroupPath as string);
        // What its engine allocates or collects beside it is in the difference, so it has three goes.
        const differences: number[] = [];
        while (differences.length < 3 && !differences.some((difference) => difference < 0.05)) {
          const before = cell(reader.passSync(), slot, 'memoryCurrentBytes') as number;
          const own = await ask(64 * 2 ** 20);
          const after = cell(reader.passSync(), slot, 'memoryCurrentBytes') as number;
          expect(own).toBeGreaterThan(60 * 2 ** 20);
          differences.push(Math.abs(after - before - own) / own);
        }
        expect(Math.min(...differences), String(differences)).toBeLessThan(0.05);
      } finally {
        reader.close();
      }
    },
  );

  it('collect_reads_cgroup_stats: bytes of a known O_DIRECT write, to the byte, and of a read within 5 %', async () => {
    const dir = existsSync('/scratch') ? '/scratch' : bench().runtimeDir;
    const file = join(dir, `hivepulse-direct-${process.pid}`);
    const script = `dd if=/dev/zero of=${file} bs=64k count=8 oflag=direct 2>/dev/null && sync -f ${file}; echo ready; read go; dd if=/dev/zero of=${file} bs=1M count=8 oflag=direct conv=notrunc 2>&1; echo written; read go; dd if=${file} of=/dev/null bs=1M iflag=direct 2>&1; echo done; exec sleep 600`;
    const worker = await bench().sh(script, { stdio: ['pipe', 'pipe', 'pipe'] });
    let text = '';
    worker.stdout?.on('data', (chunk) => {
      text += String(chunk);
    });
    await waitFor(() => text.includes('ready'), { timeoutMs: 60_000 });
    const { reader } = openReader('auto', { procRoot: '/proc', processMemory: false, processIo: false });
    try {
      const slot = reader.add(worker.cgroupPath as string);
      const before = reader.passSync();
      worker.stdin?.write('go\n');
      await waitFor(() => text.includes('written'), { timeoutMs: 60_000 });
      const between = reader.passSync();
      const written = (cell(between, slot, 'ioWriteBytes') as number) - (cell(before, slot, 'ioWriteBytes') ?? 0);
      expect(written, text).toBe(8 * 2 ** 20);
      worker.stdin?.write('go\n');
      await waitFor(() => text.includes('done'), { timeoutMs: 60_000 });
      const after = reader.passSync();
      // Of the file system's own blocks some may be read as well.
      const read = (cell(after, slot, 'ioReadBytes') as number) - (cell(between, slot, 'ioReadBytes') ?? 0);
      expect(Math.abs(read / (8 * 2 ** 20) - 1), `${text} ${read}`).toBeLessThan(0.05);
    } finally {
      reader.close();
    }
  });

  it('collect_reads_cgroup_stats: throttling, limits over ancestors, memory, processes and OOM kills of a live worker', async () => {
    const collect = await sampler();
    const worker = await bench().sh('(tail /dev/zero); echo killed; while :; do :; done', {
      cpu: '20%',
      memory: '48M',
      swap: '0',
      pids: 50,
    });
    await collect.sample();
    await firstLine(worker.stdout);
    const usage = async () =>
      Number(/^nr_periods (\d+)$/m.exec(await readFile(join(worker.cgroupPath as string, 'cpu.stat'), 'utf8'))?.[1]);
    await collect.sample();
    const periods = await usage();
    await waitFor(async () => (await usage()) >= periods + 20, { timeoutMs: 60_000 });
    const sample = byId(await collect.sample(), worker.id);
    expect(sample).toMatchObject({
      origin: 'launched',
      memorySource: 'cgroup',
      cpuLimitPercent: 20,
      memoryLimitBytes: 48 * 2 ** 20,
      oomKills: 1,
      processCount: 1,
    });
    expect(sample.cpuPercent).toBeGreaterThan(5);
    expect(sample.cpuPercent).toBeLessThan(25);
    expect(sample.cpuThrottledPercent).toBeGreaterThan(50);
    expect(sample.memoryPeakBytes ?? sample.memoryBytes).toBeGreaterThan(0);
    expect(sample.workingSetBytes).toBeLessThanOrEqual(sample.memoryBytes as number);
    expect(collect.takeEvents().filter(({ kind }) => kind === 'oomKill')).toMatchObject([{ workerId: worker.id }]);

    // The least of it and its ancestors holds: what is set on the group from outside shows on its workers.
    const group = dirname(worker.cgroupPath as string);
    await writeFile(join(group, 'memory.max'), String(32 * 2 ** 20));
    await writeFile(join(group, 'cpu.max'), '10000 100000');
    const held = await waitFor(
      async () => {
        const now = byId(await collect.sample(), worker.id);
        return now.memoryLimitBytes === 32 * 2 ** 20 ? now : null;
      },
      { timeoutMs: 60_000, everyMs: 200, what: 'the limit of the group on its worker' },
    );
    expect(held.cpuLimitPercent).toBe(10);
  });
});

describe('workers of a live tree', () => {
  it('collect_parses_cmdline: model, port and command of a running engine, its key redacted', async () => {
    const bin = join(bench().runtimeDir, 'bin');
    mkdirSync(bin);
    writeFileSync(
      join(bin, 'vllm'),
      `#!/usr/bin/env python3
import socket, time
server = socket.create_server(("127.0.0.1", 8123))
time.sleep(600)
`,
    );
    chmodSync(join(bin, 'vllm'), 0o755);
    const worker = await bench().monitor.spawn({
      group: 'llm',
      instance: 'engine',
      command: join(bin, 'vllm'),
      args: ['serve', 'meta-llama/Llama-3.1-8B', '--port', '8123', '--api-key', 'sk-very-secret'],
      stdio: 'ignore',
      labels: { team: 'search' },
    });
    const collect = await sampler();
    // env(1), and whatever stands for python3 on this host, first become the interpreter, which then listens.
    const sample = await waitFor(
      async () => {
        const { workers } = await collect.sample();
        return workers.find(({ id, port }) => id === worker.id && port !== null);
      },
      // The interpreter alone takes the best part of a minute where the CPU is emulated.
      { timeoutMs: 240_000, what: 'the engine to listen' },
    );
    expect(sample).toMatchObject({
      model: 'meta-llama/Llama-3.1-8B',
      port: 8123,
      labels: { team: 'search' },
      pid: worker.pid,
    });
    expect(sample.command).toContain('vllm serve');
    expect(JSON.stringify(sample)).not.toContain('sk-very-secret');
  }, 300_000);

  it('collect_calculates_uptime: from the kernel’s start time of the main process', async () => {
    const collect = await sampler();
    const before = performance.now();
    const worker = await bench().sh('exec sleep 600');
    const started = performance.now();
    const first = byId(await collect.sample(), worker.id).uptimeSeconds as number;
    const end = performance.now();
    // Clock ticks are 10 ms.
    expect(first).toBeGreaterThanOrEqual(0);
    expect(first).toBeLessThanOrEqual((end - before) / 1000 + 0.02);
    await waitFor(() => performance.now() - started > 1500);
    const later = byId(await collect.sample(), worker.id).uptimeSeconds as number;
    expect(later).toBeGreaterThanOrEqual(1.48);
  });

  it('enumerate_walks_cgroup_tree: 3 workers in 2 groups, through ProcessMonitor as well', async () => {
    const collect = await sampler();
    const monitor = bench().another({ sampler: collect });
    const names: [string, string][] = [
      ['llm', '8080'],
      ['llm', '8081'],
      ['embed', 'one'],
    ];
    for (const [group, instance] of names) await bench().sh('exec sleep 600', { group, instance });
    expect([...(await monitor.enumerate())].sort()).toEqual(['embed/one', 'llm/8080', 'llm/8081']);
    expect((await monitor.collect()).map(({ origin }) => origin)).toEqual(['launched', 'launched', 'launched']);
  });

  it('collect_handles_dead_process: a worker that was killed leaves the next sample, its neighbour stays', async () => {
    const collect = await sampler();
    const dying = await bench().sh('exec sleep 600', { instance: 'dying' });
    const neighbour = await bench().sh('exec sleep 600', { instance: 'neighbour' });
    expect((await collect.sample()).workers).toHaveLength(2);
    process.kill(dying.pid, 'SIGKILL');
    await dying.exited;
    const snapshot = await collect.sample();
    expect(snapshot.workers.map(({ id }) => id)).toEqual([neighbour.id]);
    expect(snapshot.workersComplete).toBe(true);
    const exits = collect.takeEvents().filter(({ kind }) => kind === 'workerExited');
    expect(exits).toMatchObject([{ workerId: dying.id, detail: { signal: 'SIGKILL' } }]);
  });

  it('collect_all_workers_partial_failure: one dies and one is re-created between two passes; the rest complete', async () => {
    const collect = await sampler();
    const steady = await bench().sh('while :; do :; done', { instance: 'steady' });
    const dying = await bench().sh('exec sleep 600', { instance: 'dying' });
    const again = (): Promise<SpawnedWorker> => bench().sh('while :; do :; done', { instance: 'again' });
    const first = await again();
    await collect.sample();
    await collect.sample();
    process.kill(dying.pid, 'SIGKILL');
    await dying.exited;
    await bench().monitor.stop(first.id, { graceMs: 0 });
    const second = await again();
    // The kept descriptors of the cgroup that is gone show it first; its successor is there one pass later at most.
    const snapshot = await waitFor(async () => {
      const next = await collect.sample();
      expect(byId(next, steady.id).cpuPercent).toBeGreaterThan(0);
      return next.workers.some(({ id }) => id === second.id) ? next : null;
    });
    expect(snapshot.workers.map(({ id }) => id).sort()).toEqual(['test/again', 'test/steady']);
    expect(byId(snapshot, steady.id).cpuPercent).toBeGreaterThan(0);
    // Another cgroup under the old name: its counters are not a continuation.
    expect(byId(snapshot, second.id)).toMatchObject({ pid: second.pid, cpuPercent: null });
  });

  it('collect_all_workers_partial_failure: workers come and go under passes that never fail', async () => {
    const collect = await sampler();
    const steady = await bench().sh('exec sleep 600', { instance: 'steady' });
    let churning = true;
    const churn = (async () => {
      for (let i = 0; i < 15; i += 1) await (await bench().sh('exit 0', { instance: `c${i % 2}` })).exited;
      churning = false;
    })();
    while (churning) expect(byId(await collect.sample(), steady.id).pid).toBe(steady.pid);
    await churn;
  });
});
