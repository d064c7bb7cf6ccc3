import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Binding, loadBinding } from '../../lib/native/binding.js';
import { keepMemoryLow } from '../../lib/native/resident-memory.js';

const { binding } = loadBinding();

/** Pages of files that this process has resident, KiB. */
const filePages = (): number => Number(/RssFile:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);

describe.skipIf(binding === undefined)('pages that are not in use (needs the addon)', () => {
  it('gives pages of programs back, and what is written stays what it is', async () => {
    const written = Buffer.alloc(1 << 20, 'written');
    const copy = Buffer.from(written);
    const before = filePages();
    expect(binding?.releaseUnusedPages()).toBe(true);
    // Node itself has some 40 MiB; what runs comes back.
    await vi.waitFor(() => expect(filePages()).toBeLessThan(before - 2048), { timeout: 10_000, interval: 20 });
    expect(written.equals(copy)).toBe(true);
  });
});

describe('a command that keeps its memory low', () => {
  afterEach(() => vi.useRealTimers());

  it('gives back what it does not use once it has started, and again every ten minutes', () => {
    vi.useFakeTimers();
    const calls: string[] = [];
    const fake = {
      releaseUnusedPages: () => calls.push('release') > 0,
    } as unknown as Binding;
    keepMemoryLow(() => ({ binding: fake }));
    expect(calls).toEqual([]);
    vi.advanceTimersByTime(29_999);
    expect(calls).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(calls).toEqual(['release']);
    vi.advanceTimersByTime(1_200_000);
    expect(calls).toEqual(['release', 'release', 'release']);
  });

  it('does nothing without the addon', () => {
    vi.useFakeTimers();
    keepMemoryLow(() => ({ reason: 'none' }));
    expect(vi.getTimerCount()).toBe(0);
  });
});
