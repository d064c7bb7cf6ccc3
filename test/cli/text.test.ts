import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bar } from '../../lib/cli/cells.js';
import { exitCodeOf, explain } from '../../lib/cli/exit.js';
import { plainLine } from '../../lib/cli/log.js';
import {
  type Column,
  csvLines,
  fitColumns,
  fitSpans,
  printTable,
  sortRows,
  span,
  toText,
} from '../../lib/cli/table.js';
import { columns, cut, paint, plain, printable } from '../../lib/cli/text.js';
import { escapeForTerminal, keepColours } from '../../lib/present/printable.js';
import { HivepulseError } from '../../lib/util/errors.js';
import { anyLetter } from '../harness/any-letter.js';

describe('terminal text: what other hosts say cannot steer the terminal', () => {
  test('escape sequences, control characters and marks of direction become dots', () => {
    expect(printable('\u001b]0;owned\u0007x\u001b[2Jy\r\n\u202ez\u009b1m')).toBe(
      '\u00b7]0;owned\u00b7x\u00b7[2Jy\u00b7\u00b7\u00b7z\u00b71m',
    );
  });

  test('no text survives with a control character', () => {
    fc.assert(
      fc.property(fc.string({ unit: anyLetter }), (text) => {
        expect(printable(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
      }),
    );
  });

  test('of what is drawn only colours and lines stay', () => {
    expect(keepColours(`${paint('a', '1;31')}\n\u001b[2J\u001b]0;x\u0007\u009b1m\u202e\t`)).toBe(
      `${paint('a', '1;31')}\n\u00b7[2J\u00b7]0;x\u00b7\u00b71m\u00b7\t`,
    );
    fc.assert(
      fc.property(fc.string({ unit: anyLetter }), (text) => {
        const left = plain(keepColours(paint(text, '1')).replaceAll(/[\n\t]/g, ''));
        expect(left).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
      }),
    );
  });

  test('JSON stays the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: anyLetter }), (value) => {
        const shown = escapeForTerminal(JSON.stringify(value, null, 2));
        expect(shown.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
        expect(JSON.parse(shown)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});

/** What a reader of CSV makes of one line. */
function cellsOf(line: string): string[] {
  return [...`,${line}`.matchAll(/,(?:"((?:[^"]|"")*)"|([^",]*))/g)].map(([, quoted, plainText]) =>
    quoted === undefined ? (plainText ?? '') : quoted.replaceAll('""', '"'),
  );
}

describe('csv', () => {
  const column = (key: 'a' | 'b'): Column<Record<'a' | 'b', string>> => ({
    key,
    title: key.toUpperCase(),
    min: 1,
    max: 9,
    rank: 0,
    draw: (row) => [span(row[key], '1')],
  });

  test('gives back each cell, whatever stands in it, and no formula', () => {
    const rows = [
      { a: 'x, "y"', b: '—' },
      { a: '=1+1', b: '-3 %' },
    ];
    expect(csvLines([column('a'), column('b')], rows)).toEqual(['A,B', '"x, ""y""",', "'=1+1,-3 %"]);
    fc.assert(
      fc.property(fc.string({ unit: anyLetter }), fc.string({ unit: anyLetter }), (a, b) => {
        const [, line = ''] = csvLines([column('a'), column('b')], [{ a, b }]);
        const cells = cellsOf(line);
        expect(cells).toHaveLength(2);
        for (const [i, text] of [a, b].entries()) {
          const shown = printable(text).trim();
          expect(cells[i]).toBe(shown === '—' ? '' : /^[=+@]/.test(shown) ? `'${shown}` : shown);
        }
      }),
    );
  });
});

describe('errors of the commands', () => {
  const failed = (subject: string, extra: object = {}) =>
    Object.assign(new HivepulseError('REQUEST_FAILED', subject, 'It failed.'), extra);

  test('say the next step where a queen is away or lets nobody in', () => {
    expect(explain(failed('http://127.0.0.1:7833'))).toBe(
      'It failed. `hivepulse up` starts one here; --queen host:port or HIVEPULSE_QUEEN names another.',
    );
    expect(explain(failed('http://q', { status: 401 }))).toBe(
      'It failed. Give one with HIVEPULSE_TOKEN or --token-file.',
    );
    expect(explain(failed('http://q', { status: 403 }))).toContain('Another token may');
    expect(exitCodeOf(failed('http://q', { status: 401 }))).toBe(3);
    // An answer about the request, and a hive's own socket, have fixes of their own.
    expect(explain(failed('http://q', { status: 404 }))).toBe('It failed.');
    expect(explain(failed('/run/hivepulse/hive-7832.sock'))).toBe('It failed.');
  });
});

describe('terminal text: width', () => {
  test.each([
    ['abc', 3],
    ['日本', 4],
    ['e\u0301', 1],
    ['\u001b[31mred\u001b[0m', 3],
    ['🚀', 2],
    ['', 0],
  ])('%j takes %i columns', (text, width) => {
    expect(columns(text)).toBe(width);
  });

  test('cut gives what was asked, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 40 }), (text, width) => {
        const clean = printable(text);
        expect(columns(cut(clean, width))).toBeLessThanOrEqual(width);
      }),
    );
  });

  test('spans are cut and padded to exactly the width, colours not counted', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.string({ unit: 'grapheme', maxLength: 12 }), fc.constantFrom('31', '1', undefined)), {
          maxLength: 5,
        }),
        fc.integer({ min: 1, max: 30 }),
        fc.constantFrom('left' as const, 'right' as const),
        (parts, width, align) => {
          const text = toText(
            fitSpans(
              parts.map(([part, sgr]) => span(part, sgr)),
              width,
              align,
            ),
            true,
          );
          expect(columns(text)).toBe(width);
        },
      ),
    );
  });

  test('a selected row is reversed but for its bars; an old one is faint with them', () => {
    const row = [span('name '), span('\u2588\u2588', '34'), span(' 3 %')];
    expect(toText(row, true, '7')).toBe('\u001b[7mname \u001b[0m\u001b[34m\u2588\u2588\u001b[0m\u001b[7m 3 %\u001b[0m');
    expect(toText(row, true, '2')).toBe('\u001b[2mname \u2588\u2588 3 %\u001b[0m');
  });
});

interface Item {
  readonly name: string;
  readonly size: number | null;
}
const items: Column<Item>[] = [
  {
    key: 'name',
    title: 'NAME',
    min: 4,
    max: 20,
    rank: 0,
    draw: (item) => [span(item.name)],
    order: (item) => item.name,
  },
  {
    key: 'size',
    title: 'SIZE',
    align: 'right',
    min: 4,
    max: 6,
    rank: 1,
    draw: (item) => [span(String(item.size ?? '\u2014'))],
    order: (item) => item.size,
  },
  { key: 'more', title: 'MORE', min: 10, max: 10, rank: 2, draw: () => [span('0123456789')] },
];

describe('tables', () => {
  test('the columns of the highest rank go first where there is no room', () => {
    const titles = (width: number) => fitColumns(items, width).map(({ column }) => column.key);
    expect(titles(80)).toEqual(['name', 'size', 'more']);
    expect(titles(21)).toEqual(['name', 'size']);
    expect(titles(6)).toEqual(['name']);
  });

  test('no row is wider than the terminal, and none is ever narrower than its content needs', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ name: fc.string(), size: fc.option(fc.integer()) }), { maxLength: 8 }),
        fc.integer({ min: 10, max: 120 }),
        (rows, width) => {
          for (const line of printTable(items, rows, width, false)) expect(columns(line)).toBeLessThanOrEqual(width);
        },
      ),
    );
  });

  test('without colours there is no escape sequence at all', () => {
    expect(printTable(items, [{ name: 'a', size: 1 }], 80, false)).toEqual([
      'NAME  SIZE  MORE',
      'a        1  0123456789',
    ]);
    expect(printTable(items, [{ name: 'a', size: 1 }], 80, true)[0]).toContain('\u001b[1m');
  });

  test('what is not known comes last in both directions; numbers in names sort as numbers', () => {
    const rows: Item[] = ['gpu-10', 'gpu-2', 'gpu-1'].map((name, i) => ({ name, size: i === 1 ? null : i }));
    const names = (key: number, descending: boolean) =>
      sortRows(rows, items[key] as Column<Item>, descending).map(({ name }) => name);
    expect(names(0, false)).toEqual(['gpu-1', 'gpu-2', 'gpu-10']);
    expect(names(1, false)).toEqual(['gpu-10', 'gpu-1', 'gpu-2']);
    expect(names(1, true)).toEqual(['gpu-1', 'gpu-10', 'gpu-2']);
  });
});

describe('bars', () => {
  const text = (fraction: number | null, width: number) =>
    bar(fraction, width)
      .map((part) => part.text)
      .join('');
  test.each([
    [0, 4, '····'],
    [0.5, 4, '██··'],
    [1, 4, '████'],
    [0.001, 4, '▏···'],
    [0.28125, 4, '█▏··'],
    [7, 4, '████'],
    [null, 4, '╌╌╌╌'],
  ])('%s in %i columns is %s', (fraction, width, expected) => {
    expect(text(fraction, width)).toBe(expected);
  });
});

describe('log lines for people', () => {
  test('time, level, message, then the rest; control characters are dots', () => {
    const line = JSON.stringify({ level: 40, time: '2026-01-05T10:00:09.123Z', url: 'http://x', msg: 'late\u001b[2J' });
    expect(plainLine(line, false)).toBe('10:00:09 warn  late\u00b7[2J  url=http://x');
    expect(plain(plainLine(line, true))).toBe('10:00:09 warn  late\u00b7[2J  url=http://x');
  });
});
