import { ansiOf } from '../present/status.js';
import { paint, printable } from './text.js';

const levels: Readonly<Record<number, readonly [string, string]>> = {
  10: ['trace', ansiOf.unknown],
  20: ['debug', ansiOf.unknown],
  30: ['info', ansiOf.good],
  40: ['warn', ansiOf.warning],
  50: ['error', ansiOf.bad],
  60: ['fatal', ansiOf.bad],
};

/** Where a log goes. */
export interface Stderr {
  readonly fd: number;
  readonly isTTY?: boolean;
}

export const wantsColours = (): boolean => !process.env.NO_COLOR;

/** `12:04:31 info  listening  url=http://127.0.0.1:7833` from a line of JSON. */
export function plainLine(line: string, colours: boolean): string {
  let entry: Record<string, unknown>;
  try {
    entry = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return printable(line);
  }
  const { level, time, msg, err, ...rest } = entry;
  const [word, colour] = levels[Number(level)] ?? [String(level), ansiOf.unknown];
  const clock = typeof time === 'string' ? time.slice(11, 19) : '';
  const pairs = Object.entries(rest).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  if (err) pairs.push(String((err as { stack?: unknown }).stack ?? JSON.stringify(err)));
  const tail = pairs.length > 0 ? `  ${pairs.map(printable).join(' ')}` : '';
  const shownTail = tail && colours ? paint(tail, ansiOf.unknown) : tail;
  return `${clock} ${colours ? paint(word.padEnd(5), colour) : word.padEnd(5)} ${printable(String(msg ?? ''))}${shownTail}`;
}
