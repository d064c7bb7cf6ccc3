import { connect, headers, type NatsConnection } from '@nats-io/transport-node';
import { heartbeatSubject, hiveEventSubject, queenEventSubject } from '../../../../lib/nats/subjects.js';
import { eventOf, gpuOf, heartbeatOf } from '../../../harness/heartbeats.js';
import { type Attack, type Attacker, boundHive, gzipped, honestHive } from '../attack.js';

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
    run: (attacker) =>
      attacker.flood(2, (turn) =>
        attacker.heartbeat(heartbeatOf(honestHive, 1_000_000 + turn, { workers: [], gpus: [] }), 'boundHive'),
      ),
  },
  {
    name: 'events that only a queen may report, about the honest hive',
    kind: 'identity',
    run: (attacker) =>
      attacker.flood(1, (turn) =>
        attacker.heartbeat(
          heartbeatOf(boundHive, turn + 1, {
            events: (['hiveRemoved', 'hiveOffline', 'duplicateHiveId', 'workerGone'] as const).map((kind, i) =>
              eventOf(turn * 4 + i + 1, { kind: kind as never, detail: { hive: honestHive } }),
            ),
          }),
          'boundHive',
        ),
      ),
  },
  {
    name: 'the GPU of the honest hive claimed, and let go of',
    kind: 'identity',
    run: (attacker) =>
      attacker.flood(1, (turn) =>
        attacker.heartbeat(
          heartbeatOf(boundHive, turn + 1, { gpus: turn % 2 ? [] : [gpuOf(attacker.target.gpu)] }),
          'boundHive',
        ),
      ),
  },
  {
    name: 'a seq of 2^53 - 1, of heartbeat and event',
    kind: 'identity',
    run: async (attacker) => {
      const last = Number.MAX_SAFE_INTEGER;
      await attacker.heartbeat(heartbeatOf(boundHive, last, { events: [eventOf(last)] }), 'boundHive');
      await attacker.flood(1, () => attacker.heartbeat(heartbeatOf(boundHive, 1), 'boundHive'));
    },
  },
  {
    name: 'NATS: an event whose detail is nested 15,000 deep',
    kind: 'identity',
    nats: true,
    run: (attacker) =>
      overNats(attacker, (nats) => {
        const nested = `${'{"a":'.repeat(15_000)}1${'}'.repeat(15_000)}`;
        nats.publish(hiveEventSubject(boundHive), event(boundHive, 1, { detail: 'RAW' }).replace('"RAW"', nested));
      }),
  },
  {
    name: 'NATS: events and a seq of 2^53 - 1 in the name of the honest hive, under its own subject',
    kind: 'identity',
    nats: true,
    run: (attacker) =>
      overNats(attacker, (nats) => {
        const { incarnation } = attacker.target;
        const last = Number.MAX_SAFE_INTEGER;
        nats.publish(hiveEventSubject(boundHive), event(honestHive, last, { incarnation }));
        nats.publish(hiveEventSubject(boundHive), event(boundHive, last, { kind: 'hiveRemoved' }));
        nats.publish(heartbeatSubject(boundHive), JSON.stringify(heartbeatOf(honestHive, last, { workers: [] })));
      }),
  },
  {
    name: 'NATS: message ids of events that the honest hive has yet to publish',
    kind: 'identity',
    nats: true,
    run: (attacker) =>
      overNats(attacker, (nats) => {
        for (let seq = 1; seq <= 300; seq++) {
          const set = headers();
          set.set('Nats-Msg-Id', `${honestHive}/${attacker.target.incarnation}/${seq}`);
          nats.publish(hiveEventSubject(boundHive), event(boundHive, seq), { headers: set });
        }
      }),
  },
  {
    name: 'NATS: a flood of heartbeats of a megabyte',
    kind: 'identity',
    nats: true,
    run: (attacker) =>
      overNats(attacker, async (nats) => {
        const text = JSON.stringify({ ...heartbeatOf(boundHive, 1), filler: 'x'.repeat(900_000) });
        while (!attacker.over) {
          for (let i = 0; i < 8; i++) nats.publish(heartbeatSubject(boundHive), text);
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
          for (let i = 0; i < 500; i++) nats.publish(hiveEventSubject(boundHive), event(boundHive, ++seq));
          await nats.flush();
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }),
  },
  {
    name: 'NATS: queen events of a kind and form that no queen has',
    kind: 'identity',
    nats: true,
    run: (attacker) =>
      overNats(attacker, (nats) => {
        const message = { at, kind: 'workerGone', hive: boundHive, detail: {} };
        const wrong = [
          { ...message, hive: honestHive },
          { ...message, detail: null },
          { ...message, kind: '__proto__' },
        ];
        for (let i = 0; i < 300; i++) nats.publish(queenEventSubject(boundHive), JSON.stringify(wrong[i % 3]));
      }),
  },
  {
    name: 'NATS: heartbeats of 20,000 headers, and gzip that inflates to a gigabyte',
    kind: 'identity',
    nats: true,
    run: (attacker) =>
      overNats(attacker, async (nats) => {
        const set = headers();
        for (let i = 0; i < 20_000; i++) set.append(`x-${i}`, 'value');
        const packed = headers();
        packed.set('content-encoding', 'gzip');
        const bomb = await gzipped(Buffer.alloc(512 * 1024 * 1024, 0x20), { level: 9 });
        while (!attacker.over) {
          for (let i = 0; i < 4; i++) {
            nats.publish(heartbeatSubject(boundHive), '{}', { headers: set });
            nats.publish(heartbeatSubject(boundHive), bomb, { headers: packed });
          }
          await nats.flush();
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      }),
  },
  {
    name: 'NATS: events of another run each, and seqs that jump',
    kind: 'identity',
    nats: true,
    run: (attacker) =>
      overNats(attacker, async (nats) => {
        for (let turn = 1; !attacker.over; turn++) {
          for (let i = 0; i < 100; i++)
            nats.publish(
              hiveEventSubject(boundHive),
              event(boundHive, turn * 2 ** 32 + i, { incarnation: `run-${turn % 2 ? 0 : turn}-${i}` }),
            );
          await nats.flush();
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }),
  },
  {
    name: 'what only an admin may, of the honest hive, with every token there is',
    kind: 'identity',
    run: (attacker) => {
      const roles = ['boundHive', 'anyHive', 'read', 'schedule', 'none'] as const;
      const acts = [
        ['DELETE', `/v1/hives/${honestHive}`],
        ['POST', `/v1/hives/${honestHive}/cordon`],
        ['DELETE', `/v1/gpus/${attacker.target.gpu}`],
        ['DELETE', `/v1/workers/${honestHive}/llm/0`],
        ['GET', '/v1/audit'],
      ] as const;
      return attacker.flood(8, (turn) => {
        const [method, path] = acts[turn % acts.length] as (typeof acts)[number];
        const body = method === 'POST' ? { body: JSON.stringify({ reason: 'x' }) } : {};
        return attacker.send(path, { method, as: roles[turn % 4] ?? 'none', ...body });
      });
    },
  },
];
