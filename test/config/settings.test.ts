import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { parseConfigFile, readConfigFile, readToken, resolveSettings, type Sources } from '../../lib/config/resolve.js';
import { settingUsers } from '../../lib/config/setting.js';
import { flagOf, type SettingKey, settingKeys, settingOf, settingsOf, variableOf } from '../../lib/config/settings.js';
import { ValueProblem } from '../../lib/config/types.js';
import { HivepulseError } from '../../lib/util/errors.js';
import { closest } from '../../lib/util/options.js';
import { configurationDocument } from '../../scripts/docs-config.js';
import { portion } from '../harness/draws.js';

const directory = mkdtempSync(join(tmpdir(), 'hivepulse-config-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const resolve = (sources: Partial<Sources> = {}) =>
  resolveSettings({ user: 'hive', flags: {}, environment: {}, file: null, ...sources });
const yaml = (text: string) => ({ path: 'hivepulse.yaml', text });

function failure(act: () => unknown): HivepulseError {
  try {
    act();
  } catch (error) {
    if (error instanceof HivepulseError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('configuration: precedence', () => {
  test('flags go before environment before file before default', () => {
    const flags = { interval: '1s' };
    const environment = { HIVEPULSE_INTERVAL: '2s' };
    const file = yaml('interval: 3s\n');
    expect(resolve({ flags, environment, file }).settings.interval).toBe(1000);
    expect(resolve({ environment, file }).settings.interval).toBe(2000);
    expect(resolve({ file }).settings.interval).toBe(3000);
    expect(resolve().settings.interval).toBe(1000);
    expect(resolve({ environment, file }).origins.interval).toBe('environment');
  });

  test('an empty variable counts as unset', () => {
    expect(resolve({ environment: { HIVEPULSE_ID: '' }, file: yaml('id: a') }).settings.id).toBe('a');
  });

  test('a section goes before what stands outside of it, and concerns its command alone', () => {
    const file = yaml('port: 1\nhive:\n  port: 2\nqueen:\n  port: 3\n');
    expect(resolve({ file }).settings.port).toBe(2);
    expect(resolve({ file, user: 'queen' }).settings.port).toBe(3);
    expect(resolve({ file, user: 'up' }).settings.port).toBe(1);
  });

  test('a default may differ by command', () => {
    expect(resolve().settings.port).toBe(7835);
    expect(resolve({ user: 'queen' }).settings.port).toBe(7833);
    expect(resolve().settings.queens).toBeUndefined();
    expect(resolve({ user: 'client' }).settings.queens).toEqual(['http://127.0.0.1:7833']);
  });
});

describe('configuration: values', () => {
  const value = (key: SettingKey, input: unknown) => settingOf(key).type.parse(input);

  test.each([
    ['interval', '500ms', 500],
    ['interval', '1.5s', 1500],
    ['interval', '2m', 120_000],
    ['interval', 250, 250],
    ['maxHeartbeatBytes', '8M', 8 * 1024 ** 2],
    ['maxHeartbeatBytes', '1GiB', null],
    ['idleBelowPercent', '12.5%', 12.5],
    ['idleBelowPercent', '7', 7],
    ['insecure', 'yes', true],
    ['insecure', 0, false],
    ['queens', 'http://a:1, https://b:2/x', ['http://a:1', 'https://b:2/x']],
    ['queens', ['http://a:1'], ['http://a:1']],
    ['queens', 'http://user:secret@a:1', null],
    ['queens', 'a:7833, [::1]:7833, https://b', ['http://a:7833', 'http://[::1]:7833', 'https://b']],
    ['queens', 'a:78330', null],
    ['queens', 'a', null],
    ['queens', 'ftp://a:7833', null],
    ['label', 'a=b,c=d=e', { a: 'b', c: 'd=e' }],
    ['label', { rack: 12 }, { rack: '12' }],
    ['label', '=x', null],
    ['host', '::1', '::1'],
    ['host', '10.0.0.1:80', null],
    ['id', '../x', null],
    ['port', '65536', null],
    ['port', '1e3', null],
    ['gpu', 'cuda', null],
    ['interval', '', null],
    ['interval', '5 parsecs', null],
    ['interval', '9h', null],
  ] as const)('%s takes %j as %j', (key, input, expected) => {
    if (expected === null) expect(() => value(key, input)).toThrow(ValueProblem);
    else expect(value(key, input)).toEqual(expected);
  });

  test('every default fits its own type and reads back as written', () => {
    for (const key of settingKeys) {
      const { type, default: fallback } = settingOf(key);
      if (fallback === null) continue;
      expect(type.parse(fallback), key).toEqual(fallback);
      const text = type.format(fallback);
      if (text !== '') expect(type.parse(text), key).toEqual(fallback);
    }
  });

  test('any junk is a clear error or a value that fits, never a crash', () => {
    fc.assert(
      fc.property(fc.constantFrom(...settingKeys), fc.oneof(fc.string(), fc.anything()), (key, input) => {
        const { type } = settingOf(key);
        try {
          const parsed = type.parse(input);
          expect(type.parse(parsed)).toEqual(parsed);
        } catch (error) {
          expect(error).toBeInstanceOf(ValueProblem);
          expect((error as Error).message.length).toBeLessThan(500);
        }
      }),
      { numRuns: portion(3000) },
    );
  });
});

describe('configuration: mistakes are named with place and fix', () => {
  test('a flag', () => {
    const error = failure(() => resolve({ flags: { interval: '5 parsecs' } }));
    expect(error).toMatchObject({ code: 'INVALID_OPTION', subject: '--interval' });
    expect(error.message).toBe(
      '--interval: the value does not fit: expected a duration such as 500ms, 2s or 5m, from 100ms to 10m.',
    );
  });

  test('a variable', () => {
    const error = failure(() => resolve({ environment: { HIVEPULSE_GPU: 'amd' } }));
    expect(error).toMatchObject({ code: 'INVALID_OPTION', subject: 'HIVEPULSE_GPU' });
    expect(error.message).toContain('expected one of auto, nvml, nvidia-smi, none');
  });

  test('a line of the file', () => {
    const error = failure(() => resolve({ file: yaml('# hosts\nid: gpu-01\nport: many\n') }));
    expect(error).toMatchObject({ code: 'INVALID_OPTION', subject: 'hivepulse.yaml:3' });
    expect(error.message).toContain('hivepulse.yaml line 3: port: the value does not fit');
  });

  test('an unknown name in the file comes with the nearest known one', () => {
    expect(failure(() => resolve({ file: yaml('intervall: 1s') })).message).toContain('did you mean interval');
    expect(failure(() => resolve({ file: yaml('hive:\n  max-hives: 3') })).message).toMatch(
      /line 2: .*no setting.*of hive/,
    );
    expect(failure(() => resolve({ file: yaml('hive:\n  maxHives: 3') })).message).toContain('(but of up, queen)');
    expect(failure(() => resolve({ file: yaml('zzzzzzzz: 1') })).message).toContain('known are');
    expect(failure(() => resolve({ file: yaml('queen: http://a:1') })).message).toContain('is a section');
  });

  test('a mistake in what another command reads is still a mistake', () => {
    expect(failure(() => resolve({ user: 'client', file: yaml('queen:\n  port: x') })).subject).toBe(
      'hivepulse.yaml:2',
    );
  });

  test.each([
    ['a: [1', 'hivepulse.yaml:'],
    ['port: 1\nport: 2', 'hivepulse.yaml:2'],
    ['- a', 'hivepulse.yaml'],
    ['just text', 'hivepulse.yaml'],
  ])('no YAML map: %j', (text, subject) => {
    const error = failure(() => resolve({ file: yaml(text) }));
    expect(error.code).toBe('CONFIG_UNREADABLE');
    expect(error.subject).toContain(subject);
  });

  test('aliases that grow without end are refused', () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...[...'bcdefgh'].map((c, i) => `${c}: &${c} [${Array(9).fill(`*${'abcdefg'[i]}`)}]`),
    ];
    expect(failure(() => resolve({ file: yaml(`watch:\n  - ok\n${bomb.join('\n')}`) })).code).toBe('INVALID_OPTION');
    expect(failure(() => resolve({ file: yaml(`watch: &w [*w]`) }))).toBeInstanceOf(HivepulseError);
  });

  test('a file that is not there, a directory', () => {
    expect(failure(() => readConfigFile(join(directory, 'none.yaml'))).message).toContain('there is no such file');
    expect(failure(() => readConfigFile(directory)).message).toContain('it is a directory');
  });

  test('a variable that looks like a mistyped setting is warned of, others are left alone', () => {
    expect(resolve({ environment: { HIVEPULSE_INTERVL: '1s', HIVEPULSE_CONFIG: 'x', OTHER: '1' } }).warnings).toEqual([
      'The variable HIVEPULSE_INTERVL is not used; did you mean HIVEPULSE_INTERVAL?',
    ]);
    expect(resolve({ environment: { HIVEPULSE_COMPLETELY_UNRELATED_THING: '1' } }).warnings).toEqual([]);
  });

  test('any text as a file is a clear error or settings, never a crash', () => {
    const line = fc.oneof(
      fc.string(),
      fc
        .tuple(fc.constantFrom<string>(...settingKeys, ...settingUsers, '__proto__', 'toString'), fc.json())
        .map(([k, v]) => `${k}: ${v}`),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 6 }), fc.constantFrom(...settingUsers), (lines, user) => {
        try {
          parseConfigFile(yaml(lines.join('\n')), user);
        } catch (error) {
          expect(error).toBeInstanceOf(HivepulseError);
          expect((error as HivepulseError).subject).toContain('hivepulse.yaml');
        }
      }),
      { numRuns: portion(2000) },
    );
  });

  test('closest finds a slip, and nothing where nothing is near', () => {
    expect(closest('maxhives', ['maxHives', 'id'])).toBe('maxHives');
    expect(closest('max-hvies', ['maxHives', 'id'])).toBe('maxHives');
    expect(closest('prot', ['port', 'host'])).toBe('port');
    expect(closest('banana', ['maxHives', 'id'])).toBeNull();
  });
});

describe('configuration: secrets', () => {
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, 'from-file\n');

  test('a token comes from the variable or a file; the one nearer to the command line wins', () => {
    expect(readToken(resolve({ environment: { HIVEPULSE_TOKEN: 'from-env' } }))).toBe('from-env');
    expect(readToken(resolve({ flags: { tokenFile }, environment: { HIVEPULSE_TOKEN: 'from-env' } }))).toBe(
      'from-file',
    );
    expect(
      readToken(resolve({ environment: { HIVEPULSE_TOKEN: 'from-env' }, file: yaml(`tokenFile: ${tokenFile}`) })),
    ).toBe('from-env');
    expect(readToken(resolve({ file: yaml(`tokenFile: ${tokenFile}`) }))).toBe('from-file');
    expect(readToken(resolve())).toBeNull();
  });

  test('a token in the YAML file is refused, and no message repeats a token', () => {
    const error = failure(() => resolve({ file: yaml('token: s3cret') }));
    expect(error.message).toContain('HIVEPULSE_TOKEN');
    expect(error.message).not.toContain('s3cret');
    expect(failure(() => resolve({ environment: { HIVEPULSE_TOKEN: 's3cret\u0007' } })).message).not.toContain(
      's3cret',
    );
  });

  test('a token file that is missing or holds no token is an error that names it', () => {
    const missing = join(directory, 'gone');
    expect(failure(() => readToken(resolve({ flags: { tokenFile: missing } })))).toMatchObject({
      code: 'CONFIG_UNREADABLE',
      subject: missing,
    });
    const empty = join(directory, 'empty');
    writeFileSync(empty, '\n');
    expect(failure(() => readToken(resolve({ flags: { tokenFile: empty } }))).subject).toBe(empty);
  });
});

describe('configuration: the table', () => {
  test('each setting has a description, a trade-off, and says what happens without it', () => {
    for (const key of settingKeys) {
      const setting = settingOf(key);
      expect(setting.description, key).toMatch(/\.$/);
      expect(setting.tradeoff, key).toMatch(/\.$/);
      if (setting.default === null) expect(setting.without, key).toBeTruthy();
    }
  });

  test('flags and variables are told apart within each command', () => {
    for (const user of settingUsers) {
      const keys = settingsOf(user);
      const flags = keys.map(flagOf).filter((flag) => flag !== null);
      expect(new Set(flags).size).toBe(flags.length);
      expect(new Set(keys.map(variableOf)).size).toBe(keys.length);
    }
  });

  test('docs/configuration.md is up to date (npm run docs:config)', () => {
    const written = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
    expect(written === configurationDocument(), 'run npm run docs:config and commit the result').toBe(true);
  });
});
