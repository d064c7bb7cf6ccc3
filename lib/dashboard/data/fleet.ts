/**
 * The fleet that this tab shows: the client's mirror, and signals that say when to draw. Messages are merged at once;
 * drawing happens at most once a frame, so that a thousand heartbeats a second cost a thousand merges but few draws.
 */
import { signal } from '@preact/signals';
import { type Connection, FleetMirror, type MirroredHive } from '../../client/mirror.js';
import type { Fleet, FleetEvent } from '../../contract/api.js';
import { Hold } from './hold.js';
import { afterScrolling, scrolling } from './scrolling.js';
import { sampleWorker } from './sparks.js';

export type Hive = MirroredHive;

export const mirror = new FleetMirror({ maxEvents: 2000 });
/** Rows are read from here, never copied. */
export const { hives, workers } = mirror;
export const workersOf = (hive: string) => mirror.workersOf(hive);
/** A worker with its uptime as of now. */
export function workerOf(key: string) {
  const worker = workers.get(key);
  return worker && mirror.currentOf(worker);
}

/** Rises when something shown may have changed: at most once a frame, a few times a second for a large fleet. */
export const drawn = signal(0);
/** Rises at most once a second: for lists, which are expensive (order, filters). */
export const ordered = signal(0);
/** Rises after `ordered`, never together with it: for what is worked out over the whole fleet. */
export const summed = signal(0);
/** Rises when a hive or a worker was added or removed. */
export const membership = signal(0);
/** Rises with each event. */
export const eventsSeen = signal(0);
export const connection = signal<Connection>(mirror.connection);
/** Totals as the queen counts them; null before the first answer. */
export const totals = signal<Fleet | null>(null);
/** Whether a snapshot has come: before it an empty fleet means nothing. */
export const loaded = signal(false);
export const warming = signal(false);

let dirty = false;
let orderDirty = false;
let sumDirty = false;
let membershipDirty = false;
let eventsDirty = false;
let scheduled = false;
let lastDrawMs = 0;
/** By the clock of requestAnimationFrame, which begins with the page. */
let lastOrderMs = Number.NEGATIVE_INFINITY;

function drawEveryMs(): number {
  return workers.size > 2000 ? 500 : workers.size > 300 ? 200 : 100;
}
const orderEveryMs = 1000;
/** What is in view of a large fleet stays as it was while one scrolls, for so long at most. */
const hold = new Hold(5000);

// What came into view meanwhile is drawn in full, at once.
afterScrolling(() => {
  lastDrawMs = Number.NEGATIVE_INFINITY;
  redraw();
});

mirror.subscribe((change) => {
  for (const worker of change.workers) sampleWorker(worker);
  connection.value = mirror.connection;
  loaded.value = mirror.loaded;
  warming.value = mirror.warming;
  eventsDirty ||= change.events;
  membershipDirty ||= change.membership;
  // Lists are ordered again at once, unless they are long.
  if (change.membership && workers.size <= 2000) lastOrderMs = Number.NEGATIVE_INFINITY;
  redraw();
});

function redraw(): void {
  dirty = true;
  orderDirty = true;
  schedule();
}

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(flush);
}

function flush(nowMs: number): void {
  scheduled = false;
  if (hold.isHeld(nowMs, scrolling.peek() && workers.size > 300, dirty || sumDirty)) {
    schedule();
    return;
  }
  if (eventsDirty) {
    eventsDirty = false;
    eventsSeen.value++;
  }
  // Lists, sums and rows of a large fleet are expensive: never two of them in one frame.
  if (sumDirty) {
    sumDirty = false;
    summed.value++;
  } else if (orderDirty && nowMs - lastOrderMs >= orderEveryMs) {
    orderDirty = false;
    lastOrderMs = nowMs;
    sumDirty = true;
    ordered.value++;
    if (membershipDirty) {
      membershipDirty = false;
      membership.value++;
    }
  } else if (dirty && nowMs - lastDrawMs >= drawEveryMs()) {
    dirty = false;
    lastDrawMs = nowMs;
    drawn.value++;
  }
  if (dirty || orderDirty || sumDirty) schedule();
}

/** The newest events that pass, newest first. */
export function newestEvents(passes: (event: FleetEvent) => boolean, count = Number.POSITIVE_INFINITY): FleetEvent[] {
  const found: FleetEvent[] = [];
  for (let i = mirror.events.length - 1; i >= 0 && found.length < count; i--) {
    const event = mirror.events[i]!;
    if (passes(event)) found.push(event);
  }
  return found;
}

/** Age of the last heartbeat of a hive, in ms, now. */
export const ageOf = (hive: Hive) => Math.max(0, performance.now() - hive.heardAtMs);

/** Silence after which the last values of a hive are no longer current: three heartbeats are missing. */
export const quietAfterMs = (hive: Hive) => 3 * hive.view.intervalMs + 500;

/** Draws each second, so that ages go on although nothing comes. */
export function startAging(): void {
  setInterval(() => {
    if (document.visibilityState === 'visible' && hives.size > 0) redraw();
  }, 1000);
}
