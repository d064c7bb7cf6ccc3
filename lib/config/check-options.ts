import { isDeepStrictEqual } from 'node:util';
import {
  type Check,
  checkOptions,
  expected,
  hasMethods,
  invalidOption,
  type OptionTable,
  oneOf,
  signal,
  text,
} from '../util/options.js';
import type { SettingUser } from './setting.js';
import { settingOf, settingsOf } from './settings.js';
import { ValueProblem } from './types.js';

const logger = expected('a logger with the methods of pino', (value) => hasMethods(value, 'info', 'warn'));

/** A value of the setting's own type: what its parser makes of a text is no option. */
export function ofSetting(key: Parameters<typeof settingOf>[0]): Check {
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
function tableOf(user: SettingUser, more: OptionTable): OptionTable {
  const table: { [name: string]: Check | OptionTable } = { ...more };
  for (const key of settingsOf(user)) {
    const path = settingOf(key).option;
    if (path === null) continue;
    const names = (path || key).split('.');
    const last = names.pop() as string;
    let inner = table;
    for (const name of names) {
      inner[name] ??= {};
      inner = inner[name] as { [name: string]: Check | OptionTable };
    }
    inner[last] = ofSetting(key);
  }
  return table;
}

const grant: OptionTable = {
  token: text,
  role: oneOf(['hive', 'read', 'schedule', 'admin']),
  hive: text,
};

/** Throws for the first of the list that is no table of that kind, naming it `name.i`. */
function checkList(name: string, list: unknown, table: OptionTable, needed: readonly string[]): void {
  if (!Array.isArray(list)) throw invalidOption(name, 'the value does not fit: expected a list');
  for (const [i, entry] of list.entries()) {
    checkOptions(`${name}.${i}`, entry, table);
    const missing = needed.find((key) => entry[key] === undefined);
    if (missing !== undefined) throw invalidOption(`${name}.${i}.${missing}`, 'it is missing');
  }
}

// One declaration of NATS serves both, though a hive keeps nothing there.
const hive = tableOf('hive', { token: text, logger, signal, nats: { replicas: ofSetting('natsReplicas') } });
const queen = tableOf('queen', { tokens: () => null, logger, signal });

/** Throws INVALID_OPTION, which names the option and where it can the one that was meant. */
export function checkHiveOptions(options: unknown, name = ''): void {
  checkOptions(name, options, hive);
}

/** Throws INVALID_OPTION, which names the option and where it can the one that was meant. */
export function checkQueenOptions(options: unknown, name = ''): void {
  checkOptions(name, options, queen);
  const { tokens } = options as { tokens?: unknown };
  if (tokens !== undefined) checkList(name === '' ? 'tokens' : `${name}.tokens`, tokens, grant, ['token', 'role']);
}

const up: OptionTable = { hive: () => null, queen: () => null, signal };

/** Throws INVALID_OPTION, which names the option and where it can the one that was meant. */
export function checkUpOptions(options: unknown): void {
  checkOptions('', options, up);
  const { hive, queen } = options as { hive?: unknown; queen?: unknown };
  if (queen !== undefined) checkQueenOptions(queen, 'queen');
  if (hive !== undefined) checkHiveOptions(hive, 'hive');
}
