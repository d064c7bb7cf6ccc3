import { expect, it } from 'vitest';
import { roleOf } from '../../lib/engines/recognize.js';
import { Containers } from '../../lib/sampling/containers.js';
import type { KnownProcess } from '../../lib/workers/process-table.js';

const processOf = (pid: number, command: string, cgroup = `/${pid}`): KnownProcess => {
  const argv = command.split(' ');
  const origin = { startTicks: 1, comm: 'c', parentPid: 1, session: 1, marker: null };
  return { pid, ...origin, cgroup, argv, engine: null, role: roleOf(argv) };
};
const proxy = (pid: number, port: number) =>
  processOf(pid, `docker-proxy -host-port ${port} -container-ip 172.17.0.2 -container-port 8000`, '/docker');

function prepared(...first: readonly KnownProcess[]) {
  const table = { generation: 1, list: first, all: () => table.list };
  const updates: (readonly { readonly pid: number }[])[] = [];
  const addresses = {
    addresses: new Map(),
    generation: 0,
    update: (members: readonly { readonly pid: number }[]) => void updates.push(members),
    look: async () => undefined,
    faults: () => [],
    close: () => undefined,
  };
  const containers = new Containers({ processes: table, addresses });
  const change = (...next: readonly KnownProcess[]): void => {
    table.list = next;
    table.generation += 1;
  };
  return { containers, change, updates };
}

it('processes that forward ports are found again only where the table has changed, and are the same list where they are the same', () => {
  const [a, b] = [proxy(10, 18_080), proxy(11, 18_081)];
  const { containers, change } = prepared(a, processOf(12, 'sleep 1'));
  const found = containers.forwarders();
  const { generation } = containers;
  expect(found).toEqual([a]);
  change(a, processOf(13, 'sleep 2'));
  expect([containers.forwarders(), containers.generation]).toEqual([found, generation]);
  expect(containers.forwarders()).toBe(found);
  change(a, b);
  expect(containers.forwarders()).toEqual([a, b]);
  expect(containers.generation).not.toBe(generation);
  change(b);
  expect(containers.forwarders()).toEqual([b]);
});

it('on a host without workers in other namespaces nothing of addresses is read; then one process of each cgroup counts', () => {
  const worker = processOf(20, 'vllm serve m', '/w');
  const helper = processOf(21, 'helper', '/w');
  const { containers, change, updates } = prepared(worker, helper, processOf(22, 'sleep 1'));
  const workers = [helper];
  containers.update(workers);
  expect(updates).toEqual([]);
  containers.want();
  for (let i = 0; i < 2; i += 1) containers.update(workers);
  expect(updates.map((members) => members.map(({ pid }) => pid))).toEqual(Array(2).fill([20, 22, 21]));
  expect(updates[1]).toBe(updates[0]);
  change(worker);
  containers.update(workers);
  containers.update([]);
  expect(updates.slice(2).map((members) => members.map(({ pid }) => pid))).toEqual([[20, 21], [20]]);
});
