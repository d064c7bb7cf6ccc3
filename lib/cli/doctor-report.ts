import type { Finding, Status } from '../doctor/finding.js';
import { plural } from '../present/sentences.js';
import { ansiOf, type Tone } from '../present/status.js';
import { paint, printable } from './text.js';

const styles: Readonly<Record<Status, { symbol: string; tone: Tone }>> = {
  ok: { symbol: '●', tone: 'good' },
  unknown: { symbol: '?', tone: 'unknown' },
  warn: { symbol: '◆', tone: 'warning' },
  fail: { symbol: '✕', tone: 'bad' },
};

/** One line a finding, the fix below it, and a sum. */
export function report(findings: readonly Finding[], width: number, colours: boolean): string[] {
  const colour = (text: string, sgr: string): string => (colours ? paint(text, sgr) : text);
  const nameWidth = Math.max(...findings.map(({ check }) => check.length));
  const indent = ' '.repeat(nameWidth + 4);
  const lines = findings.flatMap(({ check, status, message, fix }) => {
    const { symbol, tone } = styles[status];
    const head = `${colour(symbol, ansiOf[tone])} ${colour(check.padEnd(nameWidth), '1')}  `;
    return [
      ...fold(printable(message), width - indent.length).map((line, i) => (i === 0 ? head : indent) + line),
      ...(fix === null
        ? []
        : fold(`fix: ${printable(fix)}`, width - indent.length).map((line) => indent + colour(line, ansiOf.waiting))),
    ];
  });
  const count = (status: Status): number => findings.filter((finding) => finding.status === status).length;
  const sum = [
    `${count('ok')} ok`,
    ...(count('unknown') > 0 ? [`${count('unknown')} unknown`] : []),
    plural(count('warn'), 'warning'),
    `${count('fail')} failed`,
  ].join(', ');
  return [...lines, '', colour(sum, count('fail') > 0 ? ansiOf.bad : count('warn') > 0 ? ansiOf.warning : ansiOf.good)];
}

function fold(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > Math.max(30, Math.min(width, 110))) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
