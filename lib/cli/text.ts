/**
 * Text on a terminal: its width in columns, cut and padded to it, and without anything that would control the terminal.
 * Names, commands and models come from other hosts and may hold escape sequences (present/printable.ts).
 */
import { stripVTControlCharacters } from 'node:util';
import truncatedWidth from 'fast-string-truncated-width';

export { printable } from '../present/printable.js';

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
