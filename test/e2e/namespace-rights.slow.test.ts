import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { cgroupSuite, createCgroupTree } from '../harness/cgroups.js';
import { vllm } from '../harness/fake-engines.js';
import { freePorts } from '../harness/free-ports.js';
import { useHarness } from '../harness/harness.js';
import { createOtherHost } from '../harness/network.js';
import { ProcessTrees } from '../harness/process-tree.js';
import { on, run } from './trees/row.js';

const suite = cgroupSuite('a hive with the rights of its systemd unit');
const built = fileURLToPath(new URL('../../dist/index.js', import.meta.url));

/** What is known of each worker, a line for each snapshot. */
const script = `
  const { createSampler } = await import(process.argv[1]);
  const sampler = await createSampler(JSON.parse(process.argv[2]));
  sampler.start(({ workers, faults }) => {
    const seen = workers.map(({ id, ready, endpoint, endpointReason }) => [id, { ready, endpoint, endpointReason }]);
    console.log(JSON.stringify({ ...Object.fromEntries(seen), faults: faults.filter(({ field }) => field === 'ready').map(({ code }) => code) }));
  });
`;

interface Line {
  readonly [id: string]: { readonly ready: boolean | null };
}

describe.skipIf(suite.skip)(suite.title, () => {
  const harness = useHarness();

  test('says nothing of servers in other namespaces, and why; what its own reaches it knows', async () => {
    const cgroups = await createCgroupTree();
    harness().defer(() => cgroups.dispose());
    const host = createOtherHost(harness());
    const trees = await ProcessTrees.open(harness());
    // The host's server is ready, the container's at the same address and port is not: its answer would be seen.
    const [port, other] = await freePorts(2);
    const here = run(`vllm serve a --port ${port}`, on(`0.0.0.0:${port}`, vllm('a')));
    const inside = run(`vllm serve b --port ${port}`, on(`0.0.0.0:${port}`, vllm('b', 'unhealthy')));
    const proxy = `docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port ${other} -container-ip ${host.address} -container-port ${port}`;
    await trees.start(here, { cgroup: await cgroups.cgroup('hivepulse.slice/llm/host') });
    await trees.start(inside, {
      cgroup: await cgroups.cgroup('hivepulse.slice/llm/container'),
      namespace: host.namespace,
    });
    await trees.start(run(proxy, on(`0.0.0.0:${other}`, vllm('b'))));
    await trees.started();
    const options = { root: cgroups.root, runtimeDir: harness().directory(), gpu: 'none', address: host.here };
    const rights = ['--bounding-set=-all,+sys_ptrace,+dac_read_search', '--no-new-privs'];
    const node = [process.execPath, '--input-type=module', '-e', script, built, JSON.stringify(options)];
    const hive = harness().start('hive', 'setpriv', [...rights, ...node]);
    await hive.line(/"ready":true.*NAMESPACE_REFUSED/);
    const lines = hive.lines.map((line) => JSON.parse(line) as Line);
    expect(lines.at(-1)).toEqual({
      'llm/host': { ready: true, endpoint: `http://${host.here}:${port}` },
      'llm/container': { ready: null, endpoint: null, endpointReason: 'otherNamespace' },
      faults: ['NAMESPACE_REFUSED'],
    });
    for (const line of lines) expect(line['llm/container']?.ready ?? null).toBe(null);
  });
});
