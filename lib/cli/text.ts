/**
 * Text on a terminal: its width in columns, cutting and padding by it, and nothing that would steer the terminal. What a
 * fleet says (names, commands, models) comes from other hosts and may hold escape sequences.
 */

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controls = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** The text without anything that moves the cursor, changes a colour or the direction of writing. */
export const printable = (text: string): string => text.replace(controls, '\u00b7');

export const paint = (text: string, sgr: string): string => `\u001b[${sgr}m${text}\u001b[0m`;

// biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence begins with one
const sequences = /\u001b\[[0-9;?]*[A-Za-z]/g;

export const plain = (text: string): string => text.replace(sequences, '');

/** Columns of a character: 2 for East Asian wide and emoji, 0 for combining marks. */
export function widthOf(codePoint: number): number {
  if (codePoint < 0x300) return 1;
  if (
    (codePoint >= 0x300 && codePoint <= 0x36f) ||
    (codePoint >= 0x1ab0 && codePoint <= 0x1aff) ||
    (codePoint >= 0x20d0 && codePoint <= 0x20ff) ||
    (codePoint >= 0xfe00 && codePoint <= 0xfe0f) ||
    codePoint === 0x200d
  ) {
    return 0;
  }
  const wide =
    (codePoint >= 0x1100 && codePoint <= 0x115f) ||
    (codePoint >= 0x2e80 && codePoint <= 0xa4cf && codePoint !== 0x303f) ||
    (codePoint >= 0xac00 && codePoint <= 0xd7a3) ||
    (codePoint >= 0xf900 && codePoint <= 0xfaff) ||
    (codePoint >= 0xfe30 && codePoint <= 0xfe6f) ||
    (codePoint >= 0xff00 && codePoint <= 0xff60) ||
    (codePoint >= 0xffe0 && codePoint <= 0xffe6) ||
    (codePoint >= 0x1f300 && codePoint <= 0x1faff) ||
    (codePoint >= 0x20000 && codePoint <= 0x3fffd);
  return wide ? 2 : 1;
}

/** Columns that the text takes, colours not counted. */
export function columns(text: string): number {
  let total = 0;
  for (const character of plain(text)) total += widthOf(character.codePointAt(0) as number);
  return total;
}

/** The text without colours in at most `width` columns; what was cut shows as an ellipsis. */
export function cut(text: string, width: number): string {
  if (columns(text) <= width) return text;
  if (width < 1) return '';
  let kept = '';
  let total = 0;
  for (const character of text) {
    const next = widthOf(character.codePointAt(0) as number);
    if (total + next > width - 1) break;
    kept += character;
    total += next;
  }
  return `${kept}\u2026`;
}
