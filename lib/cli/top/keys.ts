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

/** What the mouse did, at a column and line of the screen that count from 0. */
export interface Mouse {
  readonly kind: 'click' | 'wheelUp' | 'wheelDown';
  readonly column: number;
  readonly line: number;
}

const mouseKinds: Readonly<Record<string, Mouse['kind']>> = { '0': 'click', '64': 'wheelUp', '65': 'wheelDown' };

// biome-ignore lint/suspicious/noControlCharactersInRegex: keys are sent as escape sequences
const token = /\u001b\[<[0-9;]*[Mm]|\u001b\[[0-9;]*[A-Za-z~]|\u001bO[A-Za-z]|[\s\S]/gu;
/** A report of the mouse (SGR, mode 1006): button, column and line that count from 1, `M` for pressed. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const mouseReport = /^\u001b\[<(\d{1,3});(\d{1,5});(\d{1,5})([Mm])$/;
/** The beginning of a sequence whose end has not come yet. A lone escape is the key. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const unfinished = /\u001b(?:\[<?[0-9;]*|O)$/;

export interface Input {
  readonly keys: readonly (Key | Mouse)[];
  /** To be put before what comes next. */
  readonly rest: string;
}

/** Keys and clicks in what a terminal sent, several at once where they came in one piece. Sequences that mean nothing here are dropped. */
export function parseInput(input: string): Input {
  const rest = unfinished.exec(input)?.[0] ?? '';
  const keys: (Key | Mouse)[] = [];
  for (const [text] of input.slice(0, input.length - rest.length).matchAll(token)) {
    const name = named[text];
    const mouse = mouseReport.exec(text);
    if (name) keys.push(name);
    else if (mouse) keys.push(...mouseOf(mouse));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: any other control character means nothing
    else if (!/^[\u0000-\u001f\u007f-\u009f]/.test(text)) keys.push(text);
  }
  // No sequence is so long: it is not held back for ever.
  return { keys, rest: rest.length > 32 ? '' : rest };
}

function mouseOf([, button = '', column, line, end]: RegExpExecArray): Mouse[] {
  const kind = mouseKinds[button];
  return kind === undefined || end === 'm' ? [] : [{ kind, column: Number(column) - 1, line: Number(line) - 1 }];
}
