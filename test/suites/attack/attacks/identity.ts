import { randomBytes } from 'node:crypto';
import { connect, headers, type NatsConnection } from '@nats-io/transport-node';
import { sentSchema } from '../../../../lib/contract/stream/codec.js';
import { ownSchema } from '../../../../lib/contract/stream/columns.js';
import {
  deltaSubject,
  heartbeatSubject,
  hiveEventSubject,
  keyframeSubject,
  queenEventSubject,
} from '../../../../lib/nats/subjects.js';
import { eventOf, gpuOf, heartbeatOf } from '../../../harness/heartbeats.js';
import { type Attack, type Attacker, bomb } from '../attack.js';

const at = '2026-01-02T03:04:05.000Z';

/** With what a NATS user may who is allowed the subjects of its own hive alone: everything else the server refuses. */
async function overNats(attacker: Attacker, work: (nats: NatsConnection) => Promise<void> | void): Promise<void> {
  const nats = await connect({ servers: attacker.target.natsUrl as string });
  try {
    await work(nats);
    await nats.flush();
    await attacker.hold();
  } finally {
    await nats.close();
  }
}

const event = (hive: string, seq: number, over: object = {}): string =>
  JSON.stringify({ at, kind: 'workerStarted', hive, workerId: 'llm/0', detail: {}, incarnation: 'x', seq, ...over });

/** One hive that tries to be another, or a queen. */
export const identityAttacks: readonly Attack[] = [
  {
    name: 'heartbeats of the honest hive with a token of another one',
    kind: 'identity',
    waits: true,
    run: (attacker) =>
      attacker.flood(2, (turn) =>
        attacker.heartbeat(heartbeatOf(attacker.honestHive, 1_000_000 + turn, { workers: [], gpus: [] }), 'boundHive'),
      ),
  },
  {
    name: 'events that only a queen may report, about the honest hive',
    kind: 'identity',
    waits: true,
    run: (attacker) =>
      attacker.flood(1, (turn) =>
        attacker.heartbeat(
          heartbeatOf(attacker.boundHive, turn + 1, {
            events: (['hiveRemoved', 'hiveOffline', 'duplicateHiveId', 'workerGone'] as const).map((kind, i) =>
              eventOf(turn * 4 + i + 1, { kind: kind as never, detail: { hive: attacker.honestHive } }),
            ),
          }),
          'boundHive',
        ),
      ),
  },
  {
    name: 'the GPU of the honest hive claimed, and let go of',
    kind: 'identity',
    waits: true,
    run: (attacker) =>
      attacker.flood(1, (turn) =>
        attacker.heartbeat(
          heartbeatOf(attacker.boundHive, turn + 1, { gpus: turn % 2 ? [] : [gpuOf(attacker.target.gpu)] }),
          'boundHive',
        ),
      ),
  },
  {
    name: 'what was lost hidden: GPUs of the honest hive claimed and let go of, and all that is missing read',
    kind: 'identity',
    waits: true,
    run: async (attacker) => {
      const own = (turn: number) => Array.from({ length: 100 }, (_, i) => gpuOf(`GPU-${turn % 7}-${i}`));
      await attacker.flood(2, async (turn) => {
        const gpus = turn % 2 ? [] : [gpuOf(attacker.target.gpu), ...own(turn)];
        await attacker.heartbeat(heartbeatOf(attacker.boundHive, turn + 1, { gpus }), 'boundHive');
        await attacker.send('/v1/missing?limit=1000', { as: 'read' });
      });
    },
  },
  {
    name: 'a seq of 2^53 - 1, of heartbeat and event',
    kind: 'identity',
    waits: true,
    run: async (attacker) => {
      const last = Number.MAX_SAFE_INTEGER;
      await attacker.heartbeat(heartbeatOf(attacker.boundHive, last, { events: [eventOf(last)] }), 'boundHive');
      await attacker.flood(1, () => attacker.heartbeat(heartbeatOf(attacker.boundHive, 1), 'boundHive'));
    },
  },
  {
    name: 'NATS: an event whose detail is nested 15,000 deep',
    kind: 'identity',
    waits: true,
    nats: true,
    run: (attacker) =>
      overNats(attacker, (nats) => {
        const nested = `${'{"a":'.repeat(15_000)}1${'}'.repeat(15_000)}`;
        nats.publish(
          hiveEventSubject(attacker.boundHive),
          event(attacker.boundHive, 1, { detail: 'RAW' }).replace('"RAW"', nested),
        );
      }),
  },
  {
    name: 'NATS: events and a seq of 2^53 - 1 in the name of the honest hive, under its own subject',
    kind: 'identity',
    waits: true,
    nats: true,
    run: (attacker) =>
      overNats(attacker, (nats) => {
        const { incarnation } = attacker.target;
        const last = Number.MAX_SAFE_INTEGER;
        nats.publish(hiveEventSubject(attacker.boundHive), event(attacker.honestHive, last, { incarnation }));
        nats.publish(hiveEventSubject(attacker.boundHive), event(attacker.boundHive, last, { kind: 'hiveRemoved' }));
        nats.publish(
          heartbeatSubject(attacker.boundHive),
          JSON.stringify(heartbeatOf(attacker.honestHive, last, { workers: [] })),
        );
      }),
  },
  {
    name: 'NATS: message ids of events that the honest hive has yet to publish',
    kind: 'identity',
    waits: true,
    nats: true,
    run: (attacker) =>
      overNats(attacker, (nats) => {
        for (let seq = 1; seq <= 300; seq++) {
          const set = headers();
          set.set('Nats-Msg-Id', `${attacker.honestHive}/${attacker.target.incarnation}/${seq}`);
          nats.publish(hiveEventSubject(attacker.boundHive), event(attacker.boundHive, seq), { headers: set });
        }
      }),
  },
  {
    name: 'NATS: a flood of heartbeats of a megabyte',
    kind: 'identity',
    nats: true,
    run: (attacker) =>
      overNats(attacker, async (nats) => {
        const text = JSON.stringify({ ...heartbeatOf(attacker.boundHive, 1), filler: 'x'.repeat(900_000) });
        while (!attacker.over) {
          for (let i = 0; i < 8; i++) nats.publish(heartbeatSubject(attacker.boundHive), text);
          await nats.flush();
        }
      }),
  },
  {
    name: 'NATS: 20,000 events a second',
    kind: 'identity',
    nats: true,
    run: (attacker) =>
      overNats(attacker, async (nats) => {
        let seq = 0;
        while (!attacker.over) {
          for (let i = 0; i < 500; i++)
            nats.publish(hiveEventSubject(attacker.boundHive), event(attacker.boundHive, ++seq));
          await nats.flush();
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }),
  },
  {
    name: 'NATS: queen events of a kind and form that no queen has',
    kind: 'identity',
    waits: true,
    nats: true,
    run: (attacker) =>
      overNats(attacker, (nats) => {
        const message = { at, kind: 'workerGone', hive: attacker.boundHive, detail: {} };
        const wrong = [
          { ...message, hive: attacker.honestHive },
          { ...message, detail: null },
          { ...message, kind: '__proto__' },
        ];
        for (let i = 0; i < 300; i++) nats.publish(queenEventSubject(attacker.boundHive), JSON.stringify(wrong[i % 3]));
      }),
  },
  {
    name: 'NATS: heartbeats and events of 20,000 headers, and gzip that inflates to a gigabyte',
    kind: 'identity',
    nats: true,
    run: (attacker) =>
      overNats(attacker, async (nats) => {
        // As they stand on the wire: the client takes seconds to make them one by one.
        const lines = Array.from({ length: 20_000 }, (_, i) => `x-${i}: value\r\n`).join('');
        const many = { encode: () => Buffer.from(`NATS/1.0\r\n${lines}\r\n`) } as never;
        const packed = headers();
        packed.set('content-encoding', 'gzip');
        const gigabyte = await bomb(512);
        while (!attacker.over) {
          for (let i = 0; i < 4; i++) {
            nats.publish(heartbeatSubject(attacker.boundHive), '{}', { headers: many });
            nats.publish(hiveEventSubject(attacker.boundHive), event(attacker.boundHive, 1), { headers: many });
            nats.publish(heartbeatSubject(attacker.boundHive), gigabyte, { headers: packed });
          }
          await nats.flush();
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      }),
  },
  {
    name: 'NATS: events of another run each, and seqs that jump',
    kind: 'identity',
    waits: true,
    nats: true,
    run: (attacker) =>
      overNats(attacker, async (nats) => {
        for (let turn = 1; !attacker.over; turn++) {
          for (let i = 0; i < 100; i++)
            nats.publish(
              hiveEventSubject(attacker.boundHive),
              event(attacker.boundHive, turn * 2 ** 32 + i, { incarnation: `run-${turn % 2 ? 0 : turn}-${i}` }),
            );
          await nats.flush();
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }),
  },
  {
    name: 'NATS: deltas of streams that nobody has, and wishes for keyframes of every hive',
    kind: 'identity',
    nats: true,
    run: (attacker) =>
      overNats(attacker, async (nats) => {
        // The first byte says that it is a delta.
        const delta = (turn: number) => Buffer.concat([Buffer.of(2), randomBytes(turn % 400)]);
        for (let turn = 0; !attacker.over; turn++) {
          for (let i = 0; i < 100; i++) {
            nats.publish(deltaSubject(attacker.boundHive, `stream-${i % 5}`), delta(turn + i));
            nats.publish(keyframeSubject(i % 2 ? attacker.honestHive : `nobody-${turn}-${i}`), '');
            nats.publish(deltaSubject(`nobody-${turn}-${i}`, 'stream'), delta(i));
          }
          await nats.flush();
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      }),
  },
  {
    name: 'NATS: deltas to a keyframe of another hive, under the stream that it named',
    kind: 'identity',
    nats: true,
    run: (attacker) =>
      overNats(attacker, async (nats) => {
        const set = headers();
        set.set('hivepulse-stream', 'shared');
        set.set('hivepulse-epoch', '1');
        set.set('hivepulse-schema', JSON.stringify(sentSchema(ownSchema)));
        for (let seq = 1; !attacker.over; seq++) {
          const text = JSON.stringify(heartbeatOf(attacker.honestHive, 1_000_000 + seq, { workers: [] }));
          nats.publish(heartbeatSubject(attacker.boundHive), text, { headers: set });
          for (const hive of [attacker.boundHive, attacker.honestHive])
            nats.publish(deltaSubject(hive, 'shared'), Buffer.concat([Buffer.of(2), randomBytes(64)]));
          await nats.flush();
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      }),
  },
  {
    name: 'what only an admin may, of the honest hive, with every token there is',
    kind: 'identity',
    waits: true,
    run: (attacker) => {
      const roles = ['boundHive', 'anyHive', 'read', 'schedule', 'none'] as const;
      const acts = [
        ['DELETE', `/v1/hives/${attacker.honestHive}`],
        ['POST', `/v1/hives/${attacker.honestHive}/cordon`],
        ['DELETE', `/v1/gpus/${attacker.target.gpu}`],
        ['DELETE', `/v1/workers/${attacker.honestHive}/llm/0`],
        ['POST', `/v1/hives/${attacker.honestHive}/uncordon`],
        ['POST', '/v1/silences'],
        ['DELETE', `/v1/silences?cause=hiveOffline&hive=${attacker.honestHive}`],
        ['GET', '/v1/audit'],
      ] as const;
      const decision = { kind: 'silenced', cause: 'hiveOffline', reason: 'x', by: 'x' };
      return attacker.flood(8, (turn) => {
        const [method, path] = acts[turn % acts.length] as (typeof acts)[number];
        const body = method === 'POST' ? { body: JSON.stringify(decision) } : {};
        return attacker.send(path, {
          method,
          as: roles[Math.floor(turn / acts.length) % roles.length] ?? 'none',
          ...body,
        });
      });
    },
  },
];
