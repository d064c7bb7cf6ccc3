import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const load = (name: string) => import(new URL(`../mutation/${name}.js`, import.meta.url).href);
const { changedLines, changeVerdict, isEnough, isSame, originalOf, rowOf, scoreOf, verdictOf } = await load('judge');
const { currentDocument, mutationDocument } = await load('document');
const { filesOf, otherTests, roomOf, rooms } = await load('rooms');
const { constantFaults } = await load('../planted/constants');
const { faults } = await load('../planted/faults');
const { nativeFaults } = await load('../planted/native-faults');
const { isSampled } = await load('runner');

const at = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const source = 'const a = 1;\nif (a > 1) {\n  b();\n}\n';
const location = { start: { line: 2, column: 5 }, end: { line: 2, column: 10 } };
const mutant = { file: 'lib/x.ts', location, mutator: 'EqualityOperator', replacement: 'a >= 1', status: 'Survived' };
const known = { file: 'lib/x.ts', line: 'if (a > 1) {', from: 'a > 1', to: 'a >= 1', reason: 'a is 1' };

describe('mutants: what is changed', () => {
  test('the lines of a diff that stand in the file now; none of those that are gone', () => {
    const diff = [
      'diff --git a/lib/a.ts b/lib/a.ts',
      '--- a/lib/a.ts',
      '+++ b/lib/a.ts',
      '@@ -3,0 +4,2 @@ function f() {',
      '+x',
      '+y',
      '@@ -9 +12 @@',
      '@@ -20,3 +22,0 @@',
      '--- a/lib/gone.ts',
      '+++ /dev/null',
      '@@ -1,5 +0,0 @@',
      '+++ b/lib/page.css',
      '@@ -0,0 +1,5 @@',
    ].join('\n');
    expect(changedLines(diff)).toEqual([
      { file: 'lib/a.ts', text: 'lib/a.ts:4-5' },
      { file: 'lib/a.ts', text: 'lib/a.ts:12-12' },
    ]);
  });

  test('each room has sources and tests of its own', () => {
    for (const room of rooms) {
      expect(filesOf(room).length, room.name).toBeGreaterThan(0);
      for (const file of filesOf(room)) expect(roomOf(file)).toBe(room);
    }
    expect(roomOf('lib/queen/merge.ts').name).toBe('contract');
    expect(roomOf('lib/cli/main.ts')).toBeUndefined();
  });
});

describe('mutants: the tests of a file', () => {
  const roomNamed = (name: string) => rooms.find((room: { name: string }) => room.name === name);

  test('are those of its room that import it, whichever lines of it were changed', () => {
    const others: string[] = otherTests(roomNamed('sampling'), ['lib/sampling/rates.ts:3-9']);
    expect(others).not.toContain('test/sampling/rates.test.ts');
    expect(others).toContain('test/sampling/state.test.ts');
    const ofTwo: string[] = otherTests(roomNamed('sampling'), ['lib/sampling/rates.ts', 'lib/sampling/state.ts']);
    expect(others.filter((file) => !ofTwo.includes(file))).toContain('test/sampling/state.test.ts');
  });

  test('are all of the room where none imports it', () => {
    expect(otherTests(roomNamed('sampling'), ['lib/sampling/no-such-file.ts'])).toEqual([]);
  });
});

describe('mutants: the verdict', () => {
  const entries = (...statuses: object[]) => [
    { planned: { 'lib/x.ts': 9 } },
    ...statuses.map((status) => ({ ...mutant, ...status })),
  ];
  const verdict = (list: object[], equivalents: object[] = []) => verdictOf(list, equivalents, () => source);

  test('what a mutant replaces, over several lines too', () => {
    expect(originalOf(source, location)).toBe('a > 1');
    expect(originalOf(source, { start: { line: 2, column: 12 }, end: { line: 4, column: 2 } })).toBe('{\n  b();\n}');
    expect(isSame(rowOf(mutant, source), known)).toBe(true);
  });

  test.each([
    [89, 11, false],
    [90, 10, true],
    [1, 1, true],
    [1, 2, false],
    [0, 0, true],
  ])('%i noticed and %i survived is enough: %s', (noticed, survived, enough) => {
    expect(isEnough({ noticed, survived })).toBe(enough);
  });

  test('the score is rounded down', () => {
    expect(scoreOf({ noticed: 8999, survived: 1001 })).toBe(89.9);
    expect(scoreOf({ noticed: 0, survived: 0 })).toBeNull();
  });

  test('a survivor is named with its place and as a row for the list of equivalents; one that is listed is none', () => {
    const list = entries({ status: 'Killed' }, { status: 'Timeout' }, {}, { status: 'NoCoverage' });
    expect(verdict(list).survivors[0]).toBe(
      `survived lib/x.ts:2 {"file":"lib/x.ts","line":"if (a > 1) {","from":"a > 1","to":"a >= 1"}`,
    );
    expect(verdict(list).counts).toEqual({ noticed: 2, survived: 1, equivalent: 0, unreached: 1, static: 0 });
    expect(verdict(list, [known]).counts).toMatchObject({ survived: 0, equivalent: 2, unreached: 0 });
    expect(verdict(list, [{ ...known, to: 'a < 1' }]).counts).toMatchObject({ survived: 1 });
  });

  test('what was not tried is said, and static mutants are not counted', () => {
    const list = entries(
      { status: 'Killed' },
      { status: 'Ignored', statusReason: 'Static mutant (and "ignoreStatic" was enabled)' },
    );
    expect(verdict(list).summary).toContain('8 of 9 not tried: time was over');
    expect(verdict(list).counts).toMatchObject({ noticed: 1, static: 1 });
    expect(verdict(list).whole).toEqual([]);
    const all = Array.from({ length: 9 }, () => ({ status: 'Killed' }));
    expect(verdict(entries(...all))).toMatchObject({
      whole: ['lib/x.ts'],
      summary: expect.not.stringContaining('tried'),
    });
    expect(verdict([]).summary).toContain('time was over before the first');
    // What was planned stands in the first line.
    expect(verdict(entries(...all).slice(1)).whole).toEqual([]);
  });
});

describe('mutants: a file in which nothing can be changed', () => {
  const types = 'lib/types.ts';
  const run = (...entries: object[]) => verdictOf(entries, [], () => '', [types]);

  test('is measured whole once the run came to its end, and not before', () => {
    expect(run({ planned: {} }, { isComplete: true })).toMatchObject({
      whole: [types],
      files: { [types]: { noticed: 0, static: 0, left: [] } },
    });
    expect(run({ planned: {} }).whole).toEqual([]);
    expect(run({ isComplete: true }).whole).toEqual([]);
    expect(run({ planned: { [types]: 1 } }, { isComplete: true }).whole).toEqual([]);
  });
});

describe('mutants: the verdict on a change', () => {
  const left = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ line: `${i}`, from: 'a', to: 'b', reached: true }));
  const found = (noticed: number, survived: number) => ({ noticed, static: 0, left: left(survived) });
  const measured = { 'lib/good.ts': found(95, 5), 'lib/poor.ts': found(60, 40) };

  test('a file that was measured well is held to it', () => {
    expect(changeVerdict({ 'lib/good.ts': found(8, 2) }, measured, [])).toEqual({
      passed: false,
      held: ['lib/good.ts'],
    });
    expect(changeVerdict({ 'lib/good.ts': found(18, 2) }, measured, []).passed).toBe(true);
  });

  test('one that was not, or never was measured, fails no change', () => {
    const files = { 'lib/poor.ts': found(0, 9), 'lib/new.ts': found(0, 9) };
    expect(changeVerdict(files, measured, [])).toEqual({ passed: true, held: [] });
  });
});

describe('mutants: a sample', () => {
  const drawn = (percent: number, seed = '1') =>
    Array.from({ length: 2000 }, (_, id) => String(id)).filter((id) => isSampled({ id }, { percent, seed }));

  test('is of about as many as are asked for; a larger one has those of a smaller one, another seed has others', () => {
    expect(drawn(0)).toEqual([]);
    expect(drawn(100)).toHaveLength(2000);
    expect(Math.abs(drawn(10).length - 200)).toBeLessThan(60);
    expect(drawn(20)).toEqual(expect.arrayContaining(drawn(10)));
    expect(drawn(10, '2')).not.toEqual(drawn(10));
  });
});

describe('planted faults', () => {
  const all = [...faults, ...constantFaults, ...nativeFaults] as readonly {
    readonly [key in 'name' | 'file' | 'from' | 'to']: string;
  }[] &
    readonly { readonly tests: readonly string[] }[];

  test('each changes what stands once in its file, and names tests that there are', () => {
    for (const { name, file, from, to, tests } of all) {
      expect(at(file).split(from), `${name}: ${file}`).toHaveLength(2);
      expect(to, name).not.toBe(from);
      expect(
        tests.filter((test) => !existsSync(new URL(`../../${test}`, import.meta.url))),
        name,
      ).toEqual([]);
    }
  });

  test('no two have one name, and more than forty are in C++', () => {
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
    expect(nativeFaults.length).toBeGreaterThan(40);
  });
});

describe('docs/mutation.md', () => {
  test('is up to date (npm run docs:mutation)', () => {
    expect(at('docs/mutation.md')).toBe(currentDocument());
  });

  test('a room without figures says so', () => {
    expect(mutationDocument({}, [])).toContain('| queen | 0 | not measured |');
  });

  test('each equivalent is still in the code, with a reason', () => {
    for (const { file, line, from, to, reason } of JSON.parse(at('test/mutation/equivalents.json'))) {
      const lines = at(file)
        .split('\n')
        .map((text) => text.replace(/\s+/g, ' ').trim());
      expect(lines, `${file} has no line ${line}`).toContain(line);
      expect(at(file).replace(/\s+/g, ' '), file).toContain(from);
      expect(from).not.toBe(to);
      expect(reason.length, `${file}: ${line}`).toBeGreaterThan(15);
    }
  });
});
