export interface ParsedSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface ParsedFamily {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: ParsedSample[];
}

const unescapes: Readonly<Record<string, string>> = { '\\': '\\', n: '\n', '"': '"' };

/** Reads the text format (and what OpenMetrics shares with it), strictly: what does not fit throws with its line. */
export function parseExposition(text: string): ReadonlyMap<string, ParsedFamily> {
  const families = new Map<string, ParsedFamily>();
  let help = new Map<string, string>();
  let current: ParsedFamily | null = null;
  for (const line of text.split('\n')) {
    if (line === '' || line === '# EOF') continue;
    const meta = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
    if (meta) {
      const [, kind, name, rest] = meta as unknown as [string, string, string, string];
      if (kind === 'HELP') {
        help = new Map([[name, rest]]);
        continue;
      }
      if (families.has(name)) throw new Error(`${name} stands twice`);
      current = { name, type: rest, help: help.get(name) ?? '', samples: [] };
      families.set(name, current);
      continue;
    }
    const sample = readSample(line);
    const base = current?.type === 'counter' ? sample.name.replace(/_total$/, '') : sample.name;
    if (current === null || base !== current.name.replace(current.type === 'counter' ? /_total$/ : /$^/, ''))
      throw new Error(`a sample outside of its family: ${line}`);
    current.samples.push(sample);
  }
  return families;
}

function readSample(line: string): ParsedSample {
  const name = /^[a-zA-Z_:][a-zA-Z0-9_:]*/.exec(line)?.[0];
  if (name === undefined) throw new Error(`no name: ${line}`);
  const labels: Record<string, string> = {};
  let rest = line.slice(name.length);
  if (rest.startsWith('{')) {
    rest = rest.slice(1);
    while (!rest.startsWith('}')) {
      const pair = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\[\\n"])*)"(,(?!\})|(?=\}))/.exec(rest);
      if (pair === null) throw new Error(`not a label: ${line}`);
      const [whole, key, value] = pair as unknown as [string, string, string];
      if (Object.hasOwn(labels, key)) throw new Error(`label ${key} stands twice: ${line}`);
      labels[key] = value.replace(/\\([\\n"])/g, (_all, char: string) => unescapes[char] ?? char);
      rest = rest.slice(whole.length);
    }
    rest = rest.slice(1);
  }
  const value = /^ (-?[0-9.]+(?:e[+-]?[0-9]+)?|NaN|[+-]Inf)$/.exec(rest)?.[1];
  if (value === undefined) throw new Error(`not a value: ${line}`);
  return { name, labels, value: value.endsWith('Inf') ? Number(`${value[0]}Infinity`) : Number(value) };
}

/** The one sample with these labels among others, or undefined. */
export function sampleOf(
  families: ReadonlyMap<string, ParsedFamily>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): ParsedSample | undefined {
  const found = (families.get(name)?.samples ?? []).filter((sample) =>
    Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  );
  if (found.length > 1) throw new Error(`${name} has ${found.length} samples with ${JSON.stringify(labels)}`);
  return found[0];
}
