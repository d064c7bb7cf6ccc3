import type { FleetEvent, GpuView, HiveView, StreamHeartbeat, StreamSnapshot, WorkerView } from '../../contract/api.js';
import { isUpTo } from '../../contract/event-ids.js';

/** Events that the pane can go back to. */
const keptEvents = 1000;

export type Connection =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  /** The stream is cut; what is shown is as old as its ages say. */
  | { readonly kind: 'lost'; readonly reason: string; readonly sinceMs: number };

export type GpuItem = Omit<GpuView, 'freeBytes'>;

/** What the stream of a queen has told: its newest hives, workers and events. Times are of the caller's monotonic clock. */
export class FleetModel {
  connection: Connection = { kind: 'connecting' };
  warming = false;
  /** Newest last. */
  events: FleetEvent[] = [];
  /** Events up to this one had happened when the snapshot was made: it holds what they changed. */
  private snapshotId = '';
  private readonly hivesById = new Map<string, { view: HiveView; atMs: number }>();
  private readonly workersByKey = new Map<string, WorkerView>();
  private readonly keysByHive = new Map<string, Set<string>>();

  snapshot({ hives, workers, warming, lastEventId }: StreamSnapshot, nowMs: number): void {
    this.snapshotId = lastEventId;
    this.hivesById.clear();
    this.workersByKey.clear();
    this.keysByHive.clear();
    for (const view of hives) this.hivesById.set(view.id, { view, atMs: nowMs });
    for (const worker of workers) this.put(worker);
    this.warming = warming;
    this.connection = { kind: 'live' };
  }

  heartbeat({ hive, workers, gone, whole }: StreamHeartbeat, nowMs: number): void {
    this.hivesById.set(hive.id, { view: hive, atMs: nowMs });
    if (whole) this.forgetWorkers(hive.id);
    for (const worker of workers) this.put(worker);
    for (const key of gone) this.drop(hive.id, key);
  }

  /** An entry of the stream; what the queen concludes also changes what is shown, before the next heartbeat says so. */
  event(event: FleetEvent): void {
    this.events.push(event);
    if (this.events.length > keptEvents) this.events.splice(0, this.events.length - keptEvents);
    if (isUpTo(event.id, this.snapshotId)) return;
    switch (event.kind) {
      case 'hiveOnline':
        this.setLiveness(event.hive, 'online');
        return;
      case 'hiveLate':
        this.setLiveness(event.hive, 'late');
        return;
      case 'hiveOffline':
        this.setLiveness(event.hive, 'offline');
        return;
      case 'hiveRemoved':
        this.forgetWorkers(event.hive);
        this.hivesById.delete(event.hive);
        return;
      case 'workerGone':
        if (event.workerId) this.drop(event.hive, `${event.hive}/${event.workerId}`);
        return;
      default:
    }
  }

  lost(reason: string, nowMs: number): void {
    const sinceMs = this.connection.kind === 'lost' ? this.connection.sinceMs : nowMs;
    this.connection = { kind: 'lost', reason, sinceMs };
  }

  /** Hives as of now: their ages go on while nothing is heard. */
  hives(nowMs: number): HiveView[] {
    return [...this.hivesById.values()].map(({ view, atMs }) => ({
      ...view,
      ageMs: view.ageMs + Math.max(0, nowMs - atMs),
    }));
  }

  hive(id: string, nowMs: number): HiveView | null {
    const entry = this.hivesById.get(id);
    return entry ? { ...entry.view, ageMs: entry.view.ageMs + Math.max(0, nowMs - entry.atMs) } : null;
  }

  workers(): WorkerView[] {
    return [...this.workersByKey.values()];
  }

  worker(key: string): WorkerView | null {
    return this.workersByKey.get(key) ?? null;
  }

  workersOf(hive: string): WorkerView[] {
    return [...(this.keysByHive.get(hive) ?? [])].map((key) => this.workersByKey.get(key) as WorkerView);
  }

  gpus(): GpuItem[] {
    return [...this.hivesById.values()].flatMap(({ view }) =>
      view.gpus.map((gpu) => ({ ...gpu, hive: view.id, liveness: view.liveness, ageMs: view.ageMs })),
    );
  }

  private put(worker: WorkerView): void {
    this.workersByKey.set(worker.key, worker);
    const keys = this.keysByHive.get(worker.hive);
    if (keys) keys.add(worker.key);
    else this.keysByHive.set(worker.hive, new Set([worker.key]));
  }

  private drop(hive: string, key: string): void {
    this.workersByKey.delete(key);
    this.keysByHive.get(hive)?.delete(key);
  }

  private forgetWorkers(hive: string): void {
    for (const key of this.keysByHive.get(hive) ?? []) this.workersByKey.delete(key);
    this.keysByHive.delete(hive);
  }

  private setLiveness(id: string, liveness: HiveView['liveness']): void {
    const entry = this.hivesById.get(id);
    if (entry) this.hivesById.set(id, { ...entry, view: { ...entry.view, liveness } });
    for (const worker of this.workersOf(id)) this.workersByKey.set(worker.key, { ...worker, liveness });
  }
}
