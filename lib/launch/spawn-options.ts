import { maxLabelLength, maxLabels } from '../contract/limits.js';
import type { Labels } from '../contract/primitives.js';
import { checkReadyUrl } from '../engines/ready-url.js';
import { HivepulseError } from '../util/errors.js';
import { isObject } from '../util/is-object.js';
import { type Check, checkOptions, expected, flag, hasMethods, signal, type TableOf } from '../util/options.js';
import { shownModel } from '../workers/shown-command.js';
import type { CommandOptions } from './launcher.js';
import type { LimitOptions } from './limits.js';

export interface SpawnOptions extends CommandOptions, LimitOptions {
  readonly group: string;
  readonly instance: string;
  /** What it serves; else found by the rules of known engines. */
  readonly model?: string;
  readonly port?: number;
  readonly labels?: Labels;
  /** Loopback URL that answers 2xx once it is ready. */
  readonly readyUrl?: string;
  readonly reservationId?: string;
  /** Where no cgroup can be made, start under what affinity, nice, I/O priority and RLIMIT_DATA can do for limits. */
  readonly bestEffort?: boolean;
  /** Gives up before the start; a started worker is stopped with `stop`. */
  readonly signal?: AbortSignal;
}

const isList = (value: unknown): value is unknown[] => Array.isArray(value);
const isString = (value: unknown): boolean => typeof value === 'string';
/** Its own check says what a text must hold. */
const anyText = expected('a text', isString);
const textOrNumber: Check = expected('a text or a number', (value) => isString(value) || typeof value === 'number');
const textList = expected('a list of texts', (value) => isList(value) && value.every(isString));
const textsByName = expected('texts by name', (value) => isObject(value) && Object.values(value).every(isString));

const isStream = (value: unknown): boolean =>
  value === null ||
  value === undefined ||
  isString(value) ||
  Number.isInteger(value) ||
  hasMethods(value, 'on', 'pipe') ||
  hasMethods(value, 'on', 'write');

const spawnTable: TableOf<SpawnOptions> = {
  command: anyText,
  args: textList,
  env: expected(
    'texts by name',
    (value) => isObject(value) && Object.values(value).every((text) => text === undefined || isString(text)),
  ),
  cwd: expected('a path', (value) => typeof value === 'string' && value !== '' && !value.includes('\0')),
  stdio: expected('stdio as for child_process.spawn', (value) =>
    isList(value) ? value.every(isStream) : isString(value),
  ),
  detached: flag,
  cpu: textOrNumber,
  memory: textOrNumber,
  memoryHigh: textOrNumber,
  swap: textOrNumber,
  io: textList,
  pids: textOrNumber,
  cpuset: anyText,
  oomGroup: flag,
  group: anyText,
  instance: anyText,
  model: anyText,
  port: expected('a port, from 1 to 65535', (value) => typeof value === 'number'),
  labels: textsByName,
  readyUrl: anyText,
  reservationId: anyText,
  bestEffort: flag,
  signal,
};

/** Throws INVALID_OPTION where a name is unknown, a needed one is missing, or a value is of another type. */
export function checkSpawnOptions(options: SpawnOptions): void {
  checkOptions('', options, spawnTable);
  for (const name of ['group', 'instance', 'command'] as const)
    if (options[name] === undefined) throw new HivepulseError('INVALID_OPTION', name, `${name}: it is missing.`);
}

/** What is said of a worker, its name and its limits apart. Throws INVALID_OPTION with the flag as subject. */
export function checkDescription(options: SpawnOptions): void {
  const { command, args = [], port, model, labels = {}, readyUrl, reservationId } = options;
  const lacks = (text: string | undefined, maxLength: number): boolean =>
    text !== undefined && (text === '' || text.length > maxLength);
  const refuse = (flag: string, refused: boolean, message: string): void => {
    if (refused) throw new HivepulseError('INVALID_OPTION', flag, `${flag}: ${message}.`);
  };
  refuse('command', command === '', 'name a command to run');
  refuse(
    'command',
    [command, ...args].some((text) => text.includes('\0')),
    'a command line cannot hold a NUL character',
  );
  const isPort = port === undefined || (Number.isInteger(port) && port >= 1 && port <= 65535);
  refuse('--port', !isPort, 'it must be between 1 and 65535');
  refuse('--model', lacks(model, 512), 'it must have 1 to 512 characters');
  refuse(
    '--model',
    model !== undefined && shownModel(model) === null,
    'it must look like a name, path or URL of a model, without blanks, user and password',
  );
  refuse('--reservation', lacks(reservationId, 64), 'it must have 1 to 64 characters');
  refuse('--label', Object.keys(labels).length > maxLabels, `at most ${maxLabels} labels`);
  for (const [i, [key, value]] of Object.entries(labels).entries()) {
    const isKey = /^[A-Za-z0-9_./-]{1,63}$/.test(key);
    refuse('--label', !isKey, `the key of label ${i + 1} must be 1 to 63 of A-Z a-z 0-9 _ . / -`);
    refuse(
      '--label',
      value.length > maxLabelLength,
      `the value of label ${i + 1} is longer than ${maxLabelLength} characters`,
    );
  }
  if (readyUrl === undefined) return;
  const { search, hash } = checkReadyUrl(readyUrl);
  refuse('--ready-url', search + hash !== '', 'it must not hold a query or fragment, since it is kept in the record');
}
