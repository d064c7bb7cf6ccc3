import type { ShownOptions } from './shown-options.js';

/** How a library reads the words of a command line. */
export interface ParserRules {
  /** The beginning of a long option's name is enough where no other option begins so. */
  readonly prefixes?: true;
  /** `_` in the name of a long option is read as `-`. */
  readonly underscores?: true;
  /** `--option.key value` sets one key of an option. */
  readonly dotted?: true;
  /** What follows an option is its value even where it begins with `-`. */
  readonly dashedValues?: true;
  /** `--name value` alone: no `--name=value`, no `-nvalue`, and `--` means nothing. */
  readonly separate?: true;
}

/** Python's argparse. */
export const argparse = { prefixes: true } as const satisfies ParserRules;
/** Python's click and typer. */
export const click = { dashedValues: true } as const satisfies ParserRules;
/** Rust's clap, without `infer_long_args`. */
export const clap = {} as const satisfies ParserRules;
/** getopt_long of the GNU C library. */
export const getoptLong = { prefixes: true, dashedValues: true } as const satisfies ParserRules;

/** The rules of an engine's parser, and the options that it knows: names of long and short ones, blanks between. */
export interface Parser extends ParserRules {
  /** Options that take no value; a flag `--x` may be there as `--no-x` as well. */
  readonly flags?: string;
  /** Options that take one value, besides those of `shown`. */
  readonly values?: string;
  /** Options that take all words up to the next option. */
  readonly lists?: string;
  /** Options that took another number of words in other versions. */
  readonly unclear?: string;
}

/** How many of the words that follow an option are surely its own, and how many may be. */
type Arity = readonly [least: number, most: number];
const all = Number.POSITIVE_INFINITY;
const unknown: Arity = [0, all];

/** A parser as `parseArguments` uses it. */
export interface CompiledParser {
  readonly rules: ParserRules;
  readonly arities: ReadonlyMap<string, Arity>;
  /** Long names, for those that are written in part. */
  readonly longNames: readonly string[];
}

const words = (text: string | undefined): readonly string[] => text?.split(/\s+/).filter(Boolean) ?? [];

/** `read`: options whose values are read, one value each where no list says otherwise. */
export function compileParser(parser: Parser, shown: ShownOptions, read: readonly string[]): CompiledParser {
  const arities = new Map<string, Arity>();
  for (const name of [...shown.keys(), ...words(parser.values), ...read]) arities.set(name, [1, 1]);
  for (const name of words(parser.flags)) arities.set(name, [0, 0]);
  for (const name of words(parser.lists)) arities.set(name, [all, all]);
  for (const name of words(parser.unclear)) arities.set(name, unknown);
  return { rules: parser, arities, longNames: [...arities.keys()].filter((name) => name.startsWith('--')) };
}

export interface ParsedArguments {
  /** Options in the order in which they stand, by their whole names. */
  readonly options: readonly { readonly name: string; readonly values: readonly string[] }[];
  /** Words that surely belong to no option. */
  readonly positionals: readonly string[];
}

interface Option {
  readonly name: string;
  /** Glued to the name: `--name=value`, `-nvalue`. */
  readonly glued: string | null;
  readonly arity: Arity;
}

/** Reads the words that follow a program, or its subcommand, as its own parser does. */
export function parseArguments(argv: readonly string[], parser: CompiledParser): ParsedArguments {
  const options: { name: string; values: readonly string[] }[] = [];
  const positionals: string[] = [];
  for (let i = 0; i < argv.length; ) {
    const word = argv[i] as string;
    i += 1;
    if (word === '--' && !parser.rules.separate) {
      positionals.push(...argv.slice(i));
      break;
    }
    const option = optionOf(word, parser);
    if (option === null) {
      positionals.push(word);
      continue;
    }
    if (option.glued !== null) {
      options.push({ name: option.name, values: [option.glued] });
      continue;
    }
    const [least, most] = option.arity;
    const follow = numberOfValues(argv, i, least, parser);
    options.push({ name: option.name, values: argv.slice(i, i + Math.min(follow, least)) });
    i += Math.min(follow, most);
  }
  return { options, positionals };
}

/** How many of the words from `start` on can be values. */
function numberOfValues(argv: readonly string[], start: number, least: number, parser: CompiledParser): number {
  const isValue = (word: string) => optionOf(word, parser) === null;
  let end = parser.rules.dashedValues && least === 1 ? start + 1 : start;
  while (end < argv.length && isValue(argv[end] as string)) end += 1;
  return Math.min(end, argv.length) - start;
}

/** To argparse a number and a text with a blank in it are no options, but for those that are known. */
const isNoOption = (word: string): boolean => /^-(?:\d+|\d*\.\d+)$/.test(word) || word.includes(' ');

function optionOf(word: string, { rules, arities, longNames }: CompiledParser): Option | null {
  if (!word.startsWith('-') || word === '-') return null;
  const equals = rules.separate ? -1 : word.indexOf('=');
  const head = equals < 0 ? word : word.slice(0, equals);
  const glued = equals < 0 ? null : word.slice(equals + 1);
  const exact = nameOf(head, rules);
  const name = arities.has(exact) ? exact : longName(exact, rules, arities, longNames);
  if (name !== null) return { name, glued, arity: arities.get(name) ?? [0, 0] };
  if (isNoOption(word)) return null;
  if (rules.dotted && exact.includes('.')) return { name: exact, glued, arity: [1, 1] };
  if (word.startsWith('--')) return { name: exact, glued, arity: unknown };
  const short = word.slice(0, 2);
  const isGlued = !rules.separate && word.length > 2 && (arities.get(short)?.[0] ?? 0) > 0;
  if (isGlued) return { name: short, glued: word.slice(2), arity: [1, 1] };
  return { name: head, glued, arity: unknown };
}

/** The known option that a long name stands for: the only one that begins so, or `--x` negated. */
function longName(
  name: string,
  { prefixes }: ParserRules,
  arities: CompiledParser['arities'],
  longNames: readonly string[],
): string | null {
  if (!name.startsWith('--')) return null;
  const matching = prefixes ? longNames.filter((each) => each.startsWith(name)) : [];
  if (matching.length === 1) return matching[0] as string;
  return name.startsWith('--no-') && arities.get(name.replace('--no-', '--'))?.[1] === 0 ? name : null;
}

/** The name as tables have it. */
const nameOf = (head: string, { underscores }: ParserRules): string =>
  underscores && head.startsWith('--') ? head.replace(/^[^.]*/, (name) => name.replaceAll('_', '-')) : head;
