import { describe, expect, it } from 'vitest';
import { unknownServer } from '../../lib/sampling/endpoints.js';
import { clear, probeTarget, type Tracked, track } from '../../lib/sampling/tracked.js';
import type { KnownProcess } from '../../lib/workers/process-table.js';
import { record, row, watched } from './worker-support.js';

const processes = [{ pid: 61 }] as unknown as readonly KnownProcess[];
const asked = [{ key: '9/8000/1' }];
const connect = { localhost: '127.0.0.1' };

/** What the hive knows of sockets; `way`: how the worker itself is reached at the port of an operator's URL. */
const endpoints = (way: unknown = connect) => {
  const ports: number[] = [];
  return {
    ports,
    askedOf: () => asked as never,
    processesOf: () => processes,
    wayTo: (_path: string, port: number) => {
      ports.push(port);
      return way as never;
    },
  };
};
const still = { cpuPercent: 0, gpuUtilizationPercent: null };
const of = (changes: Partial<Tracked>): Tracked => ({ ...track(watched(), 4, 17), inode: 812, ...changes });
const named = (readyUrl: string | null, model: string | null = null) => record({ readyUrl, model } as never);

describe('what is kept of a worker', () => {
  it('is nothing at first, and nothing once it has ended, but for its place and how often it was killed', () => {
    const tracked = track(watched(), 4, 17);
    const first = { ...tracked };
    expect(first).toMatchObject({
      slot: 4,
      addedMs: 17,
      read: false,
      live: false,
      row: null,
      main: null,
      hidden: 0,
      predates: false,
    });
    expect([first.inode, first.identity, first.unread.size, first.server]).toEqual([Number.NaN, [], 0, unknownServer]);
    Object.assign(tracked, {
      ...{ read: true, live: true, inode: 812, row: row({}), oomKills: 3, predates: true, stalled: true },
      ...{ main: { key: '7/70' }, run: { pid: 7 }, described: {}, identity: [null], server: null, state: {} },
    });
    clear(tracked);
    expect(tracked).toEqual({ ...first, read: true, inode: 812, oomKills: 3, predates: true });
  });
});

describe('what is asked of a worker', () => {
  it('is what its sockets offer, by the key of its main process', () => {
    const main = { key: '7/70' } as Tracked['main'];
    expect(probeTarget(of({ main }), still, endpoints())).toMatchObject({
      ...{ id: watched().id, identity: '7/70', readyUrl: null, urlWay: null, servers: asked, processes },
      ...{ working: false, loadReason: null },
    });
    expect(probeTarget(of({}), still, endpoints()).identity).toBe('812');
  });

  it.each([
    ['http://localhost:8123/health', 8123],
    ['http://127.0.0.1/health', 80],
  ])('of the URL %s: whether the worker itself listens on port %i', (url, port) => {
    const known = endpoints();
    const { readyUrl, urlWay, servers } = probeTarget(of({ recordSeen: named(url) }), still, known);
    expect(known.ports).toEqual([port]);
    expect([String(readyUrl), urlWay, servers]).toEqual([url, connect, asked]);
  });

  it.each([
    ['notListening', 'none'],
    ['serverUnreachable', null],
    ['socketsUnknown', null],
  ] as const)('nothing by a URL at which it does not listen (%s)', (way, expected) => {
    const target = probeTarget(of({ recordSeen: named('http://localhost:8123/') }), still, endpoints(way));
    expect([target.readyUrl, target.urlWay, target.servers]).toEqual([null, null, expected]);
  });

  it('its sockets, where its URL is empty', () => {
    const known = endpoints('notListening');
    expect(probeTarget(of({ recordSeen: named('') }), still, known).servers).toBe(asked);
    expect(known.ports).toEqual([]);
  });

  it.each([
    [null, [], true],
    ['org/phi', [], false],
    [null, ['phi'], false],
    [null, null, false],
  ] as const)('its models, where the record says %j and its command %j: %s', (model, models, isUnnamed) => {
    const described = models === null ? null : ({ serving: { models } } as unknown as Tracked['described']);
    const target = probeTarget(of({ recordSeen: named(null, model), described }), still, endpoints());
    expect(target.unnamed).toBe(isUnnamed);
    if (model === null) expect(probeTarget(of({ described }), still, endpoints()).unnamed).toBe(isUnnamed);
  });

  it.each([
    [null, null, false],
    [19.9, 0, false],
    [20, 0, true],
    [0, 0.1, true],
    [null, 30, true],
  ])('it works at %j %% of a CPU and %j %% of a GPU: %s', (cpuPercent, gpuUtilizationPercent, working) => {
    const sample = { cpuPercent, gpuUtilizationPercent, servingReason: 'loading' as const };
    expect(probeTarget(of({}), sample, endpoints())).toMatchObject({ working, loadReason: 'loading' });
  });
});
