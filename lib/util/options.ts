import { HivepulseError } from './errors.js';
import { isObject } from './is-object.js';

/** What is wrong with a value, as the end of a sentence; null where it fits. */
export type Check = (value: unknown) => string | null;

/** The options that may be given by name; nested ones by theirs. */
export interface OptionTable {
  readonly [name: string]: Check | OptionTable;
}

/** A table that has a row for each option of `T`: one that is forgotten does not compile. */
export type TableOf<T> = { readonly [K in keyof Required<T>]: Check | OptionTable };

export const expected =
  (what: string, fits: (value: unknown) => boolean): Check =>
  (value) =>
    fits(value) ? null : `the value does not fit: expected ${what}`;

export const hasMethods = (value: unknown, ...names: string[]): boolean =>
  typeof value === 'object' && value !== null && names.every((name) => typeof Reflect.get(value, name) === 'function');

export const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

export const text = expected('a text that is not empty', isText);
export const texts = expected('a list of texts', (value) => Array.isArray(value) && value.every(isText));
export const flag = expected('true or false', (value) => typeof value === 'boolean');
export const callback = expected('a function', (value) => typeof value === 'function');
export const signal = expected('an AbortSignal', (value) => hasMethods(value, 'addEventListener', 'throwIfAborted'));
export const numberFrom = (least: number, what: string): Check =>
  expected(
    `${what}, at least ${least}`,
    (value) => typeof value === 'number' && Number.isFinite(value) && value >= least,
  );
/** A whole number from `least` to `most`. */
export const wholeFrom = (least: number, what: string, most = Number.MAX_SAFE_INTEGER): Check =>
  expected(
    most === Number.MAX_SAFE_INTEGER ? `${what}, at least ${least}` : `${what} from ${least} to ${most}`,
    (value) => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most,
  );
export const oneOf = (choices: readonly string[]): Check =>
  expected(`one of ${choices.join(', ')}`, (value) => choices.some((choice) => choice === value));

export const invalidOption = (name: string, problem: string): HivepulseError =>
  new HivepulseError('INVALID_OPTION', name, `${name}: ${problem}.`);

/**
 * Throws INVALID_OPTION for the first option that is not in the table or whose value does not fit, naming it and where it can
 * the one that was meant. `name`: what the options are; '' where they are those of the call itself. Undefined is not given.
 */
export function checkOptions(name: string, options: unknown, table: OptionTable): void {
  if (!isObject(options)) throw invalidOption(name || 'options', 'the value does not fit: expected an object');
  for (const [key, value] of Object.entries(options)) {
    const path = name === '' ? key : `${name}.${key}`;
    if (!Object.hasOwn(table, key)) {
      const near = closest(key, Object.keys(table));
      const advice = near === null ? `known are ${Object.keys(table).sort().join(', ')}` : `did you mean ${near}`;
      throw invalidOption(path, `there is no such option; ${advice}`);
    }
    if (value === undefined) continue;
    const check = table[key] as Check | OptionTable;
    if (typeof check !== 'function') checkOptions(path, value, check);
    else {
      const problem = check(value);
      if (problem !== null) throw invalidOption(path, problem);
    }
  }
}

/** The candidate at most a third of its letters away from `word`; null where none is near. */
export function closest(word: string, candidates: readonly string[]): string | null {
  const plainWord = word.toLowerCase().replace(/[-_]/g, '').slice(0, 60);
  let best: string | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const other = candidate.toLowerCase().replace(/[-_]/g, '');
    const steps = distance(plainWord, other);
    if (steps <= Math.max(1, Math.floor(other.length / 3)) && steps < least) {
      best = candidate;
      least = steps;
    }
  }
  return best;
}

/** Optimal string alignment: letters to insert, delete or replace, and neighbours to swap (`prot` for `port`). */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwap ? (before[j - 2] as number) + 1 : replaced;
      next.push(Math.min(swapped, replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    before = row;
    row = next;
  }
  return row[b.length] as number;
}
