import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Snapshot, WorkerSample } from '../../lib/contract/heartbeat.js';
import { serving } from '../../lib/engines/recognize.js';
import { engines } from '../../lib/engines/table.js';
import { parseCmdline, parseProcessStat } from '../../lib/procfs/parse.js';
import type { RunningSampler } from '../../lib/sampling/create.js';
import { createSampler } from '../../lib/sampling/open.js';
import { writeRecord } from '../../lib/workers/records.js';
import { cgroupSuite, createCgroupTree } from '../harness/cgroups.js';
import { freePorts } from '../harness/free-ports.js';
import { Harness } from '../harness/harness.js';
import { createNamespace, createOtherHost } from '../harness/network.js';
import { ProcessTrees } from '../harness/process-tree.js';
import { waitFor } from '../harness/wait.js';
import { workerRecord } from '../harness/worker-record.js';
import { containerTrees } from './trees/containers.js';
import { keyTrees } from './trees/keys.js';
import { kindTrees } from './trees/kinds.js';
import { llamaTrees } from './trees/llama.js';
import { otherTrees } from './trees/others.js';
import type { Row } from './trees/row.js';
import { sglangTrees } from './trees/sglang.js';
import { textTrees } from './trees/text.js';
import { vllmTrees } from './trees/vllm.js';

const rows: readonly Row[] = [
  ...vllmTrees,
  ...sglangTrees,
  ...llamaTrees,
  ...textTrees,
  ...otherTrees,
  ...containerTrees,
  ...keyTrees,
  ...kindTrees,
];
const suite = cgroupSuite('endpoints: trees of processes with real sockets, in namespaces of their own');

/** For so many snapshots in a row nothing may change: longer than any answer is waited for. */
const settledAfter = 7;
const intervalMs = 400;

/** What a row says, with real ports and addresses in its texts. */
function fill(row: Row, places: Readonly<Record<string, string>>): Row {
  const inside = (value: unknown): unknown => {
    if (typeof value === 'string') return value.replace(/\{(\w+)\}/g, (_, name: string) => places[name] as string);
    if (Array.isArray(value)) return value.map(inside);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, inside(each)]));
  };
  return inside(row) as Row;
}

const pidsIn = (cgroup: string): readonly number[] =>
  readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);

/** The engine that the processes of a cgroup are, as /proc shows them. */
function engineIn(cgroup: string): string | null {
  const processes = pidsIn(cgroup).map((pid) => ({
    pid,
    parentPid: parseProcessStat(readFileSync(`/proc/${pid}/stat`))?.parentPid ?? 0,
    argv: parseCmdline(readFileSync(`/proc/${pid}/cmdline`)),
  }));
  return serving(processes).engine;
}

const known = (
  { model, models, endpoint, endpointReason, ready, nullReasons }: WorkerSample,
  faults: readonly string[],
) => ({
  model,
  models: models ?? null,
  endpoint: endpoint ?? endpointReason,
  ready: ready ?? nullReasons?.ready,
  faults,
});

describe.skipIf(suite.skip)(suite.title, () => {
  const harness = new Harness();
  let filled: readonly Row[] = [];
  let latest: Snapshot;
  let root = '';
  const number = (index: number): string => String(index + 1).padStart(12, '0');
  const idOf = (index: number): string => (rows[index]?.pod ? `kubepods/${number(index)}` : `trees/${index + 1}`);
  const cgroupOf = (index: number): string =>
    rows[index]?.pod
      ? `kubepods.slice/kubepods-pod11111111_2222_3333_4444_${number(index)}.slice/cri-containerd-${number(index).padEnd(64, '0')}.scope`
      : `hivepulse.slice/${idOf(index)}`;
  const seen = (index: number) => {
    const id = idOf(index);
    const worker = latest.workers.find((each) => each.id === id);
    const faults = latest.faults.filter(({ workerId, field }) => workerId === id && field === 'endpoint');
    return (
      worker &&
      known(
        worker,
        faults.map(({ code }) => code),
      )
    );
  };

  function recordOf(index: number, cgroup: string, readyUrl: string) {
    const [group = '', instance = ''] = idOf(index).split('/');
    const pid = pidsIn(cgroup)[0] as number;
    const startedAt = new Date().toISOString();
    return workerRecord({
      ...{ group, instance, cgroup, pid, startTicks: null, parentPid: process.pid },
      readyUrl,
      startedAt,
    });
  }

  beforeAll(async () => {
    const cgroups = await createCgroupTree();
    harness.defer(() => cgroups.dispose());
    root = cgroups.root;
    const { here, here6 } = createOtherHost(harness);
    const ports = await freePorts(rows.length * 3);
    const insides = rows.map(({ apart }) => {
      if (apart === undefined || apart === 'loopback')
        return apart && { namespace: createNamespace(harness), address: '' };
      return createOtherHost(harness, apart === 'bridgedTwice' ? ['198.51.100.7/32'] : []);
    });
    filled = rows.map((row, index) => {
      const [a, b, c] = ports.slice(index * 3, index * 3 + 3).map(String) as [string, string, string];
      const inside = insides[index]?.address ?? '';
      return fill(row, { a, b, c, here, here6, inside });
    });
    const trees = await ProcessTrees.open(harness);
    for (const [index, { tree, env, strangers = [] }] of filled.entries()) {
      const cgroup = await cgroups.cgroup(cgroupOf(index));
      await trees.start(tree, { cgroup, env, namespace: insides[index]?.namespace });
      for (const stranger of strangers) await trees.start(stranger);
    }
    await trees.started();
    const runtimeDir = harness.directory();
    for (const [index, { readyUrl }] of filled.entries())
      if (readyUrl !== undefined) await writeRecord(runtimeDir, recordOf(index, join(root, cgroupOf(index)), readyUrl));
    const sampler = await createSampler({
      root: cgroups.root,
      runtimeDir,
      gpu: 'none',
      address: here,
      intervalMs,
    });
    harness.defer(() => sampler.close());
    await settled(sampler, (snapshot) => {
      latest = snapshot;
    });
  }, 400_000);

  afterAll(() => harness.cleanup());

  const expectedOf = (index: number) => {
    const { model, models = null, endpoint, ready, faults = [] } = filled[index] as Row;
    return { model, models, endpoint, ready, faults };
  };

  /**
   * Resolves once nothing about the workers has changed for some snapshots and each is as it should be; after minutes with
   * what there is, which the tests of the rows then judge.
   */
  function settled(sampler: RunningSampler, onSnapshot: (snapshot: Snapshot) => void): Promise<boolean> {
    let [last, same] = ['', 0];
    sampler.start((snapshot) => {
      onSnapshot(snapshot);
      const now = JSON.stringify(rows.map((_, index) => seen(index)));
      same = now === last && snapshot.workers.length === rows.length ? same + 1 : 0;
      last = now;
    });
    const isAsItShould = () => rows.every((_, index) => isDeepStrictEqual(seen(index), expectedOf(index)));
    return waitFor(() => same >= settledAfter && isAsItShould(), { timeoutMs: 200_000 }).catch(() => false);
  }

  test.each(rows.map(({ title }, index) => [title, index] as const))('%s', (_title, index) => {
    expect(engineIn(join(root, cgroupOf(index)))).toBe(filled[index]?.engine);
    expect(seen(index)).toEqual(expectedOf(index));
  });
});

test('each engine of the table has at least five trees, and there are at least sixty', () => {
  expect(rows.length).toBeGreaterThanOrEqual(60);
  for (const { name } of engines)
    expect(rows.filter(({ engine }) => engine === name).length, name).toBeGreaterThanOrEqual(5);
});
