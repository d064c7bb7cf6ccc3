/**
 * Text on a terminal: its width in columns, cut and padded to it, and without anything that would control the terminal.
 * Names, commands and models come from other hosts and may hold escape sequences.
 */
import { stripVTControlCharacters } from 'node:util';
import truncatedWidth from 'fast-string-truncated-width';

/** Controls of C0 and C1, format characters (direction of writing, invisible ones, tags), line separators, half a pair. */
const steering = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** The text without anything that moves the cursor, changes a colour or the direction of writing. */
export const printable = (text: string): string => text.replace(steering, '\u00b7');

/** A colour, as `paint` writes it; a tab or the end of a line; or anything that steers. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape of a colour is one
const colourOrSteering = /\u001b\[[0-9;]{0,32}m|[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** The text with its lines and colours, and without anything else that steers the terminal. */
export const keepColours = (text: string): string =>
  text.replace(colourOrSteering, (found) => (found.length > 2 || found === '\n' || found === '\t' ? found : '\u00b7'));

/** JSON with everything that steers a terminal as `\uXXXX`: the same value. The line ends that lay it out stay. */
export const escapeForTerminal = (json: string): string =>
  json.replace(steering, (found) => (found === '\n' ? found : found.split('').map(escapeUnit).join('')));

const escapeUnit = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;

export const paint = (text: string, sgr: string): string => `\u001b[${sgr}m${text}\u001b[0m`;

export const plain = stripVTControlCharacters;

/** Columns that the text takes: 2 for East Asian wide characters and emoji, 0 for combining marks and colours. */
export const columns = (text: string): number => truncatedWidth(text).width;

const graphemes = new Intl.Segmenter();

/** The text without colours in at most `width` columns; what was cut shows as an ellipsis. */
export function cut(text: string, width: number): string {
  if (columns(text) <= width) return text;
  if (width < 1) return '';
  let kept = '';
  let left = width - 1;
  for (const { segment } of graphemes.segment(text)) {
    left -= columns(segment);
    if (left < 0) break;
    kept += segment;
  }
  return `${kept}\u2026`;
}
