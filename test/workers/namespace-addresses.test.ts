import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../lib/util/clock.js';
import { NamespaceAddresses, oneOfEachCgroup } from '../../lib/workers/namespace-addresses.js';
import { ManualClock, settle } from '../harness/manual-clock.js';
import { Managed } from '../harness/processes.js';
import { MemoryTree } from '../io/fake-files.js';

const trie = (address: string) => `Local:\n  |-- ${address}\n     /32 host LOCAL\n`;

function prepared() {
  const clock = new ManualClock();
  const tree = new MemoryTree();
  const put = (pid: number, namespace: number, address: string): void => {
    tree.links.set(`/proc/${pid}/ns`, [`pid:[1${namespace}]`, `net:[${namespace}]`]);
    tree.write(`/proc/${pid}/net/fib_trie`, trie(address));
  };
  const reader = new NamespaceAddresses({ procRoot: '/proc', openFiles: () => tree.reader(clock), clock });
  const members = (...pids: readonly number[]) => pids.map((pid) => ({ pid, startTicks: 1 }));
  const look = async (...pids: readonly number[]) => {
    reader.update(members(...pids));
    await settle();
    return Object.fromEntries(reader.addresses);
  };
  const reads = () => tree.asked().filter((path) => path.endsWith('fib_trie')).length;
  return { clock, tree, put, reader, look, reads };
}

describe('addresses of namespaces', () => {
  it('are read once for each namespace, at most every 5 s, and at once for a new one', async () => {
    const { clock, put, reader, look, reads } = prepared();
    put(11, 5, '172.17.0.2');
    put(12, 5, '172.17.0.2');
    expect(await look(11, 12)).toEqual({ 5: ['172.17.0.2'] });
    expect(reads()).toBe(1);
    await clock.advance(1000);
    put(13, 6, '172.17.0.3');
    expect(await look(11, 12, 13)).toEqual({ 5: ['172.17.0.2'], 6: ['172.17.0.3'] });
    expect(reads()).toBe(2);
    const { generation } = reader;
    await clock.advance(5000);
    await look(11, 12, 13);
    expect(reads()).toBe(4);
    expect(reader.generation).toBe(generation);
    put(13, 6, '172.17.0.9');
    await clock.advance(5000);
    expect(await look(11, 12, 13)).toEqual({ 5: ['172.17.0.2'], 6: ['172.17.0.9'] });
    expect(reader.generation).toBeGreaterThan(generation);
    expect(await look(11)).toEqual({ 5: ['172.17.0.2'], 6: ['172.17.0.9'] });
    await clock.advance(5000);
    expect(await look(11)).toEqual({ 5: ['172.17.0.2'] });
  });

  it('are unknown where they cannot be read, are not whole, or the pid is another process by now', async () => {
    const { clock, tree, put, look } = prepared();
    put(11, 5, '172.17.0.2');
    tree.files.delete('/proc/11/net/fib_trie');
    put(12, 6, '172.17.0.3');
    tree.write('/proc/12/net/fib_trie', trie('172.17.0.3').padEnd(512 * 1024, ' '));
    tree.links.set('/proc/13/ns', []);
    expect(await look(11, 12, 13)).toEqual({});
    put(14, 8, '172.17.0.4');
    tree.hangs.add('/proc/14/net/fib_trie');
    const looked = look(11, 14);
    await settle();
    put(14, 9, '172.17.0.5');
    tree.hangs.clear();
    expect(await looked).toEqual({});
    await clock.advance(5000);
    expect(await look(11, 14)).toEqual({ 9: ['172.17.0.5'] });
  });

  it('stay known while a read hangs, with a fault', async () => {
    const { clock, tree, put, reader, look } = prepared();
    put(11, 5, '172.17.0.2');
    await look(11);
    tree.hangs.add('/proc/11/net/fib_trie');
    await clock.advance(5000);
    reader.update([{ pid: 11, startTicks: 1 }]);
    await clock.advance(3000);
    expect(Object.fromEntries(reader.addresses)).toEqual({ 5: ['172.17.0.2'] });
    expect(reader.faults().map(({ code }) => code)).toContain('ADDRESSES_STALLED');
    reader.close();
  });

  it('are looked for at once for a new process, and else each five seconds; of none nothing is read', async () => {
    const { clock, tree, put, reader, look } = prepared();
    put(11, 5, '172.17.0.2');
    const asked = async (ms: number, list: readonly { pid: number; startTicks: number }[]) => {
      await clock.advance(ms);
      const before = tree.asked().length;
      reader.update(list);
      await settle();
      return tree
        .asked()
        .slice(before)
        .map((path) => path.split('/').at(-1));
    };
    const list = [{ pid: 11, startTicks: 1 }];
    expect(await asked(0, list)).toEqual(['ns', 'fib_trie', 'if_inet6', 'ns']);
    expect(await asked(4999, list)).toEqual([]);
    expect(await asked(1, list)).toEqual(['ns', 'fib_trie', 'if_inet6', 'ns']);
    // Its namespace is settled, and its addresses are read all the same.
    expect(await asked(5000, list)).toEqual(['fib_trie', 'if_inet6', 'ns']);
    expect(await asked(5000, [])).toEqual([]);
    expect(Object.fromEntries(reader.addresses)).toEqual({});
    expect(await look()).toEqual({});
    reader.close();
    expect(tree.readers.map(({ closed }) => closed)).toEqual([true]);
  });

  it('are read when they are due, whatever was looked at in between', async () => {
    const { clock, put, look, reads } = prepared();
    put(11, 5, '172.17.0.2');
    put(12, 6, '172.17.0.3');
    await look(11);
    await clock.advance(3000);
    await look(11, 12);
    expect(reads()).toBe(2);
    await clock.advance(2000);
    await look(11, 12);
    expect(reads()).toBe(4);
  });

  it('are not known of a process that is gone, whose number another has by now, or that was given up meanwhile', async () => {
    const { clock, tree, put, reader, look } = prepared();
    put(11, 5, '172.17.0.2');
    put(14, 8, '172.17.0.4');
    tree.write('/proc/15/net/fib_trie', trie('172.17.0.5'));
    tree.hangs.add('/proc/14/net/fib_trie');
    reader.update([11, 15, 14].map((pid) => ({ pid, startTicks: 1 })));
    await settle();
    put(14, 9, '172.17.0.6');
    reader.update([{ pid: 11, startTicks: 1 }]);
    tree.hangs.clear();
    await reader.look();
    expect(Object.fromEntries(reader.addresses)).toEqual({ 5: ['172.17.0.2'] });
    // A namespace that hangs stays what it was.
    tree.hangs.add('/proc/11/ns');
    await clock.advance(5000);
    reader.update([{ pid: 11, startTicks: 1 }]);
    await clock.advance(3000);
    expect(Object.fromEntries(reader.addresses)).toEqual({ 5: ['172.17.0.2'] });
    tree.hangs.clear();
    expect(await look(11)).toEqual({ 5: ['172.17.0.2'] });
  });

  it('are those of both kinds, and none where one of the files hangs before they were known', async () => {
    const { clock, tree, put, reader } = prepared();
    put(11, 5, '172.17.0.2');
    tree.write('/proc/11/net/if_inet6', 'fd090000000000000000000000000001 02 40 00 80 eth0\n');
    put(12, 6, '172.17.0.3');
    tree.hangs.add('/proc/12/net/if_inet6');
    reader.update([
      { pid: 11, startTicks: 1 },
      { pid: 12, startTicks: 1 },
    ]);
    await clock.advance(3000);
    expect(Object.fromEntries(reader.addresses)).toEqual({ 5: ['172.17.0.2', 'fd09::1'] });
    const [fault] = reader.faults();
    expect(fault).toMatchObject({ source: 'proc', code: 'ADDRESSES_STALLED', field: 'endpoint' });
    const { generation } = reader;
    tree.hangs.clear();
    await clock.advance(5000);
    reader.update([{ pid: 11, startTicks: 1 }]);
    await settle();
    expect(reader.generation).toBe(generation);
  });

  it('one process of each cgroup is enough', () => {
    const process = (pid: number, cgroup: string | null) => ({ pid, startTicks: 1, cgroup });
    const all = [process(1, '/'), process(2, null), process(3, '/a'), process(4, '/a')];
    expect(oneOfEachCgroup(all).map(({ pid }) => pid)).toEqual([1, 3]);
  });
});

const canMake = spawnSync('unshare', ['-n', 'true']).status === 0;

it.runIf(canMake)('a real namespace has the addresses that it was given (needs the right to make one)', async () => {
  const network =
    'ip link set lo up && ip link add eth0 type veth peer name peer0 && ip addr add 10.9.0.1/24 dev eth0 && ' +
    'ip addr add fd09::1/64 dev eth0 nodad && ip link set eth0 up && ip link set peer0 up && echo up && exec sleep 60';
  const other = new Managed('inside', 'unshare', ['-n', 'sh', '-c', network]);
  await other.line(/^up$/);
  const reader = new NamespaceAddresses({ procRoot: '/proc', clock: systemClock });
  reader.update([{ pid: other.pid, startTicks: 1 }]);
  await reader.look();
  expect(reader.addresses.get(statSync(`/proc/${other.pid}/ns/net`).ino)).toEqual(['10.9.0.1', 'fd09::1']);
  reader.close();
  other.child.kill('SIGKILL');
});
