import { type DestinationStream, destination, type Logger, pino } from 'pino';
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

/** JSON lines on standard error for machines; one plain line each where somebody looks at a terminal. */
export function createLogger(
  level: string,
  stderr: { readonly fd: number; readonly isTTY?: boolean } = process.stderr,
): Logger {
  // Synchronous: a daemon that ends at once must not lose the line that says why.
  const lines = destination({ fd: stderr.fd, sync: true });
  if (!stderr.isTTY) return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, lines);
  const colours = !process.env.NO_COLOR;
  const plain: DestinationStream = { write: (line) => void lines.write(`${plainLine(line, colours)}\n`) };
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, plain);
}

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
