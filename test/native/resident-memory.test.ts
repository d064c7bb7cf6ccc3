import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Binding, loadBinding } from '../../lib/native/binding.js';
import { keepMemoryLow } from '../../lib/native/resident-memory.js';

const { binding } = loadBinding();

/** Pages that this process has resident, KiB: of files, or its own. */
const pages = (kind: 'File' | 'Anon'): number =>
  Number(new RegExp(`Rss${kind}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
const isGlibc = 'glibcVersionRuntime' in (process.report.getReport() as { header: object }).header;

describe.skipIf(binding === undefined)('pages that are not in use (needs the addon)', () => {
  it('gives pages of programs back, and what is written stays what it is', async () => {
    const written = Buffer.alloc(1 << 20, 'written');
    const copy = Buffer.from(written);
    const before = pages('File');
    expect(binding?.releaseUnusedPages()).toBe(true);
    // Node itself has some 40 MiB; what runs comes back.
    await vi.waitFor(() => expect(pages('File')).toBeLessThan(before - 2048), { timeout: 10_000, interval: 20 });
    expect(written.equals(copy)).toBe(true);
  });

  it.skipIf(!isGlibc)('gives memory back that was freed between what stays (needs glibc)', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    // 64 MiB, of which a hundredth stays: the C library keeps the gaps.
    let all = Array.from({ length: 16_384 }, () => Buffer.allocUnsafeSlow(4096).fill(1));
    const full = pages('Anon');
    all = all.filter((_, i) => i % 100 === 0);
    await vi.waitFor(
      () => {
        collect();
        expect(binding?.releaseUnusedPages()).toBe(true);
        expect(pages('Anon')).toBeLessThan(full - 40 * 1024);
      },
      { timeout: 30_000, interval: 20 },
    );
    expect(all.every((each) => each[0] === 1 && each[4095] === 1)).toBe(true);
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
