import { isDeepStrictEqual } from 'node:util';
import { HivepulseError } from '../util/errors.js';
import { closest } from './resolve.js';
import type { SettingUser } from './setting.js';
import { settingOf, settingsOf } from './settings.js';
import { ValueProblem } from './types.js';

/** What is wrong with a value, as the end of a sentence; null where it fits. */
type Check = (value: unknown) => string | null;

/** The options that may be given by name; nested ones by theirs. */
interface Table {
  readonly [name: string]: Check | Table;
}

const expected =
  (what: string, fits: (value: unknown) => boolean): Check =>
  (value) =>
    fits(value) ? null : `the value does not fit: expected ${what}`;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const hasMethods = (value: unknown, ...names: string[]): boolean =>
  typeof value === 'object' && value !== null && names.every((name) => typeof Reflect.get(value, name) === 'function');

const text = expected('a text that is not empty', (value) => typeof value === 'string' && value !== '');
const signal = expected('an AbortSignal', (value) => hasMethods(value, 'addEventListener', 'throwIfAborted'));
const logger = expected('a logger with the methods of pino', (value) => hasMethods(value, 'info', 'warn'));

/** A value of the setting's own type: what its parser makes of a text is no option. */
function ofSetting(key: Parameters<typeof settingOf>[0]): Check {
  const { type } = settingOf(key);
  return (value) => {
    try {
      const parsed = type.parse(value);
      if (isDeepStrictEqual(parsed, value)) return null;
      const unit = type.unit === null ? '' : ` in ${type.unit}`;
      return typeof parsed === 'number'
        ? `the value does not fit: expected a number${unit}, not a text`
        : `the value does not fit: expected ${type.expects}, in that form`;
    } catch (error) {
      if (error instanceof ValueProblem) return error.message;
      throw error;
    }
  };
}

/** The table of all settings that `user` reads as options, each where its row says. */
function tableOf(user: SettingUser, more: Table): Table {
  const table: { [name: string]: Check | Table } = { ...more };
  for (const key of settingsOf(user)) {
    const path = settingOf(key).option;
    if (path === null) continue;
    const names = (path || key).split('.');
    const last = names.pop() as string;
    let inner = table;
    for (const name of names) {
      inner[name] ??= {};
      inner = inner[name] as { [name: string]: Check | Table };
    }
    inner[last] = ofSetting(key);
  }
  return table;
}

const roles = ['hive', 'read', 'schedule', 'admin'];
const grant: Table = {
  token: text,
  role: expected(`one of ${roles.join(', ')}`, (value) => roles.includes(value as string)),
  hive: text,
};

/** Throws for the first of the list that is no table of that kind, naming it `name.i`. */
function checkList(name: string, list: unknown, table: Table, needed: readonly string[]): void {
  if (!Array.isArray(list)) throw invalid(name, 'the value does not fit: expected a list');
  for (const [i, entry] of list.entries()) {
    checkTable(`${name}.${i}`, entry, table);
    const missing = needed.find((key) => entry[key] === undefined);
    if (missing !== undefined) throw invalid(`${name}.${i}.${missing}`, 'it is missing');
  }
}

// One declaration of NATS serves both, though a hive keeps nothing there.
const hive = tableOf('hive', { token: text, logger, signal, nats: { replicas: ofSetting('natsReplicas') } });
const queen = tableOf('queen', { tokens: () => null, logger, signal });

const invalid = (name: string, problem: string): HivepulseError =>
  new HivepulseError('INVALID_OPTION', name, `${name}: ${problem}.`);

/** `name`: what the options are; '' where they are those of the call itself. Undefined is not given. */
function checkTable(name: string, options: unknown, table: Table): void {
  if (!isObject(options)) throw invalid(name || 'options', 'the value does not fit: expected an object');
  for (const [key, value] of Object.entries(options)) {
    const path = name === '' ? key : `${name}.${key}`;
    if (!Object.hasOwn(table, key)) {
      const near = closest(key, Object.keys(table));
      const advice = near === null ? `known are ${Object.keys(table).sort().join(', ')}` : `did you mean ${near}`;
      throw invalid(path, `there is no such option; ${advice}`);
    }
    if (value === undefined) continue;
    const check = table[key] as Check | Table;
    if (typeof check !== 'function') checkTable(path, value, check);
    else {
      const problem = check(value);
      if (problem !== null) throw invalid(path, problem);
    }
  }
}

/** Throws INVALID_OPTION, which names the option and where it can the one that was meant. */
export function checkHiveOptions(options: unknown, name = ''): void {
  checkTable(name, options, hive);
}

/** Throws INVALID_OPTION, which names the option and where it can the one that was meant. */
export function checkQueenOptions(options: unknown, name = ''): void {
  checkTable(name, options, queen);
  const { tokens } = options as { tokens?: unknown };
  if (tokens !== undefined) checkList(name === '' ? 'tokens' : `${name}.tokens`, tokens, grant, ['token', 'role']);
}

const up: Table = { hive: () => null, queen: () => null, signal };

/** Throws INVALID_OPTION, which names the option and where it can the one that was meant. */
export function checkUpOptions(options: unknown): void {
  checkTable('', options, up);
  const { hive, queen } = options as { hive?: unknown; queen?: unknown };
  if (queen !== undefined) checkQueenOptions(queen, 'queen');
  if (hive !== undefined) checkHiveOptions(hive, 'hive');
}
