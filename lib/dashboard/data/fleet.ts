/**
 * What this tab knows of the fleet. Messages are merged at once, newest wins; drawing is told apart from it and happens at
 * most once a frame, so that a thousand beats a second cost a thousand merges but only a few draws.
 */
import { signal } from '@preact/signals';
import type {
  Fleet,
  FleetEvent,
  HiveView,
  Liveness,
  StreamHeartbeat,
  StreamSnapshot,
  WorkerView,
} from '../../contract/api.js';
import { sampleWorker } from './sparks.js';

export interface Hive {
  readonly view: HiveView;
  readonly liveness: Liveness;
  /** When the queen heard it, on this tab's monotonic clock (ms). */
  readonly heardAt: number;
}

export type Connection =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  /** `since`: monotonic ms. */
  | { readonly kind: 'reconnecting'; readonly since: number }
  | { readonly kind: 'unauthorized' };

/** Rows are read from here, never copied. */
export const hives = new Map<string, Hive>();
export const workers = new Map<string, WorkerView>();
const keysOfHive = new Map<string, Set<string>>();
/** Newest first. */
export const events: FleetEvent[] = [];
const eventIds = new Set<string>();
const maxEvents = 2000;

/** Rises when something shown may have changed: at most once a frame, a few times a second for a large fleet. */
export const drawn = signal(0);
/** Rises at most once a second: for what is expensive (order, filters, totals). */
export const ordered = signal(0);
/** Rises when a hive or a worker came or went. */
export const membership = signal(0);
/** Rises with each event. */
export const eventsSeen = signal(0);
export const connection = signal<Connection>({ kind: 'connecting' });
/** Totals as the queen counts them; null before the first answer. */
export const totals = signal<Fleet | null>(null);
/** Whether a snapshot has come: before it, nothing can be said about emptiness. */
export const loaded = signal(false);
export const warming = signal(false);
/** Events that were lost because this page read too slowly. */
export const lostEvents = signal(0);

let dirty = false;
let orderDirty = false;
let membershipDirty = false;
let eventsDirty = false;
let scheduled = false;
let lastDraw = 0;
let lastOrder = 0;

const drawEveryMs = () => (workers.size > 2000 ? 500 : workers.size > 300 ? 200 : 100);
const orderEveryMs = 1000;

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(flush);
}

function flush(now: number): void {
  scheduled = false;
  if (eventsDirty) {
    eventsDirty = false;
    eventsSeen.value++;
  }
  // Lists and rows of a large fleet are dear: never both in one frame.
  if (orderDirty && now - lastOrder >= orderEveryMs) {
    orderDirty = false;
    lastOrder = now;
    ordered.value++;
    if (membershipDirty) {
      membershipDirty = false;
      membership.value++;
    }
  } else if (dirty && now - lastDraw >= drawEveryMs()) {
    dirty = false;
    lastDraw = now;
    drawn.value++;
  }
  if (dirty || orderDirty) schedule();
}

/** `cameOrWent`: lists are made again without waiting for their second, unless they are long. */
function touched(cameOrWent = false): void {
  dirty = true;
  orderDirty = true;
  if (cameOrWent) {
    membershipDirty = true;
    if (workers.size <= 2000) lastOrder = 0;
  }
  schedule();
}

function putHive(view: HiveView, now: number): void {
  const before = hives.get(view.id)?.liveness;
  hives.set(view.id, { view, liveness: view.liveness, heardAt: now - view.ageMs });
  if (before !== view.liveness) relabel(view.id, view.liveness);
}

/** Workers are as lively as their hive: a beat brings only the rows that changed, and a silence brings none. */
function relabel(hive: string, liveness: Liveness): void {
  for (const key of keysOfHive.get(hive) ?? []) {
    const worker = workers.get(key);
    if (worker && worker.liveness !== liveness) workers.set(key, { ...worker, liveness });
  }
}

function putWorker(worker: WorkerView): void {
  workers.set(worker.key, worker);
  const keys = keysOfHive.get(worker.hive);
  if (keys) keys.add(worker.key);
  else keysOfHive.set(worker.hive, new Set([worker.key]));
  sampleWorker(worker);
}

function dropWorker(key: string): boolean {
  const worker = workers.get(key);
  if (!worker) return false;
  workers.delete(key);
  keysOfHive.get(worker.hive)?.delete(key);
  return true;
}

function dropHive(id: string): void {
  for (const key of keysOfHive.get(id) ?? []) workers.delete(key);
  keysOfHive.delete(id);
  hives.delete(id);
}

export function applySnapshot(snapshot: StreamSnapshot): void {
  const now = performance.now();
  hives.clear();
  workers.clear();
  keysOfHive.clear();
  for (const hive of snapshot.hives) putHive(hive, now);
  for (const worker of snapshot.workers) putWorker(worker);
  warming.value = snapshot.warming;
  loaded.value = true;
  touched(true);
}

export function applyHeartbeat(beat: StreamHeartbeat): void {
  const isNew = !hives.has(beat.hive.id);
  putHive(beat.hive, performance.now());
  let cameOrWent = isNew;
  for (const worker of beat.workers) {
    cameOrWent ||= !workers.has(worker.key);
    putWorker(worker);
  }
  for (const key of beat.gone) cameOrWent = dropWorker(key) || cameOrWent;
  if (beat.whole) {
    const said = new Set(beat.workers.map((worker) => worker.key));
    for (const key of [...(keysOfHive.get(beat.hive.id) ?? [])]) {
      if (!said.has(key)) cameOrWent = dropWorker(key) || cameOrWent;
    }
  }
  touched(cameOrWent);
}

const livenessOfKind: Readonly<Record<string, Liveness>> = {
  hiveJoined: 'online',
  hiveOnline: 'online',
  hiveLate: 'late',
  hiveOffline: 'offline',
};

/** `past`: it happened before the rows that are held, and tells nothing new about them. */
export function applyEvent(event: FleetEvent, when: 'now' | 'past' = 'now'): void {
  if (eventIds.has(event.id)) return;
  eventIds.add(event.id);
  // Nearly always the newest; recalled ones find their place by time.
  let place = 0;
  while (place < events.length && events[place]!.at > event.at) place++;
  events.splice(place, 0, event);
  if (events.length > maxEvents) for (const old of events.splice(maxEvents)) eventIds.delete(old.id);
  eventsDirty = true;
  if (when === 'now') concludeFrom(event);
  schedule();
}

function concludeFrom(event: FleetEvent): void {
  const before = hives.size + workers.size;
  const hive = hives.get(event.hive);
  const liveness = livenessOfKind[event.kind];
  if (hive && liveness) {
    hives.set(event.hive, { ...hive, liveness });
    relabel(event.hive, liveness);
  }
  if (event.kind === 'hiveRemoved') dropHive(event.hive);
  if (event.kind === 'workerGone' && event.workerId) dropWorker(`${event.hive}/${event.workerId}`);
  touched(hives.size + workers.size !== before);
}

/** What another tab needs to start from here. Ages instead of times: tabs have clocks of their own. */
export interface Handover extends StreamSnapshot {
  readonly events: readonly FleetEvent[];
}

export function handover(): Handover {
  const now = performance.now();
  return {
    hives: [...hives.values()].map(({ view, liveness, heardAt }) => ({ ...view, liveness, ageMs: now - heardAt })),
    workers: [...workers.values()],
    warming: warming.value,
    lastEventId: events[0]?.id ?? '',
    events: [...events].reverse(),
  };
}

export function applyHandover(state: Handover): void {
  for (const event of state.events) applyEvent(event, 'past');
  applySnapshot(state);
}

export const workersOf = (hive: string): readonly WorkerView[] =>
  [...(keysOfHive.get(hive) ?? [])].map((key) => workers.get(key)!).filter(Boolean);

/** Age of the last beat of a hive, in ms, now. */
export const ageOf = (hive: Hive) => Math.max(0, performance.now() - hive.heardAt);

/** Silence after which what a hive said last is no longer what is now: three beats are missing. */
export const quietAfterMs = (hive: Hive) => 3 * hive.view.intervalMs + 500;

/** Draw again although nothing came: ages go on. */
setInterval(() => {
  if (document.visibilityState === 'visible' && hives.size > 0) touched();
}, 1000);
