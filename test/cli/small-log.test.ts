import fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { smallLog } from '../../lib/cli/small-log.js';
import type { Log } from '../../lib/util/log.js';

const severities = ['debug', 'info', 'warn', 'error', 'fatal'] as const;

/** The lines of either log, without their times. */
function linesOf(level: string, use: (log: Log) => void): { small: unknown[]; pino: unknown[] } {
  const parsed = (lines: readonly string[]) =>
    lines.map((line) => {
      const { time, ...entry } = JSON.parse(line) as Record<string, unknown>;
      expect(new Date(time as string).toISOString()).toBe(time);
      return entry;
    });
  const [small, large]: [string[], string[]] = [[], []];
  use(smallLog(level, { fd: -1 }, (line) => void small.push(line)));
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  use(pino(options, { write: (line: string) => void large.push(line) }));
  return { small: parsed(small), pino: parsed(large) };
}

describe('the log of a hive', () => {
  const fields = fc.dictionary(
    fc.string().filter((key) => !['err', 'msg', 'level', 'time', '__proto__', 'toJSON'].includes(key)),
    fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null), fc.array(fc.string()), fc.constant(undefined)),
  );
  const entry = fc.tuple(fc.constantFrom(...severities), fc.option(fields), fc.string());

  it('writes the lines of the queen', () => {
    fc.assert(
      fc.property(fc.constantFrom('trace', ...severities, 'silent'), fc.array(entry), (level, entries) => {
        const { small, pino } = linesOf(level, (log) => {
          for (const [severity, given, message] of entries)
            if (given === null) log[severity](message);
            else log[severity](given, message);
        });
        expect(small).toEqual(pino);
      }),
    );
  });

  it('writes errors with their causes as the queen does', () => {
    const cause = new TypeError('why');
    const errors = [
      Object.assign(new Error('what', { cause }), { code: 'EX', more: { a: 1 } }),
      new RangeError('alone'),
      'a text',
      { some: 'object' },
    ];
    const { small, pino } = linesOf('info', (log) => {
      for (const err of errors) log.error({ err, at: 1 }, 'it failed');
    });
    expect(small).toEqual(pino);
  });

  it('a line is one line, and what is no JSON is left out of it', () => {
    const lines: string[] = [];
    const log = smallLog('info', { fd: -1 }, (line) => void lines.push(line));
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    log.warn({ circular }, 'a\nb');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^[^\n]+\n$/);
    expect(JSON.parse(lines[0] as string)).toMatchObject({ level: 40, msg: 'a\nb', unwritten: ['circular', 'msg'] });
  });

  it('somebody at a terminal reads words', () => {
    const lines: string[] = [];
    smallLog('info', { fd: -1, isTTY: true }, (line) => void lines.push(line)).info({ url: 'http://x' }, 'listening');
    expect(lines[0]).toMatch(/info.*listening.*url=http:\/\/x.*\n$/);
  });
});
