import { describe, expect, it } from 'vitest';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { ownSchema } from '../../lib/contract/stream/columns.js';
import { cellCount, countRows } from '../../lib/contract/stream/state.js';
import { weightOf } from '../../lib/queen/fleet-budget.js';
import type { StreamHooks, StreamIntake } from '../../lib/queen/intake.js';
import type { HeartbeatChange } from '../../lib/queen/stream-merge.js';
import { planOf } from '../../lib/queen/stream-plan.js';
import { eventOf } from '../harness/heartbeats.js';
import { TestQueen } from './heartbeats.js';
import { answersOf, copyOf, intakeOf } from './stream-model.js';
import { type Change, source, Wire, wholeHeartbeat } from './stream-wire.js';

const lost = (reason: string) => ({ kind: 'resync', reason });
const ack = (index: number, over: object = {}) => ({
  kind: 'ack',
  epoch: 1,
  index,
  deltas: true,
  isWanted: true,
  ...over,
});
const cpu =
  (value: number, row = 0) =>
  (set: (type: 'worker', row: number, column: string, value: number) => void) =>
    set('worker', row, 'cpuPercent', value);

/** A queen's own intake, of which a test may replace parts. */
function intakeWith(queen: TestQueen, over: Partial<StreamIntake>): StreamIntake {
  const real = intakeOf(queen);
  return {
    charged: (...given) => real.charged(...given),
    receive: (...given) => real.receive(...given),
    receiveChange: (...given) => real.receiveChange(...given),
    receiveLoads: (...given) => real.receiveLoads(...given),
    ...over,
  };
}

function wireOf(over: Partial<StreamIntake> = {}) {
  const queen = new TestQueen({ warmingMs: 0 });
  const heartbeat = wholeHeartbeat('a');
  const wire = new Wire(queen, copyOf(heartbeat), { intake: intakeWith(queen, over) });
  const cpuNow = () => queen.workersOf('a').map(({ cpuPercent }) => cpuPercent);
  return { queen, wire, heartbeat, cpuNow };
}

describe('the messages of a stream', () => {
  it('are taken in one after the other, and acknowledged where the hive waits for it', async () => {
    const { queen, wire, cpuNow } = wireOf();
    expect([wire.stream.hive, wire.stream.isFollowing]).toEqual([null, false]);
    expect(await wire.keyframe()).toMatchObject(ack(0, { reply: { accepted: true, ackEventSeq: 0 } }));
    expect([wire.stream.hive?.id, wire.stream.isFollowing]).toEqual(['a', true]);
    expect(await wire.delta({ change: cpu(1), wantsAck: false })).toMatchObject(ack(1, { isWanted: false }));
    expect(await wire.delta({ change: cpu(2, 2) })).toMatchObject(ack(2));
    expect(cpuNow()).toEqual([1, 87.25, 2]);
    // Somebody else has sent one: what is known is no longer what this stream has sent.
    queen.hear('a', 9);
    expect(wire.stream.isFollowing).toBe(false);
    expect(await wire.delta({ seq: 10 })).toEqual(lost('replaced'));
  });

  it.each([
    ['of another keyframe', { epoch: 2 }],
    ['behind one that is missing', { index: 3 }],
    ['that was taken in', { index: 1 }],
    ['of no later heartbeat', { seq: 2 }],
    ['of what engines say of another heartbeat', { seq: 3, isLoad: true, wantsAck: false }],
  ])('that do not follow change nothing until a keyframe comes: one %s', async (_, header) => {
    const { wire, cpuNow } = wireOf();
    await wire.keyframe();
    await wire.delta({ change: cpu(5) });
    expect(await wire.delta({ ...header, change: cpu(6) })).toEqual(lost('outOfOrder'));
    expect([wire.stream.hive, wire.stream.isFollowing]).toEqual([null, false]);
    expect(cpuNow()[0]).toBe(5);
    // These were under way.
    expect(await wire.delta({ index: 2, seq: 3, change: cpu(7) })).toEqual({ kind: 'ignored' });
    expect(cpuNow()[0]).toBe(5);
    expect(await wire.keyframe(3, { ...wire.heartbeat, seq: 9 })).toMatchObject({
      kind: 'ack',
      epoch: 3,
      index: 0,
      deltas: true,
    });
    expect(await wire.delta({ epoch: 3, change: cpu(8) })).toMatchObject({ kind: 'ack', epoch: 3, index: 1 });
    expect(cpuNow()[0]).toBe(8);
  });

  it('before the first keyframe, and what is no message, are not taken for each other', async () => {
    const { wire } = wireOf();
    expect(await wire.delta()).toEqual(lost('outOfOrder'));
    for (const bytes of [[], [3], [1], [1, 9, 1]])
      expect(await wire.stream.receive(Buffer.from(bytes))).toEqual(lost('malformed'));
    expect(await wire.keyframe()).toMatchObject({ kind: 'ack' });
    expect(await wire.stream.receive(Buffer.from([2, 255]))).toEqual(lost('malformed'));
  });

  it('with numbers that are not those of the hive are not taken in, and those before are not lost', async () => {
    const { wire, cpuNow } = wireOf();
    await wire.keyframe();
    await wire.delta({ change: cpu(5), checksum: null });
    await wire.delta();
    expect(await wire.delta({ checksum: wire.checksum })).toMatchObject(ack(3));
    expect(await wire.delta({ checksum: wire.checksum, change: cpu(6) })).toEqual(lost('checksum'));
    expect(cpuNow()[0]).toBe(5);
  });

  it('that come while one is taken in are out of order, and what was taken in is acknowledged for itself', async () => {
    let settle: { resolve: (acknowledged: number) => void; reject: (error: Error) => void } | null = null;
    const queen = new TestQueen({ warmingMs: 0 });
    const intake = intakeOf(queen);
    const pending = () =>
      new Promise<number>((resolve, reject) => {
        settle = { resolve, reject };
      });
    intake.forwarder = { state: () => 'single', publishHeartbeat: pending, publishDelta: pending } as never;
    const wire = new Wire(queen, wholeHeartbeat('a'), { intake });
    const first = wire.keyframe();
    expect(await wire.delta()).toEqual(lost('outOfOrder'));
    settle!.resolve(0);
    expect(await first).toMatchObject(ack(0, { deltas: false }));
    const second = wire.keyframe(1, { ...wire.heartbeat, seq: 5 });
    settle!.resolve(0);
    expect(await second).toMatchObject(ack(0));
    const third = wire.delta({ change: cpu(3), wantsAck: false });
    settle!.resolve(4);
    expect(await third).toMatchObject(ack(1, { isWanted: false, reply: { ackEventSeq: 4 } }));
    expect(queen.workersOf('a')[0]?.cpuPercent).toBe(3);
    const fourth = wire.delta();
    settle!.reject(new Error('gone'));
    await expect(fourth).rejects.toThrow('gone');
    // It is not busy for ever.
    const fifth = wire.keyframe(2, { ...wire.heartbeat, seq: 20 });
    settle!.resolve(0);
    expect(await fifth).toMatchObject({ kind: 'ack', epoch: 2 });
  });

  it('that the queen takes no more of are answered with the reason, and those that are refused are given the refusal', async () => {
    const refused = { accepted: false, code: 'RATE_LIMITED', message: 'too many', hive: 'a' } as const;
    let change: ReturnType<StreamIntake['receiveChange']> = refused;
    const { wire } = wireOf({ receiveChange: () => change, receiveLoads: () => 'rate' });
    await wire.keyframe();
    expect(await wire.delta()).toEqual(lost('rate'));
    await wire.keyframe(1, { ...wire.heartbeat, seq: 5 });
    change = null;
    expect(await wire.delta()).toEqual(lost('replaced'));
    await wire.keyframe(1, { ...wire.heartbeat, seq: 9 });
    expect(await wire.load((set) => set('worker', 1, 'serving.running', 9))).toEqual(lost('rate'));
    expect(await wire.keyframe(1, { ...wire.heartbeat, seq: 9 })).toMatchObject({
      kind: 'refused',
      refusal: { code: 'STALE_SEQ', hive: 'a' },
    });
    expect(wire.stream.hive).toBeNull();
  });

  it('count as taken in where they were, or are about to be', async () => {
    const counted: boolean[] = [];
    const queen = new TestQueen();
    const real = intakeOf(queen);
    const intake = intakeWith(queen, {
      charged: (from, work, isAccepted) => {
        expect(from).toBe(source);
        const result = work();
        counted.push(isAccepted(result));
        return result;
      },
      receiveChange: (...given) => {
        passedOn.push(given[3]);
        return Promise.resolve(real.receiveChange(...given)!);
      },
    });
    const passedOn: unknown[] = [];
    const wire = new Wire(queen, wholeHeartbeat('a'), { intake });
    await wire.keyframe();
    const bytes = wire.deltaBytes({ change: cpu(4) });
    await wire.stream.receive(bytes);
    await wire.load((set) => set('worker', 1, 'serving.running', 9));
    await wire.delta({ index: 9 });
    await wire.delta();
    expect(counted).toEqual([true, true, false, false]);
    // As they came, for the other queens.
    expect(passedOn).toEqual([{ stream: 'wire', bytes }]);
    expect(queen.workersOf('a')[0]?.cpuPercent).toBe(4);
  });

  it('that the queen itself fails to take in are no fault of the hive', async () => {
    const { wire } = wireOf({
      receiveChange: () => {
        throw new TypeError('a fault of the queen');
      },
    });
    await wire.keyframe();
    expect(() => wire.delta()).toThrow('a fault of the queen');
  });
});

type Lists = Pick<Heartbeat, 'gpus' | 'workers'>;
const row = <K extends keyof Lists>(heartbeat: Heartbeat, list: K, i: number) =>
  structuredClone(heartbeat[list][i]) as Lists[K][number];

describe('the text of a delta', () => {
  const whole = wholeHeartbeat('a');
  const [gpu, worker] = [row(whole, 'gpus', 1), row(whole, 'workers', 1)];
  const fault = { source: 'gpu', code: 'STALLED', message: 'it stalls' };

  it.each<[string, unknown, string]>([
    ['that is no JSON', '{', 'malformed'],
    ['that is no object', [], 'malformed'],
    ['that is a number', 7, 'malformed'],
    ['that is null', null, 'malformed'],
    ['with a part that is unknown', { faults: [], dreams: [] }, 'malformed'],
    ['with GPUs that are no list', { gpus: {} }, 'malformed'],
    ['with workers that are no list', { workers: 'x' }, 'malformed'],
    ['with events that are no list', { events: {} }, 'malformed'],
    ['with faults that are null', { faults: null }, 'malformed'],
    ['with a row without a place', { gpus: [gpu] }, 'malformed'],
    ['with a place without a row', { gpus: [[1]] }, 'malformed'],
    ['with a row that is a list', { gpus: [[1, []]] }, 'malformed'],
    ['with a place beyond the last', { gpus: [[2, gpu]] }, 'malformed'],
    ['with a place before the first', { gpus: [[-1, gpu]] }, 'malformed'],
    ['with a place between two', { gpus: [[0.5, gpu]] }, 'malformed'],
    ['with a place that is a word', { gpus: [['1', gpu]] }, 'malformed'],
    ['with a row in the place of another', { gpus: [[0, gpu]] }, 'malformed'],
    ['with a row twice', { gpus: [1, 1].map((i) => [i, gpu]) }, 'malformed'],
    ['with rows that are not in their order', { gpus: [1, 0].map((i) => [i, row(whole, 'gpus', i)]) }, 'malformed'],
    ['with a worker of another id', { workers: [[1, { ...worker, id: 'llm/9' }]] }, 'malformed'],
    ['with a worker in the place of another', { workers: [[0, worker]] }, 'malformed'],
    ['with a worker that holds fewer GPUs', { workers: [[1, { ...worker, gpus: worker.gpus.slice(1) }]] }, 'malformed'],
    ['with a worker that holds more', { workers: [[1, { ...worker, gpus: [...worker.gpus, gpu] }]] }, 'malformed'],
    ['with a worker that holds no list', { workers: [[1, { ...worker, gpus: { length: 2 } }]] }, 'malformed'],
    ['with a worker that holds nothing known', { workers: [[1, { ...worker, gpus: [null, 7] }]] }, 'malformed'],
    [
      'with a worker that holds other GPUs',
      { workers: [[1, { ...worker, gpus: [...worker.gpus].reverse() }]] },
      'malformed',
    ],
    ['with a GPU without all fields', { gpus: [[1, { uuid: gpu.uuid }]] }, 'value'],
    ['with a worker without all fields', { workers: [[1, { id: worker.id, gpus: worker.gpus }]] }, 'value'],
    ['with an event that is none', { events: [{}] }, 'value'],
    ['with a fault that is none', { faults: [7] }, 'value'],
  ])('%s changes nothing', async (_, text, reason) => {
    const { queen, wire, cpuNow } = wireOf();
    await wire.keyframe();
    await wire.delta({ change: cpu(5) });
    // With a good part beside it.
    expect(await wire.delta({ text, change: cpu(6) })).toEqual(lost(reason));
    expect(cpuNow()).toEqual([5, 87.25, 87.25]);
    expect(queen.gpus({}).items.map(({ name }) => name)).toEqual(['NVIDIA L4', 'NVIDIA L4']);
    expect(queen.audit()).toEqual([]);
  });

  it.each([
    ['a GPU', { gpus: [[1, gpu]] }, 'gpu', 1, 'powerWatts'],
    ['a worker', { workers: [[1, worker]] }, 'worker', 1, 'cpuPercent'],
    ['the first of what a worker holds', { workers: [[1, worker]] }, 'held', 0, 'utilizationPercent'],
    ['the last of what a worker holds', { workers: [[1, worker]] }, 'held', 1, 'utilizationPercent'],
  ] as const)('and numbers of %s are not both of one row: no hive sends that', async (_, text, type, at, column) => {
    const { queen, wire } = wireOf();
    await wire.keyframe();
    const before = answersOf(queen);
    const change: Change = (set) => {
      set('head', 0, 'host.load1', 9);
      set(type, at, column, 33);
    };
    expect(await wire.delta({ text, change })).toEqual(lost('malformed'));
    expect(answersOf(queen)).toEqual(before);
    // What the delta before has changed is not of this one.
    await wire.keyframe(1, { ...wire.heartbeat, seq: 5 });
    await wire.delta({ change });
    expect(await wire.delta({ text, change: (set) => set('head', 0, 'host.load1', 8) })).toMatchObject(ack(2));
  });

  it('takes the places of rows, beside numbers of others; the next delta goes on from both', async () => {
    const { queen, wire, heartbeat } = wireOf();
    await wire.keyframe();
    await wire.delta({ change: cpu(5) });
    const next = copyOf(heartbeat);
    const workers = [0, 2].map((i) =>
      Object.assign(next.workers[i]!, { labels: { turn: `${i}` }, cpuPercent: 30 + i }),
    );
    const gpus = [Object.assign(next.gpus[1]!, { name: 'other', powerWatts: 12, temperatureCelsius: 3 })];
    Object.assign(next, { faults: [fault], events: [eventOf(1)] });
    Object.assign(next.workers[2]!.gpus[0]!, { utilizationPercent: 77 });
    const text = {
      ...{ workers: workers.map((each, i) => [2 * i, each]), gpus: gpus.map((each) => [1, each]) },
      ...{ faults: next.faults, events: next.events },
    };
    const outcome = await wire.delta({
      text,
      change: (set) => {
        set('head', 0, 'host.load1', 9);
        set('gpu', 0, 'powerWatts', 44);
        set('worker', 1, 'cpuPercent', 61);
        set('held', 0, 'utilizationPercent', 8);
        set('held', 1, 'utilizationPercent', 9);
      },
    });
    expect(outcome).toMatchObject(ack(2, { reply: { ackEventSeq: 1 } }));
    Object.assign(next.host, { load1: 9 });
    Object.assign(next.gpus[0]!, { powerWatts: 44 });
    Object.assign(next.workers[1]!, { cpuPercent: 61 });
    for (const [i, held] of next.workers[1]!.gpus.entries()) Object.assign(held, { utilizationPercent: 8 + i });
    const twin = new TestQueen({ warmingMs: 0 });
    twin.heartbeat({ ...copyOf(next), seq: 3 });
    const known = (each: TestQueen) => [
      each.workersOf('a'),
      each.gpus({}).items,
      each.hive('a')?.host,
      each.hive('a')?.faults,
    ];
    expect(known(queen)).toEqual(known(twin));
    // Faults are as they were where nothing is said of them; numbers of the rows that came as text follow.
    wire.adopt(next);
    expect(await wire.delta({ checksum: wire.checksum, text: { events: [] } })).toMatchObject(ack(3));
    expect(queen.hive('a')?.faults).toEqual([fault]);
    expect(await wire.delta({ change: cpu(99, 2), text: { faults: [] } })).toMatchObject(ack(4));
    expect(queen.hive('a')?.faults).toEqual([]);
    expect(queen.workersOf('a').map(({ cpuPercent }) => cpuPercent)).toEqual([30, 61, 99]);
  });

  it('is charged beside the keyframe and what replaced parts of it, with the labels that hold then', async () => {
    const weights: number[] = [];
    const queen = new TestQueen();
    const real = intakeOf(queen);
    const intake = intakeWith(queen, {
      receiveChange: (base, change: HeartbeatChange, ...rest) => {
        if (change.text !== null) weights.push(change.text.weight);
        return real.receiveChange(base, change, ...rest);
      },
    });
    const wire = new Wire(queen, wholeHeartbeat('a'), { intake });
    await wire.keyframe();
    const { hive } = wire.heartbeat;
    const labelled = { ...worker, labels: { a: '1', b: '2', c: '3' } };
    const texts = [{ workers: [[1, labelled]] }, { faults: [fault] }];
    for (const text of texts) await wire.delta({ text });
    await wire.delta({ change: cpu(5) });
    await wire.delta({ text: texts[1] });
    const counts = countRows(wire.heartbeat);
    const numbers = 8 * cellCount(ownSchema, counts) + 16 * (1 + 2 + 3 + 3);
    const lengths = [wire.heartbeat, ...texts, texts[1]].map((each) => JSON.stringify(each).length);
    const workers = [wire.heartbeat.workers[0]!, labelled as never, wire.heartbeat.workers[2]!];
    expect(weights).toEqual(
      [2, 3, 4].map((count) => weightOf({ hive, workers }, lengths.slice(0, count).reduce((a, b) => a + b) + numbers)),
    );
  });
});

describe('what deltas refer to', () => {
  it('is kept where the keyframe was taken in as it was sent, and has as many numbers as its text can hold', async () => {
    let hooks: StreamHooks | null = null;
    const { wire, queen } = wireOf({
      receive: (...given) => {
        hooks = given[2];
        return intakeOf(queen).receive(...given);
      },
    });
    const heartbeat = wholeHeartbeat('a');
    await wire.keyframe(7);
    expect(hooks!.origin).toEqual({ stream: 'wire', epoch: 7, schema: planOf(ownSchema).text });
    const cells = cellCount(ownSchema, countRows(heartbeat));
    const read = { sent: heartbeat, heartbeat, isAltered: false };
    expect(hooks!.extraBytes(read, 2 * cells)).toBe(8 * cells + 16 * (1 + 2 + 3 + 3));
    expect(hooks!.extraBytes(read, 2 * cells - 1)).toBe(0);
    expect(hooks!.extraBytes({ ...read, isAltered: true }, 2 * cells)).toBe(0);
  });

  it('is nothing where some of it was left out: only keyframes may follow then', async () => {
    const { wire, heartbeat, cpuNow } = wireOf();
    Object.assign(heartbeat.workers[0]!, { cpuPercent: -5 });
    expect(await wire.keyframe(1, heartbeat)).toMatchObject(ack(0, { deltas: false }));
    expect([wire.stream.hive, cpuNow()[0]]).toEqual([null, null]);
    expect(await wire.delta()).toEqual(lost('outOfOrder'));
  });

  it('is nothing where another heartbeat was taken in since', async () => {
    const { wire, queen, heartbeat } = wireOf({
      receive: (body, from, hooks) =>
        intakeOf(queen).receive(body, from, {
          ...hooks,
          taken: (...given) => {
            queen.heartbeat({ ...copyOf(heartbeat), seq: 8 });
            hooks.taken(...given);
          },
        }),
    });
    expect(await wire.keyframe()).toMatchObject(ack(0, { deltas: false }));
    expect(wire.stream.hive).toBeNull();
  });
});

describe('what engines say of their load between two heartbeats', () => {
  it('is written, passed on for the workers it is of, and no sign of life', async () => {
    const { queen, wire } = wireOf();
    await wire.keyframe();
    const seen: unknown[] = [];
    queen.subscribe((change) =>
      seen.push(change.type === 'heartbeat' ? change.heartbeat.workers.map(({ id }) => id) : change.event.kind),
    );
    const before = queen.history('a', 'llm/1');
    queen.time.advance(2500);
    const load = await wire.load((set) => {
      set('worker', 2, 'serving.running', 40);
      set('worker', 2, 'serving.generationTokensPerSecond', 1000);
    });
    expect(load).toEqual({ kind: 'load' });
    expect(seen).toEqual([['llm/2']]);
    const { serving } = queen.worker('a', 'llm', '2')!;
    expect(serving).toMatchObject({ running: 40, generationTokensPerSecond: 1000, waiting: 0 });
    expect(queen.history('a', 'llm/1')).toEqual({ ...before, newestAgeMs: before!.newestAgeMs + 2500 });
    expect(queen.fleetHistory().series.generationTokensPerSecond?.at(-1)).toBe(1096.5);
    const picks = queen.pickWorkers({ model: wire.heartbeat.workers[2]!.model!, promptTokens: 10, count: 4 }).picks;
    expect(picks.map(({ key }) => key)).not.toContain('a/llm/2');
    // Of nobody anything is different.
    expect(await wire.load(() => undefined)).toEqual({ kind: 'load' });
    expect(seen).toHaveLength(1);
    queen.time.advance(600);
    expect(queen.hive('a')?.liveness).toBe('late');
    // The heartbeat that follows has the next number.
    expect(await wire.delta({ change: cpu(7) })).toMatchObject(ack(3));
    expect(queen.audit()).toEqual([]);
  });

  it.each([
    ['another number of a worker', 'worker', 1, 'cpuPercent'],
    ['a number of a GPU', 'gpu', 0, 'powerWatts'],
    ['a number of the host', 'head', 0, 'host.load1'],
    ['what a worker holds', 'held', 0, 'utilizationPercent'],
    ['an engine that nothing is known of', 'worker', 0, 'serving.running'],
  ] as const)('is all that such a message may hold: %s is none', async (_, type, at, column) => {
    const { queen, wire } = wireOf();
    await wire.keyframe();
    const before = answersOf(queen);
    expect(
      await wire.load((set) => {
        if (type !== 'head') set('worker', 1, 'serving.running', 9);
        set(type, at, column, 3);
      }),
    ).toEqual(lost('malformed'));
    expect(answersOf(queen)).toEqual(before);
  });

  it('is taken in only where what it refers to is known still', async () => {
    const { queen, wire } = wireOf();
    await wire.keyframe();
    queen.heartbeat({ ...copyOf(wire.heartbeat), seq: 5 });
    expect(await wire.load((set) => set('worker', 1, 'serving.running', 9))).toEqual(lost('replaced'));
    expect(queen.worker('a', 'llm', '1')!.serving).toMatchObject({ running: 3 });
  });
});
