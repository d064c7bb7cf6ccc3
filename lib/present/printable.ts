// What may be written to a terminal: text of other hosts may hold anything. Imports nothing, since every command starts with it.

/** Controls of C0 and C1, format characters (direction of writing, invisible ones, tags), line separators, half a pair. */
const steering = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** The text without anything that moves the cursor, changes a colour or the direction of writing. */
export const printable = (text: string): string => text.replace(steering, '\u00b7');

/** A colour, as `paint` writes it; a tab or the end of a line; or anything that steers. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape of a colour is one
const colourOrSteering = /\u001b\[[0-9;]*m|[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** The text with its lines and colours, and without anything else that steers the terminal. */
export const keepColours = (text: string): string =>
  text.replace(colourOrSteering, (found) => (found.length > 2 || found === '\n' || found === '\t' ? found : '\u00b7'));

/** JSON with everything that steers a terminal as `\uXXXX`: the same value. The line ends that lay it out stay. */
export const escapeForTerminal = (json: string): string =>
  json.replace(steering, (found) => (found === '\n' ? found : found.split('').map(escapeUnit).join('')));

const escapeUnit = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
