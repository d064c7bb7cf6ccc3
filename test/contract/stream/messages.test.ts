import { describe, expect, it } from 'vitest';
import {
  helloOf,
  type QueenMessage,
  readQueenMessage,
  readReply,
  resyncReasons,
} from '../../../lib/contract/stream/messages.js';

const read = (value: unknown) => readQueenMessage(JSON.stringify(value));

const reply = { accepted: true, queenId: 'q1', ackEventSeq: 7, intervalMs: 1250 } as const;
const welcome = {
  type: 'welcome',
  queenId: 'q1',
  intervalMs: 2500,
  ackEvery: 16,
  takesLoads: true,
  asksForKeyframes: false,
} as const;

describe('an answer to a heartbeat', () => {
  it.each<[string, object, object | null]>([
    ['as it is', reply, reply],
    ['the first of all', { ...reply, ackEventSeq: 0 }, { ...reply, ackEventSeq: 0 }],
    ['of a queen that knows more', { ...reply, future: 1 }, reply],
    ['that is degraded', { ...reply, degraded: true }, { ...reply, degraded: true }],
    ['that is not', { ...reply, degraded: false }, reply],
    ['that is in a word of its own', { ...reply, degraded: 'yes' }, reply],
    ['that asks for a minute', { ...reply, intervalMs: 60_000 }, { ...reply, intervalMs: 60_000 }],
    ['that would silence the hive', { ...reply, intervalMs: 60_001 }, { ...reply, intervalMs: 60_000 }],
    ['that refuses', { ...reply, accepted: false }, null],
    ['that says so in a word', { ...reply, accepted: 'true' }, null],
    ['of nobody', { ...reply, queenId: null }, null],
    ['with half an event', { ...reply, ackEventSeq: 1.5 }, null],
    ['without events', { ...reply, ackEventSeq: undefined }, null],
    ['with an interval that is a word', { ...reply, intervalMs: '1250' }, null],
    ['with an interval without end', { ...reply, intervalMs: Number.POSITIVE_INFINITY }, null],
  ])('%s', (_what, given, taken) => {
    expect(readReply(given)).toEqual(taken);
  });

  it('is no other value', () => {
    for (const value of [null, undefined, 'accepted', 1, true, []]) expect(readReply(value)).toBeNull();
  });

  it('says nothing of a degraded queen that is not', () => {
    expect(Object.keys(readReply(reply)!)).toEqual(Object.keys(reply));
  });
});

describe('a message of a queen', () => {
  const ack = { type: 'ack', epoch: 3, index: 2, deltas: true, reply } as const;
  const refused = { type: 'refused', status: 429, code: 'RATE_LIMITED', message: 'Too many.' } as const;

  it.each<[string, object, QueenMessage | null]>([
    ['welcome', welcome, welcome],
    [
      'welcome the other way',
      { ...welcome, asksForKeyframes: true, takesLoads: false },
      {
        ...welcome,
        asksForKeyframes: true,
        takesLoads: false,
      },
    ],
    [
      'welcome of an older queen',
      { type: 'welcome', queenId: 'q0', intervalMs: 0, ackEvery: 1 },
      {
        ...{ type: 'welcome', queenId: 'q0', intervalMs: 0, ackEvery: 1 },
        ...{ takesLoads: false, asksForKeyframes: false },
      },
    ],
    ['welcome, slowly', { ...welcome, intervalMs: 3_600_000 }, { ...welcome, intervalMs: 60_000 }],
    ['welcome of nobody', { ...welcome, queenId: 7 }, null],
    ['welcome before time', { ...welcome, intervalMs: -1 }, null],
    ['welcome without acknowledgements', { ...welcome, ackEvery: 0 }, null],
    ['welcome with half an acknowledgement', { ...welcome, ackEvery: 0.5 }, null],
    ['ack', ack, ack],
    ['ack of a keyframe', { ...ack, epoch: 0, index: 0 }, { ...ack, epoch: 0, index: 0 }],
    ['ack without deltas', { ...ack, deltas: false }, { ...ack, deltas: false }],
    ['ack that does not say', { ...ack, deltas: undefined }, { ...ack, deltas: false }],
    ['ack of no epoch', { ...ack, epoch: -1 }, null],
    ['ack of no message', { ...ack, index: '2' }, null],
    ['ack without an answer', { ...ack, reply: { ...reply, queenId: 1 } }, null],
    ['interval', { type: 'interval', intervalMs: 0 }, { type: 'interval', intervalMs: 0 }],
    ['interval, slowly', { type: 'interval', intervalMs: 60_001 }, { type: 'interval', intervalMs: 60_000 }],
    ['interval of none', { type: 'interval', intervalMs: null }, null],
    ['keyframe', { type: 'keyframe', future: 1 }, { type: 'keyframe' }],
    ...resyncReasons.map((reason): [string, object, QueenMessage] => [
      `resync, ${reason}`,
      { type: 'resync', reason },
      { type: 'resync', reason },
    ]),
    ['resync for what is newer', { type: 'resync', reason: 'tired' }, { type: 'resync', reason: 'malformed' }],
    ['refused', refused, refused],
    ['refused for now', { ...refused, retryAfterSeconds: 0 }, { ...refused, retryAfterSeconds: 0 }],
    ['refused for less than nothing', { ...refused, retryAfterSeconds: -1 }, refused],
    [
      'refused at length',
      { ...refused, code: 'C'.repeat(65), message: 'm'.repeat(257) },
      {
        ...refused,
        code: 'C'.repeat(64),
        message: 'm'.repeat(256),
      },
    ],
    [
      'refused without words',
      { type: 'refused', status: 503, code: 1 },
      {
        ...{ type: 'refused', status: 503 },
        ...{ code: '', message: '' },
      },
    ],
    ['refused without a status', { ...refused, status: 'no' }, null],
    ['goaway', { type: 'goaway', withinMs: 59_999 }, { type: 'goaway', withinMs: 59_999 }],
    ['goaway for long', { type: 'goaway', withinMs: 60_001 }, { type: 'goaway', withinMs: 60_000 }],
    ['goaway for ever', { type: 'goaway', withinMs: null }, null],
    ['one of a newer queen', { type: 'dance' }, null],
    ['none', {}, null],
  ])('%s', (_what, given, taken) => {
    const message = read(given);
    expect(message).toEqual(taken);
    if (taken !== null) expect(Object.keys(message!).sort()).toEqual(Object.keys(taken).sort());
  });

  it('is JSON of an object', () => {
    for (const text of ['', '{', 'null', '7', '"welcome"']) expect(readQueenMessage(text), text).toBeNull();
  });
});

it('a hive begins with what its numbers are', () => {
  const schema = { head: [['intervalMs', 1]], gpu: [], worker: [['state', ['idle']]], held: [] } as const;
  expect(JSON.parse(helloOf(schema))).toEqual({ type: 'hello', schema });
});
