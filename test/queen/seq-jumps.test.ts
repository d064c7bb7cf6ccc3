import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Heartbeat } from '../../lib/contract/heartbeat.js';
import { maxEventSeqJump, maxSeqJump, seqResyncMs } from '../../lib/queen/incarnations.js';
import { portion } from '../harness/draws.js';
import { eventOf } from '../harness/heartbeats.js';
import { bareHeartbeat, TestQueen } from './heartbeats.js';
import { intakeOf, StreamLink } from './stream-model.js';

type Door = (heartbeat: Heartbeat) => Promise<true | string | null>;

/** The ways by which a heartbeat reaches a registry. Each answers true, or the code of the refusal. */
const doors: Readonly<Record<string, (queen: TestQueen) => Door>> = {
  'by POST': (queen) => {
    const intake = intakeOf(queen);
    const source = { key: 'k', owner: 'o', hive: 'a' };
    return async (heartbeat) => {
      const outcome = await intake.receive({ bytes: Buffer.from(JSON.stringify(heartbeat)), encoding: null }, source);
      return outcome.accepted || outcome.code;
    };
  },
  'by a stream': (queen) => {
    const link = new StreamLink(queen, queen.time.read);
    return (heartbeat) => link.send(heartbeat);
  },
  'by NATS': (queen) => {
    const intake = intakeOf(queen);
    return async (heartbeat) => {
      const outcome = await intake.receiveShared(
        { bytes: Buffer.from(JSON.stringify(heartbeat)), encoding: null },
        'a',
      );
      return outcome.accepted || outcome.code;
    };
  },
};

interface Step {
  readonly afterMs: number;
  readonly rise: number;
  /** By how much the seq of its event is above the last one; null: it has none. */
  readonly eventRise: number | null;
}

const last = Number.MAX_SAFE_INTEGER;
const riseOf = (most: number) =>
  fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 1, max: 3 }) },
    { weight: 1, arbitrary: fc.integer({ min: -3, max: 0 }) },
    { weight: 2, arbitrary: fc.constantFrom(most, most + 1, 2 * most, 2 ** 40, last) },
  );
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    afterMs: fc.oneof(
      { weight: 4, arbitrary: fc.integer({ min: 0, max: 3000 }) },
      { weight: 1, arbitrary: fc.constantFrom(seqResyncMs - 1, seqResyncMs, 30_000) },
    ),
    rise: riseOf(maxSeqJump),
    eventRise: fc.option(riseOf(maxEventSeqJump), { nil: null }),
  }),
  { minLength: 1, maxLength: 25 },
);

/** A seq as it can be sent: JSON has no larger whole number that is read as it was written. */
const bounded = (seq: number): number => Math.min(last, Math.max(1, seq));

/** What a queen has heard of a run. */
class Known {
  seq = 0;
  eventSeq = 0;
  atMs = 0;

  /** What a queen has to answer to this one. */
  judge(seq: number, eventSeq: number, nowMs: number): true | string {
    if (seq <= this.seq) return 'STALE_SEQ';
    if (nowMs - this.atMs >= seqResyncMs) return true;
    const jumps = this.seq > 0 && seq - this.seq > maxSeqJump;
    const eventsJump = this.eventSeq > 0 && eventSeq - this.eventSeq > maxEventSeqJump;
    return jumps || eventsJump ? 'IMPLAUSIBLE_SEQ' : true;
  }

  hear(seq: number, eventSeq: number, nowMs: number): void {
    this.seq = seq;
    this.eventSeq = Math.max(this.eventSeq, eventSeq);
    this.atMs = nowMs;
  }
}

describe.each(Object.entries(doors))('a run that counts as no run does, %s', (_, open) => {
  it('is refused while it is heard, is believed after a silence, and nothing that was refused is acknowledged', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        const queen = new TestQueen();
        const send = open(queen);
        const known = new Known();
        for (const { afterMs, rise, eventRise } of sequence) {
          // A hive that is silent for longer is forgotten, and with it what its run had counted.
          if (known.seq > 0 && queen.time.nowMs + afterMs - known.atMs > 80_000) break;
          queen.time.advance(afterMs);
          const seq = bounded(known.seq + rise);
          const eventSeq = eventRise === null ? 0 : bounded(known.eventSeq + eventRise);
          const answer = await send(bareHeartbeat('a', seq, { events: eventRise === null ? [] : [eventOf(eventSeq)] }));
          expect(answer).toBe(known.judge(seq, eventSeq, queen.time.nowMs));
          if (answer === true) known.hear(seq, eventSeq, queen.time.nowMs);
        }
        if (known.seq === 0 || known.seq === last) return;
        expect(queen.hear('a', known.seq + 1)).toMatchObject({ accepted: true, ackEventSeq: known.eventSeq });
      }),
      { numRuns: portion(100) },
    );
  });

  it('a jump between two good heartbeats costs nothing of what follows', async () => {
    const queen = new TestQueen();
    const send = open(queen);
    expect(await send(bareHeartbeat('a', 7, { events: [eventOf(1)] }))).toBe(true);
    queen.time.advance(1000);
    expect(await send(bareHeartbeat('a', last))).toBe('IMPLAUSIBLE_SEQ');
    expect(await send(bareHeartbeat('a', 8, { events: [eventOf(last)] }))).toBe('IMPLAUSIBLE_SEQ');
    expect(await send(bareHeartbeat('a', 8, { events: [eventOf(2)] }))).toBe(true);
    expect(queen.hear('a', 9)).toMatchObject({ accepted: true, ackEventSeq: 2 });
    expect(queen.events.recent().filter(({ kind }) => kind === eventOf(2).kind)).toHaveLength(2);
  });
});
