import { describe, expect, it } from 'vitest';
import type { Silence, SilenceRequest } from '../../lib/contract/silence.js';
import { type DecisionChange, Decisions } from '../../lib/queen/decisions.js';
import { Silences, silenceKey } from '../../lib/queen/silences.js';

const start = Date.parse('2026-03-01T00:00:00Z');
const dayMs = 24 * 3_600_000;
const acknowledge: SilenceRequest = {
  kind: 'acknowledged',
  cause: 'gpuLost',
  hives: ['a'],
  reason: 'ordered',
  by: 'kim',
};

interface Decided {
  readonly expiresAt: string | null;
  readonly by: string;
}
const by = (name: string, expiresAtMs: number | null = null): Decided => ({
  by: name,
  expiresAt: expiresAtMs === null ? null : new Date(expiresAtMs).toISOString(),
});

function decisionsAt(clock: { wallMs: number }) {
  const changes: DecisionChange<Decided>[] = [];
  const decisions = new Decisions<Decided>(
    () => clock.wallMs,
    (change) => changes.push(change),
  );
  let marks = 0;
  decisions.onChange = () => void marks++;
  return { decisions, taken: () => changes.splice(0), marks: () => marks };
}

describe('decisions of admins', () => {
  it('of one that is made, replaced, lifted and lifted again each change is passed on, with what it was before', () => {
    const { decisions, taken, marks } = decisionsAt({ wallMs: start });
    expect(decisions.of('a')).toBeNull();
    expect(decisions.lift('a')).toBeNull();
    expect([taken(), marks()]).toEqual([[], 0]);
    const [kim, lee] = [by('kim'), by('lee')];
    expect(decisions.decide('a', kim)).toEqual({ key: 'a', atMs: start, value: kim });
    // Later than what it replaces, though no time has passed.
    expect(decisions.decide('a', lee)).toEqual({ key: 'a', atMs: start + 1, value: lee });
    expect(decisions.of('a')).toBe(lee);
    expect(decisions.lift('a')).toEqual({ key: 'a', atMs: start + 2, value: null });
    expect(decisions.lift('a')).toBeNull();
    expect(taken()).toEqual([
      { key: 'a', value: kim, before: null, expired: false },
      { key: 'a', value: lee, before: kim, expired: false },
      { key: 'a', value: null, before: lee, expired: false },
    ]);
    expect(marks()).toBe(3);
    // That what never held is lifted is remembered, and is no change that anybody has to hear of.
    decisions.decide('b', null);
    expect([taken(), marks()]).toEqual([[], 4]);
  });

  it('made while the clock stands earlier than before are later than what they replace', () => {
    const clock = { wallMs: start };
    const { decisions } = decisionsAt(clock);
    decisions.decide('a', by('kim'));
    clock.wallMs -= 3_600_000;
    expect(decisions.decide('a', by('lee')).atMs).toBe(start + 1);
    expect(decisions.decide('b', by('lee')).atMs).toBe(start - 3_600_000);
    clock.wallMs += 2 * 3_600_000;
    expect(decisions.decide('a', by('kim')).atMs).toBe(start + 3_600_000);
  });

  it.each([
    ['later', start + 1, true],
    ['of the same moment', start, false],
    ['earlier', start - 1, false],
    ['of a clock that is a minute ahead', start + 60_000, true],
    ['of a clock that is further ahead', start + 60_001, false],
  ])('of another queen, %s, are taken where nothing newer is known', (_, atMs, isTaken) => {
    const { decisions, taken, marks } = decisionsAt({ wallMs: start });
    decisions.decide('a', by('kim'));
    expect(decisions.adopt({ key: 'a', atMs, value: null })).toBe(isTaken);
    expect(decisions.of('a')).toEqual(isTaken ? null : by('kim'));
    expect([taken().length, marks()]).toEqual(isTaken ? [2, 2] : [1, 1]);
    expect(decisions.entries()).toEqual([
      isTaken ? { key: 'a', atMs, value: null } : { key: 'a', atMs: start, value: by('kim') },
    ]);
    // Of what is not known here no time is too early.
    expect(decisions.adopt({ key: 'b', atMs: 1, value: by('lee') })).toBe(true);
    expect(taken()).toEqual([{ key: 'b', value: by('lee'), before: null, expired: false }]);
  });

  it('end when their time is over and not before, with word of it; those without an end stay', () => {
    const clock = { wallMs: start };
    const { decisions, taken } = decisionsAt(clock);
    decisions.decide('hour', by('kim', start + 3_600_000));
    decisions.decide('always', by('lee'));
    taken();
    clock.wallMs = start + 3_599_999;
    decisions.expire();
    expect([taken(), decisions.of('hour')]).toEqual([[], by('kim', start + 3_600_000)]);
    clock.wallMs += 1;
    decisions.expire();
    expect(taken()).toEqual([{ key: 'hour', value: null, before: by('kim', start + 3_600_000), expired: true }]);
    expect(decisions.entries()).toEqual([
      { key: 'hour', atMs: start + 3_600_000, value: null },
      { key: 'always', atMs: start, value: by('lee') },
    ]);
  });

  it('that end where the clock was set back are no older than what they replace', () => {
    const clock = { wallMs: start };
    const { decisions } = decisionsAt(clock);
    decisions.adopt({ key: 'a', atMs: start + 50_000, value: by('kim', start + 10) });
    clock.wallMs += 20;
    decisions.expire();
    expect(decisions.entries()).toEqual([{ key: 'a', atMs: start + 50_000, value: null }]);
  });

  it('that ended are remembered for a day, so that a queen that was away does not bring them back', () => {
    const clock = { wallMs: start };
    const { decisions, taken } = decisionsAt(clock);
    const given = decisions.decide('a', by('kim'));
    decisions.lift('a');
    taken();
    clock.wallMs = start + 1 + dayMs;
    decisions.expire();
    expect(decisions.adopt(given)).toBe(false);
    clock.wallMs += 1;
    decisions.expire();
    expect(decisions.entries()).toEqual([]);
    expect(taken()).toEqual([]);
  });

  it('are ten thousand at most: of another queen what is known already is taken, and nothing new', () => {
    const { decisions } = decisionsAt({ wallMs: start });
    for (let i = 0; i < 9999; i++) decisions.decide(`${i}`, by('kim'));
    expect(decisions.isFull).toBe(false);
    decisions.decide('last', by('kim'));
    expect(decisions.isFull).toBe(true);
    expect(decisions.adopt({ key: 'new', atMs: start, value: by('lee') })).toBe(false);
    expect(decisions.adopt({ key: '7', atMs: start + 1, value: by('lee') })).toBe(true);
    expect(decisions.of('7')).toEqual(by('lee'));
    expect(decisions.entries()).toHaveLength(10_000);
  });
});

describe('silences as decisions', () => {
  const silencesAt = (clock: { wallMs: number }) => {
    const changes: (readonly [string, boolean, boolean])[] = [];
    const changed = ({ key, value, expired }: DecisionChange<Silence>) => changes.push([key, value !== null, expired]);
    return { silences: new Silences(() => clock.wallMs, changed), changes };
  };

  it('are listed in the order in which they began, those of one moment as they were set', () => {
    const clock = { wallMs: start };
    const { silences } = silencesAt(clock);
    silences.set({ ...acknowledge, hives: ['a', 'c', 'b', 'c'] });
    clock.wallMs += 1000;
    silences.set({ ...acknowledge, hives: ['d'] });
    clock.wallMs += 1000;
    // What is set anew begins anew.
    silences.set({ ...acknowledge, hives: ['c'] });
    expect(silences.list().map(({ hive }) => hive)).toEqual(['a', 'b', 'd', 'c']);
    expect(silences.entries()).toHaveLength(4);
  });

  it('are set, lifted and ended under one key each, with word to whoever asks for it', () => {
    const clock = { wallMs: start };
    const { silences, changes } = silencesAt(clock);
    let marks = 0;
    silences.onChange = () => void marks++;
    const { hives: _, ...everywhere } = acknowledge;
    const [all] = silences.set({ ...everywhere, expiresInSeconds: 60 })!;
    const [one] = silences.set(acknowledge)!;
    expect([all!.key, one!.key]).toEqual([silenceKey('gpuLost', null), silenceKey('gpuLost', 'a')]);
    expect(all).toMatchObject({ atMs: start, silence: { hive: null, expiresAt: '2026-03-01T00:01:00.000Z' } });
    expect(one).toMatchObject({ atMs: start, silence: { hive: 'a', expiresAt: '2026-03-02T00:00:00.000Z' } });
    expect(silences.lift('gpuLost', 'a')).toEqual({ key: one!.key, atMs: start + 1, silence: null });
    expect(silences.lift('gpuLost', 'a')).toBeNull();
    clock.wallMs += 60_000;
    silences.expire();
    expect(changes).toEqual([
      [all!.key, true, false],
      [one!.key, true, false],
      [one!.key, false, false],
      [all!.key, false, true],
    ]);
    expect(marks).toBe(4);
    silences.onChange = null;
    silences.set(acknowledge);
    expect(marks).toBe(4);
  });

  it('are ten thousand at most: more are refused, and what is lifted makes room a day later', () => {
    const clock = { wallMs: start };
    const { silences } = silencesAt(clock);
    const hives = Array.from({ length: 10_000 }, (_, i) => `host-${i}`);
    expect(silences.set({ ...acknowledge, hives, expiresInSeconds: 7 * 24 * 3600 })).toHaveLength(10_000);
    expect(silences.set(acknowledge)).toBeNull();
    expect(silences.lift('gpuLost', 'host-1')).not.toBeNull();
    expect(silences.set(acknowledge)).toBeNull();
    clock.wallMs += dayMs + 2;
    silences.expire();
    expect(silences.set(acknowledge)).toHaveLength(1);
    expect(silences.set(acknowledge)).toBeNull();
  });

  it('of another queen are taken where they are ones, and fit their key', () => {
    const clock = { wallMs: start };
    const [entry] = silencesAt(clock).silences.set(acknowledge)!;
    const { silences } = silencesAt(clock);
    for (const wrong of [{ ...entry, key: 'b gpuLost' }, { ...entry, key: '' }, { ...entry, atMs: -1 }, null, 7])
      expect(silences.adopt(wrong)).toBe(false);
    expect(silences.adopt(entry)).toBe(true);
    expect(silences.list()).toEqual([entry!.silence]);
    expect(silences.adopt({ ...entry, atMs: start + 1, silence: null })).toBe(true);
    expect(silences.list()).toEqual([]);
  });
});
