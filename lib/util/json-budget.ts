/** What a JSON text may ask of whoever parses and walks it. */
export interface JsonBudget {
  /** Brackets within brackets. */
  readonly depth: number;
  /** Values in all, those within arrays and objects included. */
  readonly nodes: number;
  /** Members of one object. */
  readonly keys: number;
  /** Bytes of one string or key, as it is written. */
  readonly stringBytes: number;
}

const quote = 0x22;
const backslash = 0x5c;
const openBrace = 0x7b;
const openBracket = 0x5b;
const closeBrace = 0x7d;
const closeBracket = 0x5d;
const comma = 0x2c;
const colon = 0x3a;

/** Where the closing quote is; the end of the text where there is none. */
function endOfString(text: Uint8Array, start: number): number {
  let at = start;
  while (at < text.length && text[at] !== quote) at += text[at] === backslash ? 2 : 1;
  return at;
}

/**
 * What of its budget a JSON text exceeds, in words; null where nothing. One pass, linear in the bytes, no allocation that
 * grows with them. It does not check the grammar: up to its first error a text is read here as a parser reads it, and there
 * the parser stops.
 */
export function exceededBudget(text: Uint8Array, budget: JsonBudget): string | null {
  const keys = new Uint32Array(budget.depth + 1);
  let depth = 0;
  let nodes = 1;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at]!;
    if (byte === quote) {
      const start = at + 1;
      at = endOfString(text, start);
      if (at - start > budget.stringBytes) return `a string of more than ${budget.stringBytes} bytes`;
    } else if (byte === comma) nodes++;
    else if (byte === colon) {
      if (++keys[depth]! > budget.keys) return `an object of more than ${budget.keys} members`;
    } else if (byte === openBrace || byte === openBracket) {
      if (++depth > budget.depth) return `more than ${budget.depth} levels of brackets`;
      keys[depth] = 0;
      nodes++;
    } else if ((byte === closeBrace || byte === closeBracket) && depth > 0) depth--;
    if (nodes > budget.nodes) return `more than ${budget.nodes} values`;
  }
  return null;
}
