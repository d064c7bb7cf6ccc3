import { describe, expect, test } from 'vitest';

type Files = ReadonlyMap<string, string>;
type Sizes = Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
interface Rules {
  readonly checkRooms: (files: Files) => readonly string[];
  readonly checkCallers: (files: Files, rules?: readonly object[]) => readonly string[];
  readonly checkAssertions: (files: Files) => readonly string[];
  readonly checkWords: (files: Files, rules?: readonly object[]) => readonly string[];
  readonly retiredWords: (files: Files) => Sizes[string];
  readonly checkSizes: (found: Sizes, allowed: Sizes) => readonly string[];
  readonly lowerCeilings: (found: Sizes, allowed: Sizes) => Sizes;
}
const load = async (name: string): Promise<Rules> =>
  import(new URL(`../../scripts/lint/${name}.js`, import.meta.url).href);
const { checkRooms } = await load('rooms');
const { checkCallers } = await load('callers');
const { checkWords, retiredWords } = await load('words');
const { checkSizes, lowerCeilings } = await load('sizes');
const { checkAssertions } = await load('assertions');

describe('rooms', () => {
  const later = { 'lib/util/clock.ts': '', 'lib/queen/registry.ts': 'export interface Registry {}\n' };
  const planted = (path: string, text: string, others: Record<string, string> = later) =>
    checkRooms(new Map(Object.entries({ ...others, [path]: text })));

  test.each([
    ['an import', "import { Registry } from '../queen/registry.js';"],
    ['a type import', "import type { Registry } from '../queen/registry.js';"],
    ['an export from', "export * from '../queen/registry.js';"],
    ['an import()', "const load = () => import('../queen/registry.js');"],
    ['a typeof import', "type Loaded = typeof import('../queen/registry.js');"],
  ])('%s from a later room is named with file, line and fix', (_, text) => {
    expect(planted('lib/procfs/host.ts', `\n${text}\n`)).toEqual([
      'lib/procfs/host.ts:2: imports lib/queen/registry.ts: queen/ comes after procfs/; take it as an argument, or move it lower',
    ]);
  });

  test('an import from an earlier room, from its own and from a package are fine', () => {
    const text =
      "import fs from 'node:fs';\nimport '../util/clock.js';\nimport type { Registry } from './registry.js';\n";
    expect(planted('lib/queen/views.ts', text)).toEqual([]);
  });

  test('a file outside of every room', () => {
    expect(planted('lib/helpers/a.ts', '').join()).toMatch(/helpers is no room/);
  });

  test('a cycle between files of one room', () => {
    const others = { 'lib/util/a.ts': "import './b.js';", 'lib/util/b.ts': "import './c.js';" };
    expect(planted('lib/util/c.ts', "import type {} from './a.js';", others)).toEqual([
      'lib/util/a.ts: imports itself by way of lib/util/a.ts -> lib/util/b.ts -> lib/util/c.ts -> lib/util/a.ts; move what they share lower',
    ]);
  });

  test('the queen must not reach sampling, not even through another room', () => {
    const others = { 'lib/launch/stop.ts': "import '../sampling/rates.js';", 'lib/sampling/rates.ts': '' };
    expect(planted('lib/queen/registry.ts', "import '../launch/stop.js';", others)).toEqual([
      'lib/queen/registry.ts -> lib/launch/stop.ts -> lib/sampling/rates.ts: queen/ must not reach sampling/',
    ]);
  });
});

describe('one caller', () => {
  const call = "import { readHeartbeat } from '../contract/validate.js';\n\nreadHeartbeat({}, limits);\n";

  test('a second caller of readHeartbeat is named, wherever it calls', () => {
    const problems = checkCallers(new Map([['lib/api/routes/heartbeats.ts', call]]));
    expect(problems).toHaveLength(2);
    expect(problems[1]).toBe(
      'lib/api/routes/heartbeats.ts:3: uses readHeartbeat; call lib/queen/intake.ts, the one way into the queen',
    );
    expect(checkCallers(new Map([['lib/queen/intake.ts', call]]))).toEqual([]);
  });

  test('a file reader that is opened beside lib/io/guarded.ts', () => {
    const text = "import { openFileReader } from '../io/open-file-reader.js';\n";
    expect(checkCallers(new Map([['lib/procfs/host.ts', text]])).join()).toMatch(
      /host\.ts:1: uses openFileReader; read/,
    );
    expect(checkCallers(new Map([['lib/io/guarded.ts', text]]))).toEqual([]);
  });

  test('an address that is written into a text as it is', () => {
    const text = `const a = \`\${options.queenUrl} is down\`;\nconst b = \`\${shownUrl(url)} \${url.length}\`;\n`;
    expect(checkCallers(new Map([['lib/hive/transport.ts', text]]))).toEqual([
      'lib/hive/transport.ts:1: writes queenUrl into a text; insert shownUrl(…), since an address may hold a password',
    ]);
  });

  test('a second loader of the addon', () => {
    const text = "const load = require('node-gyp-build');\n";
    expect(checkCallers(new Map([['lib/cgroup/native.ts', text]])).join()).toMatch(/^lib\/cgroup\/native\.ts:1: uses/);
  });
});

describe('words', () => {
  test('a word that was given up, in code and in comments; not as part of another', () => {
    const files = new Map([
      ['lib/queen/views.ts', 'const a = 1;\n/** Kept by the Chronicle. */\n'],
      ['lib/queen/lists.ts', 'const chroniclers = 1;\n'],
    ]);
    expect(checkWords(files)).toEqual([expect.stringMatching(/^lib\/queen\/views\.ts:2: 'Chronicle': use EventPub/)]);
  });

  test("a GPU vendor's name outside of its folder", () => {
    const text = 'if (code === nvmlCode.gpuIsLost) return;\n';
    const files = new Map([
      ['lib/queen/placement.ts', text],
      ['lib/gpu/nvidia/report.ts', text],
      ['test/gpu/nvidia/nvml.test.ts', text],
    ]);
    expect(checkWords(files)).toEqual([expect.stringMatching(/^lib\/queen\/placement\.ts:1: 'nvml': use words/)]);
  });
});

describe('retired words', () => {
  test('are counted alone and as a part of a name, each directory by itself', () => {
    const files = new Map([
      ['lib/hive/a.ts', '/** It was told; each beat. */ const eventsPerBeat = toldKey;'],
      ['lib/queen/b.ts', 'const untold = upbeat + facet + requestAnimationFrame;'],
      ['docs/guide.md', 'Mended.'],
    ]);
    expect(retiredWords(files)).toEqual({ 'lib/hive': [4], docs: [1] });
  });

  test('fewer than the list has fails: none may come back', () => {
    const found = { words: { 'lib/hive': [3] } };
    expect(checkSizes(found, { words: { 'lib/hive': [3] } })).toEqual([]);
    expect(checkSizes(found, { words: { 'lib/hive': [4] } }).join()).toMatch(/less than allowed.*--lower/);
    expect(checkSizes(found, { words: {} }).join()).toMatch(/3 retired words/);
  });
});

describe('sizes', () => {
  const none = { fileLines: {}, functionLines: {}, complexity: {} };

  test('what is above the limit fails, unless the list has it; what has grown fails too', () => {
    const found = { ...none, complexity: { 'lib/a.ts': [40, 30] } };
    expect(checkSizes(found, none)).toHaveLength(2);
    expect(checkSizes(found, { ...none, complexity: { 'lib/a.ts': [40, 30] } })).toEqual([]);
    expect(checkSizes(found, { ...none, complexity: { 'lib/a.ts': [39, 30] } })).toHaveLength(1);
  });

  test('an entry that is no longer needed fails: the list only shrinks', () => {
    const allowed = { ...none, fileLines: { 'lib/a.ts': [500], 'lib/b.ts': [700] } };
    const found = { ...none, fileLines: { 'lib/b.ts': [600] } };
    expect(checkSizes(found, allowed)).toEqual([expect.stringMatching(/^lib\/a\.ts: less than allowed/)]);
    expect(lowerCeilings(found, allowed)).toEqual({ ...none, fileLines: { 'lib/b.ts': [600] } });
    expect(lowerCeilings({ ...none, fileLines: { 'lib/b.ts': [800] } }, allowed).fileLines).toEqual({
      'lib/b.ts': [700],
    });
  });
});

describe('assertions', () => {
  const found = (text: string) => checkAssertions(new Map([['test/a.test.ts', text]]));

  test.each([
    'expect(list.length).toBeGreaterThanOrEqual(0);',
    'expect(map.size).toBeGreaterThan(-1);',
    'expect(true).toBe(true);',
    "it.skip('a', f);",
    "describe.todo('a', f);",
    "it.only('a', f);",
  ])('%s cannot fail, or leaves something out', (text) => {
    expect(found(`\n${text}`).join()).toMatch(/^test\/a\.test\.ts:2: /);
  });

  test.each([
    ['one that says nothing', "it.skipIf(!able)('works', f);", 1],
    ['of each', "it.skipIf(!able).each([\n['a', 'needs']])('%s works', f);", 1],
    ['on the next line', "it.skipIf(!able)(\n  'works',\n  async () => { needs(1); });", 1],
    ['a need', "it.runIf(able(1))('works (needs root)', f);", 0],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text of a test
    ['a reason that is inserted', 'it.skipIf(!able)(`works${why}`, f);', 0],
    ['a suite that has one', 'describe.skipIf(suite.skip)(suite.title, f);', 0],
  ])('the title of a test that may be skipped: %s', (_, text, count) => {
    expect(found(text)).toHaveLength(count);
  });

  test('figures that may be negative are bounded as they like', () => {
    expect(found('expect(share).toBeGreaterThanOrEqual(0);')).toEqual([]);
  });
});
