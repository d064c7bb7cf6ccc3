import { describe, expect, it } from 'vitest';
import type { MissingKind, MissingReason } from '../../lib/contract/missing.js';
import { MissingItems } from '../../lib/queen/missing.js';
import { maxPageChars } from '../../lib/queen/queries.js';
import { gpuSample } from './heartbeats.js';

interface Lost {
  readonly kind?: MissingKind;
  readonly hive?: string;
  readonly owner?: string;
  readonly reason?: MissingReason;
  readonly name?: string;
}

/** Adds one item; all that differ only in `key`, of one length, cost the same. */
const lose = (
  missing: MissingItems,
  key: string,
  { kind = 'gpu', hive = 'a', owner = 't', reason = 'notReported', name = '' }: Lost = {},
) => missing.add(kind, key, reason, { ...gpuSample(key), hive, name, ageMs: 0 } as never, owner);

const three = (n: number): string => String(n).padStart(3, '0');

/** What one item of `lose(missing, three(n), { hive: three(n) })` costs. */
const itemBytes = ((): number => {
  const last = JSON.stringify({ ...gpuSample('000'), hive: '000', name: '', ageMs: 0 });
  return 2 * last.length + 512;
})();

/** `count` items of an owner, each of a hive of its own, that begin with `first`. */
function loseMany(missing: MissingItems, owner: string, first: number, count: number): void {
  for (let i = first; i < first + count; i++) lose(missing, three(i), { hive: three(i), owner });
}

const kept = (missing: MissingItems) => missing.list({ limit: 1000 }).items.map(({ key }) => Number(key));
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe('what is missing, over its budget', () => {
  it('the oldest of the owner with the most go, a sixty-fourth of the budget at once, and nothing of another owner', () => {
    const missing = new MissingItems(() => 0, 100 * itemBytes);
    // No owner has an eighth: 12 of the first, 11 of each other.
    loseMany(missing, 'most', 0, 12);
    for (let owner = 0; owner < 8; owner++) loseMany(missing, `other ${owner}`, 12 + owner * 11, 11);
    expect(kept(missing)).toEqual(range(0, 100));
    loseMany(missing, 'new', 100, 1);
    expect(kept(missing)).toEqual(range(3, 101));
  });

  it('of owners with one item each only one goes', () => {
    const missing = new MissingItems(() => 0, 100 * itemBytes);
    for (let i = 0; i < 101; i++) loseMany(missing, `owner ${i}`, i, 1);
    expect(missing.counts().gpus).toBe(100);
  });

  it('an owner that has an eighth makes room of its own, and no more of it than is needed', () => {
    const missing = new MissingItems(() => 0, 80 * itemBytes);
    loseMany(missing, 'quiet', 0, 9);
    loseMany(missing, 'busy', 9, 71);
    loseMany(missing, 'busy', 80, 1);
    expect(kept(missing)).toEqual([...range(0, 9), ...range(10, 81)]);
  });

  it('its workers go before its GPUs, and those before its hives', () => {
    const missing = new MissingItems(() => 0, 8.5 * itemBytes);
    for (const kind of ['hive', 'gpu', 'worker'] as const)
      for (let i = 0; i < 3; i++) lose(missing, three(i), { kind, hive: three(i) });
    expect(missing.counts()).toMatchObject({ hives: 3, gpus: 3, workers: 2 });
    for (let i = 3; i < 8; i++) lose(missing, three(i), { kind: 'hive', hive: three(i) });
    expect(missing.counts()).toMatchObject({ hives: 8, gpus: 0, workers: 0 });
  });

  it('an item that is larger than all of it is not kept, and fails nothing', () => {
    const missing = new MissingItems(() => 0, itemBytes);
    lose(missing, 'GPU-0', { name: 'x'.repeat(10_000) });
    expect(missing.counts()).toMatchObject({ gpus: 0 });
    lose(missing, '000', { hive: '000' });
    expect(missing.counts()).toMatchObject({ gpus: 1 });
  });

  it('a hive that goes and comes back under other tokens costs what it costs once', () => {
    const missing = new MissingItems(() => 0, 20 * itemBytes);
    loseMany(missing, 'other', 10, 10);
    lose(missing, '000', { hive: '000', owner: 'one' });
    for (let i = 0; i < 50; i++) missing.hiveReturned('000', i % 2 === 0 ? 'two' : 'one', () => false);
    loseMany(missing, 'other', 20, 9);
    expect(kept(missing)).toEqual([0, ...range(10, 29)]);
  });
});

describe('who draws what is missing', () => {
  const watched = () => {
    let wallMs = 0;
    const missing = new MissingItems(() => wallMs);
    let changes = 0;
    missing.onChange = () => {
      changes++;
    };
    return {
      missing,
      changesOf: (act: () => unknown) => {
        changes = 0;
        act();
        return changes;
      },
      after: (ms: number) => {
        wallMs += ms;
      },
    };
  };

  it('hears of each change and of nothing else', () => {
    const { missing, changesOf, after } = watched();
    expect(changesOf(() => lose(missing, 'GPU-0'))).toBe(1);
    expect(changesOf(() => missing.returned('gpu', 'GPU-1', 'a'))).toBe(0);
    expect(changesOf(() => missing.returned('gpu', 'GPU-0', 'b'))).toBe(0);
    expect(changesOf(() => missing.hiveReturned('a', 't', () => true))).toBe(0);
    expect(changesOf(() => missing.moved('GPU-0', 'b', 'another'))).toBe(0);
    expect(changesOf(() => missing.remove('gpu', 'GPU-1'))).toBe(0);
    expect(changesOf(() => missing.expire())).toBe(0);
    expect(changesOf(() => missing.returned('gpu', 'GPU-0', 'a'))).toBe(1);
    lose(missing, 'GPU-0');
    expect(changesOf(() => missing.moved('GPU-0', 'b', 't'))).toBe(1);
    lose(missing, 'GPU-0');
    expect(changesOf(() => missing.remove('gpu', 'GPU-0'))).toBe(1);
    lose(missing, 'GPU-0');
    after(8 * 24 * 3_600_000);
    expect(changesOf(() => missing.expire())).toBe(1);
    expect(missing.counts().gpus).toBe(0);
  });

  it('of a hive that is back: what another host of its owner has now is gone, a worker never', () => {
    const { missing } = watched();
    lose(missing, 'GPU-0', { reason: 'silent' });
    lose(missing, 'GPU-1', { reason: 'silent' });
    lose(missing, 'a/llm/0', { kind: 'worker', reason: 'silent' });
    missing.hiveReturned('a', 't', () => true);
    expect(missing.list({}).items).toMatchObject([{ kind: 'worker', key: 'a/llm/0', reason: 'notReported' }]);
  });

  it('a card that its own hive reports is not moved away from it, and a worker by the name of a card is no card', () => {
    const { missing } = watched();
    lose(missing, 'GPU-0');
    lose(missing, 'GPU-1', { kind: 'worker' });
    missing.moved('GPU-0', 'a', 't');
    missing.moved('GPU-1', 'b', 't');
    expect(missing.counts()).toMatchObject({ gpus: 1, workers: 1 });
  });

  it('finds of whom it is', () => {
    const { missing } = watched();
    lose(missing, 'GPU-0', { hive: 'b' });
    lose(missing, 'a/llm/0', { kind: 'worker' });
    expect(missing.hiveOf('gpu', 'GPU-0')).toBe('b');
    expect(missing.hiveOf('worker', 'a/llm/0')).toBe('a');
    expect(missing.hiveOf('gpu', 'a/llm/0')).toBeNull();
    expect(missing.hiveOf('hive', 'a')).toBeNull();
  });

  it('counts each kind and reason, those of which there is none too', () => {
    const { missing } = watched();
    for (const key of ['GPU-0', 'GPU-1']) lose(missing, key);
    lose(missing, 'a', { kind: 'hive', reason: 'stopped' });
    const counts = [...missing.countsByReason()].map(({ kind, reason, count }) => `${kind} ${reason} ${count}`);
    expect(counts.sort()).toEqual([
      'gpu notReported 2',
      'gpu silent 0',
      'gpu stopped 0',
      'hive notReported 0',
      'hive silent 0',
      'hive stopped 1',
      'worker notReported 0',
      'worker silent 0',
      'worker stopped 0',
    ]);
  });

  it('must look at hosts, and at GPUs that their hosts list no longer: a thousand of each at most', () => {
    const { missing } = watched();
    lose(missing, 'GPU-of-silent-host', { reason: 'silent' });
    lose(missing, 'a/llm/0', { kind: 'worker' });
    expect(missing.lost()).toEqual([]);
    for (let i = 0; i < 1001; i++) {
      lose(missing, `hive-${i}`, { kind: 'hive', hive: `hive-${i}`, reason: 'silent' });
      lose(missing, `GPU-${i}`);
    }
    const lost = missing.lost();
    expect(lost.filter(({ kind }) => kind === 'hive')).toHaveLength(1000);
    expect(lost.filter(({ kind }) => kind === 'gpu')).toHaveLength(1000);
  });
});

describe('pages of what is missing', () => {
  const sizes = (missing: MissingItems, limit: number): number[] => {
    const found: number[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page = missing.list({ limit, ...(cursor === '' ? {} : { cursor }) });
      found.push(page.items.length);
      cursor = page.nextCursor;
    }
    return found;
  };

  it('are as long as was asked for, and the last one is known as the last', () => {
    const missing = new MissingItems(() => 0);
    expect(sizes(missing, 3)).toEqual([0]);
    for (let i = 0; i < 7; i++) lose(missing, three(i));
    expect([sizes(missing, 3), sizes(missing, 7), sizes(missing, 6)]).toEqual([[3, 3, 1], [7], [6, 1]]);
  });

  it('are shorter where items are larger than any of an honest fleet', () => {
    const missing = new MissingItems(() => 0);
    for (let i = 0; i < 5; i++) lose(missing, three(i), { name: 'x'.repeat(maxPageChars / 2) });
    expect(sizes(missing, 100)).toEqual([2, 2, 1]);
  });
});
