import { idPattern, labelKeyPattern, maxLabelLength, maxLabels } from '../contract/limits.js';
import { hostAddressExpects, isHostAddress } from '../util/host-address.js';
import { isObject } from '../util/is-object.js';

/**
 * One type of setting. `parse` takes what a flag or a variable (text), a repeated flag (an array of texts) or a YAML file
 * (any value) holds, and throws `ValueProblem` with what is expected where it does not fit.
 */
export interface ValueType<T> {
  /** Stands in the flag: `--interval <duration>`. Null for a switch. */
  readonly placeholder: string | null;
  /** Completes "expected ...". */
  readonly expects: string;
  /** The unit of a bare number, for the documentation; null where it has none. */
  readonly unit: string | null;
  /** The flag may stand several times. */
  readonly repeatable: boolean;
  parse(input: unknown): T;
  /** As one would write it. */
  format(value: T): string;
}

/** Why a value does not fit; the caller adds where it was given. */
export class ValueProblem extends Error {}

/** The value itself is never repeated: it may be a secret that was given in the wrong place. */
function reject(expects: string): never {
  throw new ValueProblem(`the value does not fit: expected ${expects}`);
}

const base = { unit: null, repeatable: false } as const;

// Control characters would break logs, paths and headers alike.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const control = /[\u0000-\u001f\u007f]/;

function text(placeholder: string, expects: string, accept: (value: string) => boolean): ValueType<string> {
  return {
    ...base,
    placeholder,
    expects,
    parse(input) {
      // A YAML file may hold a bare number where a text is meant (`id: 42`).
      const value = typeof input === 'number' && Number.isFinite(input) ? String(input) : input;
      if (typeof value !== 'string' || value === '' || control.test(value) || !accept(value)) reject(expects);
      return value;
    },
    format: (value) => value,
  };
}

/** What goes into a header as it is. */
export const secret = (placeholder: string): ValueType<string> =>
  text(placeholder, `a ${placeholder} of 1 to ${maxSecretLength} visible ASCII characters`, isSecret);

const maxSecretLength = 512;
export const isSecret = (value: string): boolean => value.length <= maxSecretLength && /^[!-~]+$/.test(value);

export const path = text('path', 'a path', (value) => value.length <= 4096);

export const id = text(
  'id',
  '1 to 128 characters of A-Z a-z 0-9 _ . : @ + -, of which the first is a letter or digit',
  (value) => new RegExp(idPattern).test(value),
);

export const glob = text(
  'glob',
  'a pattern of cgroup paths such as system.slice/vllm-*.service',
  (value) => value.length <= 1024,
);

export const host = text(
  'address',
  'an IP address or host name without a port, such as 127.0.0.1, :: or 0.0.0.0',
  (value) => value.length <= 253 && /^[A-Za-z0-9._:%-]+$/.test(value) && !/^[^:]+:\d+$/.test(value),
);

/** What others connect to; unlike `host`, which is listened on. */
export const hostAddress = text('host', hostAddressExpects, isHostAddress);

/** An address of the form scheme://host[:port][/prefix], without credentials: those would show in logs. */
export function url(protocols: readonly string[], example: string): ValueType<string> {
  const expects = `an address such as ${example}, without user, password, query or fragment`;
  return text('url', expects, (value) => {
    const parsed = URL.canParse(value) ? new URL(value) : null;
    return (
      parsed !== null &&
      protocols.includes(parsed.protocol) &&
      value.toLowerCase().startsWith(`${parsed.protocol}//`) &&
      parsed.hostname !== '' &&
      parsed.username + parsed.password + parsed.search + parsed.hash === ''
    );
  });
}

/** As `url`; `host:port` alone is one too, over plain HTTP. */
export function urlOrHostPort(protocols: readonly string[], example: string): ValueType<string> {
  const type = url(protocols, example);
  return {
    ...type,
    parse: (input) =>
      type.parse(typeof input === 'string' && hostAndPort.test(input.trim()) ? `http://${input.trim()}` : input),
  };
}
const hostAndPort = /^(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z._-]{1,253}):[0-9]{1,5}$/;

/** A number within bounds; `read` takes it from text, NaN where the text is none. */
function number(
  [min, max]: readonly [number, number],
  shown: Pick<ValueType<number>, 'placeholder' | 'expects' | 'unit' | 'format'>,
  fits: (value: number) => boolean,
  read: (text: string) => number,
): ValueType<number> {
  return {
    ...base,
    ...shown,
    parse(input) {
      const value = typeof input === 'string' ? read(input) : input;
      if (typeof value !== 'number' || !fits(value) || value < min || value > max) reject(shown.expects);
      return value;
    },
  };
}

export const integer = (min: number, max: number): ValueType<number> =>
  number(
    [min, max],
    { placeholder: 'number', expects: `a whole number from ${min} to ${max}`, unit: null, format: String },
    Number.isInteger,
    (input) => (/^[0-9]{1,15}$/.test(input) ? Number(input) : Number.NaN),
  );

/** One of a few whole numbers. */
export const wholeOneOf = (...choices: readonly number[]): ValueType<number> => {
  const type = integer(Math.min(...choices), Math.max(...choices));
  const expects = `one of ${choices.join(', ')}`;
  return {
    ...type,
    expects,
    parse(input) {
      const value = typeof input === 'string' ? Number(input) : input;
      return choices.find((choice) => choice === value && input !== '') ?? reject(expects);
    },
  };
};

export const port: ValueType<number> = { ...integer(0, 65535), placeholder: 'port', expects: 'a port from 0 to 65535' };

export const percent = (max: number): ValueType<number> =>
  number(
    [0, max],
    {
      placeholder: 'percent',
      expects: `a number from 0 to ${max}, with or without %`,
      unit: '%',
      format: (value) => `${value}%`,
    },
    Number.isFinite,
    (input) => Number(/^([0-9]+(?:\.[0-9]+)?)(?:\s*%)?$/.exec(input)?.[1] ?? Number.NaN),
  );

/** A number followed by one of the units given; a bare number has the unit 1. */
function scaled(
  placeholder: string,
  unit: string,
  units: Readonly<Record<string, number>>,
  example: string,
  bounds: readonly [number, number],
): ValueType<number> {
  const bySize = Object.entries(units).sort(([, a], [, b]) => b - a);
  const format = (value: number): string => {
    const [name, size] = bySize.find(([, size]) => value !== 0 && value % size === 0) ?? [
      unit === 'bytes' ? '' : unit,
      1,
    ];
    return `${value / size}${name}`;
  };
  return number(
    bounds,
    {
      placeholder,
      expects: `a ${placeholder} such as ${example}, from ${format(bounds[0])} to ${format(bounds[1])}`,
      unit,
      format,
    },
    Number.isInteger,
    (input) => {
      const [, amount, name = ''] = /^([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)$/.exec(input.trim()) ?? [];
      const size = name === '' ? 1 : Object.hasOwn(units, name) ? units[name] : undefined;
      return Math.round(Number(amount) * (size ?? Number.NaN));
    },
  );
}

/** Milliseconds. */
export const duration = (minMs: number, maxMs: number): ValueType<number> =>
  scaled('duration', 'ms', { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }, '500ms, 2s or 5m', [minMs, maxMs]);

/** Bytes; K, M and G are powers of 1024, as in cgroup files and systemd. */
export const bytes = (min: number, max: number): ValueType<number> => {
  const [K, M, G, T] = [1024, 1024 ** 2, 1024 ** 3, 1024 ** 4];
  const units = { K, M, G, T, KiB: K, MiB: M, GiB: G, TiB: T };
  return scaled('bytes', 'bytes', units, '512K, 24G or 24GiB', [min, max]);
};

const [on, off] = [
  ['true', 'yes', 'on', '1'],
  ['false', 'no', 'off', '0'],
];

export const boolean: ValueType<boolean> = {
  ...base,
  placeholder: null,
  expects: 'true or false (also yes, no, on, off, 1, 0)',
  parse(input) {
    const word = typeof input === 'object' ? '' : String(input).toLowerCase();
    if (!on.includes(word) && !off.includes(word)) reject(this.expects);
    return on.includes(word);
  },
  format: String,
};

export const oneOf = <const T extends readonly string[]>(
  choices: T,
  placeholder = choices.join('|'),
): ValueType<T[number]> => text(placeholder, `one of ${choices.join(', ')}`, (value) => choices.includes(value));

/** A repeated flag, a YAML list, or one text with commas between. */
const partsOf = (input: unknown): readonly unknown[] =>
  Array.isArray(input) ? input : typeof input === 'string' ? input.split(',') : [input];

export function list<T>(item: ValueType<T>, maximum = 256): ValueType<readonly T[]> {
  return {
    ...item,
    expects: `${item.expects}; several: a list, or commas between`,
    repeatable: true,
    parse(input) {
      const parts = partsOf(input);
      if (parts.length > maximum) throw new ValueProblem(`${parts.length} values are too many: at most ${maximum}`);
      // Blanks behind commas are no part of a value.
      return parts.map((part, i) => {
        try {
          return item.parse(typeof input === 'string' ? String(part).trim() : part);
        } catch (error) {
          if (!(error instanceof ValueProblem) || parts.length === 1) throw error;
          throw new ValueProblem(`value ${i + 1} of ${parts.length}: ${error.message}`);
        }
      });
    },
    format: (value) => value.map((part) => item.format(part)).join(','),
  };
}

const labelKey = new RegExp(labelKeyPattern);

/** `key=value` taken apart; null where it is none. */
function pairOf(part: unknown): [string, string] | null {
  const at = typeof part === 'string' ? part.indexOf('=') : -1;
  return typeof part !== 'string' || at < 1 ? null : [part.slice(0, at).trim(), part.slice(at + 1).trim()];
}

/** `key=value`, repeated or with commas between; in YAML also a map. */
export const labels: ValueType<Readonly<Record<string, string>>> = {
  ...base,
  placeholder: 'key=value',
  expects: `key=value, the key 1 to 63 characters of A-Z a-z 0-9 _ . / -, the value at most ${maxLabelLength}; at most ${maxLabels} labels`,
  repeatable: true,
  parse(input) {
    const pairs: [string, unknown][] = isObject(input)
      ? Object.entries(input)
      : partsOf(input).map((part) => pairOf(part) ?? reject(this.expects));
    const result: Record<string, string> = {};
    for (const [key, given] of pairs) {
      const value = typeof given === 'number' || typeof given === 'boolean' ? String(given) : given;
      if (!labelKey.test(key)) reject(this.expects);
      const fits = typeof value === 'string' && value.length <= maxLabelLength && !control.test(value);
      result[key] = fits ? value : reject(this.expects);
    }
    if (Object.keys(result).length > maxLabels) throw new ValueProblem(`more than ${maxLabels} labels`);
    return result;
  },
  format: (value) =>
    Object.entries(value)
      .map(([key, text]) => `${key}=${text}`)
      .join(','),
};
