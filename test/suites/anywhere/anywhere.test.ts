import { chownSync, readdirSync, readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { describe, expect, test } from 'vitest';
import type { HiveView, WorkerView } from '../../../lib/contract/api.js';
import { on, run } from '../../e2e/trees/row.js';
import { vllm } from '../../harness/fake-engines.js';
import { freePorts } from '../../harness/free-ports.js';
import { getJson, type Harness, useHarness } from '../../harness/harness.js';
import { ProcessTrees } from '../../harness/process-tree.js';
import { waitFor } from '../../harness/wait.js';
import { bear, heldBytes, script } from './load.js';
import { nobody, openPlace, placeProblem, type Who } from './place.js';

const wanted = { cpus: 1.5, memoryBytes: 2 * 2 ** 30 };

/** A daemon that forked twice, and its parent; neither ends at SIGTERM. */
const stubborn = (token: string) =>
  `trap '' TERM; (setsid sh -c "trap '' TERM; while : ${token}; do sleep 1000; done" &); while : ${token}; do sleep 1000; done`;

const places: readonly { readonly who: Who; readonly title: string }[] = [
  { who: 'root', title: 'as its root, without CAP_SYS_ADMIN' },
  { who: 'user', title: 'as a plain user' },
];

describe.each(places)('a container with a read-only cgroup tree, $title', ({ who }) => {
  const harness = useHarness();
  const problem = placeProblem(who);
  const needs = (what: string) => (problem === null ? what : `${what} (skipped: ${problem})`);

  test.skipIf(problem !== null)(
    needs('engines beside the hive, a worker with known loads, its limits as those of the host, and stop'),
    async () => {
      const place = await openPlace(harness(), who, wanted);
      const open = () => ownDirectory(harness(), who);
      const { under } = place;
      const inside = ['--runtime-dir', open()];
      const [hivePort, ...ports] = await freePorts(3);
      const trees = await ProcessTrees.open(harness());
      for (const port of ports) {
        const engine = run(`vllm serve here-${port} --port ${port}`, on(`127.0.0.1:${port}`, vllm(`here-${port}`)));
        await trees.start(engine, { under });
      }
      await trees.started();
      const args = [...inside, '--interval', '250ms', '--gpu', 'none', '--hive-port', String(hivePort)];
      const { url } = await harness().up({ under, args });

      const directory = open();
      const load = harness().worker('known', 'load', [process.execPath, '-e', script, directory], {
        under,
        args: inside,
      });
      await load.line(/at work/);
      const token = `anywhere-${process.pid}-${who}`;
      const limited = [...inside, '--memory', '8G', '--swap', '0', '--best-effort'];
      const daemon = harness().worker('llm', 'a', ['sh', '-c', stubborn(token)], { under, args: limited });
      await daemon.line(/note: it runs without a cgroup, as a tree of processes/);

      const workers = async () =>
        (await getJson<{ items: readonly WorkerView[] }>(`${url}/v1/workers?limit=500`)).items;
      const seen = await waitFor(
        async () => {
          const all = await workers();
          const engines = ports.map((port) => all.find(({ model }) => model === `here-${port}`));
          const known = all.find(({ id }) => id === 'known/load');
          const launched = all.find(({ id }) => id === 'llm/a');
          const ready = engines.every((each) => each?.ready === true && each.port !== null);
          return ready && known?.cpuPercent != null && launched?.processCount === 4 && { engines, launched, known };
        },
        { timeoutMs: 30_000, what: 'two engines and two workers' },
      );
      for (const [i, engine] of seen.engines.entries())
        expect(engine).toMatchObject({ scope: 'processes', origin: 'adopted', port: ports[i], processCount: 1 });
      for (const launched of [seen.launched, seen.known]) {
        expect(launched).toMatchObject({ scope: 'processes', origin: 'launched', memorySource: 'proc' });
        expect(launched?.nullReasons).toMatchObject({ memoryPeakBytes: 'noCgroup', oomKills: 'noCgroup' });
      }

      expect(seen.launched?.limitNotes).toEqual([
        expect.stringMatching(/^--memory holds in part: .* 8\.0 GiB .*RLIMIT_DATA/),
        expect.stringMatching(/^--swap requested, not applied: /),
      ]);
      // Both shells; `run` itself has none.
      const bounded = withToken(token).filter((pid) =>
        /^Max data size +8589934592 +8589934592 /m.test(readFileSync(`/proc/${pid}/limits`, 'latin1')),
      );
      expect(bounded).toHaveLength(2);

      await holdsLoads(`http://127.0.0.1:${hivePort}`, directory);
      await saysLimits(url, place.limits);

      const stop = harness().cli(['stop', ...inside, 'llm/a', '--grace', '0.2'], { under });
      expect(await stop.ended()).toBe(0);
      await daemon.ended();
      expect(withToken(token)).toEqual([]);
      await waitFor(async () => !(await workers()).some(({ id }) => id === 'llm/a'));
    },
  );

  test.skipIf(problem !== null)(needs('limits are refused by their flags unless --best-effort is given'), async () => {
    const { under } = await openPlace(harness(), who, wanted);
    const args = ['--runtime-dir', ownDirectory(harness(), who), '--memory', '1G'];
    const refused = harness().worker('llm', 'b', ['true'], { under, args });
    expect(await refused.ended()).toBe(1);
    expect(refused.lines.join('\n')).toContain('--memory cannot be enforced here; give --best-effort');
    const started = harness().worker('llm', 'b', ['sh', '-c', 'exit 7'], { under, args: [...args, '--best-effort'] });
    expect(await started.ended()).toBe(7);
  });
});

/** A directory of whoever runs there. */
function ownDirectory(harness: Harness, who: Who): string {
  const directory = harness.directory();
  if (who === 'user') chownSync(directory, nobody, nobody);
  return directory;
}

const names = {
  cpuSeconds: 'hivepulse_worker_cpu_seconds_total',
  memoryBytes: 'hivepulse_worker_memory_bytes',
  readBytes: 'hivepulse_worker_io_read_bytes_total',
  writtenBytes: 'hivepulse_worker_io_written_bytes_total',
} as const;

/** What the hive counts of the worker grows by what that used by its own count. */
async function holdsLoads(hiveUrl: string, directory: string): Promise<void> {
  const counts = async () => {
    const text = await (await fetch(`${hiveUrl}/metrics`)).text();
    const of = (name: string) => Number(new RegExp(`^${name}{worker="known/load"} (\\S+)$`, 'm').exec(text)?.[1]);
    return Object.fromEntries(Object.entries(names).map(([key, name]) => [key, of(name)]));
  };
  // Memory first: it is a gauge, and the child of the CPU load may still be in it.
  for (const load of ['memory', 'cpu', 'io'] as const) {
    const before = await counts();
    const truth = await bear(directory, load);
    for (const [name, used] of Object.entries(truth)) {
      const grown = async () => ((await counts())[name] as number) - (before[name] as number);
      await waitFor(async () => Math.abs((await grown()) / used - 1) < 0.05, {
        timeoutMs: 5000,
        what: `${name} to have grown by ${used} within 5 %`,
      }).catch(async (error: Error) => {
        throw new Error(`${error.message}; it has grown by ${await grown()}`, { cause: error });
      });
    }
    if (load === 'memory') expect(truth.memoryBytes).toBeGreaterThan(heldBytes * 0.95);
  }
}

/** The limits of the container are those of the host, beside the machine's. */
async function saysLimits(
  url: string,
  limits: { readonly cpus: number; readonly memoryBytes: number } | null,
): Promise<void> {
  const [hive] = (await getJson<{ items: readonly HiveView[] }>(`${url}/v1/hives`)).items;
  const machine = { machineCpuCount: cpus().length, machineMemoryTotalBytes: totalmem() };
  expect(hive?.host.container).toMatchObject(machine);
  if (limits === null) return;
  const memoryBytes = Math.min(limits.memoryBytes, totalmem());
  const own = Math.min(limits.cpus, cpus().length);
  expect(hive?.host).toMatchObject({ cpuCount: Math.ceil(own), memoryTotalBytes: memoryBytes });
  expect(hive?.host.container).toMatchObject({ cpus: own, memoryBytes });
  expect(hive?.host.memoryAvailableBytes).toBeLessThan(memoryBytes);
}

/** Processes that live and whose command line has the token. */
function withToken(token: string): readonly number[] {
  return readdirSync('/proc').flatMap((name) => {
    try {
      const ours = /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, 'latin1').includes(token);
      return ours ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}
