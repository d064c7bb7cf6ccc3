import * as jetstream from '@nats-io/jetstream';
import * as kv from '@nats-io/kv';
import * as transport from '@nats-io/transport-node';
import { expect, it } from 'vitest';
import { EventStream } from '../../lib/cluster/event-stream.js';
import { NatsSession } from '../../lib/cluster/nats-session.js';
import { SharedReservations } from '../../lib/cluster/shared-reservations.js';
import type { NatsPackages } from '../../lib/nats/nats-link.js';
import { leaseBucket } from '../../lib/nats/subjects.js';
import { Registry } from '../../lib/queen/registry.js';
import { SimulatedHive } from '../harness/simulated-fleet.js';

/** A connection whose streams are there and empty. What is written goes through it; `hold` keeps answers about the lease back. */
function connectionTo(name: string, written: string[], hold: Promise<void> = Promise.resolve()) {
  const created = '2026-01-02T03:04:05Z';
  const info = (stream: string) => ({
    created,
    config: { name: stream },
    state: { messages: 0, first_seq: 1, last_seq: 0 },
  });
  const messages = {
    stop: () => undefined,
    [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }),
  };
  const js = { consumers: { get: async () => ({ consume: async () => messages }) } };
  const jsm = {
    streams: {
      info: async (stream: string) => {
        if (stream === `KV_${leaseBucket}`) await hold;
        return info(stream);
      },
    },
  };
  class Kvm {
    async create() {
      return { get: async () => null, put: async () => written.push(name) };
    }
  }
  const packages = {
    transport,
    jetstream: { ...jetstream, jetstream: () => js, jetstreamManager: async () => jsm },
    kv: { ...kv, Kvm },
  } as unknown as NatsPackages;
  return { packages, connection: { info: { version: '2.11.0' } } as never };
}

it('a session that ends while it tends leaves no store of its connection behind', async () => {
  const registry = new Registry({ warmingMs: 0 });
  registry.heartbeat(new SimulatedHive({ id: 'h', seed: 1, workers: 1, gpus: 1 }).nextHeartbeat());
  const reservations = new SharedReservations(registry);
  const written: string[] = [];
  const open = (name: string, hold?: Promise<void>) =>
    new NatsSession({
      ...connectionTo(name, written, hold),
      replicas: 1,
      events: new EventStream(registry, () => undefined),
      reservations,
      log: { info: () => undefined, warn: () => undefined },
      onBroken: () => undefined,
      onNewLease: () => undefined,
    });
  const reserve = () => reservations.place({ vramBytes: 2 ** 20, reserveSeconds: 60 });

  let answer: () => void = () => undefined;
  const first = open('first', new Promise((resolve) => (answer = resolve)));
  const reconciling = first.reconcile();
  await expect.poll(async () => (await reserve()).reservation).not.toBeNull();
  expect(written).toEqual(['first']);
  await first.close();
  await expect(reserve()).rejects.toThrow('out of reach');

  const second = open('second');
  expect(await second.reconcile()).toBe(true);
  answer();
  expect(await reconciling).toBe(false);
  expect((await reserve()).reservation).not.toBeNull();
  expect(new Set(written.slice(1))).toEqual(new Set(['second']));
  await second.close();
});
