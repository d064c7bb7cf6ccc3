import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { createProgram } from '../../lib/cli/program.js';
import { resolveSettings, type Sources } from '../../lib/config/resolve.js';
import { type SettingUser, settingUsers } from '../../lib/config/setting.js';
import { type SettingKey, settingKeys, settingOf } from '../../lib/config/settings.js';
import { HivepulseError } from '../../lib/util/errors.js';

interface Documented {
  readonly key: SettingKey;
  /** Cells of its table, by the name of the row. */
  readonly row: ReadonlyMap<string, string>;
}

/** The tables as somebody reads them, not as they were written. */
function documented(): Documented[] {
  const text = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
  return text
    .split(/^### /m)
    .slice(1)
    .map((part) => {
      const rows = [...part.matchAll(/^\| (\w[\w ]*?) +\| (.*?) +\|$/gm)].map(
        ([, name, cell]) => [name!, cell!] as const,
      );
      return { key: part.slice(0, part.indexOf('\n')) as SettingKey, row: new Map(rows) };
    });
}

const words: Readonly<Record<SettingUser, string>> = {
  up: '`up`',
  queen: '`queen`',
  hive: '`hive`',
  sample: '`sample`',
  client: 'commands that ask a queen',
};
const usersOf = ({ row }: Documented): SettingUser[] =>
  settingUsers.filter((user) => row.get('read by')!.split(', ').includes(words[user]));
const unquoted = (cell: string) => cell.replaceAll('`', '');
const resolve = (user: SettingUser, sources: Partial<Sources> = {}) =>
  resolveSettings({ user, flags: {}, environment: {}, file: null, ...sources });

/** Values that fit and that do not, by what the table says that is expected. */
function examplesOf({ key, row }: Documented): { good: string[]; bad: string[] } {
  const expects = row.get('value')!;
  const several = expects.endsWith('several: a list, or commas between');
  const range = /from (\d+)([a-zA-Z]*) to (\d+)([a-zA-Z]*)/.exec(expects);
  if (range !== null) {
    const [, low, lowUnit, high, highUnit] = range;
    const below = Number(low) > 0 ? `${Number(low) - 1}${lowUnit}` : '-1';
    return {
      good: [`${low}${lowUnit}`, `${high}${highUnit}`],
      bad: [below, `${Number(high) + 1}${highUnit}`, 'x', ''],
    };
  }
  const choices = /^(?:a |)one of (.*)$/.exec(expects)?.[1]?.split(', ');
  if (choices !== undefined) return { good: choices, bad: [`${choices[0]}x`, '2.5', 'other'] };
  if (expects.startsWith('true or false'))
    return { good: ['true', 'false', 'yes', 'no', 'on', 'off', '1', '0'], bad: ['maybe', '2'] };
  const secret = /of 1 to (\d+) visible ASCII/.exec(expects)?.[1];
  if (secret !== undefined)
    return { good: ['x', 'x'.repeat(Number(secret))], bad: ['a b', 'a\u0007', 'é', 'x'.repeat(Number(secret) + 1)] };
  if (expects.startsWith('key=value'))
    return {
      good: ['a=b', `${'k'.repeat(63)}=${'v'.repeat(256)}`, Array.from({ length: 32 }, (_, i) => `k${i}=v`).join(',')],
      bad: [
        'a',
        '=b',
        `${'k'.repeat(64)}=v`,
        `k=${'v'.repeat(257)}`,
        'a b=c',
        Array.from({ length: 33 }, (_, i) => `k${i}=v`).join(','),
      ],
    };
  if (expects.startsWith('1 to 128 characters'))
    return { good: ['a', 'A'.repeat(128), '0_.:@+-'], bad: ['A'.repeat(129), '-a', 'a/b', 'a b'] };
  if (expects === 'a path') return { good: ['/tmp/x', 'x'], bad: ['a\u0000', 'x'.repeat(4097)] };
  const example = /such as (\S+?)[,;]? /.exec(`${expects} `)?.[1];
  if (example === undefined) throw new Error(`${key}: nobody knows what "${expects}" means`);
  const bad = expects.includes('user, password')
    ? ['http://user:secret@a:1', 'http://a:1/?q=1', 'http://a:1/#f', 'ftp://a']
    : expects.includes('without scheme')
      ? ['http://a', 'a:1', '[::1]', 'a b', '0.0.0.0', '::']
      : expects.includes('without a port')
        ? ['a:1', 'a b', 'http://a']
        : ['a\u0007', 'x'.repeat(1025)];
  return { good: several ? [example, `${example}, ${example}`] : [example], bad };
}

const refused = (act: () => unknown, subject: string) => {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(HivepulseError);
    expect(error).toMatchObject({ code: 'INVALID_OPTION' });
    expect((error as HivepulseError).subject).toContain(subject);
    return;
  }
  expect.unreachable(`${subject} was taken`);
};

const tables = documented();

describe('each table of docs/configuration.md', () => {
  it('is there for each setting, and has every row', () => {
    expect(tables.map(({ key }) => key).toSorted()).toEqual([...settingKeys].toSorted());
    for (const { key, row } of tables)
      expect([...row.keys()], key).toEqual(['what', 'flag', 'variable', 'file', 'value', 'default', 'read by']);
  });

  it.each(tables)('$key: its commands have the flag, and of the daemons no other has', ({ key, row }) => {
    const flag = /^`(--[a-z-]+)/.exec(row.get('flag')!)?.[1] ?? null;
    const users = usersOf({ key, row });
    expect(users.length).toBeGreaterThan(0);
    const commands = createProgram().commands;
    const of = (user: SettingUser): readonly Command[] =>
      user === 'client'
        ? commands.filter((command) => ['top', 'workers', 'hives', 'events', 'attention'].includes(command.name()))
        : commands.filter((command) => command.name() === user);
    for (const user of settingUsers)
      for (const command of of(user)) {
        const options = command.options.filter(({ long, hidden }) => long === flag && !hidden);
        // A command that asks may have a filter of that name.
        if (user === 'client' && !users.includes('client')) continue;
        expect(options.length, `${flag} of ${command.name()}`).toBe(flag !== null && users.includes(user) ? 1 : 0);
        for (const { argChoices, parseArg } of options)
          expect([argChoices, parseArg !== undefined]).toEqual([undefined, row.get('flag')!.endsWith(', repeatable')]);
      }
  });

  it.each(tables)('$key: flag, variable and file take what fits, and refuse what does not, by their name', (table) => {
    const { key, row } = table;
    const { good, bad } = examplesOf(table);
    const variable = unquoted(row.get('variable')!);
    const isInFile = row.get('file') !== 'refused';
    const yaml = (text: string) => ({ path: 'c.yaml', text: `# one\n${key}: ${JSON.stringify(text)}\n` });
    for (const user of usersOf(table)) {
      for (const text of good) {
        const expected = settingOf(key).type.parse(text);
        expect(resolve(user, { environment: { [variable]: text } }).settings[key]).toEqual(expected);
        expect(resolve(user, { flags: { [key]: text } }).settings[key]).toEqual(expected);
        if (isInFile) expect(resolve(user, { file: yaml(text) }).settings[key]).toEqual(expected);
      }
      for (const text of bad) {
        if (text !== '') refused(() => resolve(user, { environment: { [variable]: text } }), variable);
        refused(() => resolve(user, { flags: { [key]: text } }), '--');
        if (isInFile) refused(() => resolve(user, { file: yaml(text) }), 'c.yaml:2');
      }
      if (!isInFile) refused(() => resolve(user, { file: yaml(good[0]!) }), 'c.yaml:2');
    }
  });

  it.each(tables)('$key: has this default, for these commands', (table) => {
    const { key, row } = table;
    const cell = row.get('default')!;
    for (const user of usersOf(table)) {
      const own = new RegExp(`\`([^\`]+)\` for ${words[user]}`).exec(cell)?.[1];
      const common = /^`([^`]+)`(?:$|,)/.exec(cell)?.[1];
      const text = own ?? common;
      const value = resolve(user).settings[key];
      if (text === undefined) expect([undefined, [], {}]).toContainEqual(value);
      else expect(value).toEqual(settingOf(key).type.parse(text));
    }
  });
});
