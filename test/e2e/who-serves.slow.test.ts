import { describe, expect, test } from 'vitest';
import type { History, WorkerView } from '../../lib/contract/api.js';
import { killAll } from '../../lib/launch/cgroup-tree.js';
import { cgroupSuite, createCgroupTree } from '../harness/cgroups.js';
import { llamaServer, vllm, webApplication } from '../harness/fake-engines.js';
import { freePorts } from '../harness/free-ports.js';
import { getJson, useHarness } from '../harness/harness.js';
import { createOtherHost } from '../harness/network.js';
import { type FakeProcess, ProcessTrees, type TreeOptions } from '../harness/process-tree.js';
import { waitFor } from '../harness/wait.js';
import { on, run } from './trees/row.js';

const suite = cgroupSuite('who serves what, where, as `up` and `best` say it');
const pod = 'kubepods.slice/kubepods-pod11111111_2222_3333_4444_555555555555.slice/cri-containerd-';

interface Best {
  readonly worker: (WorkerView & { readonly endpoint: string | null }) | null;
}

describe.skipIf(suite.skip)(suite.title, () => {
  const harness = useHarness();

  /** Workers by the path of their cgroup, and a queen with a hive that sees them. */
  async function start(workers: Readonly<Record<string, readonly [FakeProcess, TreeOptions?]>>, address: string) {
    const cgroups = await createCgroupTree();
    harness().defer(() => cgroups.dispose());
    const trees = await ProcessTrees.open(harness());
    for (const [path, [tree, options]] of Object.entries(workers))
      await trees.start(tree, { ...options, cgroup: await cgroups.cgroup(path) });
    await trees.started();
    const place = ['--root', cgroups.root, '--runtime-dir', harness().directory()];
    const { url } = await harness().up({ args: [...place, '--gpu', 'none', '--address', address] });
    const all = async () => (await getJson<{ items: readonly WorkerView[] }>(`${url}/v1/workers?limit=500`)).items;
    const best = async (model: string) => (await getJson<Best>(`${url}/v1/workers/best?model=${model}`)).worker;
    return { cgroups, trees, url, all, best };
  }

  test('best gives the address of the model that was asked for, and of none that does not serve it', async () => {
    const host = createOtherHost(harness());
    const { here, address: inside } = host;
    const [port, other, six, tls, named, elsewhere] = await freePorts(6);
    const { trees, all, best } = await start(
      {
        'hivepulse.slice/llm/host': [run(`vllm serve a --port ${port}`, on(`0.0.0.0:${port}`, vllm('a')))],
        [`${pod}${'a'.repeat(64)}.scope`]: [
          run(`vllm serve b --port ${port}`, on(`0.0.0.0:${port}`, vllm('b'))),
          { namespace: host.namespace },
        ],
        'hivepulse.slice/llm/deaf': [run(`vllm serve deaf --port ${other}`)],
        'hivepulse.slice/llm/six': [
          run(`llama-server -m /m/six.gguf --alias six --host ::1 --port ${six}`, on(`::1:${six}`, llamaServer('six'))),
        ],
        'hivepulse.slice/llm/tls': [
          run(
            `vllm serve tls --port ${tls} --ssl-keyfile k --ssl-certfile c`,
            on(`0.0.0.0:${tls}`, vllm('tls'), { tls: true }),
          ),
        ],
        'hivepulse.slice/llm/launcher': [
          run(
            `python3 launch.py --port ${named}`,
            run(`vllm serve child --port ${elsewhere}`, on(`0.0.0.0:${elsewhere}`, vllm('child'))),
          ),
        ],
      },
      here,
    );
    await trees.start(run('python3 app.py', on(`0.0.0.0:${other}`, webApplication())));
    await trees.started();
    const byModel = await waitFor(
      async () => {
        const found = new Map((await all()).map((worker) => [worker.model, worker]));
        const ready = ['a', 'b', 'six', 'tls', 'child'].every((model) => found.get(model)?.ready === true);
        return ready && found.get('deaf')?.ready === false && found;
      },
      { timeoutMs: 30_000, what: 'all workers' },
    );
    const expected = {
      a: `http://${here}:${port}`,
      b: `http://${inside}:${port}`,
      tls: `https://${here}:${tls}`,
      child: `http://${here}:${elsewhere}`,
    };
    const given = async () =>
      Promise.all(Object.keys(expected).map(async (model) => [model, (await best(model))?.endpoint ?? null] as const));
    await waitFor(async () => (await given()).every(([, endpoint]) => endpoint !== null), { what: 'all models' });
    expect(Object.fromEntries(await given())).toEqual(expected);
    expect(byModel.get('deaf')).toMatchObject({ ready: false, endpoint: null, endpointReason: 'notListening' });
    expect(byModel.get('six')).toMatchObject({ ready: true, endpoint: null, endpointReason: 'loopbackOnly' });
    // Nobody outside can use them.
    expect([await best('deaf'), await best('six')].map((worker) => worker?.endpoint ?? null)).toEqual([null, null]);
  });

  test('of nested containers with equal units one is removed: id, start and history of the other stay', async () => {
    const of = (digit: string): string => `system.slice/docker-${digit.repeat(64)}.scope/system.slice/vllm.service`;
    const [nestedA, nestedB] = await freePorts(2);
    const { cgroups, url, all } = await start(
      {
        [of('a')]: [run(`vllm serve a --port ${nestedA}`, on(`0.0.0.0:${nestedA}`, vllm('a')))],
        [of('b')]: [run(`vllm serve b --port ${nestedB}`, on(`0.0.0.0:${nestedB}`, vllm('b')))],
      },
      '127.0.0.1',
    );
    const workerOf = async (model: string) => (await all()).find((worker) => worker.model === model);
    const [a, before] = await waitFor(
      async () => {
        const both = [await workerOf('a'), await workerOf('b')] as const;
        return both.every((worker) => worker?.ready === true) && (both as readonly [WorkerView, WorkerView]);
      },
      { timeoutMs: 30_000, what: 'both workers' },
    );
    expect(a.id).not.toBe(before.id);
    const steps = async () => {
      const { series } = await getJson<History>(`${url}/v1/workers/${before.hive}/${before.id}/history`);
      return Math.max(...Object.values(series).map((values) => values.filter((value) => value !== null).length));
    };
    const known = await waitFor(async () => (await steps()) >= 3 && steps(), { timeoutMs: 60_000, what: 'a history' });
    await killAll(`${cgroups.root}/${of('a')}`);
    await waitFor(async () => (await workerOf('a')) === undefined, { timeoutMs: 30_000, what: 'it to be gone' });
    const after = await workerOf('b');
    expect(after).toMatchObject({ id: before.id, pid: before.pid, startedAt: before.startedAt, ready: true });
    expect(after?.uptimeSeconds ?? 0).toBeGreaterThanOrEqual(before.uptimeSeconds ?? 0);
    expect(after?.oomKills).toBe(before.oomKills);
    expect(await steps()).toBeGreaterThanOrEqual(known);
  });
});
