import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeyframeRounds, type KeyframeSource } from '../../lib/api/keyframe-rounds.js';

/** A hive that sends a keyframe as soon as it is asked. */
class Hive implements KeyframeSource {
  keyframeAtMs: number | null;
  readonly keyframeBytes: number;
  readonly asked: number[] = [];

  constructor(bytes: number, keyframeAtMs: number | null = 0) {
    this.keyframeBytes = bytes;
    this.keyframeAtMs = keyframeAtMs;
  }

  askForKeyframe(nowMs: number): void {
    this.asked.push(nowMs);
    this.keyframeAtMs = nowMs;
  }
}

const lookMs = 100;

function run(open: ReadonlySet<Hive>, untilMs: number): void {
  const rounds = new KeyframeRounds(open, 0);
  for (let nowMs = lookMs; nowMs <= untilMs; nowMs += lookMs) rounds.look(nowMs);
}

describe('rounds of keyframes', () => {
  it('ask each hive of a small fleet each minute, and no sooner', () => {
    const open = new Set(Array.from({ length: 240 }, () => new Hive(2600)));
    run(open, 185_000);
    for (const { asked } of open) {
      expect(asked).toHaveLength(3);
      for (const [i, atMs] of asked.entries()) {
        const sinceMs = atMs - (asked[i - 1] ?? 0);
        expect(sinceMs).toBeGreaterThanOrEqual(60_000);
        expect(sinceMs).toBeLessThan(66_000);
      }
    }
  });

  it('go through ten thousand hives in some 200 s, at no more than 128 KiB of keyframes a second', () => {
    const hives = Array.from({ length: 10_000 }, () => new Hive(2600));
    run(new Set(hives), 270_000);
    for (const { asked } of hives) expect(asked.length).toBeGreaterThanOrEqual(1);
    const perSecond = new Map<number, number>();
    for (const { asked } of hives)
      for (const atMs of asked) {
        const second = Math.floor((atMs - 60_000) / 1000);
        perSecond.set(second, (perSecond.get(second) ?? 0) + 2600);
      }
    // What was saved up while none was due goes at first.
    for (const [second, bytes] of perSecond) expect(bytes).toBeLessThanOrEqual((second === 0 ? 2 : 1.1) * 128 * 1024);
  });

  it('leave out those that have sent none yet, and those whose own came within the minute', () => {
    const [fresh, unheard, due] = [new Hive(100, 50_000), new Hive(100, null), new Hive(100)];
    run(new Set([fresh, unheard, due]), 61_000);
    expect([fresh.asked.length, unheard.asked.length, due.asked.length]).toEqual([0, 0, 1]);
  });

  it('reach every hive, whatever comes and goes between two looks', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ joins: fc.nat(20), leaves: fc.nat(20) }), { maxLength: 40 }), (steps) => {
        const open = new Set<Hive>([new Hive(1000)]);
        const rounds = new KeyframeRounds(open, 0);
        let nowMs = 0;
        const look = () => {
          nowMs += lookMs;
          rounds.look(nowMs);
        };
        for (const { joins, leaves } of steps) {
          for (let i = 0; i < joins; i++) open.add(new Hive(1000, nowMs));
          for (const hive of [...open].slice(0, Math.min(leaves, open.size - 1))) open.delete(hive);
          look();
        }
        const untilMs = nowMs + 60_000 + 10_000;
        while (nowMs < untilMs) look();
        for (const { asked } of open) expect(asked.length).toBeGreaterThanOrEqual(1);
      }),
      { numRuns: 50 },
    );
  });
});
