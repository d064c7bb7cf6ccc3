import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseSync, Visitor } from 'oxc-parser';
import { describe, expect, it } from 'vitest';
import { defaults } from '../../lib/contract/defaults.js';

/**
 * Fixtures that differ: code that takes one GPU, worker or limit for another passes every test in which they are alike, and code
 * that ignores an option every test that gives it its default. Where that is meant, a comment beside it has the word `alike` or
 * `default`, and says why.
 */

/** What two entries of one list may not share. */
const sizes = new Set([
  ...['memoryTotalBytes', 'memoryUsedBytes', 'memoryReservedBytes', 'memoryLimitBytes', 'memoryAvailableBytes'],
  ...['powerWatts', 'powerLimitWatts', 'vramTotalBytes', 'vramUsedBytes', 'workingSetBytes', 'memoryBytes'],
  ...['ioReadBytesPerSecond', 'ioWriteBytesPerSecond', 'totalBytes', 'usedBytes', 'reservedBytes', 'freeBytes'],
  ...['memoryMaxBytes', 'cpuPercent', 'utilizationPercent'],
]);
/** Makers of entries that have a size of their own where none is given. */
const makers: Readonly<Record<string, string>> = { gpuSample: 'memoryTotalBytes', gpuOf: 'memoryTotalBytes' };
/** Loopback is where tests listen, and each second is the pace of their clocks; what is granted is what was asked for. */
const plain = new Set(['host', 'intervalMs']);

const isNothing = (text: string) => /^(?:0|1|null|undefined)$/.test(text);

type Node = { readonly type: string; readonly start: number; readonly end: number };
interface ObjectNode extends Node {
  readonly properties: readonly (Node & {
    readonly key?: Node & { readonly name?: string; readonly value?: unknown };
    readonly value?: Node;
    readonly shorthand?: boolean;
  })[];
}
interface CallNode extends Node {
  readonly callee: Node & { readonly name?: string };
  readonly arguments: readonly Node[];
}

const objectOf = (node: Node | null): ObjectNode | null => {
  if (node?.type === 'ObjectExpression') return node as ObjectNode;
  const given = node?.type === 'CallExpression' ? (node as CallNode).arguments : [];
  return (given.find(({ type }) => type === 'ObjectExpression') as ObjectNode | undefined) ?? null;
};

/** What is alike in a file, as `LINE what`. */
function alikeIn(path: string, source: string): string[] {
  const { program, comments } = parseSync(path, source);
  const found: string[] = [];
  const lineOf = (at: number) => source.slice(0, at).split('\n').length;
  const explained = comments
    .filter(({ value }) => /\b(?:alike|default)\b/.test(value))
    .map(({ start }) => lineOf(start));
  const note = ({ start, end }: Node, what: string) => {
    const [from, to] = [lineOf(start) - 1, lineOf(end)];
    if (!explained.some((line) => line >= from && line <= to)) found.push(`${path}:${from + 1} ${what}`);
  };
  const entries = (node: Node & { readonly elements: readonly (Node | null)[] }) => {
    const seen = new Set<string>();
    for (const { key, value, shorthand } of node.elements.flatMap((each) => objectOf(each)?.properties ?? [])) {
      if (!sizes.has(key?.name ?? '') || value === undefined || shorthand) continue;
      const text = source.slice(value.start, value.end);
      const said = `${key?.name}: ${text}`;
      if (!isNothing(text) && seen.has(said)) note(node, said);
      seen.add(said);
    }
    for (const [maker, size] of Object.entries(makers)) {
      const without = node.elements.filter((each) => {
        if (each?.type !== 'CallExpression' || (each as CallNode).callee.name !== maker) return false;
        const given = objectOf(each)?.properties ?? [];
        return !given.some(({ type, key }) => type === 'SpreadElement' || key?.name === size);
      });
      if (without.length > 1) note(node, `${without.length} times ${maker} without ${size}`);
    }
  };
  const property = (node: ObjectNode['properties'][number]) => {
    const [name, value] = [node.key?.name ?? '', node.value];
    if (!Object.hasOwn(defaults, name) || plain.has(name) || value === undefined) return;
    const text = source.slice(value.start, value.end);
    if (text.replaceAll('_', '').replaceAll("'", '') === String(defaults[name as keyof typeof defaults]))
      note(node, `${name} is its default`);
  };
  new Visitor({
    ArrayExpression: (node) => entries(node as never),
    Property: (node) => property(node as never),
  }).visit(program);
  return found;
}

describe('fixtures', () => {
  it('no two GPUs, workers or limits of a list are alike, and no option is its default, unless the test says why', () => {
    const root = fileURLToPath(new URL('../../', import.meta.url));
    const files = readdirSync(`${root}test`, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => `test/${path}`);
    expect(files.length).toBeGreaterThan(200);
    expect(files.flatMap((file) => alikeIn(file, readFileSync(root + file, 'utf8')))).toEqual([]);
  });

  it.each([
    ['sizes of two', 'f([{ memoryTotalBytes: 5 }, { memoryTotalBytes: 5 }]);', 1],
    ['sizes of two that are made', 'f([gpu({ memoryTotalBytes: gib(5) }), gpu({ memoryTotalBytes: gib(5) })]);', 1],
    ['sizes that differ', 'f([{ memoryTotalBytes: 5 }, { memoryTotalBytes: 6 }]);', 0],
    ['nothing in use', 'f([{ memoryUsedBytes: 0 }, { memoryUsedBytes: 0 }]);', 0],
    ['two with the size of their maker', "f([gpuOf('a'), gpuOf('b', { index: 1 })]);", 1],
    ['one of which has another', "f([gpuOf('a'), gpuOf('b', { memoryTotalBytes: 7 })]);", 0],
    ['an option that is its default', 'f({ staleAfterMs: 90_000 });', 1],
    ['an option of another value', 'f({ staleAfterMs: 80_000 });', 0],
    ['what is meant', "// Alike but for their names: alike.\nf([gpuOf('a'), gpuOf('b')]);", 0],
  ])('%s', (_what, source, count) => {
    expect(alikeIn('a.ts', source)).toHaveLength(count);
  });
});
