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
import { heartbeatOf, workerOf } from '../harness/heartbeats.js';
import { SimulatedHive } from '../harness/simulated-fleet.js';
import { endlessTurn, serverOfTest } from './build-server.js';
import { FakeResponse } from './fake-response.js';

function streams() {
  const clock = { ms: 1000 };
  const registry = new Registry({ clock: () => clock.ms, epoch: 'e', staleAfterMs: 40_000 });
  const hub = new StreamHub(registry, { turns: endlessTurn(), now: () => clock.ms });
  const open = (changes: boolean) => {
    const response = new FakeResponse();
    hub.open(response as unknown as ServerResponse, changes ? { changes } : {}, null, 'someone');
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

const steps = fc.array(
  fc.record({
    hive: fc.nat(2),
    act: fc.constantFrom(
      'beat',
      'beat',
      'beat',
      'kill',
      'add',
      'stall',
      'recover',
      'lose',
      'cordon',
      'uncordon',
      'join',
      'flush',
    ),
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
        for (const { hive: number, act, waitMs } of list) {
          const hive = hives[number]!;
          if (act === 'kill') hive.killWorker();
          else if (act === 'add') hive.addWorker();
          else if (act === 'stall') hive.stallGpu(0);
          else if (act === 'lose') hive.loseGpu(1);
          else if (act === 'recover') for (const gpu of [0, 1]) hive.recoverGpu(gpu);
          else if (act === 'cordon' && registry.hasHive(hive.id))
            registry.cordons.set(hive.id, { reason: 'r', by: 'me' });
          else if (act === 'uncordon') registry.cordons.lift(hive.id);
          else if (act === 'join') readers.push(open(true));
          else if (act === 'flush') hub.flush();
          else registry.heartbeat(hive.nextHeartbeat());
          clock.ms += waitMs;
          registry.advance();
        }
        for (const hive of hives) registry.heartbeat(hive.nextHeartbeat());
        hub.flush();
        const [whole, ...others] = readers.map((reader) => shown(mirrorOf(reader, clock.ms)));
        for (const other of others) expect(other).toEqual(whole);
      }),
      { numRuns: 60 },
    );
  });

  it('hold what differs and no more, gathered over a tenth of a second', () => {
    const { registry, hub, open } = streams();
    const beat = (seq: number, cpuPercent: number) =>
      registry.heartbeat(
        heartbeatOf('a', seq, { workers: [workerOf('llm/0', { cpuPercent }), workerOf('llm/1')], events: [] }),
      );
    beat(1, 1);
    const response = open(true);
    beat(2, 2);
    beat(3, 3);
    hub.flush();
    const changes = response.messages
      .filter(({ event }) => event === 'changes')
      .map(({ data }) => data as StreamChanges);
    expect(changes).toHaveLength(1);
    expect(changes[0]!.workers).toEqual({ 'llm/0': { cpuPercent: 3 } });
    expect(changes[0]).toMatchObject({ hive: 'a', liveness: 'online', added: [], gone: [] });
    expect(response.messages.filter(({ event }) => event === 'heartbeat')).toEqual([]);
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
