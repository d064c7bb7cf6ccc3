import { describe, expect, it } from 'vitest';
import type { NamespaceSocket } from '../../lib/workers/listening.js';
import { finding, other, own, path, processOf, served, socket, vllm, World } from './endpoints-world.js';

describe('how the hive reaches a worker', () => {
  it('in another network namespace by a process there', async () => {
    const world = new World();
    world.sockets.set(21, [socket(301, 8000, '0.0.0.0', other)]);
    const { of, endpoints } = served([vllm], world);
    expect(of()).toMatchObject({ port: 8000, endpoint: null, reason: 'otherNamespace' });
    const [asked] = endpoints.askedOf(path) as readonly {
      key: string;
      connect: (...what: unknown[]) => Promise<unknown>;
    }[];
    expect(asked?.key).toBe(`${other}/8000/301`);
    const { signal } = new AbortController();
    await asked?.connect({ host: '127.0.0.1', port: 8000 }, signal, undefined);
    expect(world.connects).toEqual([
      {
        host: '127.0.0.1',
        port: 8000,
        pid: 71,
        namespace: other,
        timeoutMs: expect.any(Number),
        signal,
        onread: undefined,
      },
    ]);
    world.pidThere = null;
    await expect(asked?.connect({}, signal, undefined)).rejects.toMatchObject({ code: 'ESTALE' });
    expect(world.connects).toHaveLength(1);
  });

  it('not at all in another one that it does not enter', () => {
    const world = new World();
    world.sockets.set(21, [socket(301, 8000, '0.0.0.0', other)]);
    const { of, endpoints } = served([vllm], world, { namespaces: null });
    expect(of()).toMatchObject({ port: 8000, endpoint: null });
    expect([endpoints.askedOf(path), endpoints.unaskedOf(path)]).toEqual([null, 'serverUnreachable']);
  });

  it('that answered there that it is not ready yet, it is in another namespace all the same', () => {
    const world = new World();
    world.sockets.set(21, [socket(301, 8000, '0.0.0.0', other)]);
    world.listening.hostNamespace = other;
    world.findings = new Map([[`${other}/8000/301`, finding({ scheme: null, ready: false })]]);
    expect(served([vllm], world).of()).toMatchObject({ reason: 'unidentified' });
    world.findings = new Map([[`${other}/8000/301`, finding({ scheme: null, ready: null })]]);
    expect(served([vllm], world).of()).toMatchObject({ reason: 'otherNamespace' });
    world.findings = new Map([[`${other}/8000/301`, finding()]]);
    expect(served([vllm], world).of()).toMatchObject({ endpoint: 'http://10.4.4.4:8000', reason: null });
  });

  it.each([
    ['the host’s is not known', null],
    ['the host’s is the hive’s', own],
  ])('a worker of another namespace has no endpoint by containers where %s', (_what, hostNamespace) => {
    const world = new World();
    world.listening.hostNamespace = hostNamespace;
    world.sockets.set(21, [socket(301, 8000)]);
    const wants: string[] = [];
    const containers = {
      ...{ generation: 1, forwarders: () => [], update: () => undefined, want: () => wants.push('want') },
      ...{ networks: () => ({}) },
    };
    served([vllm], world, { containers: containers as never }).of();
    expect(wants).toEqual([]);
  });

  describe('at a port of loopback', () => {
    const way = (sockets: readonly NamespaceSocket[] | null | undefined, port: number, deps = {}) => {
      const world = new World();
      if (sockets !== undefined) world.sockets.set(21, sockets);
      return served([vllm], world, deps).endpoints.wayTo(path, port);
    };

    it('plainly where it listens there itself, or nothing is known', () => {
      expect(way([socket(301, 8000)], 8000)).toEqual({});
      expect(way([socket(301, 8000, '::1', other), socket(302, 8000)], 8000)).toEqual({});
      expect(way(null, 8000)).toEqual({});
      expect(way([socket(301, 8000)], 8000, { listening: null })).toEqual({});
      expect(new World().endpoints().wayTo('/llm/5', 8000)).toEqual({});
      const world = new World();
      world.listening.ownNamespace = null;
      world.sockets.set(21, []);
      expect(served([vllm], world).endpoints.wayTo(path, 8000)).toEqual({});
    });

    it('not where it does not listen, or is looked at just now', () => {
      expect(way([socket(301, 8001)], 8000)).toBe('notListening');
      expect(way(undefined, 8000)).toBe('socketsUnknown');
      const world = new World();
      const both = [vllm, processOf(24, 'sh', 21)];
      world.sockets.set(21, []);
      expect(served(both, world).endpoints.wayTo(path, 8000)).toBe('notListening');
      world.sockets.set(24, null);
      expect(served(both, world).endpoints.wayTo(path, 8000)).toEqual({});
    });

    it.each([
      ['0.0.0.0', '127.0.0.1'],
      ['::', '127.0.0.1'],
      ['::1', '::1'],
    ])('in another namespace, where it listens on %s, at %s', (address, localhost) => {
      const loopback6 = socket(309, 8000, '::1', other);
      expect(way([loopback6, socket(301, 8000, address, other)], 8000)).toEqual({
        localhost,
        connect: expect.any(Function),
      });
      expect(way([socket(301, 8000, address, other)], 8000)).toEqual({ localhost, connect: expect.any(Function) });
      expect(way([socket(301, 8000, address, other)], 8000, { namespaces: null })).toBe('serverUnreachable');
    });
  });
});
