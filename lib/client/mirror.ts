/**
 * The state of a fleet, folded from the messages of a queen's event stream. The page and `hivepulse top` both read it.
 * It does no I/O and has no clock: messages and the time go in, rows come out.
 */
import type {
  FleetEvent,
  GpuView,
  HiveView,
  Liveness,
  StreamChanges,
  StreamHeartbeat,
  StreamSnapshot,
  WorkerView,
} from '../contract/api.js';
import { withChange, withLeftOut } from '../contract/changes.js';
import { type CountedState, countFleet, type FleetCounts } from '../contract/counts.js';
import { hiveDetails, workerDetails } from '../contract/details.js';
import { isUpTo } from '../contract/event-ids.js';
import { checkOptions, type TableOf, wholeFrom } from '../util/options.js';
import type { StreamMessage } from './stream.js';

export interface MirroredHive {
  /** `liveness` is current; `ageMs` is as of `heardAtMs`. */
  readonly view: HiveView;
  /** When the queen received its last heartbeat, on the mirror's clock. */
  readonly heardAtMs: number;
}

export type GpuItem = Omit<GpuView, 'freeBytes'>;

export type Connection =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  /** The stream is cut and is being opened again; the rows are as old as their ages say. */
  | { readonly kind: 'lost'; readonly reason: string; readonly sinceMs: number }
  /** The queen asks for a token, or for another one. */
  | { readonly kind: 'unauthorized' };

/** What one message changed. */
export interface FleetChange {
  /** Workers that are new or were replaced. */
  readonly workers: readonly WorkerView[];
  /** A hive or a worker was added or removed. */
  readonly membership: boolean;
  /** The list of events has grown. */
  readonly events: boolean;
}

export interface MirrorOptions {
  /** Events that are kept (default 1000). */
  readonly maxEvents?: number;
}

const optionTable: TableOf<MirrorOptions> = { maxEvents: wholeFrom(0, 'a number of events') };

const livenessOfKind: Readonly<Record<string, Liveness>> = {
  hiveJoined: 'online',
  hiveOnline: 'online',
  hiveLate: 'late',
  hiveOffline: 'offline',
};

/**
 * @example
 * const mirror = new FleetMirror();
 * mirror.subscribe(() => console.log(mirror.counts()));
 * for await (const message of client.events()) mirror.apply(message, performance.now());
 *
 * Times are milliseconds of any monotonic clock, always the same one.
 */
export class FleetMirror {
  readonly #maxEvents: number;
  readonly #hives = new Map<string, MirroredHive>();
  readonly #workers = new Map<string, WorkerView>();
  readonly #keysOfHive = new Map<string, Set<string>>();
  /** By key: `heardAtMs` of the hive when the row came. */
  readonly #rowHeardAtMs = new Map<string, number>();
  readonly #events: FleetEvent[] = [];
  readonly hives: ReadonlyMap<string, MirroredHive> = this.#hives;
  /** By key: `hive/group/instance`. */
  readonly workers: ReadonlyMap<string, WorkerView> = this.#workers;
  /** By time, newest last. */
  readonly events: readonly FleetEvent[] = this.#events;
  readonly #eventIds = new Set<string>();
  readonly #listeners = new Set<(change: FleetChange) => void>();
  #connection: Connection = { kind: 'connecting' };
  #loaded = false;
  #warming = false;
  #lostEvents = 0;
  /** The newest event whose effect the snapshot already holds. */
  #snapshotId = '';
  #lastEventId = '';

  /** @throws HivepulseError INVALID_OPTION */
  constructor(options: MirrorOptions = {}) {
    checkOptions('', options, optionTable);
    this.#maxEvents = options.maxEvents ?? 1000;
  }

  get connection(): Connection {
    return this.#connection;
  }

  /** True once a snapshot has come. Before it an empty fleet means nothing. */
  get loaded(): boolean {
    return this.#loaded;
  }

  /** The queen has just started: the fleet may be larger than what is shown. */
  get warming(): boolean {
    return this.#warming;
  }

  /** Events that the queen dropped because this client read too slowly. */
  get lostEvents(): number {
    return this.#lostEvents;
  }

  /** The newest event that the rows account for: where a stream that is opened again continues. */
  get lastEventId(): string {
    return this.#lastEventId;
  }

  workersOf(hive: string): WorkerView[] {
    return Array.from(this.#keysOfHive.get(hive) ?? [], (key) => this.#workers.get(key) as WorkerView);
  }

  /**
   * A worker as of its hive's last heartbeat: one in which nothing else changes is not sent again, though its uptime goes on.
   * The uptime of a worker whose hive is silent stands still: nobody knows whether it lives.
   */
  currentOf(worker: WorkerView): WorkerView {
    const since = (this.#hives.get(worker.hive)?.heardAtMs ?? 0) - (this.#rowHeardAtMs.get(worker.key) ?? 0);
    if (worker.uptimeSeconds === null || !(since >= 500)) return worker;
    return { ...worker, uptimeSeconds: worker.uptimeSeconds + since / 1000 };
  }

  /** Hives with their ages at `nowMs`: these grow while nothing is heard. */
  hivesAt(nowMs: number): HiveView[] {
    return Array.from(this.#hives.values(), ({ view, heardAtMs }) => ({
      ...view,
      ageMs: Math.max(0, nowMs - heardAtMs),
    }));
  }

  gpus(): GpuItem[] {
    return [...this.#hives.values()].flatMap(({ view: { id, gpus, liveness, ageMs } }) =>
      gpus.map((gpu) => ({ ...gpu, hive: id, liveness, ageMs })),
    );
  }

  counts(): FleetCounts {
    return countRows(
      Array.from(this.#hives.values(), ({ view }) => view),
      this.#workers.values(),
    );
  }

  /** What another mirror, with a clock of its own, needs to continue from here. */
  snapshotAt(nowMs: number): StreamSnapshot {
    return {
      hives: this.hivesAt(nowMs),
      workers: Array.from(this.#workers.values(), (worker) => this.currentOf(worker)),
      warming: this.#warming,
      lastEventId: this.#lastEventId,
    };
  }

  /** Calls `listener` after each change; gives back what ends that. */
  subscribe(listener: (change: FleetChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  apply(message: StreamMessage, nowMs: number): void {
    // Rows and events come only through an open stream, whatever a request that failed meanwhile has said.
    if (message.type !== 'open' && message.type !== 'closed') this.#connection = { kind: 'live' };
    if (message.type === 'snapshot') this.#takeSnapshot(message.data, nowMs);
    else if (message.type === 'heartbeat') this.#takeHeartbeat(message.data, nowMs);
    else if (message.type === 'changes') this.#takeChanges(message.data, nowMs);
    else if (message.type === 'event' || message.type === 'queenEvent') this.addEvent(message.data);
    else if (message.type === 'closed') this.disconnected(message.error, nowMs);
    else if (message.type === 'lagged') {
      this.#lostEvents += message.data.dropped;
      this.#changed({ events: true });
    }
  }

  /** Sets the state of the connection where something other than the stream shows it, such as a request that is refused. */
  setConnection(connection: Exclude<Connection, { kind: 'lost' }>['kind']): void {
    if (this.#connection.kind === connection) return;
    this.#connection = { kind: connection };
    this.#changed({});
  }

  disconnected(error: unknown, nowMs: number): void {
    const sinceMs = this.#connection.kind === 'lost' ? this.#connection.sinceMs : nowMs;
    this.#connection = { kind: 'lost', reason: error instanceof Error ? error.message : String(error), sinceMs };
    this.#changed({});
  }

  /** Takes figures of one host, and of one worker of it, that a stream for lists leaves out. */
  addDetails(view: HiveView, worker: WorkerView | null): void {
    const entry = this.#hives.get(view.id);
    if (entry === undefined) return;
    this.#hives.set(view.id, { ...entry, view: withLeftOut(entry.view, view, hiveDetails) });
    const row = worker === null ? undefined : this.#workers.get(worker.key);
    if (worker !== null && row !== undefined) this.#workers.set(row.key, withLeftOut(row, worker, workerDetails));
    this.#changed({});
  }

  setWarming(warming: boolean): void {
    if (this.#warming === warming) return;
    this.#warming = warming;
    this.#changed({});
  }

  /** Lists an event, once. One that is newer than the snapshot also changes the rows, before the next heartbeat says so. */
  addEvent(event: FleetEvent): void {
    if (this.#eventIds.has(event.id)) return;
    this.#eventIds.add(event.id);
    // Nearly always the newest; those asked for later go to their place by time.
    let place = this.#events.length;
    while (place > 0 && (this.#events[place - 1] as FleetEvent).at > event.at) place--;
    this.#events.splice(place, 0, event);
    for (const old of this.#events.splice(0, this.#events.length - this.#maxEvents)) this.#eventIds.delete(old.id);
    const before = this.#size;
    if (!isUpTo(event.id, this.#snapshotId)) {
      this.#lastEventId = event.id;
      this.#applyEvent(event);
    }
    this.#changed({ events: true, membership: this.#size !== before });
  }

  get #size(): number {
    return this.#hives.size + this.#workers.size;
  }

  #changed(change: Partial<FleetChange>): void {
    for (const listener of this.#listeners) listener({ workers: [], membership: false, events: false, ...change });
  }

  #takeSnapshot({ hives, workers, warming, lastEventId }: StreamSnapshot, nowMs: number): void {
    this.#hives.clear();
    this.#workers.clear();
    this.#keysOfHive.clear();
    this.#rowHeardAtMs.clear();
    for (const view of hives) this.#putHive(view, nowMs);
    for (const worker of workers) this.#putWorker(worker);
    this.#warming = warming;
    this.#snapshotId = lastEventId;
    this.#lastEventId = lastEventId;
    this.#loaded = true;
    this.#changed({ workers, membership: true });
  }

  #takeHeartbeat({ hive, workers, gone, whole }: StreamHeartbeat, nowMs: number): void {
    let membership = !this.#hives.has(hive.id);
    this.#putHive(hive, nowMs);
    for (const worker of workers) membership = this.#putWorker(worker) || membership;
    for (const key of gone) membership = this.#removeWorker(hive.id, key) || membership;
    if (whole) {
      const reported = new Set(workers.map(({ key }) => key));
      for (const key of this.#keysOfHive.get(hive.id) ?? [])
        if (!reported.has(key)) membership = this.#removeWorker(hive.id, key) || membership;
    }
    this.#changed({ workers, membership });
  }

  /** Changes of a hive that is not known are of one that was removed: what comes next of it is whole. */
  #takeChanges({ hive, ageMs, liveness, change = {}, workers, added, gone }: StreamChanges, nowMs: number): void {
    const known = this.#hives.get(hive);
    if (known === undefined) return;
    this.#putHive({ ...withChange(known.view, change), ageMs, liveness }, nowMs);
    const changed = [...added];
    for (const [id, its] of Object.entries(workers)) {
      const worker = this.#workers.get(`${hive}/${id}`);
      if (worker !== undefined) changed.push({ ...withChange(worker, its), ageMs, liveness });
    }
    let membership = false;
    for (const worker of changed) membership = this.#putWorker(worker) || membership;
    for (const key of gone) membership = this.#removeWorker(hive, key) || membership;
    this.#changed({ workers: changed, membership });
  }

  #applyEvent({ kind, hive, workerId }: FleetEvent): void {
    const liveness = livenessOfKind[kind];
    const entry = this.#hives.get(hive);
    if (entry && liveness) {
      this.#hives.set(hive, { ...entry, view: { ...entry.view, liveness } });
      this.#setWorkerLiveness(hive, liveness);
    } else if (kind === 'hiveRemoved') {
      for (const key of this.#keysOfHive.get(hive) ?? []) this.#removeWorker(hive, key);
      this.#keysOfHive.delete(hive);
      this.#hives.delete(hive);
    } else if (kind === 'workerGone' && workerId) this.#removeWorker(hive, `${hive}/${workerId}`);
  }

  #putHive(view: HiveView, nowMs: number): void {
    const before = this.#hives.get(view.id)?.view.liveness;
    this.#hives.set(view.id, { view, heardAtMs: nowMs - view.ageMs });
    if (before !== view.liveness) this.#setWorkerLiveness(view.id, view.liveness);
  }

  /** A worker has the liveness of its hive, though a heartbeat brings only the rows that changed and silence brings none. */
  #setWorkerLiveness(hive: string, liveness: Liveness): void {
    for (const worker of this.workersOf(hive))
      if (worker.liveness !== liveness) this.#workers.set(worker.key, { ...worker, liveness });
  }

  /** True where it is new. */
  #putWorker(worker: WorkerView): boolean {
    const isNew = !this.#workers.has(worker.key);
    this.#workers.set(worker.key, worker);
    this.#rowHeardAtMs.set(worker.key, this.#hives.get(worker.hive)?.heardAtMs ?? Number.NaN);
    const keys = this.#keysOfHive.get(worker.hive);
    if (keys) keys.add(worker.key);
    else this.#keysOfHive.set(worker.hive, new Set([worker.key]));
    return isNew;
  }

  #removeWorker(hive: string, key: string): boolean {
    this.#keysOfHive.get(hive)?.delete(key);
    this.#rowHeardAtMs.delete(key);
    return this.#workers.delete(key);
  }
}

/** The fleet counted from its rows, as the queen counts it. Workers of a hive that is offline count as offline. */
export function countRows(
  hives: readonly Pick<HiveView, 'id' | 'liveness' | 'gpusKnown' | 'gpus'>[],
  workers: Iterable<WorkerView>,
): FleetCounts {
  const offline = new Set(hives.filter(({ liveness }) => liveness === 'offline').map(({ id }) => id));
  return countFleet(hives, stateCounts(workers, offline));
}

function* stateCounts(
  workers: Iterable<WorkerView>,
  offline: ReadonlySet<string>,
): Generator<readonly [CountedState, number], void> {
  for (const { hive, state } of workers) yield [offline.has(hive) ? 'offline' : state, 1];
}
