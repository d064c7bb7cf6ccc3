import { createRequire } from 'node:module';
import type { Document, Node, Pair, YAMLMap } from 'yaml';
import { HivepulseError } from '../util/errors.js';
import { readNamedText } from '../util/named-file.js';
import { closest } from '../util/options.js';
import { shownPath } from '../util/shown-url.js';
import { type SettingUser, settingUsers } from './setting.js';
import {
  defaultOf,
  flagOf,
  type SettingKey,
  type Settings,
  settingKeys,
  settingOf,
  settingsOf,
  variableOf,
} from './settings.js';
import { isSecret, ValueProblem } from './types.js';

/** Where there is a file to read: its 84 modules take 7 MiB of a process. */
const loadYaml = (): typeof import('yaml') => createRequire(import.meta.url)('yaml');

/** A configuration file is settings, not data. */

export type Origin = 'flag' | 'environment' | 'file' | 'default';

export interface ConfigFile {
  readonly path: string;
  readonly text: string;
}

export interface Sources {
  readonly user: SettingUser;
  /** What the command line gave, by key; undefined: not given. */
  readonly flags: Readonly<Partial<Record<SettingKey, unknown>>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly file: ConfigFile | null;
}

export interface Resolved {
  readonly settings: Settings;
  /** Where each setting that has a value comes from. */
  readonly origins: Readonly<Partial<Record<SettingKey, Origin>>>;
  /** Likely mistakes that are no errors: a variable that nobody reads. */
  readonly warnings: readonly string[];
}

/**
 * Flags over environment over file over defaults. Throws INVALID_OPTION naming the flag, the variable or the line of the
 * file, and what is expected; CONFIG_UNREADABLE where the file is no YAML map.
 */
export function resolveSettings({ user, flags, environment, file }: Sources): Resolved {
  const fromFile = file ? parseConfigFile(file, user) : new Map<SettingKey, unknown>();
  const values: Partial<Record<SettingKey, unknown>> = {};
  const origins: Partial<Record<SettingKey, Origin>> = {};
  for (const key of settingsOf(user)) {
    const variable = variableOf(key);
    const text = environment[variable];
    if (flags[key] !== undefined) {
      values[key] = check(key, flags[key], `--${flagOf(key)}`);
      origins[key] = 'flag';
    } else if (text !== undefined && text !== '') {
      values[key] = check(key, text, variable);
      origins[key] = 'environment';
    } else if (fromFile.has(key)) {
      values[key] = fromFile.get(key);
      origins[key] = 'file';
    } else {
      const fallback = defaultOf(key, user);
      if (fallback === null) continue;
      values[key] = fallback;
      origins[key] = 'default';
    }
  }
  // Each value was made by the type of its own key, or is its default.
  return { settings: values as Settings, origins, warnings: strayVariables(environment) };
}

function check(key: SettingKey, input: unknown, where: string): unknown {
  try {
    return settingOf(key).type.parse(input);
  } catch (error) {
    if (!(error instanceof ValueProblem)) throw error;
    throw new HivepulseError('INVALID_OPTION', where, `${where}: ${error.message}.`);
  }
}

/** Reads the file named by `--config`. Throws CONFIG_UNREADABLE. */
export const readConfigFile = (path: string): ConfigFile => ({
  path,
  text: readNamedText(path, { fix: 'Name a file with --config or HIVEPULSE_CONFIG, or leave it out' }),
});

/**
 * All settings in the file are checked, also those of other commands; the sections `hive:`, `queen:`, ... hold what is
 * meant for one command alone and go before the rest.
 */
export function parseConfigFile(file: ConfigFile, user: SettingUser): Map<SettingKey, unknown> {
  const path = shownPath(file.path);
  const { isMap, isScalar, LineCounter, parseDocument } = loadYaml();
  const lines = new LineCounter();
  const document = parseDocument(file.text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    logLevel: 'silent',
  });
  const unreadableAt = (where: string, message: string): HivepulseError =>
    new HivepulseError('CONFIG_UNREADABLE', where, `${message} YAML of the form \`name: value\`.`);
  const [problem] = document.errors;
  if (problem) {
    const { line } = lines.linePos(problem.pos[0]);
    // The parser's own message may hold what stands there.
    throw unreadableAt(`${path}:${line}`, `${path} line ${line}: ${yamlProblem(problem.code)}. It must be`);
  }
  const root = document.contents;
  if (root === null || (isScalar(root) && root.value === null)) return new Map();
  if (!isMap(root)) throw unreadableAt(path, `${path} holds no settings: it must be`);

  const shared = new Map<SettingKey, unknown>();
  const own = new Map<SettingKey, unknown>();
  const visit = (map: YAMLMap, section: SettingUser | null): void => {
    for (const pair of map.items as Pair[]) {
      const { line } = lines.linePos((pair.key as Node | null)?.range?.[0] ?? 0);
      const fail = (message: string): never => {
        throw new HivepulseError('INVALID_OPTION', `${path}:${line}`, `${path} line ${line}: ${message}.`);
      };
      const name = isScalar(pair.key) ? String(pair.key.value) : fail('a setting must have a name');
      if (section === null && isSection(name) && isMap(pair.value)) {
        visit(pair.value, name);
        continue;
      }
      const key = settingNamed(name, section, fail);
      const input = plain(pair.value, document, fail);
      if (input === null) continue; // `name:` with nothing after it: not set
      const value = parseOr(fail, key, input);
      if (section === null) shared.set(key, value);
      else if (section === user) own.set(key, value);
    }
  };
  visit(root, null);
  return new Map([...shared, ...own]);
}

function parseOr(fail: (message: string) => never, key: SettingKey, input: unknown): unknown {
  try {
    return settingOf(key).type.parse(input);
  } catch (error) {
    if (!(error instanceof ValueProblem)) throw error;
    return fail(`${key}: ${error.message}`);
  }
}

/** The setting of this name that may stand in a file, in this section. */
function settingNamed(name: string, section: SettingUser | null, fail: (message: string) => never): SettingKey {
  const known = section ? settingsOf(section) : settingKeys;
  const key = known.find((candidate) => candidate === name) ?? fail(unknownSetting(name, section));
  if (settingOf(key).inFile !== false) return key;
  return fail(
    `${key} must not stand here, where it is copied and committed; set ${variableOf(key)}, or name a file of its own (${key}File)`,
  );
}

function plain(node: unknown, document: Document.Parsed, fail: (message: string) => never): unknown {
  if (node === null || node === undefined) return null;
  try {
    return (node as Node).toJS(document, { maxAliasCount: 100 });
  } catch {
    return fail('an alias (*name) stands here that has no anchor (&name), or stands for too much');
  }
}

const yamlProblems: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: 'the same name stands twice',
  TAB_AS_INDENT: 'it is indented by a tab',
  BAD_INDENT: 'it is indented wrongly',
  MISSING_CHAR: 'a quote, bracket or colon is missing',
  MULTILINE_IMPLICIT_KEY: 'a name and its colon must stand on one line',
};

const yamlProblem = (code: string): string => yamlProblems[code] ?? `it is no YAML (${code})`;

const isSection = (name: string): name is SettingUser => settingUsers.some((user) => user === name);

function unknownSetting(name: string, section: SettingUser | null): string {
  if (section === null && isSection(name)) return `${name} is a section and must hold settings, indented below it`;
  if (section !== null && settingKeys.some((key) => key === name)) {
    const users = settingOf(name as SettingKey).users.join(', ');
    return `${name} is no setting of ${section} (but of ${users})`;
  }
  const names = section ? settingsOf(section) : [...settingKeys, ...settingUsers];
  const close = closest(name, names);
  const advice = close ? `did you mean ${close}?` : `known are ${[...names].sort().join(', ')}`;
  return `the name here is no setting${section ? ` of ${section}` : ''}; ${advice}`.replace(/\?$/, '');
}

/** Variables that look like a mistyped setting. Others under the same prefix may belong to somebody else. */
function strayVariables(environment: Readonly<Record<string, string | undefined>>): string[] {
  const known = settingKeys.map(variableOf);
  const warnings: string[] = [];
  for (const name of Object.keys(environment)) {
    if (!name.startsWith('HIVEPULSE_') || known.includes(name) || name === 'HIVEPULSE_CONFIG') continue;
    const close = closest(
      name.slice(10),
      known.map((variable) => variable.slice(10)),
    );
    if (close) warnings.push(`The variable ${name} is read by nobody; did you mean HIVEPULSE_${close}?`);
  }
  return warnings;
}

/**
 * The token to send to a queen: of `token` and `tokenFile`, the one given nearer to the command line. Null: none.
 * Throws CONFIG_UNREADABLE where the file cannot be read, INVALID_OPTION where it holds no token.
 */
export function readToken({ settings, origins }: Resolved): string | null {
  const rank = { flag: 3, environment: 2, file: 1, default: 0 } as const;
  const of = (key: SettingKey): number => rank[origins[key] ?? 'default'];
  if (settings.token !== undefined && of('token') >= of('tokenFile')) return settings.token;
  if (settings.tokenFile === undefined) return null;
  const token = readNamedText(settings.tokenFile, { fix: 'It was named as tokenFile' }).trim();
  if (!isSecret(token)) {
    const shown = shownPath(settings.tokenFile);
    throw new HivepulseError(
      'INVALID_OPTION',
      shown,
      `${shown} must hold one token of 1 to 512 visible ASCII characters and nothing else.`,
    );
  }
  return token;
}
