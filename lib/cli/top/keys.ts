/** A key by name: a printable character as itself, else `up`, `pageDown`, `enter`... */
export type Key = string;

const named: Readonly<Record<string, Key>> = {
  '\u001b[A': 'up',
  '\u001bOA': 'up',
  '\u001b[B': 'down',
  '\u001bOB': 'down',
  '\u001b[C': 'right',
  '\u001bOC': 'right',
  '\u001b[D': 'left',
  '\u001bOD': 'left',
  '\u001b[5~': 'pageUp',
  '\u001b[6~': 'pageDown',
  '\u001b[H': 'home',
  '\u001bOH': 'home',
  '\u001b[1~': 'home',
  '\u001b[F': 'end',
  '\u001bOF': 'end',
  '\u001b[4~': 'end',
  '\u001b[3~': 'delete',
  '\u001b[Z': 'backTab',
  '\u001b': 'escape',
  '\t': 'tab',
  '\r': 'enter',
  '\n': 'enter',
  '\u007f': 'backspace',
  '\b': 'backspace',
  '\u0003': 'interrupt',
  '\u001a': 'suspend',
  '\u000c': 'redraw',
  '\u0015': 'clear',
};

// biome-ignore lint/suspicious/noControlCharactersInRegex: keys are sent as escape sequences
const token = /\u001b\[[0-9;]*[A-Za-z~]|\u001bO[A-Za-z]|[\s\S]/gu;

/** Keys in what a terminal sent, several at once where they came in one piece. Sequences that mean nothing here are dropped. */
export function parseKeys(input: string): Key[] {
  const keys: Key[] = [];
  for (const [text] of input.matchAll(token)) {
    const name = named[text];
    if (name) keys.push(name);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: any other control character means nothing
    else if (!/^[\u0000-\u001f\u007f-\u009f]/.test(text)) keys.push(text);
  }
  return keys;
}
