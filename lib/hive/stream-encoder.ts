import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import type { Heartbeat } from '../contract/heartbeat.js';
import { encodeDelta, encodeKeyframe } from '../contract/stream/codec.js';
import { ownSchema, sameText } from '../contract/stream/columns.js';
import { checksumEvery, type DeltaText } from '../contract/stream/messages.js';
import { countRows, NumericState } from '../contract/stream/state.js';
import { asciiJson } from '../util/ascii-json.js';
import type { EngineLoads } from './transport.js';

const compress = promisify(gzip);

/** Shorter ones gain little. */
const compressAboveBytes = 1024;
/** Longest time between two keyframes, where the queen asks for them and where it does not. */
const keyframeEveryMs = { asked: 600_000, byItself: 60_000 } as const;

export interface StreamMessage {
  readonly bytes: Buffer;
  readonly epoch: number;
  readonly index: number;
  /** The queen answers it. */
  readonly wantsAck: boolean;
}

/** What the queen knows once it has taken in what was sent. */
interface Base {
  heartbeat: Heartbeat;
  state: NumericState;
  epoch: number;
  index: number;
}

/** Where the numbers are that requests are sent by: one of them has to be different. */
const loadPlaces = ['running', 'waiting', 'waitingTokens', 'kvPercent'].map((name) =>
  ownSchema.worker.findIndex((column) => column.name === `serving.${name}`),
);

/** The same rows in the same order, of a host that is described alike: all else is sent as a keyframe. */
function sameRows(a: Heartbeat, b: Heartbeat): boolean {
  if (!sameText('head', a, b) || a.workers.length !== b.workers.length || a.gpus.length !== b.gpus.length) return false;
  return (
    a.gpus.every(({ uuid }, i) => uuid === b.gpus[i]!.uuid) &&
    a.workers.every(({ id, gpus }, i) => {
      const other = b.workers[i]!;
      if (id !== other.id || gpus.length !== other.gpus.length) return false;
      return gpus.every((g, j) => g.uuid === other.gpus[j]!.uuid);
    })
  );
}

/**
 * Makes the messages of one connection out of whole heartbeats: a keyframe where the queen knows nothing, where rows came
 * or went or what is said of the host in words is different, where it is due; else what differs from the heartbeat that was sent before.
 * Whatever was not sent is in the next.
 */
export class StreamEncoder {
  readonly #now: () => number;
  #ackEvery = 1;
  #base: Base | null = null;
  #epoch = 0;
  readonly #phase: number;
  #keyframeEveryMs = 0;
  #keyframeDueMs = 0;
  #sinceAck = 0;
  /** With the rows of `#base`: what it was before, to be written anew. */
  #spare: NumericState | null = null;

  /** `random`: hives that start together send their keyframes at times of their own. */
  constructor(now: () => number, random: () => number) {
    this.#now = now;
    this.#phase = random();
    this.asksForKeyframes = false;
  }

  /** Whether the queen says when a keyframe is due. */
  set asksForKeyframes(asks: boolean) {
    this.#keyframeEveryMs = asks ? keyframeEveryMs.asked : keyframeEveryMs.byItself;
    this.#keyframeDueMs = this.#now() + this.#phase * this.#keyframeEveryMs;
  }

  set ackEvery(count: number) {
    this.#ackEvery = count;
  }

  /** The next message is a keyframe. */
  reset(): void {
    this.#base = null;
  }

  encode(heartbeat: Heartbeat): StreamMessage | Promise<StreamMessage> {
    const base = this.#base;
    const isDue = this.#now() >= this.#keyframeDueMs;
    if (isDue) {
      const missed = Math.floor((this.#now() - this.#keyframeDueMs) / this.#keyframeEveryMs) + 1;
      this.#keyframeDueMs += missed * this.#keyframeEveryMs;
    }
    return base === null || isDue || !sameRows(base.heartbeat, heartbeat)
      ? this.#keyframe(heartbeat)
      : this.#delta(base, heartbeat);
  }

  /** What engines say by now of their load; null: nothing else, or the queen knows nothing that it could be compared with. */
  encodeLoads(loads: EngineLoads): Buffer | null {
    const base = this.#base;
    if (base === null) return null;
    const state = this.#spareOf(base);
    state.values.set(base.state.values);
    let isChanged = false;
    for (const [i, worker] of base.heartbeat.workers.entries()) {
      const serving = loads.get(worker.id);
      // Another engine, or the first answer of one, is text.
      if (serving === undefined || worker.serving?.engine !== serving.engine) continue;
      const row = state.firstWorker + i;
      state.takeRow(row, { ...worker, serving });
      const at = state.offsetOf(row);
      const { values } = base.state;
      if (loadPlaces.some((place) => !Object.is(values[at + place], state.values[at + place]))) isChanged = true;
      else state.values.set(values.subarray(at, at + state.schema.worker.length), at);
    }
    if (!isChanged) return null;
    const { heartbeat, epoch } = base;
    const index = base.index + 1;
    const checksum = index % checksumEvery === 0 ? state.checksum() : null;
    const header = { epoch, index, seq: heartbeat.seq, wantsAck: false, checksum, text: null, isLoad: true };
    const bytes = encodeDelta(header, base.state, state);
    this.#spare = base.state;
    this.#base = { heartbeat, state, epoch, index };
    return bytes;
  }

  /** Many deltas follow each other: two states are enough for them. */
  #spareOf({ state }: Base): NumericState {
    this.#spare ??= state.likewise();
    return this.#spare;
  }

  async #keyframe(heartbeat: Heartbeat): Promise<StreamMessage> {
    this.#base = this.#spare = null;
    const epoch = ++this.#epoch;
    const state = new NumericState(ownSchema, countRows(heartbeat));
    state.take(heartbeat);
    const plain = Buffer.from(asciiJson(heartbeat), 'latin1');
    const isLong = plain.length > compressAboveBytes;
    const body = isLong ? await compress(plain, { level: constants.Z_BEST_SPEED }) : plain;
    this.#base = { heartbeat, state, epoch, index: 0 };
    this.#sinceAck = 0;
    const bytes = encodeKeyframe({ epoch, encoding: isLong ? 'gzip' : null, body });
    return { bytes, epoch, index: 0, wantsAck: true };
  }

  #delta(base: Base, heartbeat: Heartbeat): StreamMessage {
    const state = this.#spareOf(base);
    state.take(heartbeat);
    const rows = new Set<number>();
    const text = textOf(base, heartbeat, rows);
    const index = base.index + 1;
    const wantsAck = ++this.#sinceAck >= this.#ackEvery || text !== null;
    if (wantsAck) this.#sinceAck = 0;
    const checksum = index % checksumEvery === 0 ? state.checksum() : null;
    const header = { epoch: base.epoch, index, seq: heartbeat.seq, wantsAck, checksum, text };
    const bytes = encodeDelta(header, base.state, state, (row) => rows.has(row));
    this.#spare = base.state;
    this.#base = { heartbeat, state, epoch: base.epoch, index };
    return { bytes, epoch: base.epoch, index, wantsAck };
  }
}

/** What is no number and differs, with the rows (of `state`) that it holds in `rows`; null: nothing does. */
function textOf({ heartbeat: before, state }: Base, heartbeat: Heartbeat, rows: Set<number>): Buffer | null {
  const text: { -readonly [K in keyof DeltaText]: DeltaText[K] } = {};
  const changedGpus = changedText('gpu', before.gpus, heartbeat.gpus);
  const changedWorkers = changedText('worker', before.workers, heartbeat.workers);
  for (const [i] of changedGpus) rows.add(state.firstGpu + i);
  for (const [i] of changedWorkers) {
    rows.add(state.firstWorker + i);
    const [first, end] = state.heldRowsOf(i);
    for (let row = first; row < end; row++) rows.add(row);
  }
  if (changedGpus.length > 0) text.gpus = changedGpus;
  if (changedWorkers.length > 0) text.workers = changedWorkers;
  if (heartbeat.events.length > 0) text.events = heartbeat.events;
  if (!sameFaults(before.faults, heartbeat.faults)) text.faults = heartbeat.faults;
  for (const _ in text) return Buffer.from(asciiJson(text), 'latin1');
  return null;
}

/** Rows of which more than numbers differs, each with its place. */
function changedText(type: 'gpu' | 'worker', before: readonly object[], now: readonly object[]): [number, object][] {
  const changed: [number, object][] = [];
  for (let i = 0; i < now.length; i++) if (!sameText(type, before[i]!, now[i]!)) changed.push([i, now[i]!]);
  return changed;
}

const sameFaults = (a: Heartbeat['faults'], b: Heartbeat['faults']): boolean =>
  a === b || (a.length === 0 && b.length === 0) || JSON.stringify(a) === JSON.stringify(b);
