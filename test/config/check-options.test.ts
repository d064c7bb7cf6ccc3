import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FleetMirror, HivepulseClient } from '../../lib/client/client.js';
import { checkHiveOptions, checkQueenOptions, checkUpOptions } from '../../lib/config/check-options.js';
import { hiveOptions, queenOptions } from '../../lib/config/options.js';
import { resolveSettings } from '../../lib/config/resolve.js';
import { settingOf, settingsOf } from '../../lib/config/settings.js';
import { startHive } from '../../lib/daemon/hive.js';
import { startQueen } from '../../lib/daemon/queen.js';
import { startUp } from '../../lib/daemon/up.js';
import { createGpuSource } from '../../lib/gpu/source.js';
import { ProcessMonitor } from '../../lib/launch/process-monitor.js';
import { Registry } from '../../lib/queen/registry.js';
import { createSampler } from '../../lib/sampling/open.js';
import { HivepulseError } from '../../lib/util/errors.js';

type Check = (options: unknown) => void;

function refusal(check: Check, options: unknown): HivepulseError {
  try {
    check(options);
  } catch (error) {
    expect(error).toBeInstanceOf(HivepulseError);
    expect(error).toMatchObject({ code: 'INVALID_OPTION' });
    return error as HivepulseError;
  }
  throw new Error(`${JSON.stringify(options)} was taken`);
}

/** Names of the options of a user, as one writes them: `nats.servers`. */
const namesOf = (user: 'hive' | 'queen') =>
  settingsOf(user).flatMap((key) => {
    const { option } = settingOf(key);
    return option === null ? [] : [{ key, name: option || key }];
  });

/** `{ nats: { servers: value } }` for `nats.servers`. */
const nested = (name: string, value: unknown): object =>
  name.split('.').reduceRight<unknown>((inner, part) => ({ [part]: inner }), value) as object;

const users: readonly ['hive' | 'queen', Check][] = [
  ['hive', checkHiveOptions],
  ['queen', checkQueenOptions],
];

describe.each(users)('options of startHive and startQueen (%s)', (user, check) => {
  const known = namesOf(user);

  test('what the settings give is taken whole, and undefined is not given', () => {
    const { settings } = resolveSettings({
      user,
      flags: {},
      environment: { HIVEPULSE_NATS: 'nats://a:4222', HIVEPULSE_TLS_CA: '/ca' },
      file: null,
    });
    check(user === 'hive' ? hiveOptions(settings, 'token') : queenOptions(settings));
    for (const { name } of known) check(nested(name, undefined));
  });

  test('a name with one letter too many or too few is refused with the one that was meant', () => {
    fc.assert(
      fc.property(fc.constantFrom(...known), fc.nat(), fc.boolean(), ({ name }, at, longer) => {
        const last = name.split('.').at(-1) as string;
        const i = at % last.length;
        const slip = longer ? `${last.slice(0, i)}q${last.slice(i)}` : last.slice(0, i) + last.slice(i + 1);
        const path = [...name.split('.').slice(0, -1), slip].join('.');
        fc.pre(slip.length > 2 && known.every((option) => option.name !== path));
        const error = refusal(check, nested(path, 1));
        expect(error.subject).toBe(path);
        expect(error.message).toMatch(/there is no such option; (did you mean \w+|known are)/);
        if (last.length > 5) expect(error.message).toContain(`did you mean ${last}`);
      }),
    );
  });

  test('a value of another type is refused by name, and never repeated', () => {
    const secret = 's3cret-value';
    const wrong = fc.constantFrom<unknown>(Number.NaN, Symbol('s'), null, () => secret, [[secret]], {
      a: { b: secret },
    });
    fc.assert(
      fc.property(fc.constantFrom(...known), wrong, ({ name }, value) => {
        const error = refusal(check, nested(name, value));
        expect(error.subject.startsWith(name)).toBe(true);
        expect(error.message).toContain('expected');
        expect(error.message).not.toContain(secret);
      }),
    );
  });

  test('what a flag or a file may say in words is no option: numbers and lists are given as such', () => {
    for (const { key, name } of known) {
      const { type } = settingOf(key);
      if (type.unit !== null) expect(refusal(check, nested(name, '5s')).message).toMatch(/expected a/);
      if (type.unit === null && type.placeholder === 'number')
        expect(refusal(check, nested(name, '5')).subject).toBe(name);
      if (type.placeholder === null) expect(refusal(check, nested(name, 'yes')).subject).toBe(name);
    }
  });

  test('numbers beyond their bounds', () => {
    const numbers = known.filter(({ key }) =>
      /^(number|duration|bytes|percent|port)$/.test(settingOf(key).type.placeholder ?? ''),
    );
    expect(numbers.map(({ name }) => name)).toContain('port');
    for (const { name } of numbers)
      for (const value of [-1, 1e18, Number.POSITIVE_INFINITY])
        expect(refusal(check, nested(name, value)).subject).toBe(name);
  });

  test.each([null, 1, 'http://a:1', [], () => ({})])('%s is no object of options', (options) => {
    expect(refusal(check, options).subject).toBe('options');
  });
});

describe('options that are no settings', () => {
  test('signal and logger', () => {
    const signal = new AbortController().signal;
    checkHiveOptions({ signal, logger: { info() {}, warn() {} } });
    expect(refusal(checkHiveOptions, { signal: {} }).subject).toBe('signal');
    expect(refusal(checkQueenOptions, { logger: console.log }).subject).toBe('logger');
  });

  test('tokens: each is named by its place, and what it lacks', () => {
    checkQueenOptions({ tokens: [{ token: 'a'.repeat(32), role: 'hive', hive: 'h1' }] });
    expect(refusal(checkQueenOptions, { tokens: 'abc' }).subject).toBe('tokens');
    expect(refusal(checkQueenOptions, { tokens: [{ token: 'a', role: 'read' }, { token: 'b' }] }).subject).toBe(
      'tokens.1.role',
    );
    expect(refusal(checkQueenOptions, { tokens: [{ token: 'a', role: 'root' }] }).subject).toBe('tokens.0.role');
    expect(refusal(checkQueenOptions, { tokens: [{ tokn: 'a', role: 'read' }] }).message).toContain(
      'did you mean token',
    );
  });

  test('of both in one process', () => {
    checkUpOptions({ queen: { port: 0 }, hive: { intervalMs: 1000 } });
    expect(refusal(checkUpOptions, { queen: { intervalMs: 1000 } }).subject).toBe('queen.intervalMs');
    expect(refusal(checkUpOptions, { hive: { maxHives: 1 } }).subject).toBe('hive.maxHives');
    expect(refusal(checkUpOptions, { hives: {} }).message).toContain('did you mean hive');
  });
});

/** JavaScript has no types that would have refused it. */
const loose = (options: object): never => options as never;

test('startHive, startQueen and startUp check theirs before anything is opened', async () => {
  const refused = (subject: string) => expect.objectContaining({ code: 'INVALID_OPTION', subject });
  await expect(startHive(loose({ interval: 1000 }))).rejects.toThrow(refused('interval'));
  await expect(startQueen(loose({ port: 70_000 }))).rejects.toThrow(refused('port'));
  await expect(startQueen(loose({ port: '0' }))).rejects.toThrow(refused('port'));
  await expect(startUp(loose({ queen: { hst: 'a' } }))).rejects.toThrow(refused('queen.hst'));
});

test('an address that this machine has not is an error of this package, with Node’s own as its cause', async () => {
  const error = await startQueen({ host: '192.0.2.1', port: 0, insecure: true }).catch((error) => error);
  expect(error).toMatchObject({ code: 'ADDRESS_UNAVAILABLE', cause: { code: 'EADDRNOTAVAIL' } });
});

describe('options of createSampler and HivepulseClient', () => {
  const sampler = (options: object) => createSampler(loose(options));
  const client = (options: unknown) => new HivepulseClient(options as never);

  test.each([
    [{ wach: ['a'] }, 'wach', 'did you mean watch'],
    [{ watch: 'a' }, 'watch', 'expected'],
    [{ auto: 'no' }, 'auto', 'expected true or false'],
    [{ gpu: 'cuda' }, 'gpu', 'expected one of'],
    [{ gpu: { latest: 1 } }, 'gpu', 'expected one of'],
    [{ reader: 'fast' }, 'reader', 'expected one of'],
    [{ intervalMs: 0 }, 'intervalMs', 'at least 1'],
    [{ intervalMs: Number.NaN }, 'intervalMs', 'milliseconds'],
    [{ idleBelowPercent: 101 }, 'idleBelowPercent', 'from 0 to 100'],
    [{ address: '' }, 'address', 'a host, or null'],
    [{ root: 5 }, 'root', 'a text'],
  ])('createSampler %j', async (options, subject, message) => {
    const error = await sampler(options).catch((error: unknown) => error);
    expect(error).toMatchObject({ code: 'INVALID_OPTION', subject, message: expect.stringContaining(message) });
  });

  test.each([
    [{ url: 'http://a:1', tokn: 'x' }, 'tokn', 'did you mean token'],
    [{ url: 5 }, 'url', 'expected an address'],
    [{ url: ['http://a:1', 5] }, 'url', 'expected an address'],
    [{ url: 'http://a:1', timeoutMs: 0 }, 'timeoutMs', 'at least 1'],
    [{ url: 'http://a:1', timeoutMs: '5s' }, 'timeoutMs', 'milliseconds'],
    [{ url: 'http://a:1', fetch: {} }, 'fetch', 'a function'],
    [null, 'options', 'an object'],
  ])('HivepulseClient %j', (options, subject, message) => {
    const error = refusal(client, options);
    expect(error.subject).toBe(subject);
    expect(error.message).toContain(message);
  });

  test('what fits is taken', () => {
    for (const options of [
      'http://a:1',
      { url: '' },
      { url: ['http://a:1'], token: 't', timeoutMs: 50, fetch, random: () => 0 },
    ])
      expect(client(options)).toBeInstanceOf(HivepulseClient);
  });
});

/** Whatever takes options, with what it needs and the names of all that it takes. */
const doors: readonly {
  readonly name: string;
  readonly check: Check;
  readonly needed: object;
  readonly known: string[];
}[] = [
  {
    name: 'ProcessMonitor',
    check: (options) => new ProcessMonitor(loose(options as object)),
    needed: {},
    known: ['root', 'runtimeDir', 'platform', 'procRoot', 'oomIntervalMs', 'launch.nofile', 'sampler'],
  },
  {
    name: 'Registry',
    check: (options) => new Registry(loose(options as object)),
    needed: {},
    known: [
      'lateAfterIntervals',
      'staleAfterMs',
      'clock',
      'tickMs',
      'queenId',
      'warmingMs',
      'maxHives',
      'memory.eventBytes',
    ],
  },
  {
    name: 'FleetMirror',
    check: (options) => new FleetMirror(loose(options as object)),
    needed: {},
    known: ['maxEvents'],
  },
  {
    name: 'HivepulseClient.events',
    check: (options) => new HivepulseClient('http://127.0.0.1:1').events({}, loose(options as object)),
    needed: {},
    known: ['signal', 'maxBackoffMs', 'silentMs', 'random'],
  },
  {
    name: 'createGpuSource',
    check: (options) => createGpuSource(loose(options as object)).close(),
    needed: { gpu: 'none' },
    known: ['isolation', 'intervalMs', 'roots.sys', 'paths.nvidiaSmi', 'times.killAfterMs', 'times.tickMs', 'allGpus'],
  },
];

describe.each(doors)('options of $name', ({ check, needed, known }) => {
  test('a name with one letter too many or too few is refused with the one that was meant', () => {
    fc.assert(
      fc.property(fc.constantFrom(...known), fc.nat(), fc.boolean(), (name, at, longer) => {
        const last = name.split('.').at(-1) as string;
        const i = at % last.length;
        const slip = longer ? `${last.slice(0, i)}q${last.slice(i)}` : last.slice(0, i) + last.slice(i + 1);
        const path = [...name.split('.').slice(0, -1), slip].join('.');
        fc.pre(slip.length > 2 && !known.includes(path));
        const error = refusal(check, { ...needed, ...nested(path, 1) });
        expect(error.subject).toBe(path);
        if (last.length > 5) expect(error.message).toContain(`did you mean ${last}`);
      }),
    );
  });

  test('a value of another type is refused by name', () => {
    const wrong = fc.constantFrom<unknown>(Number.NaN, Symbol('s'), [[1]], -1, '', true);
    fc.assert(
      fc.property(fc.constantFrom(...known), wrong, (name, value) => {
        fc.pre(!(typeof value === 'boolean' && name === 'allGpus'));
        fc.pre(!(Array.isArray(value) && name === 'sampler') && !(value === -1 && name === 'launch.nofile'));
        const error = refusal(check, { ...needed, ...nested(name, value) });
        expect(error.subject).toBe(name);
        expect(error.message).toMatch(/expected|between|from/);
      }),
    );
  });

  test.each([1, 'text', [], () => ({})])('%s is no object of options', (options) => {
    expect(refusal(check, options).subject).toBe('options');
  });
});

describe('ProcessMonitor.spawn and stop', () => {
  const monitor = new ProcessMonitor({ runtimeDir: '/nonexistent/hivepulse' });
  const worker = { group: 'llm', instance: 'a', command: 'true' };

  test.each([
    [{ ...worker, labls: { a: 'b' } }, 'labls', 'did you mean labels'],
    [{ ...worker, memroy: '1G' }, 'memroy', 'did you mean memory'],
    [{ ...worker, memory: true }, 'memory', 'a text or a number'],
    [{ ...worker, args: '-x' }, 'args', 'a list of texts'],
    [{ ...worker, args: ['-x', 5] }, 'args', 'a list of texts'],
    [{ ...worker, env: { A: 1 } }, 'env', 'texts by name'],
    [{ ...worker, labels: ['a'] }, 'labels', 'texts by name'],
    [{ ...worker, labels: { a: 1 } }, 'labels', 'texts by name'],
    [{ ...worker, cwd: '' }, 'cwd', 'a path'],
    [{ ...worker, port: '8000' }, 'port', 'a port'],
    [{ ...worker, port: 65_536 }, '--port', 'between 1 and 65535'],
    [{ ...worker, oomGroup: 'yes' }, 'oomGroup', 'true or false'],
    [{ ...worker, signal: 'SIGTERM' }, 'signal', 'an AbortSignal'],
    [{ ...worker, stdio: { in: 1 } }, 'stdio', 'child_process.spawn'],
    [{ ...worker, command: ['true'] }, 'command', 'a text'],
    [{ group: 'llm', instance: 'a' }, 'command', 'missing'],
    [{ group: 'llm', command: 'true' }, 'instance', 'missing'],
    [{ instance: 'a', command: 'true' }, 'group', 'missing'],
    [undefined, 'options', 'an object'],
    ['true', 'options', 'an object'],
  ])('spawn %j', async (options, subject, message) => {
    const error = await monitor.spawn(loose(options as object)).catch((error: unknown) => error);
    expect(error).toMatchObject({ code: 'INVALID_OPTION', subject, message: expect.stringContaining(message) });
  });

  test.each([
    [{ grace: 1 }, 'grace', 'did you mean graceMs'],
    [{ graceMs: -1 }, 'graceMs', 'at least 0'],
    [{ killMs: '5s' }, 'killMs', 'milliseconds'],
    [{ signal: 'TERM' }, 'signal', 'one of'],
    [{ signal: 15 }, 'signal', 'one of'],
  ])('stop %j', async (options, subject, message) => {
    const error = await monitor.stop('llm/a', loose(options)).catch((error: unknown) => error);
    expect(error).toMatchObject({ code: 'INVALID_OPTION', subject, message: expect.stringContaining(message) });
  });
});
