/** Inputs made from a grammar: right ones, with parts replaced by what costs a reader most. */
import { queenEventKinds } from '../../../../lib/contract/api.js';
import { hiveEventKinds, hiveStates, workerStates } from '../../../../lib/contract/enums.js';
import { workerSortNames } from '../../../../lib/contract/fields/sorts.js';
import { eventOf, gpuOf, heartbeatOf, workerOf } from '../../../harness/heartbeats.js';
import type { Random } from '../../../harness/random.js';

type Tree = Record<string, unknown> | unknown[];

const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null;

/** Written into a tree, and replaced in its text by what no tree could hold. */
const mark = (text: string): string => `\u0001${text}\u0001`;
const unmark = (json: string): string =>
  json.replace(/"\\u0001((?:[^"\\]|\\.)*?)\\u0001"/g, (_, text) => JSON.parse(`"${text}"`));

const sizes = [1, 2, 10, 31, 33, 100, 1000, 4000] as const;

/** A value that is wrong, large or odd. */
function oddValue(random: Random): unknown {
  const size = random.pick(sizes);
  switch (random.whole(0, 17)) {
    case 0:
      return mark(`${'['.repeat(size)}${']'.repeat(size)}`);
    case 1:
      return mark(`${'{"a":'.repeat(size)}1${'}'.repeat(size)}`);
    case 2:
      return Object.fromEntries(Array.from({ length: size }, (_, i) => [`k${i}`, random.pick([{}, [], null, i])]));
    case 3:
      return Array.from({ length: size }, (_, i) => i);
    case 4:
      return random.pick(['a', '\u0000', '\u202e', '\ud800', '<', '%', '\\', '/', 'é', '😀']).repeat(size);
    case 5:
      return mark(`"${'\\u0041'.repeat(size)}"`);
    case 6:
      return random.pick([0, -1, 0.1, 1e300, -1e300, Number.MAX_SAFE_INTEGER, 2 ** 53, 5e-324]);
    case 7:
      return mark(random.pick(['1e999', '-0', '1E-999', '9'.repeat(size), `0.${'1'.repeat(size)}`]));
    case 8:
      return mark(`{${Array.from({ length: size }, () => '"x":1').join(',')}}`);
    case 9:
      return mark('{"__proto__":{"a":1},"constructor":{"prototype":{}}}');
    case 10:
      return random.pick([true, false, null, '', [], {}]);
    case 11:
      return '2026-01-02T03:04:05.'.padEnd(20 + size, '9');
    case 12:
      return Array.from({ length: size }, (_, i) => workerOf(`g/${i % 7}`));
    case 13:
      return Array.from({ length: Math.min(size, 300) }, (_, i) => gpuOf(`GPU-${i % 5}`));
    case 14:
      return Array.from({ length: Math.min(size, 1000) }, (_, i) => eventOf(i, { detail: { a: [[i]] } }));
    case 15:
      return Array.from({ length: size }, (_, i) => ({ source: 'x', code: `C${i}`, message: 'm'.repeat(i % 50) }));
    case 16:
      return Object.fromEntries(Array.from({ length: Math.min(size, 40) }, (_, i) => [`l${i}`, 'v'.repeat(200)]));
    default:
      return random.pick([...hiveEventKinds, ...queenEventKinds, ...hiveStates, ...workerStates]);
  }
}

/** A place in a tree, at random. */
function placeIn(tree: Tree, random: Random): { readonly of: Tree; readonly key: string } {
  let of = tree;
  for (;;) {
    const keys = Object.keys(of);
    const key = keys.length === 0 ? 'x' : random.pick(keys);
    const below = (of as Record<string, unknown>)[key];
    if (!isTree(below) || random.chance(0.25)) return { of, key };
    of = below;
  }
}

function mutate(tree: Tree, random: Random): void {
  const { of, key } = placeIn(tree, random);
  const record = of as Record<string, unknown>;
  const value = record[key];
  if (Array.isArray(of) && random.chance(0.4)) {
    // The same again and again, right as it is or nearly so.
    const count = random.pick([2, 30, 100, 300]);
    for (let i = 0; i < count; i++) of.push(random.chance(0.5) ? value : structuredClone(value));
  } else if (random.chance(0.15)) delete record[key];
  else if (random.chance(0.2)) record[`x${random.whole(0, 9)}`] = oddValue(random);
  else record[key] = oddValue(random);
}

/** A text that is a heartbeat, or nearly one. */
export function heartbeatText(random: Random): string {
  const count = random.pick([0, 1, 8, 100]);
  const heartbeat = heartbeatOf(`h${random.whole(0, 20)}`, random.whole(1, 1_000_000), {
    workers: Array.from({ length: count }, (_, i) => workerOf(`llm/${i}`, { command: null })),
    events: Array.from({ length: random.pick([0, 1, 50]) }, (_, i) => eventOf(i + 1)),
    gpus: Array.from({ length: random.pick([0, 1, 16]) }, (_, i) => gpuOf(`GPU-${random.whole(0, 99)}-${i}`)),
  });
  const tree = JSON.parse(JSON.stringify(heartbeat)) as Tree;
  for (let i = random.whole(0, 4); i > 0; i--) mutate(tree, random);
  return broken(unmark(JSON.stringify(tree)), random);
}

/** Now and then cut off, or with a byte changed. */
function broken(text: string, random: Random): string {
  if (random.chance(0.9)) return text;
  const at = random.whole(0, text.length);
  return random.chance(0.5)
    ? text.slice(0, at)
    : `${text.slice(0, at)}${random.pick(['"', '{', '[', ',', '\\', '\u0000'])}${text.slice(at + 1)}`;
}

/** A message of the stream that queens share. */
export function eventMessageText(random: Random): string {
  const tree = {
    incarnation: 'x',
    hive: 'h1',
    model: null,
    ...eventOf(random.whole(1, 99)),
  };
  for (let i = random.whole(0, 3); i > 0; i--) mutate(tree as unknown as Tree, random);
  return broken(unmark(JSON.stringify(tree)), random);
}

const words = (random: Random): string =>
  random.pick([
    ...['a', 'h1', 'llm', 'llm/0', '', '0', '-1', '1e9', 'idle', 'online', '%00', '%F0', '../..', '*', '__proto__'],
    'x'.repeat(random.pick(sizes)),
    `${'k'.repeat(20)}:${'v'.repeat(200)}`,
    random.pick(workerSortNames),
  ]);

const parameters = [
  'model',
  'state',
  'group',
  'hive',
  'label',
  'minFreeVramBytes',
  'liveness',
  'sort',
  'limit',
  'cursor',
  'x',
];
const paths = [
  '/v1/hives',
  '/v1/workers',
  '/v1/gpus',
  '/v1/workers/best',
  '/v1/fleet',
  '/v1/reservations',
  '/openapi.json',
];

/** A path with a query. */
export function queryText(random: Random): string {
  const path = random.chance(0.7)
    ? random.pick(paths)
    : `/v1/${random.pick(['hives', 'workers', 'gpus', 'x'])}/${words(random)}`;
  const given = Array.from(
    { length: random.pick([0, 1, 2, 5, 60]) },
    () => `${random.pick(parameters)}=${words(random)}`,
  );
  return encodeURI(`${path}?${given.join('&')}`).slice(0, 16_000);
}

/** The filter of a stream. */
export function filterText(random: Random): string {
  const kinds = Array.from({ length: random.pick([1, 3, 32]) }, () =>
    random.pick([...hiveEventKinds, ...queenEventKinds, 'heartbeat', 'event', 'x'.repeat(50)]),
  );
  const parts = [
    `kind=${kinds.join(',')}`,
    `model=${words(random)}`,
    `hive=${words(random)}`,
    `lastEventId=test-${random.whole(0, 999)}`,
  ];
  return encodeURI(`/v1/events?${parts.filter(() => random.chance(0.5)).join('&')}`);
}
