import { describe, expect, it } from 'vitest';
import { unknownServer } from '../../lib/sampling/endpoints.js';
import type { KnownProcess } from '../../lib/workers/process-table.js';
import { finding, key, path, processOf, served, socket, vllm, World } from './endpoints-world.js';

describe('where a worker serves', () => {
  it('is not known where no sockets can be read, or nothing is known of its processes', () => {
    const world = new World();
    expect(served([vllm], world, { listening: null }).of()).toBe(unknownServer);
    const { endpoints } = served([vllm], world);
    expect(endpoints.of('/llm/9', 'llm/9', null, false)).toBe(unknownServer);
    expect([endpoints.askedOf(path), endpoints.unaskedOf(path), endpoints.processesOf('/llm/9')]).toEqual([
      null,
      'socketsUnknown',
      null,
    ]);
    expect(endpoints.processesOf(path)).toEqual([vllm]);
  });

  it('is its port, and the endpoint once it has answered as the engine', () => {
    const world = new World();
    world.sockets.set(21, [socket(301, 8000)]);
    world.findings = new Map();
    const { of, endpoints } = served([vllm], world);
    expect(of()).toEqual({ port: 8000, endpoint: null, reason: 'unidentified', fault: null, models: [] });
    expect(endpoints.askedOf(path)).toMatchObject([
      { key: key(8000, 301), engine: 'vllm', held: true, addresses: [{ host: '127.0.0.1', port: 8000 }, {}] },
    ]);
    expect((endpoints.askedOf(path) as readonly object[])[0]).not.toHaveProperty('connect');
    world.findings = new Map([[key(8000, 301), finding({ scheme: 'https', models: ['phi'] })]]);
    expect(of()).toEqual({
      ...{ port: 8000, endpoint: 'https://10.4.4.4:8000', reason: null, fault: null, models: ['phi'] },
    });
    world.findings = new Map([[key(8000, 301), finding({ own: null, models: ['phi'] })]]);
    expect(of()).toMatchObject({ endpoint: 'http://10.4.4.4:8000', models: [] });
    world.findings = new Map([[key(8000, 301), finding()]]);
    expect(of().models).toEqual([]);
  });

  it('is said without an answer where nobody asks', () => {
    const world = new World();
    world.sockets.set(21, [socket(301, 8000)]);
    expect(served([vllm], world, { prober: null }).of()).toMatchObject({ endpoint: 'http://10.4.4.4:8000' });
  });

  it('by IPv6 stands in brackets, and on loopback alone has no endpoint', () => {
    const world = new World();
    world.sockets.set(21, [socket(301, 8000, '2001:db8::7')]);
    world.findings = new Map([[key(8000, 301), finding()]]);
    expect(served([vllm], world).of().endpoint).toBe('http://[2001:db8::7]:8000');
    world.sockets.set(21, [socket(301, 8000, '127.0.0.1')]);
    expect(served([vllm], world).of()).toMatchObject({ port: 8000, endpoint: null, reason: 'loopbackOnly' });
  });

  it('nowhere, and nothing is asked; processes that cannot be seen may listen', () => {
    const world = new World();
    world.sockets.set(21, []);
    const { of, endpoints } = served([vllm], world);
    expect(of()).toMatchObject({ port: null, endpoint: null, reason: 'notListening' });
    expect([endpoints.askedOf(path), endpoints.unaskedOf(path)]).toEqual(['none', 'notListening']);
    expect(of(null, true)).toMatchObject({ reason: 'socketsUnknown' });
    expect([endpoints.askedOf(path), endpoints.unaskedOf(path)]).toEqual([null, 'socketsUnknown']);
    const shell = processOf(22, 'python app.py');
    world.sockets.set(22, []);
    const plain = served([shell], world);
    expect(plain.of()).toMatchObject({ reason: 'notListening' });
    expect(plain.endpoints.askedOf(path)).toBeNull();
  });

  it('by sockets that may not be read is not known', () => {
    const world = new World();
    world.sockets.set(21, null);
    const { of, endpoints } = served([vllm], world);
    expect(of()).toMatchObject({ port: null, reason: 'socketsUnknown' });
    expect([endpoints.askedOf(path), endpoints.unaskedOf(path)]).toEqual([null, 'socketsUnknown']);
  });

  it('on a Unix socket cannot be asked', () => {
    const world = new World();
    const unix = processOf(23, 'vllm serve org/phi --uds /run/vllm.sock');
    world.sockets.set(23, []);
    const { of, endpoints } = served([unix], world);
    expect(of()).toMatchObject({ port: null, reason: 'notListening' });
    expect([endpoints.askedOf(path), endpoints.unaskedOf(path)]).toEqual([null, 'onUnixSocket']);
    world.sockets.set(23, null);
    const hidden = served([unix], world);
    hidden.of();
    expect(hidden.endpoints.unaskedOf(path)).toBe('onUnixSocket');
    const router = processOf(25, 'litellm --port 4000');
    world.sockets.set(25, [socket(320, 4000)]);
    const both = served([unix, router], world);
    expect(both.of().port).toBe(4000);
    expect(both.endpoints.askedOf(path)).toMatchObject([{ key: key(4000, 320) }]);
  });

  it('by sockets that were not looked at yet is not known', () => {
    expect(served([vllm], new World()).of()).toMatchObject({ port: null, reason: 'socketsUnknown' });
  });

  it('undecided stays undecided where some of its processes are hidden', () => {
    const world = new World();
    world.sockets.set(21, [socket(301, 9301), socket(302, 9302)]);
    expect(served([vllm], world).of(null, true)).toMatchObject({ port: null, reason: 'severalCandidates' });
  });

  it('on all addresses of IPv6, and answering there alone, is not reached by IPv4', () => {
    const world = new World();
    world.sockets.set(21, [socket(301, 8000, '::')]);
    world.findings = new Map([[key(8000, 301), finding({ host: '::1' })]]);
    expect(served([vllm], world).of()).toMatchObject({ endpoint: null, reason: 'addressUnknown' });
    world.findings = new Map([[key(8000, 301), finding()]]);
    expect(served([vllm], world).of()).toMatchObject({ endpoint: 'http://10.4.4.4:8000' });
  });

  it('of more than eight ports eight are asked', () => {
    const world = new World();
    world.sockets.set(
      21,
      Array.from({ length: 9 }, (_unused, i) => socket(400 + i, 9100 + i)),
    );
    const { of, endpoints } = served([vllm], world);
    of();
    expect(endpoints.askedOf(path)).toHaveLength(8);
  });

  it('at an address that others have as well is shared, and said', () => {
    const world = new World();
    world.sockets.set(21, [socket(301, 8000)]);
    world.strangers.push(socket(999, 8000));
    world.findings = new Map([[key(8000, 301), finding()]]);
    const { of, endpoints } = served([vllm], world);
    expect(of()).toMatchObject({
      ...{ port: 8000, endpoint: null, reason: 'severalCandidates' },
      fault: { source: 'proc', code: 'PORT_SHARED', field: 'endpoint', message: expect.stringContaining('port 8000') },
    });
    expect([endpoints.askedOf(path), endpoints.unaskedOf(path)]).toEqual([null, 'serverUnreachable']);
  });

  it('undecided between two of which one is shared, that is said as well', () => {
    const world = new World();
    world.sockets.set(21, [socket(301, 9301), socket(302, 9302)]);
    world.strangers.push(socket(999, 9302));
    expect(served([vllm], world).of()).toMatchObject({
      ...{ port: null, reason: 'severalCandidates', fault: { code: 'PORT_SHARED' } },
    });
    world.strangers.length = 0;
    expect(served([vllm], world).of()).toMatchObject({ port: null, fault: null });
  });
});

describe('where a worker serves is looked at again', () => {
  const known = () => {
    const world = new World();
    world.sockets.set(21, [socket(301, 8000)]);
    world.findings = new Map([[key(8000, 301), finding()]]);
    return { world, ...served([vllm], world) };
  };

  it('where nothing has changed it is not', () => {
    const { of, world, endpoints } = known();
    const before = of();
    const asked = endpoints.askedOf(path);
    world.sockets.set(21, []);
    expect(of()).toBe(before);
    world.generation = 7;
    expect(of()).toBe(before);
    world.changed = 2;
    expect(of()).toBe(before);
    expect(endpoints.askedOf(path)).toBe(asked);
  });

  it('not for others that come or go, and the lists stay the same ones', () => {
    const { of, world, endpoints, groups } = known();
    const before = of();
    endpoints.update(groups);
    expect(world.updates.at(-1)?.[0]).toBe(world.updates[0]?.[0]);
    endpoints.update(new Map([...groups, ['/llm/7', [processOf(77, 'sh')]]]));
    expect(world.updates.at(-1)?.[0]).not.toBe(world.updates[0]?.[0]);
    expect(of()).toBe(before);
  });

  it('once an address, or a process that forwards, has changed', () => {
    const world = new World();
    world.sockets.set(21, [socket(301, 8000)]);
    const containers = { generation: 3, forwarders: () => forwarders, update: () => undefined };
    let forwarders: readonly KnownProcess[] = [];
    const { of, endpoints, groups } = served([vllm], world, { containers: containers as never });
    const before = of();
    forwarders = [processOf(90, 'docker-proxy')];
    endpoints.update(groups);
    expect(world.updates.at(-1)?.[0]).toEqual([vllm, ...forwarders]);
    expect(of()).toBe(before);
    containers.generation = 4;
    expect(of()).not.toBe(before);
  });

  it('once its sockets have changed', () => {
    const { of, world } = known();
    of();
    world.sockets.set(21, []);
    world.generation = 7;
    world.changed = 7;
    expect(of()).toMatchObject({ port: null, reason: 'notListening' });
  });

  it('once its processes, its record or what is hidden have changed', () => {
    const { of, world, endpoints } = known();
    of();
    world.sockets.set(21, [socket(301, 8000), socket(302, 7311)]);
    expect(of(7311)).toMatchObject({ port: 7311 });
    world.sockets.set(21, []);
    expect(of(7311, true)).toMatchObject({ reason: 'socketsUnknown' });
    world.sockets.set(21, [socket(303, 8000)]);
    endpoints.update(new Map([[path, [vllm]]]));
    expect(of(7311, true)).toMatchObject({ port: 8000 });
  });

  it('the list of what is asked stays the same one while it is about the same sockets', () => {
    const { of, world, endpoints } = known();
    of();
    const before = endpoints.askedOf(path);
    [world.generation, world.changed] = [9, 9];
    of();
    expect(endpoints.askedOf(path)).toBe(before);
    world.sockets.set(21, [socket(305, 8000)]);
    [world.generation, world.changed] = [11, 11];
    of();
    expect(endpoints.askedOf(path)).not.toBe(before);
  });

  it('a worker that is gone is forgotten', () => {
    const { of, endpoints } = known();
    of();
    endpoints.update(new Map());
    expect([endpoints.askedOf(path), of()]).toEqual([null, unknownServer]);
    endpoints.update(new Map([[path, [vllm]]]));
    of();
    endpoints.update(new Map([['/llm/1', [processOf(44, 'sh')]]]));
    expect(endpoints.askedOf(path)).toBeNull();
  });
});

describe('which processes are expected to listen', () => {
  const expected = (world: World) =>
    (world.updates.at(-1) ?? []).slice(1).map((pids) => [...(pids as ReadonlySet<number>)]);

  it('those of an engine, or with a port on record, that serve nowhere yet', () => {
    const world = new World();
    for (const pid of [21, 31, 32]) world.sockets.set(pid, []);
    const endpoints = world.endpoints();
    const script = [processOf(31, 'python serve.py'), processOf(32, 'sh')];
    const groups = new Map<string, readonly KnownProcess[]>([
      [path, [vllm]],
      ['/llm/1', script],
    ]);
    endpoints.update(groups);
    expect(world.updates[0]?.[0]).toEqual([vllm, ...script]);
    expect(expected(world)).toEqual([[], []]);
    endpoints.of(path, 'llm/0', null, false);
    endpoints.of('/llm/1', 'llm/1', null, false);
    endpoints.update(groups);
    expect(expected(world)[0]).toEqual([21]);
    endpoints.of('/llm/1', 'llm/1', 8123, false);
    endpoints.update(groups);
    expect(expected(world)[0]).toEqual([21, 31, 32]);
    world.sockets.set(21, [socket(301, 8000)]);
    [world.generation, world.changed] = [4, 4];
    endpoints.of(path, 'llm/0', null, false);
    endpoints.update(groups);
    expect(expected(world)[0]).toEqual([31, 32]);
  });

  it('none on TCP of those that listen on a Unix socket', () => {
    const world = new World();
    const unix = processOf(23, 'vllm serve org/phi --uds /run/vllm.sock');
    world.sockets.set(23, []);
    const { of, endpoints, groups } = served([unix], world);
    of();
    endpoints.update(groups);
    expect(expected(world)[0]).toEqual([]);
  });

  it('a look is over sockets and containers', async () => {
    const world = new World();
    const looks: unknown[] = [];
    const forwarders = [processOf(90, 'docker-proxy')];
    const containers = {
      generation: 1,
      forwarders: () => forwarders,
      update: (processes: readonly KnownProcess[]) => looks.push(processes),
      look: async () => looks.push('look'),
      faults: () => [{ source: 'proc', code: 'PROC_STALLED', message: 'addresses' }],
    };
    const endpoints = world.endpoints({ containers: containers as never });
    await endpoints.look(new Map([[path, [vllm]]]));
    expect(world.looks).toBe(1);
    expect(looks).toEqual([[vllm, ...forwarders], 'look']);
    world.faults = [{ code: 'A' }];
    expect(endpoints.faults().map(({ code }) => code)).toEqual(['A', 'PROC_STALLED', 'NAMESPACE_REFUSED']);
    await world.endpoints({ listening: null }).look(new Map());
  });
});

describe('faults of sockets', () => {
  it.each([
    [1, 'The sockets of one worker cannot be read'],
    [2, 'The sockets of 2 workers cannot be read'],
  ])('%i workers of another user', (count, message) => {
    const world = new World();
    const endpoints = world.endpoints({ namespaces: null });
    const all = [0, 1, 2].map((i): readonly [string, readonly KnownProcess[]] => {
      const shell = i === 0 ? [processOf(81, 'sh', 61)] : [];
      return [`/llm/${i}`, [processOf(61 + i, 'vllm serve org/phi'), ...shell]];
    });
    for (const [, [process]] of all) world.sockets.set(process!.pid, null);
    // Beside one that may be seen.
    world.sockets.set(81, null);
    for (let i = 0; i < count; i++) world.deniedPids.add(61 + i);
    endpoints.update(new Map(all));
    for (const [each] of all) endpoints.of(each, each, null, false);
    expect(endpoints.faults()).toEqual([
      {
        ...{ source: 'proc', code: 'SOCKETS_UNREADABLE', field: 'endpoint' },
        message: expect.stringContaining(message),
      },
    ]);
  });

  it('none where none may be read, and none of a worker whose sockets are known', () => {
    const world = new World();
    world.deniedPids.add(21);
    world.sockets.set(21, [socket(301, 8000)]);
    const { of, endpoints } = served([vllm], world, { namespaces: null });
    of();
    expect(endpoints.faults()).toEqual([]);
    expect(served([vllm], world, { listening: null }).endpoints.faults()).toEqual([]);
  });
});
