import { randomUUID } from 'node:crypto';
import type { Heartbeat, HeartbeatReply } from '../contract/heartbeat.js';
import { ChangedCells, DeltaReader, decodeKeyframe, messageTypes, StreamCodecError } from '../contract/stream/codec.js';
import type { ResyncReason } from '../contract/stream/messages.js';
import { cellCount, countRows, NumericState } from '../contract/stream/state.js';
import { areRightItems } from '../contract/validate.js';
import { isObject } from '../util/is-object.js';
import { weightOf } from './fleet-budget.js';
import { type HeartbeatBody, parseJson, UnreadableBody } from './heartbeat-body.js';
import type {
  AcceptedDelta,
  HeartbeatSource,
  IntakeOutcome,
  RefusedHeartbeat,
  StreamHooks,
  StreamIntake,
  TakenIn,
} from './intake.js';
import type { GpuRecord, WorkerRecord } from './records.js';
import type { Registry } from './registry.js';
import type { StreamBase } from './stream-base.js';
import { type ChangedText, checkCells, type HeartbeatChange } from './stream-merge.js';
import { ImplausibleDelta, type StreamPlan } from './stream-plan.js';

export interface StreamAck {
  readonly kind: 'ack';
  readonly epoch: number;
  readonly index: number;
  /** Deltas may follow. */
  readonly deltas: boolean;
  readonly reply: HeartbeatReply;
  /** The hive waits for it. */
  readonly isWanted: boolean;
}

/** What became of one message. */
export type StreamOutcome =
  | StreamAck
  | { readonly kind: 'refused'; readonly refusal: RefusedHeartbeat }
  | { readonly kind: 'resync'; readonly reason: ResyncReason }
  /** What engines say of their load was taken in. Nobody waits for that. */
  | { readonly kind: 'load' }
  /** It was under way when the hive was asked for a keyframe. */
  | { readonly kind: 'ignored' };

const isTaken = (outcome: StreamOutcome | Promise<StreamOutcome>): boolean =>
  outcome instanceof Promise || outcome.kind === 'ack' || outcome.kind === 'load';
const resync = (reason: ResyncReason): StreamOutcome => ({ kind: 'resync', reason });

/** What the deltas of a hive refer to. */
interface Base {
  readonly records: StreamBase;
  readonly epoch: number;
  index: number;
  seq: number;
  /** Text that the hive is charged for: of the keyframe, and of what has replaced parts of it. */
  textBytes: number;
}

/** Bytes of text that a number takes in a heartbeat, at least: more numbers than that are no heartbeat's. */
const leastTextBytesPerNumber = 2;

type Values = Readonly<Record<string, unknown>>;

/** Of the delta that is being read: there is one at a time. */
const cells = new ChangedCells();

const bytesOf = ({ values, rowCount }: NumericState): number => values.byteLength + 16 * rowCount;

/**
 * The heartbeats of one connection, which belong to one hive from keyframe to keyframe. A keyframe goes the way of a POST. Of a
 * delta all is checked first, and then written to where it is kept: what is not in it is not touched. What does not fit makes
 * the hive send a keyframe: nothing is ever guessed.
 */
export class HeartbeatStream {
  /** No other stream has it. */
  readonly name: string;
  readonly #registry: Registry;
  readonly #intake: StreamIntake;
  readonly #source: HeartbeatSource;
  readonly #plan: StreamPlan;
  #base: Base | null = null;
  /** A resync was asked for, and no keyframe has come yet. */
  #isLost = false;
  /** A message is being taken in. */
  #isBusy = false;

  constructor(
    registry: Registry,
    intake: StreamIntake,
    source: HeartbeatSource,
    plan: StreamPlan,
    name: string = randomUUID(),
  ) {
    this.name = name;
    this.#registry = registry;
    this.#intake = intake;
    this.#source = source;
    this.#plan = plan;
  }

  /** The hive that it is of; null: not known yet, or its last message was not taken in. */
  get hive(): { readonly id: string; readonly intervalMs: number } | null {
    return this.#base?.records.hive ?? null;
  }

  /** Deltas can be taken in: what they refer to is what is known of the hive. */
  get isFollowing(): boolean {
    return this.#base !== null && this.#registry.isCurrent(this.#base.records);
  }

  receive(message: Buffer): StreamOutcome | Promise<StreamOutcome> {
    // A hive waits for the answer to a keyframe, and to events, before it goes on.
    if (this.#isBusy) return this.#lost('outOfOrder');
    try {
      if (message[0] === messageTypes.keyframe) {
        const { epoch, encoding, body } = decodeKeyframe(message);
        return this.receiveKeyframe(epoch, { bytes: body, encoding });
      }
      return this.#intake.charged(this.#source, () => this.#delta(message), isTaken);
    } catch (error) {
      if (error instanceof StreamCodecError || error instanceof UnreadableBody) return this.#lost('malformed');
      if (error instanceof ImplausibleDelta) return this.#lost('value');
      throw error;
    }
  }

  #lost(reason: ResyncReason): StreamOutcome {
    this.#base = null;
    this.#isLost = true;
    return resync(reason);
  }

  receiveKeyframe(epoch: number, body: HeartbeatBody): StreamOutcome | Promise<StreamOutcome> {
    this.#base = null;
    this.#isLost = false;
    const outcome = this.#intake.receive(body, this.#source, this.#hooks(epoch));
    return this.#whenDone(outcome, epoch, 0, true);
  }

  #whenDone(outcome: IntakeOutcome | Promise<IntakeOutcome>, epoch: number, index: number, isWanted: boolean) {
    if (!(outcome instanceof Promise)) return this.#answer(outcome, epoch, index, isWanted);
    this.#isBusy = true;
    return outcome
      .then((done) => this.#answer(done, epoch, index, isWanted))
      .finally(() => {
        this.#isBusy = false;
      });
  }

  /** Whoever takes a heartbeat in also keeps what the next delta refers to, where it was taken in as it was sent. */
  #hooks(epoch: number): StreamHooks {
    let state: NumericState | null = null;
    return {
      origin: { stream: this.name, epoch, schema: this.#plan.text },
      extraBytes: ({ sent, heartbeat, isAltered }, textBytes) => {
        if (isAltered) return 0;
        const counts = countRows(heartbeat);
        const { schema } = this.#plan;
        if (cellCount(schema, counts) * leastTextBytesPerNumber > textBytes) return 0;
        state = new NumericState(schema, counts);
        state.take(sent as Heartbeat);
        return bytesOf(state);
      },
      taken: ({ heartbeat }: TakenIn, textBytes) => {
        const records = state === null ? null : this.#registry.streamBase(heartbeat, { plan: this.#plan, state });
        this.#base =
          records === null || state === null ? null : { records, epoch, index: 0, seq: heartbeat.seq, textBytes };
      },
    };
  }

  #answer(outcome: IntakeOutcome, epoch: number, index: number, isWanted: boolean): StreamOutcome {
    if (!outcome.accepted) {
      this.#base = null;
      return { kind: 'refused', refusal: outcome };
    }
    return { kind: 'ack', epoch, index, deltas: this.#base !== null, reply: outcome.ack, isWanted };
  }

  #delta(message: Buffer): StreamOutcome | Promise<StreamOutcome> {
    if (this.#isLost && message[0] === messageTypes.delta) return { kind: 'ignored' };
    const base = this.#base;
    const delta = new DeltaReader(message);
    if (base === null || delta.epoch !== base.epoch || delta.index !== base.index + 1 || !isNext(delta, base.seq))
      return this.#lost('outOfOrder');
    let outcome: StreamOutcome | Promise<StreamOutcome> | null = null;
    try {
      outcome = this.#apply(base, delta, message);
      return outcome;
    } finally {
      // What of the numbers before is not written yet is still to be.
      if (outcome === null || !isTaken(outcome)) cells.restore(base.records.state);
    }
  }

  #apply(base: Base, delta: DeltaReader, message: Buffer): StreamOutcome | Promise<StreamOutcome> {
    const { records } = base;
    const { state } = records;
    const bytes = delta.apply(state, cells);
    checkCells(records, cells);
    const text = bytes === null ? null : readText(bytes, base, cells);
    if (delta.checksum !== null && delta.checksum !== state.checksum()) return this.#lost('checksum');
    const change = { cells, seq: delta.seq, text };
    const passedOn = { stream: this.name, bytes: message };
    if (delta.isLoad) return this.#load(base, change, passedOn);
    const outcome = this.#intake.receiveChange(records, change, this.#source, passedOn);
    if (outcome === null) return this.#lost('replaced');
    if ('accepted' in outcome && !outcome.accepted) return this.#lost('rate');
    base.index = delta.index;
    base.seq = delta.seq;
    if (bytes !== null) base.textBytes += bytes.length;
    return this.#whenDone(outcome, delta.epoch, delta.index, delta.wantsAck);
  }

  #load(base: Base, change: HeartbeatChange, passedOn: Pick<AcceptedDelta, 'stream' | 'bytes'>): StreamOutcome {
    if (!isOfLoads(base.records.state, change.cells)) throw new StreamCodecError('it is no load');
    const lost = this.#intake.receiveLoads(base.records, change, this.#source, passedOn);
    if (lost !== null) return this.#lost(lost);
    base.index++;
    return { kind: 'load' };
  }
}

/** A load belongs to the heartbeat that was taken in last. */
const isNext = ({ seq, isLoad }: DeltaReader, last: number): boolean => (isLoad ? seq === last : seq > last);

/** Nothing else changes than what engines say. */
function isOfLoads(state: NumericState, cells: ChangedCells): boolean {
  const { worker } = state.schema;
  for (let i = 0; i < cells.rowCount; i++) {
    if (state.typeOf(cells.row(i)) !== 'worker') return false;
    for (let cell = cells.begin(i); cell < cells.end(i); cell++)
      if (worker[cells.column(cell)]!.path[0] !== 'serving') return false;
  }
  return true;
}

/** The text of a delta, with its numbers taken into the state. @throws StreamCodecError, UnreadableBody, ImplausibleDelta */
function readText(bytes: Buffer, { records, textBytes }: Base, changedCells: ChangedCells): ChangedText {
  const { state } = records;
  const value = parseJson(bytes);
  if (!isObject(value)) throw new StreamCodecError('its text is no object');
  for (const name in value) if (!textNames.has(name)) throw new StreamCodecError('its text has an unknown part');
  const { gpus, workers } = value;
  const places = {
    gpus: placesOf(gpus, records.gpus, isSameGpu),
    workers: placesOf(workers, records.workers, isSameWorker),
  };
  const items = {
    gpus: places.gpus.map(([, row]) => row),
    workers: places.workers.map(([, row]) => row),
    events: listOf(value.events) ?? [],
    faults: listOf(value.faults) ?? [],
  };
  // It puts rows in their place that have all fields.
  if (!areRightItems(items)) throw new ImplausibleDelta();
  const changed = {
    gpus: items.gpus.map((row, i) => [places.gpus[i]![0], row] as const),
    workers: items.workers.map((row, i) => [places.workers[i]![0], row] as const),
  };
  if (changedCells.rowCount > 0) checkApart(changed, state, changedCells);
  // They are compared with what is written.
  for (const [i, row] of changed.gpus) {
    records.prepareGpu(i);
    state.takeRow(state.firstGpu + i, row);
  }
  for (const [i, row] of changed.workers) {
    records.prepareWorker(i);
    state.takeWorker(i, row);
  }
  const known = records.workers.map(({ current }) => current as Heartbeat['workers'][number]);
  for (const [i, row] of changed.workers) known[i] = row;
  return {
    ...changed,
    events: items.events,
    faults: value.faults === undefined ? null : items.faults,
    weight: weightOf({ hive: records.hive.info, workers: known }, textBytes + bytes.length + bytesOf(state)),
  };
}

/** A row that is in the text has all its numbers there. @throws StreamCodecError */
function checkApart(
  { gpus, workers }: Pick<ChangedText, 'gpus' | 'workers'>,
  state: NumericState,
  changedCells: ChangedCells,
): void {
  const [rowsOfGpus, rowsOfWorkers] = [new Set(gpus.map(([i]) => i)), new Set(workers.map(([i]) => i))];
  for (let i = 0; i < changedCells.rowCount; i++) {
    const row = changedCells.row(i);
    const type = state.typeOf(row);
    const isInText =
      (type === 'gpu' && rowsOfGpus.has(row - state.firstGpu)) ||
      (type === 'worker' && rowsOfWorkers.has(row - state.firstWorker)) ||
      (type === 'held' && rowsOfWorkers.has(state.workerOfHeld(row)));
    if (isInText) throw new StreamCodecError('a row is both text and numbers');
  }
}

const textNames: ReadonlySet<string> = new Set(['gpus', 'workers', 'events', 'faults']);

function listOf(given: unknown): readonly unknown[] | null {
  if (given === undefined) return null;
  if (!Array.isArray(given)) throw new StreamCodecError('it has no list');
  return given;
}

/** Pairs of place and row, in order; each row is the one that its place already has. */
function placesOf<R>(
  given: unknown,
  records: readonly R[],
  isSame: (record: R, row: Values) => boolean,
): (readonly [number, object])[] {
  let least = 0;
  return (listOf(given) ?? []).map((entry) => {
    const [i, row] = Array.isArray(entry) ? (entry as readonly unknown[]) : [];
    const record = Number.isInteger(i) && (i as number) >= least ? records[i as number] : undefined;
    if (record === undefined || !isObject(row) || !isSame(record, row))
      throw new StreamCodecError('a row has no place');
    least = (i as number) + 1;
    return [i as number, row];
  });
}

const isSameGpu = ({ current }: GpuRecord, { uuid }: Values): boolean => current.uuid === uuid;

function isSameWorker({ current }: WorkerRecord, { id, gpus }: Values): boolean {
  if (current.id !== id || !Array.isArray(gpus) || gpus.length !== current.gpus.length) return false;
  return current.gpus.every(({ uuid }, i) => (gpus as readonly { uuid?: unknown }[])[i]?.uuid === uuid);
}
