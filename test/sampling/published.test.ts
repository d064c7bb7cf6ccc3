import { isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPodPath, type Networks, type PortProxy, publishedAt } from '../../lib/sampling/published.js';
import type { NamespaceSocket } from '../../lib/workers/listening.js';
import { drawn } from '../harness/draws.js';

const host = 1;
const socket = (namespace: number, address: string, port: number, inode: number): NamespaceSocket => ({
  namespace,
  address,
  port,
  inode,
  cgroup: null,
});

const proxy = (hostAddress: string, hostPort: number, containerAddress: string, inode: number): PortProxy => ({
  published: { hostAddress, hostPort, containerAddress, containerPort: 8000 },
  sockets: [socket(host, hostAddress, hostPort, inode)],
});

const networks = (proxies: readonly PortProxy[], more: Partial<Networks> = {}): Networks => ({
  hostNamespace: host,
  hostSockets: proxies.flatMap(({ sockets }) => sockets ?? []),
  proxies,
  addresses: new Map([
    [host, ['10.0.0.5', '172.17.0.1']],
    [2, ['172.17.0.2']],
    [3, ['172.17.0.3']],
  ]),
  ...more,
});

const own = [socket(2, '0.0.0.0', 8000, 20)];
const reach = { address: '10.0.0.5', isPod: false };
const at = (all: Networks, sockets = own, others: readonly NamespaceSocket[] = [], how = reach) => {
  const { host: name, port, reason } = publishedAt(sockets, [...sockets, ...others], how, all);
  return name === null ? reason : `${name} ${port}`;
};

describe('a container with a network of its own', () => {
  it('is reached at its published port of the host', () => {
    expect(at(networks([proxy('0.0.0.0', 18080, '172.17.0.2', 90)]))).toBe('10.0.0.5 18080');
    expect(at(networks([proxy('10.0.0.6', 18080, '172.17.0.2', 90)]))).toBe('10.0.0.6 18080');
    const bound = [socket(2, '172.17.0.2', 8000, 20)];
    expect(at(networks([proxy('0.0.0.0', 18080, '172.17.0.2', 90)]), bound)).toBe('10.0.0.5 18080');
  });

  it('published twice, or for IPv4 and IPv6, has one endpoint, and always the same', () => {
    const both = [proxy('::', 18080, '172.17.0.2', 91), proxy('0.0.0.0', 18080, '172.17.0.2', 90)];
    const more = [...both, proxy('0.0.0.0', 18079, '172.17.0.2', 92)];
    expect(at(networks(both))).toBe('10.0.0.5 18080');
    expect(at(networks(more))).toBe('10.0.0.5 18079');
    expect(at(networks([...more].reverse()))).toBe('10.0.0.5 18079');
    expect(at(networks(both), own, [], { ...reach, address: 'fd00::9' })).toBe('fd00::9 18080');
  });

  it('on loopback, of the container or of the host, is reached by nobody else', () => {
    const published = networks([proxy('127.0.0.1', 18080, '172.17.0.2', 90)]);
    expect(at(published)).toBe('loopbackOnly');
    expect(at(published, own, [], { ...reach, address: 'localhost' })).toBe('127.0.0.1 18080');
    expect(at(networks([proxy('0.0.0.0', 1, '172.17.0.2', 90)]), [socket(2, '127.0.0.1', 8000, 20)])).toBe(
      'loopbackOnly',
    );
  });

  it('has no endpoint where nothing is published, or only another port or container', () => {
    expect(at(networks([]))).toBe('otherNamespace');
    expect(at(networks([proxy('0.0.0.0', 18080, '172.17.0.3', 90)]))).toBe('otherNamespace');
    expect(at(networks([proxy('0.0.0.0', 18080, '172.17.0.2', 90)]), [socket(2, '0.0.0.0', 8001, 20)])).toBe(
      'otherNamespace',
    );
  });

  it('a process that only says that it forwards a port is not believed', () => {
    const liar = { ...proxy('0.0.0.0', 18080, '172.17.0.2', 90), sockets: [] };
    expect(at(networks([liar]))).toBe('otherNamespace');
    expect(at(networks([{ ...liar, sockets: null }]))).toBe('otherNamespace');
    const elsewhere = { ...liar, sockets: [socket(7, '0.0.0.0', 18080, 90)] };
    expect(at(networks([elsewhere]))).toBe('otherNamespace');
  });

  it('has no endpoint where the port or the address is also somebody else’s', () => {
    const published = [proxy('0.0.0.0', 18080, '172.17.0.2', 90)];
    const twice = new Map([...networks([]).addresses, [4, ['172.17.0.2']]]);
    expect(at(networks(published, { addresses: twice }))).toBe('severalCandidates');
    expect(at(networks([...published, proxy('10.0.0.5', 18080, '172.17.0.3', 91)]))).toBe('severalCandidates');
    const hostSockets = [socket(host, '0.0.0.0', 18080, 90), socket(host, '10.0.0.5', 18080, 99)];
    expect(at(networks(published, { hostSockets }))).toBe('severalCandidates');
    expect(at(networks(published), own, [socket(2, '172.17.0.2', 8000, 21)])).toBe('severalCandidates');
    expect(at(networks(published), own, [socket(2, '0.0.0.0', 8000, 21)])).toBe('severalCandidates');
  });

  it('has no endpoint where the host’s own namespace, or that of the worker, is not known', () => {
    const published = [proxy('0.0.0.0', 18080, '172.17.0.2', 90)];
    expect(at(networks(published, { hostNamespace: null }))).toBe('socketsUnknown');
    expect(at(networks(published, { addresses: new Map() }))).toBe('otherNamespace');
  });

  it('without an address of the host, an endpoint is known only where a specific one is published', () => {
    const published = networks([proxy('0.0.0.0', 18080, '172.17.0.2', 90)]);
    expect(publishedAt(own, own, { address: null, isPod: false }, published).reason).toBe('addressUnknown');
  });

  it('is reached where some of its sockets are not on loopback, and has none where it listens nowhere', () => {
    const published = networks([proxy('0.0.0.0', 18080, '172.17.0.2', 90)]);
    expect(at(published, [socket(2, '127.0.0.1', 8000, 21), ...own])).toBe('10.0.0.5 18080');
    expect(at(published, [])).toBe('notListening');
  });

  it('of the host’s own network is not looked for behind a port that is forwarded', () => {
    const published = networks([proxy('0.0.0.0', 18080, '10.0.0.5', 90)]);
    expect(at(published, [socket(host, '0.0.0.0', 8000, 20)])).toBe('otherNamespace');
  });

  it('published on an address of one link is reached by nobody from elsewhere', () => {
    for (const address of ['169.254.7.1', 'fe80::1', 'febf::1'])
      expect(at(networks([proxy(address, 18080, '172.17.0.2', 90)])), address).toBe('addressUnknown');
    expect(at(networks([proxy('fd00::fe80', 18080, '172.17.0.2', 90)]))).toBe('fd00::fe80 18080');
  });

  it('published for IPv4 has no endpoint at an address of IPv6, nor the other way round', () => {
    const published = (address: string) => networks([proxy(address, 18080, '172.17.0.2', 90)]);
    expect(at(published('0.0.0.0'), own, [], { ...reach, address: 'fd00::9' })).toBe('addressUnknown');
    expect(at(published('::'))).toBe('addressUnknown');
  });

  it('published several times is given by the address of the host first, and never by one that leads nowhere', () => {
    const on = (...ports: readonly (readonly [string, number])[]) =>
      networks(ports.map(([address, port], i) => proxy(address, port, '172.17.0.2', 90 + i)));
    expect(at(on(['10.0.0.6', 18079], ['0.0.0.0', 18080]))).toBe('10.0.0.5 18080');
    expect(at(on(['0.0.0.0', 18080], ['10.0.0.6', 18079]))).toBe('10.0.0.5 18080');
    expect(at(on(['127.0.0.1', 18079], ['10.0.0.6', 18080]))).toBe('10.0.0.6 18080');
  });

  it('a proxy that listens on another address or port than it says is not believed', () => {
    const said = proxy('0.0.0.0', 18080, '172.17.0.2', 90);
    for (const held of [socket(host, '127.0.0.1', 18080, 90), socket(host, '0.0.0.0', 18081, 90)])
      expect(at(networks([{ ...said, sockets: [held] }]))).toBe('otherNamespace');
    // Nor does it hide the one that does.
    expect(at(networks([{ ...said, sockets: null }, said]))).toBe('10.0.0.5 18080');
  });

  it('of other sockets of the host only those count that may take what is sent to its port', () => {
    const beside = (published: PortProxy, other: NamespaceSocket, how = reach) => {
      const all = networks([published]);
      return at({ ...all, hostSockets: [...all.hostSockets, other] }, own, [], how);
    };
    const open = proxy('0.0.0.0', 18080, '172.17.0.2', 90);
    const one = proxy('10.0.0.6', 18080, '172.17.0.2', 90);
    expect(beside(one, socket(host, '10.0.0.6', 18080, 99))).toBe('severalCandidates');
    expect(beside(one, socket(host, '::', 18080, 99))).toBe('severalCandidates');
    expect(beside(one, socket(host, '10.0.0.9', 18080, 99))).toBe('10.0.0.6 18080');
    expect(beside(open, socket(host, '0.0.0.0', 22, 99))).toBe('10.0.0.5 18080');
    expect(beside(open, socket(host, '127.0.0.1', 18080, 99))).toBe('10.0.0.5 18080');
    const localhost = { ...reach, address: 'localhost' };
    expect(beside(open, socket(host, '127.0.0.1', 18080, 99), localhost)).toBe('severalCandidates');
    expect(beside(proxy('127.0.0.1', 18080, '172.17.0.2', 90), socket(host, '::', 18080, 99))).toBe('loopbackOnly');
  });

  it('has no endpoint at a port that leads to another port of it as well, or at an address that another has', () => {
    const published = proxy('0.0.0.0', 18080, '172.17.0.2', 90);
    const other = proxy('10.0.0.5', 18080, '172.17.0.2', 95);
    const elsewhere = { ...other, published: { ...other.published, containerPort: 9000 } };
    expect(at(networks([published, elsewhere]))).toBe('severalCandidates');
    const addresses = new Map([...networks([]).addresses, [4, ['10.0.0.5']]]);
    expect(at(networks([published], { addresses }))).toBe('severalCandidates');
  });
});

describe('a pod', () => {
  const pod = { address: '10.0.0.5', isPod: true };
  const having = (addresses: readonly string[]) => networks([], { addresses: new Map([[2, addresses]]) });

  it('is reached at its address, where it has exactly one', () => {
    expect(at(having(['10.244.0.7']), own, [], pod)).toBe('10.244.0.7 8000');
    expect(at(having(['10.244.0.7', 'fd00::7']), own, [], pod)).toBe('10.244.0.7 8000');
    expect(at(having(['fd00::7']), [socket(2, '::', 8000, 20)], [], pod)).toBe('fd00::7 8000');
    expect(at(having(['fd00::7']), own, [], pod)).toBe('otherNamespace');
    expect(at(having(['10.244.0.7', '192.168.3.4']), own, [], pod)).toBe('otherNamespace');
    expect(at(having([]), own, [], pod)).toBe('otherNamespace');
    expect(at(having(['10.244.0.7']), [socket(2, '127.0.0.1', 8000, 20)], [], pod)).toBe('loopbackOnly');
  });

  it('on :: alone is reached by IPv4 only where it answered so', () => {
    const sockets = [socket(2, '::', 8000, 20)];
    const answered = (answeredAt: string) =>
      publishedAt(sockets, sockets, { ...pod, answeredAt }, having(['10.244.0.7'])).host;
    expect(answered('127.0.0.1')).toBe('10.244.0.7');
    expect(answered('::1')).toBeNull();
  });

  it('is known by its cgroup, and not where a whole cluster runs in a container', () => {
    const id = 'a'.repeat(64);
    const inner = `kubepods.slice/kubepods-pod11111111_2222_3333_4444_555555555555.slice/cri-containerd-${id}.scope`;
    expect(isPodPath(`/${inner}`)).toBe(true);
    expect(isPodPath(`/system.slice/docker-${id}.scope/kubelet.slice/${inner}`)).toBe(false);
    expect(isPodPath('/system.slice/vllm.service')).toBe(false);
  });
});

/** Where a connection from outside may come to: every socket that could take it. */
function route(to: string, port: number, machine: Networks, all: readonly NamespaceSocket[]): ReadonlySet<number> {
  const inside = (namespace: number, address: string, wanted: number): NamespaceSocket[] => {
    const there = all.filter((each) => each.namespace === namespace && each.port === wanted);
    const exact = there.filter((each) => each.address === address);
    if (exact.length > 0) return exact;
    const family = there.filter((each) => each.address === (isIPv4(address) ? '0.0.0.0' : '::'));
    return family.length > 0 ? family : isIPv4(address) ? there.filter((each) => each.address === '::') : [];
  };
  const having = (address: string) =>
    [...machine.addresses].filter(([, addresses]) => addresses.includes(address)).map(([namespace]) => namespace);
  const found = new Set<number>();
  for (const namespace of having(to)) {
    for (const taken of inside(namespace, to, port)) {
      const forwards = machine.proxies.filter(({ sockets }) => sockets?.some(({ inode }) => inode === taken.inode));
      if (forwards.length === 0) found.add(taken.inode);
      for (const { published } of forwards)
        for (const target of having(published.containerAddress))
          for (const each of inside(target, published.containerAddress, published.containerPort)) found.add(each.inode);
    }
  }
  return found;
}

const ports = [8000, 8001];
const ipv4 = ['172.17.0.2', '172.17.0.3', '10.0.0.5', '10.0.0.6'];
const ipv6 = ['fd00::2', 'fd00::3'];
const addressesOf = fc.uniqueArray(fc.constantFrom(...ipv4, ...ipv6), { maxLength: 3 });
const boundTo = fc.constantFrom('0.0.0.0', '::', '127.0.0.1', ...ipv4, ...ipv6);
const machines = fc.record({
  reach: fc.constantFrom('10.0.0.5', '10.0.0.6', 'fd00::3'),
  namespaces: fc.tuple(addressesOf, addressesOf, addressesOf),
  sockets: fc.array(fc.tuple(fc.constantFrom(host, 2, 3), boundTo, fc.constantFrom(...ports)), { maxLength: 7 }),
  proxies: fc.array(
    fc.tuple(
      boundTo,
      fc.constantFrom(...ports),
      fc.constantFrom(...ipv4, ...ipv6),
      fc.constantFrom(...ports),
      fc.boolean(),
    ),
    { maxLength: 4 },
  ),
  isPod: fc.boolean(),
});

describe('every endpoint that is given', () => {
  it('leads to a socket of that worker and to no other, whatever runs on the machine', () => {
    let checked = 0;
    fc.assert(
      fc.property(machines, ({ reach: address, namespaces, sockets, proxies, isPod }) => {
        const table = new Map(namespaces.map((each, i) => [i + 1, i === 0 ? [...new Set([...each, address])] : each]));
        const listening = sockets.map(([namespace, to, port], i) => socket(namespace, to, port, 100 + i));
        const forwarding = proxies.map(([to, hostPort, containerAddress, containerPort, holds], i) => ({
          published: { hostAddress: to, hostPort, containerAddress, containerPort },
          sockets: holds ? [socket(host, to, hostPort, 200 + i)] : [],
        }));
        const all = [...listening, ...forwarding.flatMap((each) => each.sockets)];
        const machine: Networks = {
          hostNamespace: host,
          hostSockets: all.filter(({ namespace }) => namespace === host),
          proxies: forwarding,
          addresses: table,
        };
        for (const [namespace, port] of [2, 3].flatMap((each) => ports.map((some) => [each, some] as const))) {
          const there = all.filter((each) => each.namespace === namespace);
          const candidates = there.filter((each) => each.port === port);
          // A worker has some of the sockets of its port: each subset once.
          for (let bits = 1; bits < 2 ** candidates.length; bits += 1) {
            const its = candidates.filter((_each, i) => (bits >> i) & 1);
            const place = publishedAt(its, there, { address, isPod }, machine);
            if (place.host === null) continue;
            // Published on an address that the host does not have: nobody comes there at all.
            if (!isPod && place.host !== address && !table.get(host)?.includes(place.host)) continue;
            checked += 1;
            const reached = route(place.host, place.port, machine, all);
            expect(reached.size).toBeGreaterThan(0);
            for (const inode of reached) expect(its.map((each) => each.inode)).toContain(inode);
            expect(isIPv4(place.host) || isIPv6(place.host)).toBe(true);
          }
        }
      }),
      { numRuns: 2000 },
    );
    expect(checked).toBeGreaterThan(drawn(2000) / 40);
  });
});
