import type { ServerResponse } from 'node:http';
import { request } from 'node:http';
import { createGunzip } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StreamHub } from '../../lib/api/stream-hub.js';
import { FleetMirror } from '../../lib/client/mirror.js';
import type { StreamMessage } from '../../lib/client/stream.js';
import type { StreamChanges } from '../../lib/contract/api.js';
import { Registry } from '../../lib/queen/registry.js';
import { portion } from '../harness/draws.js';
import { heartbeatOf, workerOf } from '../harness/heartbeats.js';
import { SimulatedHive } from '../harness/simulated-fleet.js';
import { endlessTurn, serverOfTest } from './build-server.js';
import { FakeResponse } from './fake-response.js';

function streams() {
  const clock = { ms: 1000 };
  const registry = new Registry({ clock: () => clock.ms, epoch: 'e', staleAfterMs: 40_000 });
  const hub = new StreamHub(registry, {
    turns: endlessTurn(),
    now: () => clock.ms,
    limits: { behindBytes: 3000, maxBehindMs: 1e9 },
  });
  const open = (changes: boolean, lists = false) => {
    const response = new FakeResponse();
    hub.open(
      response as unknown as ServerResponse,
      changes ? { changes, ...(lists ? { lists } : {}) } : {},
      null,
      'someone',
    );
    return response;
  };
  return { clock, registry, hub, open };
}

async function listening() {
  const { app, registry } = await serverOfTest();
  return { registry, url: await app.listen({ host: '127.0.0.1', port: 0 }) };
}

function mirrorOf(response: FakeResponse, nowMs: number): FleetMirror {
  const mirror = new FleetMirror();
  for (const { event, id, data } of response.messages) mirror.apply({ type: event, id, data } as StreamMessage, nowMs);
  return mirror;
}

const shown = (mirror: FleetMirror) => ({
  hives: Object.fromEntries(Array.from(mirror.hives, ([id, { view }]) => [id, { ...view, ageMs: 0 }])),
  workers: Object.fromEntries(Array.from(mirror.workers, ([key, worker]) => [key, { ...worker, ageMs: 0 }])),
});

interface Scene {
  readonly hive: SimulatedHive;
  readonly registry: Registry;
  readonly hub: StreamHub;
  readonly join: () => void;
  /** The newest reader stops reading, or goes on. */
  readonly pause: () => void;
}

const acts = {
  send: ({ hive, registry }: Scene) => void registry.heartbeat(hive.nextHeartbeat()),
  kill: ({ hive }: Scene) => void hive.killWorker(),
  add: ({ hive }: Scene) => void hive.addWorker(),
  stall: ({ hive }: Scene) => hive.stallGpu(0),
  lose: ({ hive }: Scene) => hive.loseGpu(1),
  recover: ({ hive }: Scene) => [0, 1].forEach((gpu) => void hive.recoverGpu(gpu)),
  cordon: ({ hive, registry }: Scene) =>
    void (registry.hasHive(hive.id) && registry.cordons.set(hive.id, { reason: 'r', by: 'me' })),
  uncordon: ({ hive, registry }: Scene) => void registry.cordons.lift(hive.id),
  join: ({ join }: Scene) => join(),
  pause: ({ pause }: Scene) => pause(),
  flush: ({ hub }: Scene) => hub.flush(),
};

const steps = fc.array(
  fc.record({
    hive: fc.nat(2),
    act: fc.constantFrom('send', 'send', ...(Object.keys(acts) as (keyof typeof acts)[])),
    waitMs: fc.constantFrom(0, 200, 1000, 5000, 60_000),
  }),
  { minLength: 1, maxLength: 40 },
);

describe('changes in place of rows', () => {
  it('make the same fleet as whole rows do, whatever happens and whenever one joins', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const { clock, registry, hub, open } = streams();
        const hives = [0, 1, 2].map(
          (n) => new SimulatedHive({ id: `h${n}`, seed: n + 1, workers: 3, gpus: ['h100', 'a100'] }),
        );
        const readers = [open(false), open(true)];
        const pause = () => {
          const newest = readers.at(-1)!;
          if (newest.reading) newest.reading = false;
          else newest.read();
        };
        for (const { hive: number, act, waitMs } of list) {
          const hive = hives[number]!;
          acts[act]({ hive, registry, hub, join: () => readers.push(open(true)), pause });
          clock.ms += waitMs;
          registry.advance();
        }
        for (const hive of hives) registry.heartbeat(hive.nextHeartbeat());
        hub.flush();
        for (const reader of readers) reader.read();
        const [whole, ...others] = readers.map((reader) => shown(mirrorOf(reader, clock.ms)));
        for (const other of others) expect(other).toEqual(whole);
      }),
      { numRuns: portion(100) },
    );
  });

  it('for lists leave out what no list shows, and a host that is asked for brings it', () => {
    const { clock, registry, hub, open } = streams();
    const hive = new SimulatedHive({ id: 'h', seed: 3, workers: 3, gpus: ['h100'] });
    registry.heartbeat(hive.nextHeartbeat());
    const [all, lists] = [open(true), open(true, true)];
    for (let i = 0; i < 3; i++) {
      clock.ms += 1000;
      registry.heartbeat(hive.nextHeartbeat());
      hub.flush();
    }
    const [whole, part] = [mirrorOf(all, clock.ms), mirrorOf(lists, clock.ms)];
    expect(lists.text.length).toBeLessThan(all.text.length);
    expect(shown(part)).not.toEqual(shown(whole));
    const view = registry.hive('h')!;
    for (const worker of registry.workersOf('h')) part.addDetails(view, worker);
    expect(shown(part)).toEqual(shown(whole));
  });

  it('hold what differs and no more, gathered over a tenth of a second', () => {
    const { registry, hub, open } = streams();
    const send = (seq: number, cpuPercent: number) =>
      registry.heartbeat(
        heartbeatOf('a', seq, { workers: [workerOf('llm/0', { cpuPercent }), workerOf('llm/1')], events: [] }),
      );
    send(1, 1);
    const response = open(true);
    // What a reader was sent beside its snapshot is whole once.
    send(2, 1);
    hub.flush();
    send(3, 2);
    send(4, 3);
    hub.flush();
    const changes = response.messages
      .filter(({ event }) => event === 'changes')
      .map(({ data }) => data as StreamChanges);
    expect(changes).toHaveLength(1);
    expect(changes[0]!.workers).toEqual({ 'llm/0': { cpuPercent: 3 } });
    expect(changes[0]).toMatchObject({ hive: 'a', liveness: 'online', added: [], gone: [] });
    expect(response.messages.filter(({ event }) => event === 'heartbeat')).toHaveLength(1);
  });

  it('a stream of one hive keeps to whole rows', async () => {
    const { url } = await listening();
    const response = await fetch(`${url}/v1/events?changes=true&hive=nobody`, {
      headers: { 'accept-encoding': 'identity' },
    });
    expect(response.headers.get('content-encoding')).toBeNull();
    await response.body?.cancel();
  });

  it('come as gzip to whoever takes it, each message as soon as it is there', async () => {
    const { url, registry } = await listening();
    registry.heartbeat(heartbeatOf('a', 1));
    let text = '';
    const opened = request(`${url}/v1/events?changes=true`, { headers: { 'accept-encoding': 'gzip' } });
    opened.on('response', (response) => {
      expect(response.headers['content-encoding']).toBe('gzip');
      response.pipe(createGunzip()).on('data', (data: Buffer) => {
        text += data.toString();
      });
    });
    opened.end();
    await expect.poll(() => text).toContain('event: snapshot');
    registry.heartbeat(heartbeatOf('a', 2, { workers: [workerOf('llm/7')] }));
    await expect.poll(() => text).toContain('"a/llm/7"');
    opened.destroy();
  });
});
