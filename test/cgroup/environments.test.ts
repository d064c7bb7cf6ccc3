import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { rowFlags } from '../../lib/native/layout.js';
import { portion } from '../harness/draws.js';
import { useHarness } from '../harness/harness.js';
import { waitFor } from '../harness/wait.js';
import { binding, temporary, writeTree } from './reader-pair.js';

const harness = useHarness();

// HIVEPULSE_PREBUILD names another build of the package (test/sanitize/main.js), here as for node-gyp-build.
const packageRoot = process.env.HIVEPULSE_PREBUILD ?? fileURLToPath(new URL('../..', import.meta.url));
const addon = join(packageRoot, 'build/Release/hivepulse.node');
const dist = (path: string) => fileURLToPath(new URL(`../../dist/${path}`, import.meta.url));
const options =
  "{ procRoot: '/proc', processMemory: false, processIo: false, memoryStatEvery: 5, maxDescriptors: Infinity }";

/** Directories that stand for so many cgroups. */
function trees(count: number): readonly string[] {
  const directory = temporary();
  return Array.from({ length: count }, (_, i) => {
    writeTree(join(directory, String(i)), { 'cpu.stat': `usage_usec ${i}\n`, 'cgroup.procs': '' });
    return join(directory, String(i));
  });
}

/** A file whose opening blocks until `release`: what a wedged kernel file does. */
function wedged(directory: string, name: string): { readonly release: () => void } {
  const path = join(directory, name);
  execFileSync('mkfifo', [path]);
  return { release: () => closeSync(openSync(path, constants.O_RDWR)) };
}

/** Threads of this process that the addon started for cgroups. */
const addonThreads = (): number =>
  readdirSync('/proc/self/task').filter((task) => {
    try {
      return readFileSync(`/proc/self/task/${task}/comm`, 'utf8') === 'hive-cgroups\n';
    } catch {
      return false; // ended meanwhile
    }
  }).length;

const reading = (paths: readonly string[], interval: number) => `
  const { parentPort } = require('node:worker_threads');
  const binding = require(${JSON.stringify(addon)});
  const reader = new binding.CgroupReader(${options}, () => parentPort?.postMessage(reader.begun()));
  for (const path of ${JSON.stringify(paths)}) reader.add(path);
  reader.start(${interval});
  reader.keepAlive(true);
`;

describe('environments of the addon', () => {
  test('each worker thread has readers of its own', async () => {
    const seen = await Promise.all(
      [1, 2, 3].map(async (count) => {
        const worker = new Worker(
          `const { parentPort } = require('node:worker_threads');
           const binding = require(${JSON.stringify(addon)});
           const reader = new binding.CgroupReader(${options}, () => {});
           for (const path of ${JSON.stringify(trees(count))}) parentPort.postMessage(reader.add(path));
           parentPort.postMessage(new Float64Array(reader.passSync(), 0, 5)[3]);`,
          { eval: true },
        );
        const messages: number[] = [];
        worker.on('message', (message: number) => messages.push(message));
        await new Promise((resolve) => worker.once('exit', resolve));
        return messages;
      }),
    );
    const columns = binding().workerColumns.length;
    expect(seen).toEqual([
      [0, columns],
      [0, 1, 2 * columns],
      [0, 1, 2, 3 * columns],
    ]);
  });

  test('worker.terminate() in the middle of a pass, over and over', async () => {
    const paths = trees(200);
    for (let i = 0; i < portion(30); i++) {
      const worker = new Worker(reading(paths, 1), { eval: true });
      await new Promise((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      });
      // Passes follow each other without a pause, so this is nearly always inside one.
      expect(await worker.terminate()).toBe(1);
    }
    await waitFor(() => addonThreads() === 0, { what: 'the threads to end' });
  });

  test('worker.terminate() while a read never returns: it does not wait, and the thread that comes back harms nothing', async () => {
    const [path] = trees(1) as [string];
    const fifo = wedged(path, 'memory.current');
    const worker = new Worker(
      `${reading([path], 1)} setInterval(() => parentPort.postMessage({ runningMs: reader.runningMs() }), 5);`,
      { eval: true },
    );
    await new Promise<void>((resolve) => {
      worker.on('message', (message: { runningMs?: number }) => (message.runningMs ?? 0) > 30 && resolve());
    });
    expect(addonThreads()).toBe(1);
    const before = performance.now();
    await worker.terminate();
    expect(performance.now() - before).toBeLessThan(2000);
    fifo.release();
    // The freed thread finds itself closed and ends.
    await waitFor(() => addonThreads() === 0, { what: 'the thread to end' });
  });

  test('a process ends although a read of the addon never returns', async () => {
    const [path] = trees(1) as [string];
    wedged(path, 'memory.current');
    const script = `${reading([path], 1)}
      new binding.BlockingFiles(() => {}).submit('read', [${JSON.stringify(join(path, 'memory.current'))}], 10);
      const timer = setInterval(() => { if (reader.runningMs() > 30) { console.log('stuck'); process.exit(7); } }, 5);`;
    // process.exit() frees nothing of V8's; a leak sanitizer would report that alone.
    const env = { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:detect_leaks=0` };
    const child = harness().start('stuck', process.execPath, ['-e', script], { env });
    await child.line(/stuck/);
    await waitFor(() => !child.running, { timeoutMs: 15_000, what: 'the process to end' });
    expect(child.child.exitCode).toBe(7);
  });

  test('a process with an idle, started reader ends by itself', async () => {
    const script = `import { openReader } from ${JSON.stringify(dist('cgroup/reader.js'))};
      for (const kind of ['native', 'files']) { const { reader } = openReader(kind); reader.start(10); await reader.next(); }
      console.log('done');`;
    const child = harness().start('idle', process.execPath, ['--input-type=module', '-e', script]);
    await child.line(/done/);
    await waitFor(() => !child.running, { timeoutMs: 5000, what: 'the process to end' });
    expect(child.child.exitCode).toBe(0);
  });
});

describe('descriptors', () => {
  const script = (body: string) => `
    import { execFileSync } from 'node:child_process';
    import { openReader } from ${JSON.stringify(dist('cgroup/reader.js'))};
    import { loadBinding } from ${JSON.stringify(dist('native/binding.js'))};
    const limit = (text) => execFileSync('prlimit', ['--pid', String(process.pid), '--nofile=' + text]);
    ${body}`;

  const run = async (body: string) => {
    const child = harness().start('descriptors', process.execPath, ['--input-type=module', '-e', script(body)]);
    const match = await child.line(/^result (.*)$/);
    await waitFor(() => !child.running, { what: 'the process to end' });
    expect(child.child.exitCode).toBe(0);
    return JSON.parse(match[1] as string);
  };

  test.each(['native', 'files'])('%s: EMFILE makes workers unkept, all values stay', async (kind) => {
    const paths = trees(40);
    const rows = await run(`
      const { reader } = openReader('${kind}');
      for (const path of ${JSON.stringify(paths)}) reader.add(path);
      // The reader counted on more than there is now: opening fails in the middle of the first pass.
      limit('70:70');
      const pass = reader.passSync();
      const columns = pass.workers.length / 40;
      console.log('result', JSON.stringify(Array.from({ length: 40 }, (_, i) => [pass.workers[i * columns], pass.workers[i * columns + 3]])));`);
    expect(rows.map(([, usage]: [number, number]) => usage)).toEqual(paths.map((_, i) => i));
    const flags = rows.map(([value]: [number]) => value);
    expect(flags).toContain(rowFlags.uncached);
    expect(flags).toContain(0);
    expect(new Set(flags)).toEqual(new Set([0, rowFlags.uncached]));
  });

  test('the soft limit is raised to the hard one, and the original is remembered for children', async () => {
    const [original, raised, now] = await run(`
      limit('300:900');
      const { binding } = loadBinding();
      console.log('result', JSON.stringify([
        binding.originalDescriptorLimit(),
        binding.raiseDescriptorLimit(),
        Number(/open files +(\\d+)/.exec(await (await import('node:fs/promises')).readFile('/proc/self/limits', 'utf8'))[1]),
      ]));`);
    expect([original, raised, now]).toEqual([300, 900, 900]);
  });
});
