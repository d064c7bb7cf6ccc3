import { execFileSync, spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { argparse, compileParser, getoptLong, type Parser, parseArguments } from '../../lib/engines/arguments.js';
import { portion } from '../harness/draws.js';

const hasPython = spawnSync('python3', ['-c', 'import argparse']).status === 0;

/** Options by the number of words that they take, of a parser that takes one word besides. */
interface Options {
  readonly flags: readonly string[];
  readonly values: readonly string[];
  readonly lists: readonly string[];
}

interface Case extends Options {
  readonly argv: readonly string[];
}

/** What a parser makes of a command line; null: it refuses it. */
type Parsed = { readonly values: Readonly<Record<string, readonly string[]>>; readonly word: string | null } | null;

/** Python's own parser, for many command lines in one process. */
const oracle = `
import argparse, json, sys

class Refused(Exception):
    pass

class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise Refused()

def dashed(word):
    name, *value = word.split('=', 1)
    return '='.join([name.replace('_', '-'), *value]) if word.startswith('--') else word

def parse(case):
    parser = Parser(add_help=False)
    parser.add_argument('word', nargs='?')
    for name in case['flags']:
        parser.add_argument(name, dest=name, action='store_true', default=None)
    for name in case['values']:
        parser.add_argument(name, dest=name)
    for name in case['lists']:
        parser.add_argument(name, dest=name, nargs='+')
    argv = case['argv']
    end = argv.index('--') if '--' in argv else len(argv)
    if case['underscores']:
        argv = [dashed(word) for word in argv[:end]] + argv[end:]
    try:
        found = vars(parser.parse_args(argv))
    except Refused:
        return None
    word = found.pop('word')
    values = {}
    for name, value in found.items():
        if value is not None:
            values[name] = value if isinstance(value, list) else [] if value is True else [value]
    return {'values': values, 'word': word}

print(json.dumps([parse(case) for case in json.load(sys.stdin)]))
`;

function argparseOf(cases: readonly Case[], underscores: boolean): readonly Parsed[] {
  const input = JSON.stringify(cases.map((each) => ({ ...each, underscores })));
  return JSON.parse(execFileSync('python3', ['-c', oracle], { input, encoding: 'utf8' }));
}

/** What the parser of engines makes of it, with all options in its table. */
function ours({ flags, values, lists, argv }: Case, rules: Parser): NonNullable<Parsed> {
  const parser = compileParser(
    { ...rules, flags: flags.join(' '), values: values.join(' '), lists: lists.join(' ') },
    new Map(),
    [],
  );
  const { options, positionals } = parseArguments(argv, parser);
  return {
    values: Object.fromEntries(options.map(({ name, values: given }) => [name, given])),
    word: positionals[0] ?? null,
  };
}

const part = fc.constantFrom('a', 'ab', 'model', 'name', 'served', 'se', 'port');
const optionName = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => `--${parts.join('-')}`);
const plainWord = fc.constantFrom('x', 'org/m', '7', '-1', '-0.5', '-', 'a b', '-x y', 'k=v');

/** Command lines of the options that a parser has: whole names, beginnings, underscores, `=`, and words between. */
const cases: fc.Arbitrary<Case> = fc
  .uniqueArray(optionName, { minLength: 2, maxLength: 7 })
  .chain((names) =>
    fc.tuple(fc.constant(names), fc.array(fc.nat(2), { minLength: names.length, maxLength: names.length })),
  )
  .chain(([names, kinds]) => {
    const of = (kind: number) => names.filter((_, i) => kinds[i] === kind);
    const written = fc
      .tuple(fc.constantFrom(...names), fc.nat(8), fc.boolean(), fc.option(plainWord, { nil: null }))
      .map(([name, cut, underscored, glued]) => {
        const some = cut < 3 ? name.slice(0, Math.max(3, name.length - cut)) : name;
        const head = underscored ? `--${some.slice(2).replaceAll('-', '_')}` : some;
        return glued === null ? head : `${head}=${glued}`;
      });
    const word = fc.oneof({ weight: 5, arbitrary: written }, { weight: 5, arbitrary: plainWord }, fc.constant('--'));
    return fc.record({
      flags: fc.constant(of(0)),
      values: fc.constant(of(1)),
      lists: fc.constant(of(2)),
      argv: fc.array(word, { maxLength: 7 }),
    });
  });

describe('command lines are read as the library of the engine reads them', () => {
  it.skipIf(!hasPython).each([
    ['argparse', argparse, false],
    ['argparse with `_` read as `-`, as vLLM does', { ...argparse, underscores: true } as const, true],
  ] as const)('%s: what it accepts is understood in the same way (needs python3)', (_, rules, underscores) => {
    const many = fc.sample(cases, portion(2000));
    const expected = argparseOf(many, underscores);
    for (const [i, each] of many.entries())
      if (expected[i] != null) expect(ours(each, rules), JSON.stringify(each)).toEqual(expected[i]);
    expect(expected.filter((parsed) => parsed != null).length).toBeGreaterThan(many.length / 10);
  });

  it('getopt_long: a value may begin with `-`, and a name may be written in part', () => {
    const parser = compileParser({ ...getoptLong, flags: '--help' }, new Map(), ['--load-model', '--log-file']);
    expect(parseArguments(['--load', '--log-file', 'x', '--lo', 'y', '--', '--load-model=z'], parser)).toEqual({
      options: [
        { name: '--load-model', values: ['--log-file'] },
        { name: '--lo', values: [] },
      ],
      positionals: ['x', '--load-model=z'],
    });
  });

  it('a word behind an option that is not known is neither its value nor the model', () => {
    const parser = compileParser({ ...argparse, flags: '--flag' }, new Map(), ['--model']);
    const sure = (line: string) => parseArguments(line.split(' '), parser).positionals;
    expect(sure('--other x')).toEqual([]);
    expect(sure('--other x --flag y')).toEqual(['y']);
    expect(sure('--other=x y')).toEqual(['y']);
    expect(sure('--no-flag y')).toEqual(['y']);
  });

  it.each([
    ['-5', true],
    ['-12', true],
    ['-.5', true],
    ['-12.25', true],
    ['-x y', true],
    ['-', true],
    ['-5x', false],
    ['-a-5', false],
    ['-1.', false],
    ['-1.x', false],
  ])('to argparse %j is a word of its own: %s', (word, is) => {
    const parser = compileParser({ ...argparse, flags: '--flag', lists: '--list' }, new Map(), []);
    expect(parseArguments(['--flag', word], parser).positionals).toEqual(is ? [word] : []);
    expect(parseArguments(['--list', 'x', word], parser).options[0]?.values).toEqual(is ? ['x', word] : ['x']);
  });

  it.each([
    ['-O3 y', [['-O', '3']], ['y']],
    ['-O=3 y', [['-O', '3']], ['y']],
    ['-O 3 y', [['-O', '3']], ['y']],
    ['-v y', [['-v']], ['y']],
    ['-vv y z', [['-vv']], []],
    ['-z y', [['-z']], []],
    ['-=x y', [['-', 'x']], ['y']],
    ['--list a b -- y', [['--list', 'a', 'b']], ['y']],
  ])('a value glued to a short option is its own where that takes one: %s', (line, options, positionals) => {
    const parser = compileParser({ ...argparse, flags: '-v', values: '-O', lists: '--list' }, new Map(), []);
    const found = parseArguments(line.split(' '), parser);
    expect(found.options.map(({ name, values }) => [name, ...values])).toEqual(options);
    expect(found.positionals).toEqual(positionals);
  });

  it('a parser that takes a value as a word of its own alone knows no glued ones, and no end of the options', () => {
    const parser = compileParser({ separate: true, flags: '--flag' }, new Map(), ['-m', '--model']);
    const found = parseArguments(['-mx', '--flag', '--model=y', '--flag', '--', '-m', 'z'], parser);
    const flag = { name: '--flag', values: [] };
    expect(found.options).toEqual([
      { name: '-mx', values: [] },
      flag,
      { name: '--model=y', values: [] },
      flag,
      { name: '--', values: [] },
      { name: '-m', values: ['z'] },
    ]);
    expect(found.positionals).toEqual([]);
  });

  it('one key of an option takes one value where the parser knows keys; an option that is not known is called by its whole name', () => {
    const dotted = compileParser({ ...argparse, dotted: true, underscores: true }, new Map(), []);
    const read = (line: string, parser = dotted) => {
      const { options, positionals } = parseArguments(line.split(' '), parser);
      return [...options.map(({ name, values }) => [name, ...values].join(' ')), `(${positionals.join(' ')})`];
    };
    expect(read('--spec_x.model_y a b')).toEqual(['--spec-x.model_y a', '(b)']);
    expect(read('--no_such_y a b')).toEqual(['--no-such-y', '()']);
    expect(read('--spec.model a b', compileParser(argparse, new Map(), []))).toEqual(['--spec.model', '()']);
  });

  it('getopt_long: an option that is not known takes none of those that follow', () => {
    const parser = compileParser(getoptLong, new Map(), ['--load-model']);
    expect(parseArguments(['--other', '--load-model', 'x'], parser).options).toEqual([
      { name: '--other', values: [] },
      { name: '--load-model', values: ['x'] },
    ]);
  });

  it('any words give an answer, in which nothing is that was not given', () => {
    const words = fc.array(fc.string({ maxLength: 12 }), { maxLength: 12 });
    fc.assert(
      fc.property(
        cases,
        words,
        fc.constantFrom<Parser>(argparse, getoptLong, {}, { separate: true }),
        (each, argv, rules) => {
          const given = argv.join('\u0000');
          const { values, word } = ours({ ...each, argv }, rules);
          for (const value of Object.values(values).flat()) expect(given).toContain(value);
          if (word !== null) expect(argv).toContain(word);
        },
      ),
    );
  });
});
