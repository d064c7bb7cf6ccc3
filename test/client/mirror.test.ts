import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { type FleetChange, FleetMirror } from '../../lib/client/mirror.js';
import type { StreamMessage } from '../../lib/client/stream.js';
import type { FleetEvent, HiveView, Liveness, WorkerView } from '../../lib/contract/api.js';
import { sampleFleet, settledHeartbeat, viewsOf } from '../cli/fleet.js';
import { portion } from '../harness/draws.js';

const template = viewsOf(settledHeartbeat({ id: 'x', seed: 3, workers: 1, gpus: ['h100'] }));
const startedAt = Date.parse('2026-01-05T10:00:00Z');

const viewOf = (id: string, liveness: Liveness): HiveView => ({ ...template.hive, id, hive: id, liveness, ageMs: 0 });
const rowOf = (hive: string, id: string, liveness: Liveness, cpuPercent: number): WorkerView => ({
  ...(template.workers[0] as WorkerView),
  key: `${hive}/${id}`,
  id,
  hive,
  liveness,
  cpuPercent,
  ageMs: 0,
});

/**
 * A queen as one would write it down: a table of hives, a list of all events, and a client that reads while it is
 * connected. It keeps the newest `kept` events for those who come back.
 */
class ReferenceQueen {
  readonly hives = new Map<string, { liveness: Liveness; cpu: Map<string, number> }>();
  readonly events: FleetEvent[] = [];
  readonly kept: number;
  connected = false;
  readonly #send: (message: StreamMessage) => void;
  #epoch = 0;
  #sequence = 0;
  #stoodAt: string | null = null;

  constructor(kept: number, send: (message: StreamMessage) => void) {
    this.kept = kept;
    this.#send = send;
  }

  get newestId(): string {
    return `e${this.#epoch}-${this.#sequence}`;
  }

  #tell(message: StreamMessage): void {
    if (!this.connected) return;
    if (message.type === 'queenEvent') this.#stoodAt = message.id;
    this.#send(message);
  }

  #event(kind: string, hive: string, workerId?: string): void {
    this.#sequence++;
    const data: FleetEvent = {
      id: this.newestId,
      at: new Date(startedAt + this.events.length * 1000).toISOString(),
      kind,
      hive,
      ...(workerId === undefined ? {} : { workerId }),
      detail: {},
    };
    this.events.push(data);
    this.#tell({ type: 'queenEvent', id: data.id, data });
  }

  rows(id: string): WorkerView[] {
    const { cpu, liveness } = this.hives.get(id)!;
    return [...cpu].map(([worker, percent]) => rowOf(id, worker, liveness, percent));
  }

  heartbeat(id: string, workers: readonly (readonly [string, number])[], whole: boolean): void {
    const known = this.hives.get(id);
    if (known === undefined) this.#event('hiveJoined', id);
    else if (known.liveness !== 'online') this.#event('hiveOnline', id);
    const old = known?.cpu ?? new Map<string, number>();
    this.hives.set(id, { liveness: 'online', cpu: new Map(workers) });
    const gone = [...old.keys()].filter((worker) => !this.hives.get(id)!.cpu.has(worker));
    for (const worker of gone) this.#event('workerGone', id, worker);
    const rows = this.rows(id);
    this.#tell({
      type: 'heartbeat',
      data: {
        hive: viewOf(id, 'online'),
        // Only what changed, or all of it.
        workers: whole ? rows : rows.filter(({ id: worker, cpuPercent }) => old.get(worker) !== cpuPercent),
        gone: whole ? [] : gone.map((worker) => `${id}/${worker}`),
        whole,
      },
    });
  }

  silence(id: string): void {
    const hive = this.hives.get(id);
    if (hive === undefined) return;
    if (hive.liveness === 'offline') {
      this.hives.delete(id);
      this.#event('hiveRemoved', id);
      return;
    }
    hive.liveness = hive.liveness === 'online' ? 'late' : 'offline';
    this.#event(hive.liveness === 'late' ? 'hiveLate' : 'hiveOffline', id);
  }

  cut(): void {
    if (this.connected) this.#tell({ type: 'closed', error: new Error('cut'), retryInMs: 1 });
    this.connected = false;
  }

  restart(): void {
    this.cut();
    this.hives.clear();
    this.#epoch++;
    this.#sequence = 0;
  }

  /** As a stream begins: the snapshot, and behind it the events since the last one that this client read. */
  connect(): void {
    if (this.connected) return;
    this.connected = true;
    const since = this.events.findIndex(({ id }) => id === this.#stoodAt) + 1;
    const missed = this.#stoodAt?.startsWith(`e${this.#epoch}-`) ? this.events.slice(since) : [];
    const isKept = missed.length <= this.kept;
    if (!isKept) this.#tell({ type: 'reset', data: { lastEventId: this.newestId } });
    this.#snapshot();
    if (isKept) for (const data of missed) this.#tell({ type: 'queenEvent', id: data.id, data });
    this.#stoodAt = this.newestId;
  }

  /** A client that reads too slowly loses events and gets a new snapshot. */
  lag(): void {
    if (!this.connected) return;
    this.connected = false;
    this.heartbeat('a', [['w/9', 9]], false);
    this.connected = true;
    this.#tell({ type: 'lagged', data: { dropped: 1 } });
    this.#snapshot();
  }

  #snapshot(): void {
    const ids = [...this.hives.keys()];
    this.#tell({
      type: 'snapshot',
      data: {
        hives: ids.map((id) => viewOf(id, this.hives.get(id)!.liveness)),
        workers: ids.flatMap((id) => this.rows(id)),
        warming: false,
        lastEventId: this.newestId,
      },
    });
  }
}

const hiveId = fc.constantFrom('a', 'b', 'c');
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('heartbeat' as const),
      id: hiveId,
      workers: fc.uniqueArray(fc.tuple(fc.constantFrom('w/0', 'w/1', 'w/2', 'w/3'), fc.integer({ min: 0, max: 3 })), {
        selector: ([id]) => id,
      }),
      whole: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('silence' as const), id: hiveId }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('cut' as const, 'connect' as const, 'lag' as const, 'restart' as const),
    }),
  },
);

describe('the mirror of a fleet', () => {
  it('equals what the queen knows after any sequence of messages, lost connections and resumed streams', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 0, max: 8 }), (steps, kept) => {
        const mirror = new FleetMirror();
        let nowMs = 0;
        const queen = new ReferenceQueen(kept, (message) => mirror.apply(message, nowMs));
        queen.connect();
        for (const each of steps) {
          nowMs += 100;
          if (each.do === 'heartbeat') queen.heartbeat(each.id, each.workers, each.whole);
          else if (each.do === 'silence') queen.silence(each.id);
          else queen[each.do]();
          expect(mirror.connection.kind).toBe(queen.connected ? 'live' : 'lost');
          if (!queen.connected) continue;
          const livenessOf = [...queen.hives].map(([id, { liveness }]) => [id, liveness]);
          expect(Object.fromEntries([...mirror.hives].map(([id, { view }]) => [id, view.liveness]))).toEqual(
            Object.fromEntries(livenessOf),
          );
          const rows = [...queen.hives.keys()].flatMap((id) => queen.rows(id));
          expect(Object.fromEntries(mirror.workers)).toEqual(Object.fromEntries(rows.map((row) => [row.key, row])));
          for (const id of queen.hives.keys())
            expect(new Set(mirror.workersOf(id).map(({ key }) => key))).toEqual(
              new Set(queen.rows(id).map(({ key }) => key)),
            );
          // Events are listed once and in order; gaps there are only where the queen said so.
          const ids = mirror.events.map(({ id }) => id);
          expect(ids).toEqual(queen.events.map(({ id }) => id).filter((id) => ids.includes(id)));
          expect(mirror.lastEventId).toBe(queen.newestId);
        }
      }),
      { numRuns: portion(300) },
    );
  });

  it('says after each message what changed', () => {
    const mirror = new FleetMirror();
    const changes: FleetChange[] = [];
    const stop = mirror.subscribe((change) => changes.push(change));
    const queen = new ReferenceQueen(9, (message) => mirror.apply(message, 0));
    queen.connect();
    queen.heartbeat('a', [['w/0', 1]], true);
    queen.heartbeat('a', [['w/0', 2]], false);
    queen.silence('a');
    queen.cut();
    expect(
      changes.map(({ workers, membership, events }) => [
        workers.map(({ cpuPercent }) => cpuPercent),
        membership,
        events,
      ]),
    ).toEqual([
      [[], true, false],
      [[], false, true],
      [[1], true, false],
      [[2], false, false],
      [[], false, true],
      [[], false, false],
    ]);
    stop();
    queen.connect();
    expect(changes).toHaveLength(6);
  });

  it('another mirror goes on from its snapshot, by a clock of its own', () => {
    const mirror = new FleetMirror();
    const queen = new ReferenceQueen(9, (message) => mirror.apply(message, 5000));
    queen.connect();
    queen.heartbeat('a', [['w/0', 1]], true);
    const other = new FleetMirror();
    other.apply({ type: 'snapshot', data: mirror.snapshotAt(7000) }, 100);
    expect(other.hivesAt(400).map(({ ageMs }) => ageMs)).toEqual([2300]);
    expect([...other.workers]).toEqual([...mirror.workers]);
    // The event is in the rows already.
    other.addEvent({ ...(queen.events[0] as FleetEvent), kind: 'hiveRemoved' });
    expect([...other.hives.keys()]).toEqual(['a']);
  });

  it('a connection that stays lost keeps the time when it was lost', () => {
    const mirror = new FleetMirror();
    mirror.disconnected(new Error('first'), 10);
    mirror.disconnected('second', 20);
    expect(mirror.connection).toEqual({ kind: 'lost', reason: 'second', sinceMs: 10 });
  });

  test('a heartbeat adds, replaces and drops workers; a whole one forgets the others', () => {
    const { mirror: own } = sampleFleet();
    const { hive, workers } = viewsOf(settledHeartbeat({ id: 'alpha', seed: 1, workers: 3, gpus: 8 }));
    const before = own.workersOf('alpha').length;
    own.apply(
      { type: 'heartbeat', data: { hive, workers: [], gone: [own.workersOf('alpha')[0]?.key ?? ''], whole: false } },
      1000,
    );
    expect(own.workersOf('alpha')).toHaveLength(before - 1);
    own.apply({ type: 'heartbeat', data: { hive, workers, gone: [], whole: true } }, 2000);
    expect(
      own
        .workersOf('alpha')
        .map(({ key }) => key)
        .sort(),
    ).toEqual(workers.map(({ key }) => key).sort());
  });

  test('what the queen concludes changes what is shown at once', () => {
    const { mirror: own } = sampleFleet();
    const event = (kind: string, rest = {}) => ({
      id: `x-${kind}`,
      at: '2026-01-05T10:00:00Z',
      kind,
      hive: 'alpha',
      detail: {},
      ...rest,
    });
    own.addEvent(event('hiveOffline'));
    expect(own.hives.get('alpha')?.view.liveness).toBe('offline');
    expect(own.workersOf('alpha').every(({ liveness }) => liveness === 'offline')).toBe(true);
    const [worker] = own.workersOf('alpha');
    own.addEvent(event('workerGone', { workerId: worker?.id }));
    expect(own.workers.get(worker?.key ?? '')).toBeUndefined();
    own.addEvent(event('hiveRemoved'));
    expect(own.hives.get('alpha')).toBeUndefined();
    expect(own.workersOf('alpha')).toEqual([]);
  });

  test('events are bounded', () => {
    const { mirror: own } = sampleFleet();
    for (let i = 0; i < 3000; i++)
      own.addEvent({ id: `${i}`, at: '2026-01-05T10:01:00Z', kind: 'xid', hive: 'alpha', detail: {} });
    expect(own.events).toHaveLength(1000);
    expect(own.events.at(-1)?.id).toBe('2999');
  });
});

it('the uptime of a worker that does not change goes on with the heartbeats of its hive, and stops where they do', () => {
  const mirror = new FleetMirror();
  const view = viewOf('a', 'online');
  const row = { ...rowOf('a', 'llm/0', 'online', 1), uptimeSeconds: 8 };
  const upAt = (): number | null => mirror.currentOf(mirror.workers.get(row.key) as WorkerView).uptimeSeconds;
  const hear = (nowMs: number, workers: WorkerView[] = []) =>
    mirror.apply({ type: 'heartbeat', data: { hive: view, workers, gone: [], whole: false } } as StreamMessage, nowMs);
  hear(1000, [row]);
  expect(upAt()).toBe(8);
  hear(91_000);
  expect(upAt()).toBe(98);
  expect(mirror.snapshotAt(200_000).workers.map(({ uptimeSeconds }) => uptimeSeconds)).toEqual([98]);
  hear(92_000, [{ ...row, uptimeSeconds: 99.1 }]);
  expect(upAt()).toBe(99.1);
  const other = new FleetMirror();
  other.apply({ type: 'snapshot', data: mirror.snapshotAt(92_500) } as StreamMessage, 5000);
  other.apply(
    { type: 'heartbeat', data: { hive: view, workers: [], gone: [], whole: false } } as StreamMessage,
    10_500,
  );
  expect(other.currentOf(other.workers.get(row.key) as WorkerView).uptimeSeconds).toBeCloseTo(105.1, 5);
});
