import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';

type Lines = Map<number, number>;
type Files = Map<string, Lines>;
interface Share {
  readonly hit: number;
  readonly found: number;
  readonly percent: number;
}
interface Summary {
  readonly total: Share;
  readonly typescript: Share;
  readonly cpp: Share;
  readonly directories: readonly (Share & { readonly path: string })[];
  readonly files: readonly (Share & { readonly path: string; readonly missed: readonly number[] })[];
}
interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}
interface Coverage {
  countsAt(functions: readonly { readonly ranges: readonly Range[] }[], offsets: readonly number[]): readonly number[];
  linesRun(
    script: { readonly url: string; readonly functions: readonly { readonly ranges: readonly Range[] }[] },
    cached: { readonly url?: string; readonly lineLengths: readonly number[]; readonly data: object },
  ): Map<string, Set<number>>;
  parseLcov(text: string): Files;
  mergeLcov(files: Files, more: Files): void;
  addLines(files: Files, path: string, run: Iterable<number>): void;
  formatLcov(files: Files): string;
  summarize(files: Files): Summary;
  ranges(lines: readonly number[]): string;
  belowFloor(summary: Summary, floor: number): readonly string[];
  markdown(summary: Summary, floor: number): string;
}
const coverage = (await import(new URL('../../scripts/coverage-lines.js', import.meta.url).href)) as Coverage;

describe('source maps', () => {
  // tsc's map of `export function f(a: number) {\n  if (a > 1) return 1;\n  return 2;\n}\n`
  const mappings =
    'AAAA,MAAM,UAAU,CAAC,CAAC,CAAS;IACzB,IAAI,CAAC,GAAG,CAAC;QAAE,OAAO,CAAC,CAAC;IACpB,OAAO,CAAC,CAAC;AACX,CAAC';

  test('linesRun: a branch that was not taken did not run, what is around it did', () => {
    const text = 'export function f(a) {\n    if (a > 1)\n        return 1;\n    return 2;\n}\n';
    const at = (part: string) => text.indexOf(part);
    const script = {
      url: pathToFileURL('/project/dist/f.js').href,
      functions: [
        { ranges: [{ startOffset: 0, endOffset: text.length, count: 1 }] },
        {
          ranges: [
            { startOffset: at('export'), endOffset: text.length - 1, count: 4 },
            { startOffset: at('return 1'), endOffset: at('return 1') + 9, count: 0 },
          ],
        },
      ],
    };
    const lineLengths = text.split('\n').map(({ length }) => length);
    const run = coverage.linesRun(script, { lineLengths, data: { sources: ['../lib/f.ts'], mappings } });
    expect([...run.keys()]).toEqual([pathToFileURL('/project/lib/f.ts').href]);
    // Line 2 holds the condition, which ran, and the return, which did not.
    expect([...run.values()].map((lines) => [...lines])).toEqual([[1, 2, 3, 4]]);
    script.functions[1]!.ranges[0]!.count = 0;
    const never = coverage.linesRun(script, { lineLengths, data: { sources: ['../lib/f.ts'], mappings } });
    // What follows its closing brace is around it, and no report counts that line.
    expect([...never.values()].map((lines) => [...lines])).toEqual([[4]]);
  });

  test('countsAt: the innermost range decides, before, in and after it', () => {
    const ranges = [
      { startOffset: 10, endOffset: 20, count: 0 },
      { startOffset: 0, endOffset: 30, count: 7 },
      { startOffset: 12, endOffset: 14, count: 3 },
    ];
    expect(coverage.countsAt([{ ranges }], [5, 10, 12, 14, 19, 20, 29, 30])).toEqual([7, 0, 3, 0, 0, 7, 7, 0]);
  });
});

describe('the report', () => {
  const lcov = 'SF:lib/a.ts\nDA:1,2\nDA:2,0\nDA:3,0\nend_of_record\nSF:native/b.cc\nDA:1,1\nDA:2,1\nend_of_record\n';

  test('counts of the same line are added, a line that no report counts is left out, the text reads back', () => {
    const files = coverage.parseLcov(lcov);
    coverage.mergeLcov(
      files,
      coverage.parseLcov('SF:lib/a.ts\nDA:2,5\nend_of_record\nSF:lib/c.ts\nDA:9,0\nend_of_record\n'),
    );
    coverage.addLines(files, 'lib/a.ts', [3, 40]);
    coverage.addLines(files, 'lib/none.ts', [1]);
    expect([...(files.get('lib/a.ts') ?? [])]).toEqual([
      [1, 2],
      [2, 5],
      [3, 1],
    ]);
    expect([...files.keys()]).toEqual(['lib/a.ts', 'native/b.cc', 'lib/c.ts']);
    expect(coverage.parseLcov(coverage.formatLcov(files))).toEqual(new Map([...files].sort()));
  });

  test('each language has the floor to itself: one cannot hide behind the other', () => {
    const summary = coverage.summarize(coverage.parseLcov(lcov));
    expect(summary.total).toEqual({ hit: 3, found: 5, percent: 60 });
    expect(summary.cpp.percent).toBe(100);
    expect(coverage.belowFloor(summary, 90).join()).toMatch(/TypeScript: 33\.33 %.*all lines: 60 %/);
    expect(coverage.belowFloor(summary, 30)).toEqual([]);
    expect(summary.files[0]).toMatchObject({ path: 'lib/a.ts', missed: [2, 3] });
    expect(coverage.markdown(summary, 90)).toContain('| `lib/a.ts` | 33.33 % | 2-3 |');
  });

  test('89.999 % is below 90: shares are cut off, not rounded', () => {
    const lines: Lines = new Map(Array.from({ length: 100_000 }, (_, i) => [i, i < 89_999 ? 1 : 0]));
    const summary = coverage.summarize(new Map([['lib/a.ts', lines]]));
    expect(summary.typescript.percent).toBe(89.99);
    expect(coverage.belowFloor(summary, 90)).toHaveLength(2);
  });

  test('ranges of lines', () => {
    expect(coverage.ranges([1, 2, 3, 7, 9, 10])).toBe('1-3, 7, 9-10');
  });
});
