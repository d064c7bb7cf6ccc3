import { type CompiledParser, compileParser, type ParsedArguments, parseArguments } from './arguments.js';
import type { Arguments } from './engine.js';
import { anyProgramOptions } from './shown-options.js';
import { type Recognized, recognize } from './start.js';
import { type Engine, engines } from './table.js';

/** What a command line says of a server. */
export interface Command {
  readonly engine: Engine | null;
  /** A title that a process gave itself; it has no arguments. */
  readonly isTitle: boolean;
  /** Names that clients ask for; empty where it says none. */
  readonly models: readonly string[];
  readonly port: number | null;
  /** Where it says its load, where that is a port of its own. */
  readonly loadPort?: number;
  /** It listens on a Unix socket, and on no port. */
  readonly unixSocket?: true;
}

interface Reader {
  readonly names: Arguments;
  readonly parser: CompiledParser;
}

const namesIn = ({ model, servedName, port, loadPort }: Arguments) => [
  ...[...model, ...servedName, ...port],
  ...(loadPort?.options ?? []),
];

const readers: ReadonlyMap<Engine, Reader> = new Map(
  engines.map((row) => [
    row.name,
    { names: row.arguments, parser: compileParser(row.parser, row.shown, namesIn(row.arguments)) },
  ]),
);

/** Options of unknown programs. Never `-m`: it means "module" to Python, "memory" to others. */
const unknownNames: Arguments = {
  model: ['--model', '--model-path', '--model-id', '--model-name'],
  servedName: ['--served-model-name'],
  port: ['--port'],
};
const unknownProgram: Reader = {
  names: unknownNames,
  parser: compileParser({}, anyProgramOptions, namesIn(unknownNames)),
};

export function readCommand(argv: readonly string[]): Command {
  const known = recognize(argv);
  const engine = known?.engine ?? null;
  if (known?.isTitle) return { engine, isTitle: true, models: [], port: null };
  const { names, parser } = (engine === null ? null : readers.get(engine)) ?? unknownProgram;
  const parsed = parseArguments(argv.slice(known?.from ?? 1), parser);
  const models = modelsOf(parsed, names, known).filter((name) => name !== '');
  const { loadPort } = names;
  const port = portOf(valuesOf(parsed, names.port));
  const isUnix = parsed.options.some(({ name, values }) => names.isUnixSocket?.(name, values[0] ?? ''));
  return {
    ...{ engine, isTitle: false, models: [...new Set(models)], port },
    ...(loadPort && { loadPort: portOf(valuesOf(parsed, loadPort.options)) ?? loadPort.default }),
    ...(isUnix && { unixSocket: true }),
  };
}

/** A file that a store keeps by its digest: what clients ask for is another name. */
const isBlob = (name: string): boolean => /(?:^|\/)(?:sha256[-:/]|blobs\/)[0-9a-f]{4,}(?:\/|$)/i.test(name);

function modelsOf(parsed: ParsedArguments, names: Arguments, known: Recognized | null): readonly string[] {
  const { servedName, model, commas, adds, isName = () => true, namesOf = (name) => [name] } = names;
  const given = adds
    ? parsed.options.filter(({ name }) => servedName.includes(name)).flatMap(({ values }) => values)
    : valuesOf(parsed, servedName);
  const served = commas ? given.flatMap((value) => value.split(',')) : given;
  if (served.some((name) => name.trim() !== ''))
    return served.map((name) => name.trim()).filter((name) => isName(name) && !isBlob(name));
  const [positional] = parsed.positionals;
  if (known?.positionalModel && positional !== undefined)
    // The engine takes one; where there seem to be more, one is the value of an option.
    return parsed.positionals.length === 1 && !isBlob(positional) ? namesOf(positional, null) : [];
  const option = optionOf(parsed, model, known?.firstModel);
  const value = option?.values[0] ?? '';
  return option === undefined || isBlob(value) ? [] : namesOf(value, option.name);
}

/** The last of these options that has a value, or the first. */
const optionOf = ({ options }: ParsedArguments, names: readonly string[], first = false) =>
  options.filter(({ name, values }) => names.includes(name) && (values[0] ?? '') !== '').at(first ? 0 : -1);

const valuesOf = (parsed: ParsedArguments, names: readonly string[]): readonly string[] =>
  optionOf(parsed, names)?.values ?? [];

function portOf([value]: readonly string[]): number | null {
  if (value === undefined || !/^[0-9]{1,5}$/.test(value)) return null;
  const port = Number(value);
  return port >= 1 && port <= 65_535 ? port : null;
}
