/** What `?` shows in `top`: its keys and its signs. */
import { ansiOf, gpuHealthStyles, livenessStyles, workerStateStyles } from '../../present/status.js';
import { fitSpans, type Span, span } from '../table.js';
import { type Line, title, wrap } from './lines.js';

const helpLines: readonly (readonly [string, string])[] = [
  ['1 2 3 4, Tab', 'hives, workers, GPUs, events'],
  ['\u2191 \u2193 PgUp PgDn Home End', 'move; also j k g G'],
  ['Enter', 'open what is selected; Esc goes back'],
  ['w', 'in the detail of a hive: its workers as a table'],
  ['/', 'filter: every word must match; Esc clears it'],
  ['s S, \u2192 \u2190', 'sort by the next or previous column'],
  ['r', 'sort the other way'],
  ['t', 'in a detail: the last hour or the last 24 hours'],
  ['Mouse', 'click selects, opens, sorts; wheel scrolls; m: on, off'],
  ['Space, p', 'pause the screen, and resume'],
  ['?', 'this help'],
  ['q, Ctrl-C', 'quit'],
];

const labelWidth = 24;

/** A sign or a key, and what it means on as many lines as that takes. */
function entry(label: Span, text: string, total: number, sgr?: string): Line[] {
  return wrap(text, Math.max(20, total - labelWidth)).map((line, index) => [
    ...fitSpans(index === 0 ? [label] : [span('')], labelWidth),
    span(line, sgr),
  ]);
}

/** For a screen of `total` columns. */
export function helpBody(total: number): Line[] {
  const signs = [livenessStyles, workerStateStyles, gpuHealthStyles].flatMap((styles) => Object.values(styles));
  return [
    title('Keys'),
    ...helpLines.flatMap(([key, text]) => entry(span(key, '1'), text, total)),
    [],
    title('Signs'),
    ...signs.flatMap(({ symbol, word, tone, hint }) =>
      entry(span(`${symbol} ${word}`, ansiOf[tone]), hint, total, '2'),
    ),
    ...entry(
      span('\u2014 \u254c\u254c\u254c', ansiOf.unknown),
      'not known; the faults in the detail of the hive say why',
      total,
      '2',
    ),
  ];
}
