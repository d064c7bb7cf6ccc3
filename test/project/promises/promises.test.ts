import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { problemsOf, readPromises, sentencesOf, titlesOf } from './promises.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const fromTree = (path: string): string | null => {
  const full = join(root, path);
  return existsSync(full) ? readFileSync(full, 'utf8') : null;
};

describe('docs/promises.md', () => {
  it('quotes what stands in the documents, and names tests that there are', () => {
    const promises = readPromises(fromTree('docs/promises.md') ?? '');
    expect(promises.rows.length).toBeGreaterThan(5);
    expect(problemsOf(promises, { read: fromTree })).toEqual([]);
  });
});

describe('the table of promises', () => {
  const files: Record<string, string> = {
    'docs/a.md':
      '# A\n\n- **Nothing** is\n  lost. All is kept.\n\n| what | how |\n| --- | --- |\n| heartbeats | at most once |\n',
    'test/a.test.ts':
      "it('loses nothing', () => {});\nit.skip('keeps all', () => {});\nit.each([1])('each %s', () => {});",
  };
  const read = (path: string) => files[path] ?? null;
  const table = (...lines: string[]) => readPromises(['## a.md', '', ...lines].join('\n'));

  it('is content with quotes across lines and tables, and with tests of any form', () => {
    const promises = table(
      '- Nothing is lost.',
      '  - `test/a.test.ts`: loses nothing',
      '- heartbeats | at most',
      '  once',
      '  - `test/a.test.ts`: each %s',
    );
    expect(promises.rows.map(({ quote }) => quote)).toEqual(['Nothing is lost.', 'heartbeats | at most once']);
    expect(problemsOf(promises, { read })).toEqual([]);
  });

  it.each([
    ['a sentence that was changed', ['- Nothing was lost.', '  - `test/a.test.ts`: loses nothing'], 'no longer stands'],
    [
      'a file that is gone',
      ['- Nothing is lost.', '  - `test/b.test.ts`: loses nothing'],
      'there is no test/b.test.ts',
    ],
    ['a test that is gone', ['- Nothing is lost.', '  - `test/a.test.ts`: gone'], 'has no test "gone"'],
    ['a test that is skipped', ['- All is kept.', '  - `test/a.test.ts`: keeps all'], 'has no test "keeps all"'],
    ['a promise without a test', ['- All is kept.'], 'has no test, or'],
    [
      'no promise with a test',
      ['- All is kept.', '  - no promise: x', '  - `test/a.test.ts`: loses nothing'],
      'or has',
    ],
  ])('notices %s', (_what, lines, problem) => {
    expect(problemsOf(table(...lines), { read })).toEqual([expect.stringContaining(problem)]);
  });

  it('notices a sentence without a row, in a document that is read in full', () => {
    const promises = readPromises('## a.md, in full\n\n- Nothing is lost.\n  - `test/a.test.ts`: loses nothing\n');
    expect(problemsOf(promises, { read }).map((problem) => problem.split('"')[1])).toEqual([
      'All is kept.',
      '| what | how |',
      '| heartbeats | at most once |',
    ]);
  });

  it('takes the head of a table with a test for all of it, and without one for the head alone', () => {
    const missing = (...lines: string[]) => {
      const promises = readPromises(['## a.md, in full', '- Nothing is lost. All is kept.', ...lines].join('\n'));
      return problemsOf({ ...promises, rows: promises.rows.slice(1) }, { read }).map(
        (problem) => problem.split('"')[1],
      );
    };
    expect(missing('- what | how', '  - `test/a.test.ts`: loses nothing')).toEqual([
      'Nothing is lost.',
      'All is kept.',
    ]);
    expect(missing('- what | how', '  - no promise: a head')).toContain('| heartbeats | at most once |');
  });

  it('refuses a line that is no row', () => {
    expect(() => table('- Nothing is lost.', '  - test/a.test.ts: loses nothing')).toThrow('not a row');
  });

  it('knows sentences, and names of tests', () => {
    expect(sentencesOf('It is (so). `That` too, e.g. this.\n\n```sh\nIt is not. No\n```\n')).toEqual([
      'It is (so).',
      '`That` too, e.g. this.',
    ]);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text of a test
    const tests = ['it(`a ${b}`, f);', 'describe("c", f);', 'test.runIf(x)("d", f);', 'it.todo("e");'].join('\n');
    // biome-ignore lint/suspicious/noTemplateCurlyInString: as it stands there
    expect([...titlesOf('a.test.ts', tests)]).toEqual(['a ${b}', 'd']);
    expect([...titlesOf('attacks.ts', "export const a = { name: 'an attack' }")]).toEqual(['an attack']);
  });
});
