/** What the documents promise, and which test holds each: `docs/promises.md` as data, held against documents and tests. */
import { parseSync, Visitor } from 'oxc-parser';

export interface Promised {
  /** `security.md`, a file of `docs/`. */
  readonly document: string;
  /** A sentence of it, or a part of one. */
  readonly quote: string;
  readonly tests: readonly { readonly file: string; readonly title: string }[];
  /** Why it is no promise; null where it is one. */
  readonly noPromise: string | null;
}

export interface Promises {
  readonly rows: readonly Promised[];
  /** Documents of which every sentence has a row. */
  readonly inFull: readonly string[];
}

/** Lines that are neither heading, row, test nor text in between: a row that was mistyped must not be passed over. */
export const malformed = (line: string): boolean =>
  /^\s*[-*]/.test(line) && !/^- \S/.test(line) && !testLine.test(line) && !noPromiseLine.test(line);

const testLine = /^ {2}- `([^`]+)`: (.+)$/;
const noPromiseLine = /^ {2}- no promise: (.+)$/;

/**
 * `## security.md`, or `## security.md, in full`; below it `- <quote>`, and below that `  - \`<file>\`: <title>` for each test, or
 * `  - no promise: <why>`. A quote that goes on does so on lines that are indented by two.
 */
export function readPromises(text: string): Promises {
  const rows: {
    document: string;
    quote: string;
    tests: { file: string; title: string }[];
    noPromise: string | null;
  }[] = [];
  const inFull: string[] = [];
  let document: string | null = null;
  for (const line of text.split('\n')) {
    const heading = /^## (\S+\.md)(, in full)?$/.exec(line);
    if (heading?.[1] !== undefined) document = heading[1];
    if (heading?.[2] !== undefined) inFull.push(heading[1] as string);
    if (document === null || heading !== null) continue;
    const row = rows.at(-1);
    const [, file, title] = testLine.exec(line) ?? [];
    const [, reason] = noPromiseLine.exec(line) ?? [];
    if (row !== undefined && file !== undefined && title !== undefined) row.tests.push({ file, title });
    else if (row !== undefined && reason !== undefined) row.noPromise = reason;
    else if (malformed(line)) throw new Error(`not a row: ${line}`);
    else if (line.startsWith('- ')) rows.push({ document, quote: line.slice(2), tests: [], noPromise: null });
    else if (row !== undefined && /^ {2}\S/.test(line)) row.quote += ` ${line.trim()}`;
  }
  return { rows, inFull };
}

/** Without line breaks, cells of tables and emphasis, so that laying a document out anew breaks no quote. */
export const normalized = (text: string): string =>
  text
    .replaceAll('**', '')
    .replaceAll(/\s*\|\s*/g, ' | ')
    .replaceAll(/\s+/g, ' ')
    .trim();

/** Sentences of a document: of paragraphs, items of lists and rows of tables; no headings, code blocks and comments. */
export function sentencesOf(markdown: string): string[] {
  const text = markdown.replaceAll(/^ *```[\s\S]*?^ *```$/gm, '\n').replaceAll(/<!--[\s\S]*?-->/g, '');
  const blocks = text.split(/\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )|\n(?=\|)/);
  return blocks
    .filter((block) => !/^\s*(?:#|\| *:?-+)|^ {4}/.test(block))
    .map((block) => normalized(block.replace(/^\s*(?:[-*]|\d+\.) /, '')))
    .flatMap((block) => block.split(/(?<=[.?!]\)?) (?=["`(]?[A-Z\p{Lu}`])/u))
    .filter((sentence) => /\p{L}/u.test(sentence));
}

/** Names of the tests of a file: of `*.test.ts` what `it` and `test` are called with, else any text in quotes. */
export function titlesOf(path: string, source: string): ReadonlySet<string> {
  const titles = new Set<string>();
  const { program, errors } = parseSync(path, source);
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]?.message}`);
  const isTest = /\.test\.tsx?$/.test(path);
  new Visitor({
    CallExpression: ({ callee, arguments: [title] }) => {
      if (isTest && title !== undefined && callsATest(source.slice(callee.start, callee.end))) add(title);
    },
    Literal: (literal) => {
      if (!isTest) add(literal);
    },
  }).visit(program);
  return titles;

  function add(node: {
    readonly type: string;
    readonly start: number;
    readonly end: number;
    readonly value?: unknown;
  }) {
    if (node.type === 'Literal' && typeof node.value === 'string') titles.add(node.value);
    if (node.type === 'TemplateLiteral') titles.add(source.slice(node.start + 1, node.end - 1));
  }
}

/** `it`, `test.each(...)`, `(isLost ? test.fails : test)`; not `it.skip` and `it.todo`, nor `it.each` itself. */
const callsATest = (callee: string): boolean =>
  /^\(?(?:it|test|isLost)\b/.test(callee) &&
  !/^(?:it|test)\.(?:skip|todo)\b/.test(callee) &&
  !/^(?:it|test)\.(?:each|for|runIf|skipIf)$/.test(callee);

export interface Sources {
  /** The text of a file below the root of the project, or null. */
  readonly read: (path: string) => string | null;
}

/** What is untrue of the table. */
export function problemsOf({ rows, inFull }: Promises, { read }: Sources): string[] {
  const titles = new Map<string, ReadonlySet<string>>();
  const titlesIn = (file: string): ReadonlySet<string> => {
    const known = titles.get(file) ?? titlesOf(file, read(file) ?? '');
    titles.set(file, known);
    return known;
  };
  const documents = new Map<string, string>();
  const document = (name: string): string => {
    const known = documents.get(name) ?? normalized(read(`docs/${name}`) ?? '');
    documents.set(name, known);
    return known;
  };
  const untrue = rows.flatMap((row) => {
    const at = `${row.document}: "${row.quote}"`;
    const found = document(row.document).includes(normalized(row.quote)) ? [] : [`${at} no longer stands there`];
    const held = (row.noPromise === null) === row.tests.length > 0;
    if (!held) found.push(`${at} has no test, or has some and is no promise`);
    for (const { file, title } of row.tests)
      if (read(file) === null) found.push(`${at}: there is no ${file}`);
      else if (!titlesIn(file).has(title)) found.push(`${at}: ${file} has no test "${title}"`);
    return found;
  });
  return [...untrue, ...inFull.flatMap((name) => sentencesWithoutRow(name, rows, read))];
}

/** Without the tables of which a row with tests quotes the head: that row is held for all of the table. */
function withoutHeldTables(markdown: string, held: readonly string[]): string {
  return markdown.replaceAll(/^(\|.*)\n\| *:?-.*\n(?:\|.*\n?)*/gm, (table, head: string) =>
    held.includes(normalized(head)) ? '' : table,
  );
}

function sentencesWithoutRow(name: string, all: readonly Promised[], read: Sources['read']): string[] {
  const rows = all.filter((row) => row.document === name);
  const quotes = rows.map(({ quote }) => normalized(quote));
  const held = rows.filter(({ tests }) => tests.length > 0).map(({ quote }) => normalized(`| ${quote} |`));
  const isKnown = (sentence: string) => quotes.some((quote) => quote.includes(sentence) || sentence.includes(quote));
  return sentencesOf(withoutHeldTables(read(`docs/${name}`) ?? '', held))
    .filter((sentence) => !isKnown(sentence))
    .map((sentence) => `${name}: "${sentence}" has no row in promises.md`);
}
