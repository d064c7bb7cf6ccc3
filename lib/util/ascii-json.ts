const escapeOf = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;

/**
 * JSON of ASCII alone; other letters are escaped. One `…` anywhere makes JavaScript keep the whole text, and every string that
 * is parsed from it, at two bytes a letter: a queen then needs half as much memory again for each worker.
 */
export function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(/[^\0-\x7f]/g, escapeOf);
}
