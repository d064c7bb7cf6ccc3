import { describe, expect, it } from 'vitest';
import { ChangedCells } from '../../../lib/contract/stream/cells.js';
import {
  DeltaReader,
  decodeKeyframe,
  encodeDelta,
  encodeKeyframe,
  readSchema,
  sentSchema,
} from '../../../lib/contract/stream/codec.js';
import { NumericState } from '../../../lib/contract/stream/state.js';

/** The bytes of a message stay as they are: each end may be of another version. */

const numbers = (count: number, scale = 1) => Array.from({ length: count }, (_, i) => [`c${i}`, scale]);
const schema = readSchema({
  head: [
    ['whole', 1],
    ['hundredths', 100],
  ],
  gpu: numbers(8),
  worker: numbers(11),
  held: [],
});
const { NaN: none } = Number;
const newState = (...head: number[]) => {
  const state = new NumericState(schema, { gpus: 2, workers: 1, held: [1] });
  state.values.set(head);
  return state;
};
const header = { epoch: 5, index: 6, seq: 7, wantsAck: false, checksum: null, text: null };
/** Of a delta without flags. */
const begin = [2, 0, 5, 6, 7];
const encode = (before: NumericState, after: NumericState) => [...encodeDelta(header, before, after)];
const apply = (bytes: readonly number[], state: NumericState) => {
  const changed = new ChangedCells();
  const text = new DeltaReader(Buffer.from(bytes)).apply(state, changed);
  return { text, changed: changed.length };
};

/** A number in groups of seven bits, the lowest first. */
const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
const double = (value: number): number[] => {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return [...bytes];
};

describe('numbers', () => {
  it.each([
    [0, [0]],
    [127, [127]],
    [128, [0x80, 1]],
    [256, [0x80, 2]],
    [16_383, [0xff, 127]],
    [2 ** 31 - 1, [0xff, 0xff, 0xff, 0xff, 7]],
    [2 ** 31, [0x80, 0x80, 0x80, 0x80, 8]],
    [2 ** 42 + 5, [0x85, 0x80, 0x80, 0x80, 0x80, 0x80, 1]],
    [Number.MAX_SAFE_INTEGER, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 15]],
  ])('%i takes its groups of seven bits', (epoch, bytes) => {
    const message = encodeKeyframe({ epoch, encoding: null, body: Buffer.from('body') });
    expect([...message]).toEqual([1, 0, ...bytes, ...Buffer.from('body')]);
    expect(decodeKeyframe(message)).toEqual({ epoch, encoding: null, body: Buffer.from('body') });
  });

  it.each([
    ['does not end', [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0], /does not end/],
    ['is too large', [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 16], /too large/],
    ['ends too early', [0x80], /ends too early/],
  ])('one that %s is refused', (_what, bytes, message) => {
    expect(() => decodeKeyframe(Buffer.from([1, 0, ...bytes]))).toThrow(message);
  });
});

describe('a keyframe', () => {
  it('is no other message, nor one of a version that says more', () => {
    const packed = Buffer.from([1, 1, 9, 65]);
    expect(encodeKeyframe({ epoch: 9, encoding: 'gzip', body: Buffer.from('A') })).toEqual(packed);
    expect(decodeKeyframe(packed)).toEqual({ epoch: 9, encoding: 'gzip', body: Buffer.from('A') });
    expect(decodeKeyframe(Buffer.from([1, 0, 0])).body).toHaveLength(0);
    expect(() => decodeKeyframe(Buffer.from([2, 1, 9, 65]))).toThrow(/no keyframe/);
    for (const flags of [2, 3, 128]) expect(() => decodeKeyframe(Buffer.from([1, flags, 9]))).toThrow(/unknown flags/);
    for (const short of [[], [1], [1, 0]]) expect(() => decodeKeyframe(Buffer.from(short))).toThrow(/too early/);
  });

  it('is as long as its body, however long that is', () => {
    for (const length of [1020, 1021, 1022, 1500, 100_000]) {
      const body = Buffer.alloc(length, length % 251);
      const read = decodeKeyframe(encodeKeyframe({ epoch: 1, encoding: null, body }));
      expect(read.body.equals(body), String(length)).toBe(true);
    }
  });
});

describe('the head of a delta', () => {
  const state = newState(1, 2);
  it.each([
    ['nothing else', {}, [2, 0, 5, 6, 7, 0]],
    ['an acknowledgement', { wantsAck: true }, [2, 1, 5, 6, 7, 0]],
    ['text', { text: Buffer.from('{}') }, [2, 2, 5, 6, 7, 0, 123, 125]],
    ['empty text', { text: Buffer.alloc(0) }, [2, 2, 5, 6, 7, 0]],
    ['a checksum', { checksum: 0x0102_0304 }, [2, 4, 5, 6, 7, 4, 3, 2, 1, 0]],
    ['a checksum that is 0', { checksum: 0 }, [2, 4, 5, 6, 7, 0, 0, 0, 0, 0]],
    ['a load', { isLoad: true }, [2, 8, 5, 6, 7, 0]],
  ])('says %s', (_what, over, bytes) => {
    const given = { ...header, ...over };
    const message = encodeDelta(given, state, state);
    expect([...message]).toEqual(bytes);
    const { epoch, index, seq, wantsAck, checksum, isLoad, hasText } = new DeltaReader(message);
    expect({ epoch, index, seq, wantsAck, checksum, isLoad }).toEqual({
      ...{ epoch: 5, index: 6, seq: 7 },
      wantsAck: 'wantsAck' in over,
      checksum: given.checksum,
      isLoad: 'isLoad' in over,
    });
    expect(hasText).toBe('text' in over);
    expect(new DeltaReader(message).apply(newState(1, 2), new ChangedCells())).toEqual(given.text);
  });

  it.each([
    ['of another type', [1, 0, 5, 6, 7, 0], /no delta/],
    ['of a version that says more', [2, 16, 5, 6, 7, 0], /unknown flags/],
    ['a load that wants an answer', [2, 9, 5, 6, 7, 0], /no load/],
    ['a load with text', [2, 10, 5, 6, 7, 0], /no load/],
    ['too short', [2, 0, 5, 6], /too early/],
    ['without all of its checksum', [2, 4, 5, 6, 7, 1, 2, 3], /too early/],
  ])('is refused where it is %s', (_what, bytes, message) => {
    expect(() => new DeltaReader(Buffer.from(bytes))).toThrow(message);
  });
});

describe('values of a delta', () => {
  /** What stands behind the head where one value of the first row has changed. */
  const one = (column: number, ...bytes: number[]) => [...begin, 1, 0, 1 << column, ...bytes];

  it.each<[string, number, number, number, readonly number[]]>([
    ['one more', 0, 1, 2, varint(2 + 2)],
    ['one less', 0, 2, 1, varint(2 + 1)],
    ['nothing, of a value', 0, 5, none, [0]],
    ['0, of nothing', 0, none, 0, varint(2)],
    ['a value, of nothing', 0, none, -3, varint(2 + 5)],
    ['0, of what is no whole number', 0, 0.5, 0, varint(2)],
    ['a value of which only the last bit differs', 0, 1.5, 1.5000000000000002, [1, ...double(1.5000000000000002)]],
    ['a fraction where whole numbers are expected', 0, 7, 7.25, [1, ...double(7.25)]],
    ['the most that is a difference', 0, 0, 2 ** 50, varint(2 ** 51 + 2)],
    ['one more than that', 0, 0, 2 ** 50 + 1, [1, ...double(2 ** 50 + 1)]],
    ['the least that is a difference', 0, 0, -(2 ** 50), varint(2 ** 51 + 1)],
    ['one less than that', 0, 0, -(2 ** 50) - 1, [1, ...double(-(2 ** 50) - 1)]],
    ['from the least to the most', 0, -(2 ** 50), 2 ** 50, varint(2 ** 52 + 2)],
    ['much more', 0, 10, 2 ** 33 + 10, varint(2 ** 34 + 2)],
    ['much less', 0, 10, 10 - 2 ** 33, varint(2 ** 34 + 1)],
    ['the most of small differences', 0, 0, 2 ** 29, varint(2 ** 30 + 2)],
    ['more than small differences', 0, 0, 2 ** 30, varint(2 ** 31 + 2)],
    ['less than small differences', 0, 0, -(2 ** 30), varint(2 ** 31 + 1)],
    ['hundredths', 1, 12.5, 12.75, varint(50 + 2)],
    ['less hundredths', 1, 12.75, 12.5, varint(49 + 2)],
    ['thousandths where hundredths are expected', 1, 12.5, 12.505, [1, ...double(12.505)]],
    ['hundredths, of nothing', 1, none, 0.07, varint(14 + 2)],
    ['the most hundredths', 1, 0, 11_258_999_068_426.24, varint(2 ** 51 + 2)],
    ['more hundredths than that', 1, 0, 11_258_999_068_426.26, [1, ...double(11_258_999_068_426.26)]],
    ['the least hundredths', 1, 0, -11_258_999_068_426.24, varint(2 ** 51 + 1)],
    ['less hundredths than that', 1, 0, -11_258_999_068_426.26, [1, ...double(-11_258_999_068_426.26)]],
  ])('%s', (_what, column, from, to, bytes) => {
    const head = (value: number) => (column === 0 ? newState(value, 3) : newState(3, value));
    const [before, after] = [head(from), head(to)];
    const sent = encode(before, after);
    expect(sent).toEqual(one(column, ...bytes));
    expect(apply(sent, before)).toEqual({ text: null, changed: 1 });
    expect(before.values).toEqual(after.values);
  });

  it('those that differ from what stands beside them are sent', () => {
    expect(encode(newState(5, 3), newState(5, 5))).toEqual(one(1, ...varint(400 + 2)));
    expect(encode(newState(5, 5), newState(5, 3))).toEqual(one(1, ...varint(399 + 2)));
  });

  it('zeros of either sign are one, and so are all values that are none', () => {
    const [before, after] = [newState(0, none), newState(-0, none)];
    const bits = new BigUint64Array(after.values.buffer);
    bits[1] = 0x7ff8_0000_0000_0001n;
    expect(bits[1]).not.toBe(new BigUint64Array(before.values.buffer)[1]);
    expect(encode(before, after)).toEqual([...begin, 0]);
  });

  it('those that are as before change nothing, and no zero below zero is read', () => {
    const state = newState(4, none);
    expect(apply([...begin, 1, 0, 3, 2, 0], state)).toEqual({ text: null, changed: 0 });
    expect(apply(one(0, 1, ...double(-0)), state).changed).toBe(1);
    expect(Object.is(state.values[0], 0)).toBe(true);
    expect(apply(one(0, 2), state).changed).toBe(0);
  });

  it.each([
    ['more than the most', newState(2 ** 50, 0), one(0, 4), /too large/],
    ['less than the least', newState(-(2 ** 50), 0), one(0, 3), /too large/],
    ['no number', newState(1, 0), one(0, 1, ...double(none)), /no number/],
    ['without end', newState(1, 0), one(0, 1, ...double(Number.POSITIVE_INFINITY)), /no number/],
    ['torn', newState(1, 0), one(0, 1, 1, 2, 3), /too early/],
  ])('%s are refused', (_what, state, bytes, message) => {
    const before = Float64Array.from(state.values);
    expect(() => apply(bytes, state)).toThrow(message);
    expect(state.values).toEqual(before);
  });
});

describe('rows of a delta', () => {
  it('are named by how many lie between, each with a mask of its columns', () => {
    const [before, after] = [newState(), newState()];
    after.values.fill(1, 2, 3);
    // The last of a GPU's eight; the first, the ninth and the last of a worker's eleven.
    after.values[2 + 8 + 7] = 2;
    for (const column of [0, 8, 10]) after.values[2 + 16 + column] = 3;
    const bytes = [...begin, 3, ...[1, 1, 4], ...[0, 128, 6], ...[0, 1, 5, 8, 8, 8]];
    expect(encode(before, after)).toEqual(bytes);
    expect(apply(bytes, before)).toEqual({ text: null, changed: 5 });
    expect(before.values).toEqual(after.values);
    // Those that are in the text are not named.
    expect([...encodeDelta(header, newState(), after, (row) => row === 1 || row === 3)]).toEqual([
      ...begin,
      1,
      2,
      128,
      6,
    ]);
  });

  it('are all of them where all have changed', () => {
    const columns = numbers(1);
    const small = readSchema({ head: columns, gpu: columns, worker: columns, held: columns });
    const [before, after] = [1, 2].map((value) => {
      const state = new NumericState(small, { gpus: 1, workers: 1, held: [1] });
      state.values.fill(value);
      return state;
    }) as [NumericState, NumericState];
    const bytes = [...begin, 4, ...[0, 1, 4], ...[0, 1, 4], ...[0, 1, 4], ...[0, 1, 4]];
    expect(encode(before, after)).toEqual(bytes);
    expect(apply(bytes, before).changed).toBe(4);
    expect(before.values).toEqual(after.values);
    expect(apply([...begin, 1, 3, 0], before).changed).toBe(0);
  });

  it.each([
    ['more than there are', [6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], /more rows than there are/],
    ['one behind the last', [1, 5], /no such row/],
    ['one behind the last, after the last', [2, 4, 0], /no such row/],
    ['a mask of more columns', [1, 0, 4, 4], /mask is too long/],
    ['a mask of more columns in its last byte', [1, 3, 0, 8, 4], /mask is too long/],
    ['half a mask', [1, 3, 1], /too early/],
    ['bytes behind all', [0, 0], /left over/],
  ])('%s are refused', (_what, bytes, message) => {
    expect(() => apply([...begin, ...bytes], newState(1, 2))).toThrow(message);
  });

  it('say anew what has changed, whatever was said before', () => {
    const [changed, state] = [new ChangedCells(), newState(1, 1)];
    changed.add(0, 1, 9);
    new DeltaReader(Buffer.from([...begin, 1, 0, 1, 6])).apply(state, changed);
    expect([changed.length, changed.column(0)]).toEqual([1, 0]);
    changed.restore(state);
    expect([...state.values.subarray(0, 2)]).toEqual([1, 1]);
  });

  it('are as many as there are, in a message of any length', () => {
    const wide = readSchema({ head: numbers(200, 100), gpu: numbers(250, 1), worker: [], held: numbers(3, 1000) });
    const stateOf = (value: (at: number) => number) => {
      const state = new NumericState(wide, { gpus: 30, workers: 2, held: [90, 0] });
      for (let at = 0; at < state.values.length; at++) state.values[at] = value(at);
      return state;
    };
    const [before, after] = [stateOf((at) => at), stateOf((at) => Math.sqrt(at))];
    apply([...encodeDelta(header, before, after)], before);
    expect(before.checksum()).toBe(after.checksum());
  });
});

describe('a schema', () => {
  const whole = { head: [], gpu: [], worker: [], held: [] };
  const column = (...given: unknown[]) => ({ ...whole, worker: [given] });
  const words = (count: number) => Array.from({ length: count }, (_, i) => `w${i}`);
  const long = 'x'.repeat(64);

  it.each<[string, object]>([
    ['nothing', whole],
    ['a scale', column('a', 1)],
    ['the largest scale', column('a', 1e6)],
    ['a word', column('a', ['idle'])],
    ['most words', column('a', words(64))],
    ['a long word', column('a', [long])],
    ['most columns', { ...whole, gpu: numbers(256) }],
    ['a long name', column(`${long}.${long}.${long}.${long}`, 7)],
    ['one name in two rows', { ...whole, gpu: [['a', 1]], worker: [['a', 2]] }],
  ])('may hold %s', (_what, sent) => {
    expect(sentSchema(readSchema(sent))).toEqual(sent);
  });

  it('says where a value is found', () => {
    expect(readSchema(column('a.b.c', 10)).worker).toEqual([{ name: 'a.b.c', path: ['a', 'b', 'c'], scale: 10 }]);
    expect(readSchema(column('a', ['on', 'off'])).worker).toEqual([
      { name: 'a', path: ['a'], scale: 1, words: ['on', 'off'] },
    ]);
  });

  it.each<[string, unknown, RegExp]>([
    ['nothing', null, /has no schema/],
    ['a number', 7, /has no schema/],
    ['left out', undefined, /has no schema/],
    ['without a type of row', { ...whole, held: undefined }, /its held has no columns/],
    ['of what is no list', { ...whole, gpu: { length: 0 } }, /its gpu has no columns/],
    ['of too many columns', { ...whole, gpu: numbers(257) }, /its gpu has no columns/],
    ['of a column that is none', { ...whole, worker: ['ab'] }, /a column is malformed/],
    ['of a column without a scale', column('a'), /a column is malformed/],
    ['of a column with more', column('a', 1, 2), /a column is malformed/],
    ['of a name that is none', column(['a'], 1), /a name is malformed/],
    ['of an empty name', column('', 1), /a name is malformed/],
    ['of a name too long', column(`${long}x`, 1), /a name is malformed/],
    ['of a name too deep', column('a.b.c.d.e', 1), /a name is malformed/],
    ['of a name that would be code', column('a;b', 1), /a name is malformed/],
    ['of a name twice', { ...whole, head: [...numbers(2), ['c1', 100]] }, /a name is malformed/],
    ['of no scale', column('a', null), /a scale is malformed/],
    ['of a scale of 0', column('a', 0), /a scale is malformed/],
    ['of a scale too large', column('a', 1e6 + 1), /a scale is malformed/],
    ['of half a scale', column('a', 1.5), /a scale is malformed/],
    ['of a scale in a word', column('a', '1'), /a scale is malformed/],
    ['of no words', column('a', []), /words are malformed/],
    ['of too many words', column('a', words(65)), /words are malformed/],
    ['of a word twice', column('a', ['on', 'off', 'on']), /words are malformed/],
    ['of a word that is none', column('a', ['on', 7]), /words are malformed/],
    ['of a word in a list', column('a', [['on']]), /words are malformed/],
    ['of an odd word', column('a', ['on', 'o n']), /words are malformed/],
  ])('is refused where it is %s', (_what, sent, message) => {
    expect(() => readSchema(sent)).toThrow(message);
  });
});
