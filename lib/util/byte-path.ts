import { isUtf8 } from 'node:buffer';

/**
 * Paths that are not UTF-8, as strings. The kernel allows any bytes in a name. In a component that is not UTF-8 each byte
 * from 0x80 on is the lone surrogate U+DC00 + byte, which no text has; so the path can be made into its bytes again.
 */

const escapeBase = 0xdc00;
const escaped = /[\udc80-\udcff]/;

/** A path, or a name, from its bytes. */
export function pathFromBytes(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  const components = bytes.toString('latin1').split('/');
  return components.map(componentOf).join('/');
}

function componentOf(latin1: string): string {
  const bytes = Buffer.from(latin1, 'latin1');
  if (isUtf8(bytes)) return bytes.toString('utf8');
  return latin1.replace(/[\x80-\xff]/g, (byte) => String.fromCharCode(escapeBase + byte.charCodeAt(0)));
}

/** What to open: the path itself, or its bytes where it is not UTF-8. */
export function bytesOfPath(path: string): string | Buffer {
  // Most paths are ASCII, or have surrogates only in pairs.
  if (!escaped.test(path)) return path;
  // A string is walked by code points, so a surrogate of a pair is none of ours.
  const parts = [...path].map((char) => {
    const code = char.codePointAt(0) as number;
    return code >= escapeBase + 0x80 && code <= escapeBase + 0xff ? Buffer.of(code - escapeBase) : Buffer.from(char);
  });
  return Buffer.concat(parts);
}

/** A path for people: `\xff` for a byte that is not text. */
export function printablePath(path: string): string {
  if (!escaped.test(path)) return path;
  return [...path]
    .map((char) =>
      char.length === 1 && escaped.test(char) ? `\\x${(char.charCodeAt(0) - escapeBase).toString(16)}` : char,
    )
    .join('');
}
