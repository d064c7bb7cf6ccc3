import { describe, expect, it } from 'vitest';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { boundsOf, ownSchema, type RowType, rowTypes } from '../../lib/contract/stream/columns.js';
import { NumericState } from '../../lib/contract/stream/state.js';
import type { RegistryChange } from '../../lib/queen/registry.js';
import { servingOf, workerOf } from '../harness/heartbeats.js';
import { answersOf, copyOf, intakeOf, pairOfQueens } from './stream-model.js';
import { source, Wire, wholeHeartbeat } from './stream-wire.js';

type Item = Record<string, unknown>;

/** One number of a heartbeat that may be another: in a row that has its record. */
interface Cell {
  readonly type: RowType;
  readonly row: number;
  readonly name: string;
  readonly path: readonly string[];
  readonly words: readonly string[] | undefined;
}

function itemsOf(heartbeat: Heartbeat, type: RowType): Item[] {
  const { gpus, workers } = heartbeat as unknown as { gpus: Item[]; workers: (Item & { gpus: Item[] })[] };
  const items = {
    head: [heartbeat as unknown as Item],
    gpu: gpus,
    worker: workers,
    held: workers.flatMap((each) => each.gpus),
  };
  return items[type];
}

const holderIn = (item: Item, path: readonly string[]): Item | null =>
  path.slice(0, -1).reduce<Item | null>((within, name) => (within?.[name] as Item | undefined) ?? null, item);

function cellsOf(heartbeat: Heartbeat): Cell[] {
  return rowTypes.flatMap((type) =>
    itemsOf(heartbeat, type).flatMap((item, row) =>
      ownSchema[type]
        .filter(({ path }) => holderIn(item, path) !== null)
        .map(({ name, path, words }) => ({ type, row, name, path, words })),
    ),
  );
}

/** What a cell may be as well, and null where it may. */
function otherValues({ type, name, path, words }: Cell, now: unknown): (number | string | null)[] {
  const { mayBeNull, most } = boundsOf(type, { name, path, scale: 1 })!;
  const number = typeof now === 'number' ? now : 50;
  const values =
    words === undefined
      ? [number + 1 > most ? number - 1 : number + 1]
      : words.filter((word) => word !== now).slice(0, 3);
  return [...values, ...(mayBeNull ? [null] : []), (now ?? values[0]) as number | string | null];
}

/** Two queens that hear of the same host: one by whole heartbeats, the other by differences. */
function twins(first: Heartbeat = wholeHeartbeat('a')) {
  const { time, posted, streamed } = pairOfQueens(1_000_000);
  const wire = new Wire(streamed, copyOf(first));
  const intake = intakeOf(posted);
  const now = copyOf(first);
  let seq = first.seq;
  const post = async () => {
    const body = { bytes: Buffer.from(JSON.stringify({ ...now, seq })), encoding: null };
    expect(await intake.receive(body, source)).toMatchObject({ accepted: true });
  };
  return {
    ...{ time, posted, streamed, now, wire, post },
    begin: async () => {
      await wire.keyframe();
      await post();
    },
    set: async (cell: Cell, value: number | string | null) => {
      seq++;
      const item = itemsOf(now, cell.type)[cell.row]!;
      holderIn(item, cell.path)![cell.path.at(-1)!] = value;
      const code = typeof value === 'string' ? cell.words!.indexOf(value) : (value ?? Number.NaN);
      const outcome = await wire.delta({ change: (change) => change(cell.type, cell.row, cell.name, code) });
      expect([cell.name, outcome]).toMatchObject([cell.name, { kind: 'ack' }]);
      await post();
    },
    /** A delta of these rows as text beside nothing else. */
    text: async (text: object) => {
      seq++;
      expect(await wire.delta({ text })).toMatchObject({ kind: 'ack' });
      wire.adopt(now);
      await post();
    },
    known: () =>
      [streamed, posted].map((queen) => ({
        ...answersOf(queen),
        fleet: queen.fleetHistory(),
        hosts: queen.hiveIds().map((id) => queen.history(id)),
        gpuHistories: now.gpus.map(({ uuid }) => queen.gpuHistory(uuid)),
        events: queen.events.recent(),
      })),
  };
}

/** Of three workers two are enough: one that serves and one that does not. */
const cells = cellsOf(wholeHeartbeat('a')).filter(({ type, row }) => type !== 'worker' || row !== 1);
const limits = new Set(['memoryTotalBytes', 'host.memoryTotalBytes', 'intervalMs']);

/** Its rows are made when they are looked at. */
function seenOf(change: RegistryChange): unknown {
  if (change.type !== 'heartbeat') return change;
  const { hive, workers, gone, whole } = change.heartbeat;
  return structuredClone({ hive, workers, gone, whole });
}

describe('each number of a heartbeat, where it alone is another', () => {
  it.each(rowTypes)('makes of a %s what a whole heartbeat makes of it, for whoever listens', async (type) => {
    const { time, posted, streamed, begin, set, now, known } = twins();
    const seen: unknown[][] = [[], []];
    for (const [i, queen] of [streamed, posted].entries()) queen.subscribe((change) => seen[i]!.push(seenOf(change)));
    await begin();
    const last = { head: 0, gpu: 1, worker: 2, held: 2 }[type];
    for (const cell of cells.filter((each) => each.type === type && (type === 'held' || each.row === last))) {
      const item = itemsOf(now, type)[cell.row]!;
      for (const value of otherValues(cell, holderIn(item, cell.path)![cell.path.at(-1)!])) {
        time.advance(1000);
        await set(cell, value);
        expect([cell.name, value, seen[0]!.splice(0)]).toEqual([cell.name, value, seen[1]!.splice(0)]);
      }
    }
    const [one, other] = known();
    expect(one).toEqual(other);
    expect(streamed.audit()).toEqual([]);
  });

  it.each([1, 4])('is written by when somebody looks, after %i more have come', async (every) => {
    const { time, begin, set, now, known } = twins();
    await begin();
    // Also what is not changed keeps its place, of which words are a part.
    const order = cells.filter(({ name }, i) => !limits.has(name) && (i * 7) % 3 !== 1);
    for (const [i, cell] of order.entries()) {
      const item = itemsOf(now, cell.type)[cell.row]!;
      const [value] = otherValues(cell, holderIn(item, cell.path)![cell.path.at(-1)!]);
      time.advance(1000);
      await set(cell, value!);
      if (i % (13 * every) === 0) {
        const [one, other] = known();
        expect([cell.name, one]).toEqual([cell.name, other]);
      }
    }
    const [one, other] = known();
    expect(one).toEqual(other);
  });

  it('that a record of a view holds stays as it was', async () => {
    const { begin, set, now, streamed } = twins();
    await begin();
    const views = () => [streamed.hives({}).items, streamed.workers({}).items, streamed.gpus({}).items];
    const within = cells.filter(({ path, type, name }) => (path.length > 1 || type === 'held') && !limits.has(name));
    for (const cell of within) {
      const held = views();
      const before = structuredClone(held);
      const item = itemsOf(now, cell.type)[cell.row]!;
      await set(cell, otherValues(cell, holderIn(item, cell.path)![cell.path.at(-1)!])[0]!);
      expect([cell.name, views()]).not.toEqual([cell.name, before]);
      expect([cell.name, held]).toEqual([cell.name, before]);
    }
  });
});

describe('rows of a stream', () => {
  it('that come as text are merged as whole ones are, with all that is counted by them', async () => {
    const { begin, text, now, known, streamed, set, time } = twins();
    await begin();
    const load = { type: 'worker', row: 2, name: 'cpuPercent', path: ['cpuPercent'], words: undefined } as const;
    const turns: (() => object)[] = [
      () => ({ workers: [[0, Object.assign(now.workers[0]!, { state: 'busy', model: 'm', labels: { a: 'b' } })]] }),
      () => ({ workers: [[2, Object.assign(now.workers[2]!, { labels: {}, cpuPercent: 11, reservationId: 'r' })]] }),
      () => ({ gpus: [[0, Object.assign(now.gpus[0]!, { health: 'lost', memoryUsedBytes: 7, powerWatts: 3 })]] }),
      () => ({ gpus: [[1, Object.assign(now.gpus[1]!, { parentUuid: now.gpus[0]!.uuid, utilizationPercent: 9 })]] }),
      () => ({ workers: [[0, Object.assign(now.workers[0]!, { serving: servingOf({ running: 7 }) })]] }),
      () => ({ workers: [[1, Object.assign(now.workers[1]!, { serving: servingOf({ engine: 'sglang' }) })]] }),
      () => ({ gpus: [[1, Object.assign(now.gpus[1]!, { parentUuid: null, migMode: true })]] }),
    ];
    for (const [i, turn] of turns.entries()) {
      time.advance(1000);
      await text(turn());
      const [one, other] = known();
      expect([i, one]).toEqual([i, other]);
      // Numbers of a row that came as text come as numbers again.
      time.advance(1000);
      await set(load, 20 + i);
    }
    const [one, other] = known();
    expect(one).toEqual(other);
    expect(streamed.audit()).toEqual([]);
  });

  it.each([0, 2])(
    'of a worker that serves since, and does no more, have what its engine says: place %i',
    async (place) => {
      const [first, ...others] = wholeHeartbeat('a').workers;
      const workers = place === 0 ? [first!, ...others] : [...others, { ...first!, id: 'llm/9', instance: '9' }];
      const { begin, text, now, known, set, wire } = twins({ ...wholeHeartbeat('a'), workers });
      await begin();
      const cell = { type: 'worker', row: place, words: undefined } as const;
      const running = { ...cell, name: 'serving.running', path: ['serving', 'running'] };
      const cpuPercent = { ...cell, name: 'cpuPercent', path: ['cpuPercent'] };
      await set(cpuPercent, 3);
      await text({ workers: [[place, Object.assign(now.workers[place]!, { serving: servingOf() })]] });
      await set(running, 31);
      let [one, other] = known();
      expect(one).toEqual(other);
      expect(one!.workers[place]!.serving).toMatchObject({ running: 31 });
      await text({ workers: [[place, Object.assign(now.workers[place]!, { serving: null })]] });
      await set(cpuPercent, 4);
      [one, other] = known();
      expect(one).toEqual(other);
      // Of what is not there nothing has a value.
      expect(await wire.delta({ change: (change) => change('worker', place, 'serving.running', 4) })).toEqual({
        ...{ kind: 'resync', reason: 'malformed' },
      });
    },
  );

  it('of a GPU that has links since have their numbers, and a host without a container has none of it', async () => {
    const first = copyOf(wholeHeartbeat('a'));
    Object.assign(first.host, { container: null });
    Object.assign(first.gpus[1]!, { nvlinks: null });
    const { begin, text, now, known, set, wire } = twins(first);
    await begin();
    const up = {
      type: 'gpu',
      row: 1,
      name: 'nvlinks.up',
      path: ['nvlinks', 'up'],
      words: undefined,
    } as const;
    await set({ ...up, name: 'powerWatts', path: ['powerWatts'] }, 3);
    await set({ ...up, type: 'head', row: 0, name: 'host.load1', path: ['host', 'load1'] }, 3);
    await text({ gpus: [[1, Object.assign(now.gpus[1]!, { nvlinks: { up: 2, total: 4 } })]] });
    await set(up, 3);
    const [one, other] = known();
    expect(one).toEqual(other);
    expect(one!.gpus[1]!.nvlinks).toEqual({ up: 3, total: 4 });
    expect(await wire.delta({ change: (change) => change('head', 0, 'host.container.cpus', 4) })).toEqual({
      ...{ kind: 'resync', reason: 'malformed' },
    });
  });

  it('are written before the stream ends, and what is free is what the newest says', async () => {
    const { begin, set, known, streamed, posted, time } = twins();
    await begin();
    const cell = (type: RowType, row: number, name: string) => ({
      type,
      row,
      name,
      path: name.split('.'),
      words: undefined,
    });
    await set(cell('gpu', 1, 'memoryUsedBytes'), 2 ** 33);
    const [one, other] = known();
    expect(one).toEqual(other);
    await set(cell('head', 0, 'host.load1'), 7);
    for (const row of [0, 1]) await set(cell('gpu', row, 'powerWatts'), 40 + row);
    for (const row of [0, 2]) await set(cell('worker', row, 'cpuPercent'), 50 + row);
    for (const row of [0, 2]) await set(cell('held', row, 'utilizationPercent'), 60 + row);
    time.advance(90_000);
    const missing = [streamed, posted].map((queen) => queen.listMissing().items);
    expect(missing[0]).toEqual(missing[1]);
    expect(missing[0]).toHaveLength(6);
  });

  it.each([0, 1, 2])(
    'that an incomplete heartbeat does not name are known still, as long as they were seen: %i',
    async (unseen) => {
      const first = wholeHeartbeat('a');
      const { streamed, posted, known, time } = twins(first);
      const named = first.workers.filter((_, i) => i !== unseen);
      const later = copyOf({ ...first, seq: 2, workersComplete: false, workers: named });
      for (const queen of [streamed, posted]) queen.heartbeat(copyOf(first));
      const wire = new Wire(streamed, copyOf(later));
      await wire.keyframe();
      posted.heartbeat(copyOf(later));
      for (let seq = 3; seq < 6; seq++) {
        time.advance(1000);
        await wire.delta({ change: (change) => change('worker', 1, 'cpuPercent', seq) });
        Object.assign(later.workers[1]!, { cpuPercent: seq });
        posted.heartbeat({ ...copyOf(later), seq });
        const [one, other] = known();
        expect(one).toEqual(other);
      }
      expect(streamed.workers({}).items.map(({ id }) => id)).toEqual(['llm/0', 'llm/1', 'llm/2']);
    },
  );

  it('may be many', async () => {
    const { begin, set, known, posted } = twins({
      ...wholeHeartbeat('a'),
      workers: Array.from({ length: 150 }, (_, i) => workerOf(`llm/${i}`, { gpus: [], serving: null })),
    });
    await begin();
    const cell = { type: 'worker', row: 149, name: 'cpuPercent', path: ['cpuPercent'], words: undefined } as const;
    await set(cell, 9);
    await set(
      { ...cell, row: 63, name: 'state', path: ['state'], words: ownSchema.worker.find(({ words }) => words)!.words! },
      'busy',
    );
    const [one, other] = known();
    expect(one).toEqual(other);
    expect(posted.workers({ state: 'busy' }).items.map(({ id }) => id)).toEqual(['llm/63']);
  });

  it('without a column of the queen have it as the keyframe did, also in their histories', async () => {
    const names = [
      'cpuPercent',
      'workingSetBytes',
      'utilizationPercent',
      'powerWatts',
      'host.load1',
      'serving.running',
    ];
    const schema = {
      ...ownSchema,
      ...Object.fromEntries(
        rowTypes.map((type) => [type, ownSchema[type].filter(({ name }) => !names.includes(name))]),
      ),
    };
    const { time, posted, streamed } = pairOfQueens(0);
    const heartbeat = wholeHeartbeat('a');
    const wire = new Wire(streamed, copyOf(heartbeat), { schema });
    await wire.keyframe();
    posted.heartbeat(copyOf(heartbeat));
    for (let seq = 2; seq < 5; seq++) {
      time.advance(10_000);
      expect(await wire.delta({ change: (change) => change('worker', 1, 'memoryBytes', seq) })).toMatchObject({
        kind: 'ack',
      });
      Object.assign(heartbeat.workers[1]!, { memoryBytes: seq });
      posted.heartbeat({ ...copyOf(heartbeat), seq });
      expect(answersOf(streamed)).toEqual(answersOf(posted));
      expect(streamed.history('a')).toEqual(posted.history('a'));
      expect(streamed.gpuHistory('GPU-a-0')).toEqual(posted.gpuHistory('GPU-a-0'));
    }
    expect(new NumericState(schema, { gpus: 0, workers: 0, held: [] }).values.length).toBe(ownSchema.head.length - 1);
  });
});
