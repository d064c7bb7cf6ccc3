import { expect, it } from 'vitest';
import { StreamFallback } from '../../lib/hive/stream-fallback.js';

it('a stream that fails twice in a minute is left for ten, where a POST then works', () => {
  const fallback = new StreamFallback();
  fallback.failed(0);
  fallback.failed(60_000);
  expect(fallback.usesPost(60_000)).toBe(false);
  fallback.failed(119_999);
  expect(fallback.usesPost(119_999)).toBe(true);
  expect(fallback.posted(true, 120_000)).toBe(true);
  // Said once: later ones only go the way that was chosen.
  expect(fallback.posted(true, 121_000)).toBe(false);
  expect(fallback.usesPost(719_999)).toBe(true);
  expect(fallback.usesPost(720_000)).toBe(false);
});

it('where a POST fails as well the stream is not to blame, and what failed before no longer counts', () => {
  const fallback = new StreamFallback();
  fallback.failed(0);
  fallback.failed(1000);
  expect(fallback.posted(false, 2000)).toBe(false);
  expect(fallback.usesPost(2000)).toBe(false);
  fallback.failed(3000);
  expect(fallback.usesPost(3000)).toBe(false);
});

it('where streams are not known they are left at once, and tried again after ten minutes', () => {
  const fallback = new StreamFallback();
  fallback.unsupported(1000);
  expect(fallback.usesPost(600_999)).toBe(true);
  expect(fallback.posted(false, 300_000)).toBe(false);
  expect(fallback.usesPost(300_000)).toBe(true);
  expect(fallback.usesPost(601_000)).toBe(false);
});

it('a stream is kept where a minute lies between two failures, however many there are', () => {
  const fallback = new StreamFallback();
  for (let n = 0; n < 20; n += 1) {
    fallback.failed(n * 60_000);
    expect(fallback.usesPost(n * 60_000)).toBe(false);
  }
});
