import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { WorkerView } from '../../lib/contract/api.js';
import { vllm } from '../harness/fake-engines.js';
import { useHarness } from '../harness/harness.js';
import { ProcessTrees } from '../harness/process-tree.js';
import { waitFor } from '../harness/wait.js';
import { on, run } from './trees/row.js';

/** In a mount namespace in which the cgroup tree can only be read, and all share the cgroup of the test. */
const readOnly = ['unshare', '-m', '--propagation', 'private', 'sh', '-c', 'mount -o bind,ro $0 $0 && exec "$@"'];
const under = [...readOnly, '/sys/fs/cgroup'];

/** Burns CPU in a daemon that forked twice; nobody ends at SIGTERM. */
const token = `anywhere-${process.pid}`;
const stubborn = `trap '' TERM; (setsid sh -c "trap '' TERM; while : ${token}; do :; done" &); while : ${token}; do sleep 1000; done`;

describe.skipIf(process.getuid?.() !== 0)('a container without rights over cgroups (needs root for its mounts)', () => {
  const harness = useHarness();

  test('engines beside the hive and a worker of run are seen with what they use, and stop leaves nothing', async () => {
    harness().defer(() => {
      for (const pid of ours()) process.kill(pid, 'SIGKILL');
    });
    const runtimeDir = harness().directory();
    const trees = await ProcessTrees.open(harness());
    const ports = [18_744, 18_745];
    for (const port of ports)
      await trees.start(run(`vllm serve here-${port} --port ${port}`, on(`127.0.0.1:${port}`, vllm(`here-${port}`))));
    await trees.started();
    const args = ['--runtime-dir', runtimeDir];
    const { url } = await harness().up({ under, args });
    const worker = harness().worker('llm', 'a', ['sh', '-c', stubborn], { under, args: ['--runtime-dir', runtimeDir] });
    await worker.line(/note: it runs without a cgroup, as a tree of processes/);

    const workers = async (): Promise<readonly WorkerView[]> => {
      const response = await fetch(`${url}/v1/workers?limit=500`);
      return ((await response.json()) as { items: readonly WorkerView[] }).items;
    };
    const seen = await waitFor(
      async () => {
        const all = await workers();
        const engines = ports.map((port) => all.find(({ model }) => model === `here-${port}`));
        const launched = all.find(({ id }) => id === 'llm/a');
        const ready = engines.every((each) => each?.ready === true && each.port !== null);
        return ready && (launched?.cpuPercent ?? 0) > 20 && { engines, launched };
      },
      { timeoutMs: 30_000, what: 'workers' },
    );
    for (const [i, engine] of seen.engines.entries())
      expect(engine).toMatchObject({ scope: 'processes', origin: 'adopted', port: ports[i], processCount: 1 });
    expect(seen.launched).toMatchObject({ scope: 'processes', origin: 'launched', processCount: 3 });
    expect(seen.launched?.nullReasons).toMatchObject({ memoryPeakBytes: 'noCgroup', oomKills: 'noCgroup' });

    const stop = harness().cli(['stop', ...args, 'llm/a', '--grace', '0.2'], { under });
    expect(await stop.ended()).toBe(0);
    await worker.ended();
    expect(ours()).toEqual([]);
    await waitFor(async () => !(await workers()).some(({ id }) => id === 'llm/a'));
  });

  test('limits are refused by their flags unless --best-effort is given', async () => {
    const args = ['--runtime-dir', harness().directory(), '--memory', '1G'];
    const refused = harness().worker('llm', 'b', ['true'], { under, args });
    expect(await refused.ended()).toBe(1);
    expect(refused.lines.join('\n')).toContain('--memory cannot be enforced here; give --best-effort');
    const started = harness().worker('llm', 'b', ['sh', '-c', 'exit 7'], { under, args: [...args, '--best-effort'] });
    expect(await started.ended()).toBe(7);
  });
});

/** Processes whose command line has our token. */
function ours(): readonly number[] {
  return readdirSync('/proc').flatMap((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, 'latin1').includes(token)
        ? [Number(name)]
        : [];
    } catch {
      return [];
    }
  });
}
