import type { Heartbeat, HeartbeatReply } from '../contract/heartbeat.js';
import { DeltaReader, decodeKeyframe, messageTypes, StreamCodecError } from '../contract/stream/codec.js';
import type { StreamSchema } from '../contract/stream/columns.js';
import type { DeltaText, ResyncReason } from '../contract/stream/messages.js';
import { cellCount, countRows, NumericState } from '../contract/stream/state.js';
import { parseJson, UnreadableBody } from './heartbeat-body.js';
import type { StreamBase } from './ingest.js';
import type {
  HeartbeatIntake,
  HeartbeatSource,
  IntakeOutcome,
  RefusedHeartbeat,
  StreamHooks,
  TakenIn,
} from './intake.js';
import type { Registry } from './registry.js';
import { ImplausibleDelta, type PatchPlan, patchOf } from './stream-patch.js';

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
  /** It was under way when the hive was asked for a keyframe. */
  | { readonly kind: 'ignored' };

const resync = (reason: ResyncReason): StreamOutcome => ({ kind: 'resync', reason });

/** What the deltas of a hive refer to. */
interface Base {
  readonly records: StreamBase;
  readonly state: NumericState;
  readonly epoch: number;
  index: number;
  seq: number;
  /** Text that the hive is charged for: of the keyframe, and of what has replaced parts of it. */
  textBytes: number;
}

/** Bytes of text that a number takes in a heartbeat, at least: more numbers than that are no heartbeat's. */
const leastTextBytesPerNumber = 2;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A heartbeat has one, for people who look at messages; a queen does not keep it. */
const sentAt = new Date(0).toISOString();

/**
 * The heartbeats of one connection, which belong to one hive from keyframe to keyframe. A keyframe goes the way of a POST. A
 * delta of numbers alone is merged row by row; one that also changes text is put together to a whole heartbeat, which goes
 * that way too. What does not fit makes the hive send a keyframe: nothing is ever guessed.
 */
export class HeartbeatStream {
  readonly #registry: Registry;
  readonly #intake: HeartbeatIntake;
  readonly #source: HeartbeatSource;
  readonly #schema: StreamSchema;
  readonly #plan: PatchPlan;
  #base: Base | null = null;
  /** A resync was asked for, and no keyframe has come yet. */
  #isLost = false;
  /** A keyframe is being read. */
  #isBusy = false;

  constructor(registry: Registry, intake: HeartbeatIntake, source: HeartbeatSource, plan: PatchPlan) {
    this.#registry = registry;
    this.#intake = intake;
    this.#source = source;
    this.#plan = plan;
    this.#schema = plan.schema;
  }

  /** The hive that it is of; null: not known yet, or its last message was not taken in. */
  get hive(): { readonly id: string; readonly intervalMs: number } | null {
    return this.#base?.records.hive ?? null;
  }

  receive(message: Buffer): StreamOutcome | Promise<StreamOutcome> {
    // A hive waits for the answer to a keyframe before it goes on.
    if (this.#isBusy) return this.#lost('outOfOrder');
    try {
      return message[0] === messageTypes.keyframe ? this.#keyframe(message) : this.#delta(message);
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

  #keyframe(message: Buffer): StreamOutcome | Promise<StreamOutcome> {
    this.#base = null;
    const { epoch, encoding, body } = decodeKeyframe(message);
    this.#isLost = false;
    const outcome = this.#intake.receive({ bytes: body, encoding }, this.#source, this.#hooks(epoch, 0));
    if (!(outcome instanceof Promise)) return this.#answer(outcome, epoch, 0, true);
    this.#isBusy = true;
    return outcome
      .then((done) => this.#answer(done, epoch, 0, true))
      .finally(() => {
        this.#isBusy = false;
      });
  }

  /** Whoever takes a heartbeat in also keeps what the next delta refers to, where it was taken in as it was sent. */
  #hooks(epoch: number, index: number): StreamHooks {
    let state: NumericState | null = null;
    return {
      extraBytes: ({ sent, heartbeat, isAltered }, textBytes) => {
        if (isAltered) return 0;
        const counts = countRows(heartbeat);
        if (cellCount(this.#schema, counts) * leastTextBytesPerNumber > textBytes) return 0;
        state = new NumericState(this.#schema, counts);
        state.take(sent as Heartbeat);
        return state.values.byteLength + 16 * state.rowCount;
      },
      taken: ({ heartbeat }: TakenIn, textBytes) => {
        const records = state === null ? null : this.#registry.streamBase(heartbeat);
        this.#base =
          records === null || state === null ? null : { records, state, epoch, index, seq: heartbeat.seq, textBytes };
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
    if (base === null || delta.epoch !== base.epoch || delta.index !== base.index + 1 || delta.seq <= base.seq)
      return this.#lost('outOfOrder');
    const { changed, text } = delta.apply(base.state);
    const values = patchOf(this.#plan, base.records, base.state, changed, delta.seq);
    if (text !== null) return this.#withText(base, delta, values, readText(text, base), text.length);
    if (delta.checksum !== null && delta.checksum !== base.state.checksum()) return this.#lost('checksum');
    const outcome = this.#intake.receivePatch(base.records, values, this.#source);
    if (outcome === null) return this.#lost('replaced');
    if (!outcome.accepted) return this.#lost('rate');
    base.index = delta.index;
    base.seq = delta.seq;
    return this.#answer(outcome, delta.epoch, delta.index, delta.wantsAck);
  }

  /** The whole heartbeat, of what is known, with what the delta says over it. */
  #withText(
    base: Base,
    delta: DeltaReader,
    patch: ReturnType<typeof patchOf>,
    text: DeltaText,
    length: number,
  ): StreamOutcome | Promise<StreamOutcome> {
    const { hive, gpus, workers } = base.records;
    if (!this.#registry.isCurrent(base.records)) return this.#lost('replaced');
    const rows = {
      gpus: gpus.map((gpu, i): unknown => patch.gpus[i] ?? gpu.sample),
      workers: workers.map((worker, i): unknown => patch.workers[i] ?? worker.sample),
    };
    const { state } = base;
    for (const [i, gpu] of text.gpus ?? []) {
      rows.gpus[i] = gpu;
      state.takeRow(state.firstGpu + i, gpu);
    }
    for (const [i, worker] of text.workers ?? []) {
      rows.workers[i] = worker;
      state.takeWorker(i, worker as Heartbeat['workers'][number]);
    }
    const value = {
      schema: 1,
      seq: delta.seq,
      sentAt,
      intervalMs: patch.intervalMs,
      hive: hive.info,
      host: patch.host ?? hive.host,
      gpusKnown: hive.gpusKnown,
      gpusReason: hive.gpusReason,
      workersComplete: hive.workersComplete,
      collection: patch.collection ?? hive.collection,
      ...rows,
      events: text.events ?? [],
      faults: text.faults ?? hive.faults,
      ...text.head,
    };
    if (text.head !== undefined) state.takeRow(0, value);
    if (delta.checksum !== null && delta.checksum !== state.checksum()) return this.#lost('checksum');
    if ((value.hive as { id?: unknown }).id !== hive.id) return this.#lost('malformed');
    this.#base = null;
    const outcome = this.#intake.receiveRebuilt(
      value,
      base.textBytes + length,
      this.#source,
      this.#rebuiltHooks(base, delta.index),
    );
    const answer = (done: IntakeOutcome) => this.#answer(done, delta.epoch, delta.index, true);
    return outcome instanceof Promise ? outcome.then(answer) : answer(outcome);
  }

  #rebuiltHooks({ epoch, state }: Base, index: number): StreamHooks {
    return {
      extraBytes: () => state.values.byteLength + 16 * state.rowCount,
      taken: ({ heartbeat, isAltered }, textBytes) => {
        const records = isAltered ? null : this.#registry.streamBase(heartbeat);
        this.#base = records === null ? null : { records, state, epoch, index, seq: heartbeat.seq, textBytes };
      },
    };
  }
}

/** The text of a delta; rows are those that its place already has. @throws StreamCodecError, UnreadableBody */
function readText(bytes: Buffer, { records: { gpus, workers } }: Base): DeltaText {
  const value = parseJson(bytes);
  if (!isObject(value)) throw new StreamCodecError('its text is no object');
  const rowsOf = (
    given: unknown,
    isSame: (i: number, row: Readonly<Record<string, unknown>>) => boolean,
  ): [number, object][] => {
    if (given === undefined) return [];
    if (!Array.isArray(given)) throw new StreamCodecError('its rows are no list');
    return given.map((entry: unknown) => {
      const [i, row] = Array.isArray(entry) ? entry : [];
      if (!Number.isInteger(i) || !isObject(row) || !isSame(i, row)) throw new StreamCodecError('a row has no place');
      return [i, row];
    });
  };
  const list = (given: unknown): { readonly list?: readonly unknown[] } => {
    if (given === undefined) return {};
    if (!Array.isArray(given)) throw new StreamCodecError('it has no list');
    return { list: given };
  };
  const head = value.head;
  if (head !== undefined && (!isObject(head) || !isObject(head.hive)))
    throw new StreamCodecError('its head is no object');
  const [faults, events] = [list(value.faults).list, list(value.events).list];
  return {
    ...(head === undefined ? {} : { head: pickHead(head) }),
    ...(faults === undefined ? {} : { faults }),
    ...(events === undefined ? {} : { events }),
    gpus: rowsOf(value.gpus, (i, row) => gpus[i] !== undefined && gpus[i].sample.uuid === row.uuid),
    workers: rowsOf(value.workers, (i, row) => {
      const worker = workers[i];
      if (worker === undefined || worker.sample.id !== row.id || !Array.isArray(row.gpus)) return false;
      const held = worker.sample.gpus;
      return (
        held.length === row.gpus.length &&
        held.every(({ uuid }, j) => (row.gpus as { uuid?: unknown }[])[j]?.uuid === uuid)
      );
    }),
  };
}

/** Only what belongs to the head: its lists and its number have places of their own. */
function pickHead({
  intervalMs,
  hive,
  host,
  gpusKnown,
  gpusReason,
  workersComplete,
  collection,
}: Readonly<Record<string, unknown>>): object {
  return { intervalMs, hive, host, gpusKnown, gpusReason, workersComplete, collection };
}
