import { describe, expect, it } from 'vitest';
import type { ReadLoad } from '../../../lib/engines/load/reading.js';
import { loadSources } from '../../../lib/engines/load/table.js';
import { leastMs } from '../../harness/least-time.js';

const readers: readonly (readonly [string, ReadLoad])[] = Object.entries(loadSources).flatMap(([engine, source]) =>
  (source?.questions ?? []).flatMap(({ ways }) => ways.map(({ path, read }) => [`${engine} ${path}`, read] as const)),
);

describe('an answer that is none of an engine', () => {
  it.each([
    ['2 MB nested', '['.repeat(1_000_000) + ']'.repeat(1_000_000)],
    ['256 kB nested in an object', `{"data":${'{"data":['.repeat(28_000)}`],
    ['2 MB of objects', `[${'{"id":1},'.repeat(200_000)}{}]`],
    ['500 kB of objects', `{"data":[${'{"id":1},'.repeat(55_000)}{}]}`],
    ['a quoted page of 2 MB', JSON.stringify('a\n'.repeat(650_000))],
  ])('%s: holds up nobody', (_what, text) => {
    const body = Buffer.from(text);
    for (const [what, read] of readers) {
      expect(read(body), what).toBeNull();
      expect(
        leastMs(() => read(body), 500),
        what,
      ).toBeLessThan(500);
    }
  });
});
