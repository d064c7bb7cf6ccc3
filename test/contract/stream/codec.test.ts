import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChangedCells } from '../../../lib/contract/stream/cells.js';
import {
  DeltaReader,
  decodeKeyframe,
  encodeDelta,
  encodeKeyframe,
  readSchema,
  StreamCodecError,
  sentSchema,
} from '../../../lib/contract/stream/codec.js';
import { ownSchema } from '../../../lib/contract/stream/columns.js';
import { countRows, NumericState } from '../../../lib/contract/stream/state.js';
import { portion } from '../../harness/draws.js';
import { SimulatedHive } from '../../harness/simulated-fleet.js';

const schema = readSchema({
  head: [['intervalMs', 1]],
  gpu: [
    ['powerWatts', 100],
    ['memoryUsedBytes', 1],
  ],
  worker: Array.from({ length: 11 }, (_, i) => [`c${i}`, i % 2 === 0 ? 100 : 1]),
  held: [['memoryUsedBytes', 1]],
});
const counts = { gpus: 2, workers: 3, held: [0, 2, 1] };
const cells = new NumericState(schema, counts).values.length;

const value = fc.oneof(
  fc.constant(Number.NaN),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.integer({ min: -1e9, max: 1e9 }).map((hundredths) => hundredths / 100),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((each) => each + 0),
);
const values = fc.array(value, { minLength: cells, maxLength: cells });
const stateOf = (given: readonly number[]) => {
  const state = new NumericState(schema, counts);
  state.values.set(given);
  return state;
};
const header = { epoch: 1, index: 2, seq: 3, wantsAck: false, checksum: null, text: null };

describe('deltas', () => {
  it('any numbers become any others, bit by bit', () => {
    fc.assert(
      fc.property(values, values, fc.nat(), fc.boolean(), fc.option(fc.string()), (from, to, seq, wantsAck, words) => {
        const [before, after] = [stateOf(from), stateOf(to)];
        const text = words === null ? null : Buffer.from(words);
        const given = { epoch: 2 ** 40, index: 7, seq, wantsAck, checksum: after.checksum(), text };
        const delta = new DeltaReader(encodeDelta(given, before, after));
        expect(delta).toMatchObject({ epoch: 2 ** 40, index: 7, seq, wantsAck, isLoad: false });
        const changed = new ChangedCells();
        const differing = before.values.filter((each, i) => !Object.is(each, after.values[i])).length;
        expect(delta.apply(before, changed)).toEqual(text);
        expect(changed.length).toBe(differing);
        expect(before.values).toEqual(after.values);
        expect(before.checksum()).toBe(delta.checksum);
        changed.restore(before);
        expect(before.values).toEqual(stateOf(from).values);
      }),
      { numRuns: portion(500) },
    );
  });

  it('nothing is sent of rows that are as they were', () => {
    const state = stateOf(Array.from({ length: cells }, (_, i) => i));
    expect(encodeDelta(header, state, state)).toHaveLength(6);
  });

  it('bytes of any kind are read, or refused as what they are', () => {
    const state = stateOf(new Array<number>(cells).fill(1));
    const whole = encodeDelta(header, state, stateOf(new Array<number>(cells).fill(2)));
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((each) => Buffer.from(each)),
      fc.uint8Array({ maxLength: 300 }).map((each) => Buffer.from([2, 0, 1, 2, 3, ...each])),
      fc.tuple(fc.nat(whole.length - 1), fc.nat(255)).map(([at, byte]) => {
        const torn = Buffer.from(whole);
        torn[at] = byte;
        return torn;
      }),
      fc.nat(whole.length - 1).map((length) => whole.subarray(0, length)),
    );
    fc.assert(
      fc.property(bytes, (message) => {
        const target = stateOf(new Array<number>(cells).fill(1));
        try {
          const changed = new ChangedCells();
          new DeltaReader(message).apply(target, changed);
          expect(changed.length).toBeLessThanOrEqual(cells);
          for (const each of target.values) expect(Math.abs(each)).not.toBe(Number.POSITIVE_INFINITY);
        } catch (error) {
          expect(error).toBeInstanceOf(StreamCodecError);
        }
        try {
          expect(decodeKeyframe(message).body.length).toBeLessThan(message.length);
        } catch (error) {
          expect(error).toBeInstanceOf(StreamCodecError);
        }
      }),
      { numRuns: portion(3000) },
    );
  });
});

describe('keyframes', () => {
  it('hold their body', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.uint8Array(), fc.boolean(), (number, bytes, isPacked) => {
        const keyframe = {
          epoch: Math.abs(number),
          encoding: isPacked ? ('gzip' as const) : null,
          body: Buffer.from(bytes),
        };
        expect(decodeKeyframe(encodeKeyframe(keyframe))).toEqual(keyframe);
      }),
    );
  });
});

describe('schemas', () => {
  it('are read as they were sent', () => {
    expect(sentSchema(readSchema(JSON.parse(JSON.stringify(sentSchema(ownSchema)))))).toEqual(sentSchema(ownSchema));
  });

  it('any value is a schema or refused', () => {
    const column = fc.oneof(
      fc.tuple(fc.string(), fc.anything()),
      fc.tuple(fc.constantFrom('a', 'a.b', '__proto__'), fc.integer()),
    );
    const any = fc.oneof(
      fc.anything(),
      fc.record({ head: fc.array(column), gpu: fc.array(column), worker: fc.array(column), held: fc.array(column) }),
    );
    fc.assert(
      fc.property(any, (sent) => {
        try {
          for (const columns of Object.values(readSchema(sent)))
            for (const { scale } of columns) expect(scale).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(StreamCodecError);
        }
      }),
    );
  });

  it('hold every number of a heartbeat and the state of each worker, at a scale that fits nearly all', () => {
    const hive = new SimulatedHive({ id: 'a', workers: 8, gpus: 8, seed: 3, asksEngines: true });
    const numbers = (item: unknown): number =>
      typeof item === 'number'
        ? 1
        : Object.values(item ?? {}).reduce(
            (sum: number, each) => sum + (typeof each === 'object' || typeof each === 'number' ? numbers(each) : 0),
            0,
          );
    const heartbeat = hive.nextHeartbeat();
    const state = new NumericState(ownSchema, countRows(heartbeat));
    state.take(heartbeat);
    const { schema: _schema, seq: _seq, events: _events, faults: _faults, ...rest } = heartbeat;
    expect(state.values.filter((each) => !Number.isNaN(each))).toHaveLength(numbers(rest) + heartbeat.workers.length);
    const empty = new NumericState(ownSchema, countRows(heartbeat));
    expect(encodeDelta(header, empty, state).length / numbers(rest)).toBeLessThan(5);
  });
});
