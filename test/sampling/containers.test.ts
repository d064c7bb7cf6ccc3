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
  const table = { generation: 1, list: first, walks: 0, all };
  function all(): readonly KnownProcess[] {
    table.walks += 1;
    return table.list;
  }
  const updates: (readonly { readonly pid: number }[])[] = [];
  const fault = { source: 'proc', code: 'PROC_STALLED', message: 'm', field: 'f' } as const;
  const addresses = {
    ...{ addresses: new Map([[4026532001, ['10.0.0.7']]]), generation: 40, looks: 0 },
    update: (members: readonly { readonly pid: number }[]) => void updates.push(members),
    look: async () => {
      addresses.looks += 1;
    },
    faults: () => [fault],
    close: () => undefined,
  };
  const containers = new Containers({ processes: table, addresses });
  const change = (...next: readonly KnownProcess[]): void => {
    table.list = next;
    table.generation += 1;
  };
  return { containers, change, updates, table, addresses, fault };
}

it('processes that forward ports are found again only where the table has changed, and are the same list where they are the same', () => {
  const [a, b, c] = [proxy(10, 18_080), proxy(11, 18_081), proxy(14, 18_082)];
  const { containers, change, table } = prepared(processOf(12, 'sleep 1'));
  expect(containers.forwarders()).toEqual([]);
  change(a, processOf(12, 'sleep 1'));
  const found = containers.forwarders();
  expect([found, containers.forwarders()]).toEqual([[a], [a]]);
  expect(table.walks).toBe(2);
  const { generation } = containers;
  change(a, processOf(13, 'sleep 2'));
  expect([containers.forwarders(), containers.generation]).toEqual([found, generation]);
  expect(containers.forwarders()).toBe(found);
  let last = generation;
  for (const next of [[a, b], [a, c], [b, c], [b], [], [a]]) {
    change(...next);
    expect(containers.forwarders()).toEqual(next);
    expect(containers.generation).toBeGreaterThan(last);
    last = containers.generation;
  }
});

it('sockets of the host and of who forwards its ports stand beside the addresses; what is not known of them is null', () => {
  const { containers, change, addresses, fault } = prepared();
  const [a, b] = [proxy(10, 18_080), proxy(11, 18_081)];
  const [hostSockets, sockets] = [[{ port: 22 }], [{ port: 18_080 }]];
  const listening = (hostNamespace: number | null) =>
    ({
      hostNamespace,
      inNamespace: (namespace: number) => (namespace === hostNamespace ? hostSockets : null),
      of: (process: KnownProcess) => (process === a ? { sockets } : null),
    }) as unknown as Parameters<typeof containers.networks>[0];
  const known = { hostNamespace: 4026531840, hostSockets, proxies: [], addresses: addresses.addresses };
  expect(containers.networks(listening(4026531840))).toEqual(known);
  change(a, b);
  containers.forwarders();
  const published = (hostPort: number) => expect.objectContaining({ hostPort });
  expect(containers.networks(listening(null))).toEqual({
    ...{ hostNamespace: null, hostSockets: [], addresses: addresses.addresses },
    proxies: [
      { published: published(18_080), sockets },
      { published: published(18_081), sockets: null },
    ],
  });
  expect(containers.faults()).toEqual([fault]);
});

it('addresses are looked at only once some worker is in a namespace of its own', async () => {
  const { containers, addresses } = prepared();
  await containers.look();
  expect(addresses.looks).toBe(0);
  containers.want();
  await containers.look();
  expect(addresses.looks).toBe(1);
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
