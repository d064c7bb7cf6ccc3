import { expect, it } from 'vitest';
import { ReceivedHeartbeats } from '../../lib/cluster/received-heartbeats.js';
import { SharedStreams } from '../../lib/cluster/shared-streams.js';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { ownSchema } from '../../lib/contract/stream/columns.js';
import { StreamEncoder } from '../../lib/hive/stream-encoder.js';
import type { HeartbeatBody } from '../../lib/queen/heartbeat-body.js';
import { HeartbeatStream } from '../../lib/queen/heartbeat-stream.js';
import { type AcceptedLoads, HeartbeatIntake, type StreamOrigin } from '../../lib/queen/intake.js';
import type { Registry } from '../../lib/queen/registry.js';
import { planOf } from '../../lib/queen/stream-plan.js';
import type { ServingFigures } from '../../lib/sampling/serving.js';
import { Random } from '../harness/random.js';
import { waitFor } from '../harness/wait.js';
import { answersOf, ChangingHive, expectAlike, intakeOf, loadsOf, pairOfQueens } from '../queen/stream-model.js';

interface Passed {
  readonly hive: string;
  readonly whole?: readonly [HeartbeatBody, StreamOrigin | null];
  readonly delta?: AcceptedLoads;
}

/** A queen that has the streams of hives, another that hears of them, and what lies between: what is passed on, and wishes. */
function twoQueens(ids: readonly string[], seed: number, rate = 1e9) {
  const { time, streamed: near, posted: far } = pairOfQueens(1_000_000);
  const random = new Random(seed);
  const passed: Passed[] = [];
  const wishes: string[] = [];
  const nearIntake = intakeOf(near);
  nearIntake.forwarder = {
    state: () => 'nats',
    publishHeartbeat: ({ hive }, body, acknowledged, origin) => {
      passed.push({ hive: hive.id, whole: [body, origin] });
      return acknowledged;
    },
    publishDelta: (delta, acknowledged) => {
      passed.push({ hive: delta.base.hive.id, delta });
      return acknowledged;
    },
    publishLoads: (delta) => void passed.push({ hive: delta.base.hive.id, delta }),
  };
  const farIntake = new HeartbeatIntake(far, { ...intakeOf(far).limits, heartbeatsPerSecond: rate });
  const streams = new SharedStreams(far, farIntake, (hive) => wishes.push(hive), time.read);
  const received = new ReceivedHeartbeats(farIntake, streams);
  const hives = ids.map((id, i) => {
    const encoder = new StreamEncoder(time.read, () => 0.5);
    encoder.ackEvery = 5;
    const stream = new HeartbeatStream(near, nearIntake, { key: id, owner: 'o', hive: null }, planOf(ownSchema));
    return { id, changing: new ChangingHive(id, seed + i, random), encoder, stream, last: null as Heartbeat | null };
  });
  /** Each hive sends once. */
  const round = async () => {
    time.advance(1000);
    for (const hive of hives)
      for (let isTaken = false; !isTaken; ) {
        hive.last = hive.changing.next();
        const outcome = await hive.stream.receive((await hive.encoder.encode(hive.last)).bytes);
        isTaken = outcome.kind !== 'resync';
        if (outcome.kind !== 'ack' || !outcome.deltas) hive.encoder.reset();
      }
  };
  /** Each hive sends what its engines say since; gives how many had something to say. */
  const load = async (says = (last: Heartbeat) => loadsOf(last, random)) => {
    time.advance(100);
    let sent = 0;
    for (const { last, encoder, stream } of hives) {
      const bytes = last === null ? null : encoder.encodeLoads(says(last));
      if (bytes === null) continue;
      sent++;
      if ((await stream.receive(bytes)).kind !== 'load') encoder.reset();
    }
    return sent;
  };
  /** What was passed on arrives; what `isLost` does not. Gives when all of it has had its turn. */
  const arrive = async (isLost: () => boolean = () => false) => {
    for (const { hive, whole, delta } of passed.splice(0)) {
      if (isLost()) continue;
      if (whole) received.add(hive, ...whole);
      if (delta) received.addDelta(hive, delta);
    }
    await waitFor(() => received.isIdle);
  };
  /** Hives are asked for what the other queen wishes. */
  const grant = () => {
    for (const hive of wishes.splice(0)) hives.find(({ id }) => id === hive)?.encoder.reset();
  };
  return { near, far, streams, received, wishes, random, round, load, arrive, grant };
}

/** What there is now, whatever was missed on the way. */
function expectSameState(far: Registry, near: Registry): void {
  const [a, b] = [far, near].map(answersOf) as [ReturnType<typeof answersOf>, ReturnType<typeof answersOf>];
  for (const name of ['hives', 'workers', 'sorted', 'gpus', 'idle', 'roomy', 'placement'] as const)
    expect(a[name]).toEqual(b[name]);
  expect(far.audit()).toEqual([]);
}

it('a queen that is passed keyframes and deltas answers as the one that has the streams, whatever was lost on the way', async () => {
  const { near, far, random, round, load, arrive, grant } = twoQueens(['a', 'b', 'c'], 7);
  for (let turn = 0; turn < 40; turn++) {
    await round();
    if (random.chance(0.5)) await load();
    await arrive(() => random.chance(0.05));
    grant();
    if (turn % 20 !== 19) continue;
    // A wish of each hive is allowed every five seconds.
    for (let quiet = 0; quiet < 12; quiet++) {
      await round();
      await arrive();
      grant();
    }
    expectSameState(far, near);
  }
});

it('without a loss it answers the same in everything', async () => {
  const { near, far, wishes, round, arrive } = twoQueens(['a', 'b'], 13);
  for (let turn = 0; turn < 40; turn++) {
    await round();
    await arrive();
  }
  expect(wishes).toEqual([]);
  expectAlike(far, near);
});

it('what engines say between two heartbeats it knows as soon, and it is no heartbeat', async () => {
  const { near, far, received, wishes, round, load, arrive } = twoQueens(['a', 'b'], 17);
  await round();
  await arrive();
  const { received: before } = received;
  const servings = () => far.workers({ limit: 1000 }).items.map(({ serving }) => serving);
  const known = servings();
  expect(await load()).toBeGreaterThan(0);
  await arrive();
  expect(servings()).not.toEqual(known);
  expectAlike(far, near);
  expect(received.received).toBe(before);
  expect(wishes).toEqual([]);
});

it('of one hive no more is taken in than a hive may send: the rest costs nothing, and a keyframe is asked for', async () => {
  const { far, near, received, wishes, round, load, arrive, grant } = twoQueens(['a'], 19, 5);
  await round();
  await arrive();
  const versions: unknown[] = [];
  far.subscribe((change) => {
    if (change.type === 'heartbeat') versions.push(change);
  });
  const isRunning = (running: number) => (last: Heartbeat) =>
    new Map(
      last.workers.flatMap(({ id, serving }) =>
        serving == null ? [] : [[id, { ...(serving as ServingFigures), running }]],
      ),
    );
  for (let i = 0; i < 40; i++) expect(await load(isRunning(100 + i))).toBe(1);
  await arrive();
  expect(received.superseded).toBe(0);
  expect(versions.length).toBeLessThan(20);
  expect(wishes).toEqual(['a']);
  grant();
  await round();
  await arrive();
  expectSameState(far, near);
});

it('a queen that joins late asks for a keyframe of each hive, once in a while, and then follows', async () => {
  const { near, far, received, wishes, round, arrive, grant } = twoQueens(['a', 'b'], 11);
  await round();
  await arrive(() => true);
  for (let i = 0; far.hives().items.length < 2 && i < 20; i++) {
    await round();
    await arrive();
    expect(new Set(wishes).size).toBe(wishes.length);
    grant();
  }
  const before = received.received;
  await round();
  await arrive();
  expect(received.received).toBe(before + 2);
  expectSameState(far, near);
});

it('deltas that wait too long are given up for a keyframe', async () => {
  const { far, near, received, wishes, round, arrive, grant } = twoQueens(['a'], 3);
  await round();
  await arrive();
  for (let i = 0; i < 51; i++) received.addDelta('a', { stream: 's', bytes: Buffer.alloc(8) });
  expect(received.superseded).toBe(51);
  expect(wishes).toEqual(['a']);
  grant();
  await round();
  await arrive();
  expectSameState(far, near);
});

it('columns that no queen would go by leave whole heartbeats as they are', async () => {
  const { far, received, round, streams } = twoQueens(['a'], 5);
  await round();
  const hive = new ChangingHive('z', 1, new Random(1));
  const body = { bytes: Buffer.from(JSON.stringify(hive.next())), encoding: null };
  for (const schema of [
    '{',
    '{}',
    `"${'x'.repeat(100_000)}"`,
    '{"head":[["__proto__",1]],"gpu":[],"worker":[],"held":[]}',
  ])
    expect(await streams.whole('z', body, { stream: 's', epoch: 1, schema })).toBeNull();
  received.add('z', body, { stream: 's', epoch: 1, schema: '{}' });
  await waitFor(() => received.isIdle);
  expect(far.hives().items.map(({ id }) => id)).toEqual(['z']);
});
