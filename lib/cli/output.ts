// The one way to standard output and standard error for every command but `run`, whose worker owns both.
import { escapeForTerminal, keepColours, printable } from '../present/printable.js';

/** Colours only where somebody looks, and does not mind them. */
export const wantsColours = (stream: { readonly isTTY?: boolean } = process.stdout): boolean =>
  stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';

/** Columns for a table; a file or a pipe gets all of them. */
export const outputWidth = (): number => (process.stdout.isTTY ? (process.stdout.columns ?? 80) : 400);

/** Writes text for people; colours stay, nothing else in it can steer the terminal. */
export const writeText = (text: string): void => void process.stdout.write(keepColours(text));

export function printLines(lines: readonly string[]): void {
  if (lines.length > 0) writeText(`${lines.join('\n')}\n`);
}

/** Draws lines over those that were drawn before, on a terminal; what has no room is counted. */
export function redraw(lines: readonly string[]): void {
  const room = (process.stdout.rows ?? 24) - 1;
  const left = lines.length - room;
  const shown = left > 0 ? [...lines.slice(0, room - 1), `and ${left + 1} more lines`] : lines;
  process.stdout.write(`\u001b[H${shown.map((line) => `${keepColours(line)}\u001b[K\n`).join('')}\u001b[J`);
}

/** Writes JSON: what a terminal would obey is escaped, which leaves every value as it is. */
export const printJson = (value: unknown): void =>
  void process.stdout.write(`${escapeForTerminal(JSON.stringify(value, null, 2))}\n`);

/** One line of JSON for each value. */
export function printJsonLines(values: readonly unknown[]): void {
  for (const value of values) process.stdout.write(`${escapeForTerminal(JSON.stringify(value))}\n`);
}

/** A message beside the output, one line or the lines of a stack. */
export const writeNote = (text: string): void =>
  void process.stderr.write(`hivepulse: ${text.split('\n').map(printable).join('\n')}\n`);
