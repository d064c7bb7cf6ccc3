import { basename } from 'node:path';
import { defaults } from '../contract/defaults.js';
import type { CommandMode } from '../contract/enums.js';
import type { EngineRow } from '../engines/engine.js';
import { anyProgramOptions, keywords, type ShownOptions, type ValueShape } from '../engines/shown-options.js';
import { isPython, programName, recognize } from '../engines/start.js';
import { engineNamed, engines } from '../engines/table.js';
import { optionWords } from './option-words.js';
import { cut, redactCommand, redactText } from './redact.js';

/** Stands where something is not shown. */
const hidden = '…';

/** The function that says what of a command line is shown. It works each one out once. */
export function commandDisplay(mode: CommandMode = defaults.commands): (argv: readonly string[]) => string | null {
  if (mode === 'none') return () => null;
  const show = mode === 'safe' ? safeCommand : redactCommand;
  const shown = new WeakMap<readonly string[], string>();
  return (argv) => {
    let text = shown.get(argv);
    if (text === undefined) {
      text = show(argv);
      shown.set(argv, text);
    }
    return text;
  };
}

/**
 * The program, the names of its options, and of a known engine the values that its table calls harmless. `…` stands for
 * everything else: a list of what to hide can never be whole.
 */
export function safeCommand(argv: readonly string[]): string {
  const words = new ShownWords();
  const engine = recognize(argv);
  if (engine === null) {
    words.add(shownProgram(argv[0] ?? ''));
    addOptions(words, argv, 1, anyProgramOptions);
  } else if (engine.isTitle) {
    words.add(shownTitle(argv[0] ?? '', engineNamed(engine.engine)));
  } else {
    const row = engineNamed(engine.engine);
    addStart(words, argv.slice(0, engine.from), row);
    const positional = engine.positionalModel && isPositional(argv[engine.from]);
    if (positional) words.add(shownModel(argv[engine.from] as string) ?? hidden);
    addOptions(words, argv, engine.from + (positional ? 1 : 0), row.shown);
  }
  return cut(words.text(), defaults.commandLength);
}

/** Words of a command line as they are shown; several hidden ones in a row are one `…`. */
class ShownWords {
  readonly #words: string[] = [];
  add(word: string): void {
    if (word !== hidden || this.#words.at(-1) !== hidden) this.#words.push(word);
  }
  text(): string {
    return this.#words.join(' ');
  }
}

const isPositional = (word: string | undefined): boolean => word !== undefined && word !== '' && !word.startsWith('-');

/** A program as a path or a name: nothing but letters, digits and `. _ + -` in it. */
const plainProgram = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/;
const plainPath = /^(?:\.{0,2}\/)?(?:[\p{L}\p{N}._+@-]+\/)*[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/u;

/** The file name of a program. Of a process that wrote a title over its command line, the first word of that. */
export function shownProgram(text: string): string {
  const bare = text.replace(/^-/, ''); // a login shell
  const wrapped = programName(bare);
  if (plainProgram.test(wrapped) && wrapped !== basename(bare)) return wrapped;
  if (plainPath.test(bare)) return basename(bare);
  const first = /^([^\s:]*):?\s/.exec(bare)?.[1] ?? '';
  const name = plainPath.test(first) ? basename(first) : '';
  return plainProgram.test(name) ? `${name} ${hidden}` : hidden;
}

const titleRole =
  /^(?:EngineCore|Worker|scheduler|detokenizer|router|APIServer|DPCoordinator)(?:_(?:TP|DP|PP|EP)?[0-9]{1,3})*/;

function shownTitle(title: string, { titlePrefix = '' }: EngineRow): string {
  const role = title.slice(titlePrefix.length);
  const known = titleRole.exec(role)?.[0] ?? '';
  return `${titlePrefix}${known}${known === role ? '' : hidden}`;
}

/** What stands before an engine's own arguments: wrappers and interpreters by name, and the words by which it is known. */
function addStart(words: ShownWords, argv: readonly string[], row: EngineRow): void {
  for (const [i, word] of argv.entries()) {
    const name = programName(word);
    const isModule = argv[i - 1] === '-m';
    if (i === 0) words.add(shownProgram(word));
    else if (isModule) words.add(knownModule(word, row) ?? hidden);
    else if (row.starts.some(({ programs }) => programs?.includes(name))) words.add(name);
    else if (i === argv.length - 1 && row.starts.some(({ subcommands }) => subcommands?.includes(word)))
      words.add(word);
    else if (word === '-m' || (isPython(name) && name.length < 12)) words.add(word === '-m' ? word : name);
    else words.add(knownScript(word, row) ?? (word.startsWith('-') ? shownOption(word) : hidden));
  }
}

function knownModule(module: string, { starts }: EngineRow): string | null {
  for (const start of starts) {
    const found = start.module?.exec(module)?.[0];
    if (found !== undefined) return found.replace(/^\./, '');
  }
  return null;
}

/** A module that is started by its file: `/opt/vllm/entrypoints/api_server.py`. */
function knownScript(path: string, row: EngineRow): string | null {
  const module = path.endsWith('.py') ? knownModule(path.slice(0, -3).replaceAll('/', '.'), row) : null;
  return module === null ? null : `${module.split('.').at(-1)}.py`;
}

function addOptions(words: ShownWords, argv: readonly string[], from: number, options: ShownOptions): void {
  for (let i = from; i < argv.length; i += 1) {
    const word = argv[i] as string;
    const equals = word.indexOf('=');
    const name = optionKey(equals < 0 ? word : word.slice(0, equals));
    const shape = options.get(name);
    if (word === '--') {
      words.add('--');
      if (i + 1 < argv.length) words.add(hidden);
      return;
    }
    if (shape === undefined) {
      words.add(word.startsWith('-') ? shownOption(word) : hidden);
    } else if (equals >= 0) {
      words.add(`${name}=${shownValue(word.slice(equals + 1), shape) ?? hidden}`);
    } else {
      words.add(name);
      const value = argv[i + 1];
      if (value === undefined || (value.startsWith('-') && !isNumber(value))) continue;
      words.add(shownValue(value, shape) ?? hidden);
      i += 1;
    }
  }
}

/** As tables have it: parsers of Python take `_` and `-` alike. */
const optionKey = (name: string): string => (name.startsWith('--') ? name.replaceAll('_', '-') : name);

const knownNames: ReadonlySet<string> = new Set(engines.flatMap(({ shown }) => [...shown.keys()]));

/**
 * The name of an option, without what is glued to it. A long name is shown where it is made of known words, of a short
 * one the letter: whatever else stands there may be a secret.
 */
export function shownOption(word: string): string {
  const long = /^--([A-Za-z][A-Za-z0-9_-]*)(=?)/.exec(word);
  if (long !== null) {
    const [head, name = '', equals] = long;
    const known = knownNames.has(optionKey(`--${name}`)) || name.split(/[-_]/).every((part) => optionWords.has(part));
    const rest = word.length > head.length || equals === '=';
    if (!known || (rest && equals === '')) return `--${hidden}`;
    return rest ? `--${name}=${hidden}` : `--${name}`;
  }
  const short = /^-[A-Za-z]/.exec(word)?.[0];
  if (short === undefined) return hidden;
  return word === short || knownNames.has(word) ? word : `${short}${hidden}`;
}

const isNumber = (text: string): boolean => /^-?[0-9]{1,9}(?:\.[0-9]{1,4})?$/.test(text);
const isPort = (text: string): boolean => /^[0-9]{1,5}$/.test(text) && Number(text) <= 65_535;
const isHost = (text: string): boolean =>
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[?[0-9A-Fa-f:.]{2,45}(?:%[a-z0-9]{1,15})?\]?|\*)$/.test(text);

/** The value as it is shown; null where it has not the shape that it must have. */
function shownValue(text: string, shape: ValueShape): string | null {
  if (shape === 'model') return shownModel(text);
  const fits = {
    port: isPort,
    number: isNumber,
    size: (value: string) => /^-?[0-9]{1,9}(?:\.[0-9]{1,4})?[kKmMgGtT]?i?$/.test(value) || value === 'auto',
    host: isHost,
    word: (value: string) => keywords.has(value.toLowerCase()),
  }[shape];
  return fits(text) ? text : null;
}

/** `org/model@revision` rather than a user in front of a host. */
const isRevisionPath = (text: string): boolean => text.includes('/') && !/[:@]/.test(text);

const modelCharacters = /^[\p{L}\p{N}._][\p{L}\p{N}._~+@:/\\-]*$/u;

/**
 * A model's name, path or URL without query, fragment and user information; null where it does not look like one. What
 * looks like a secret in it is hidden as well.
 */
export function shownModel(text: string): string | null {
  const [, scheme = '', rest = ''] = /^([A-Za-z][A-Za-z0-9+.-]{0,15}:\/\/)?(.*)$/s.exec(text) ?? [];
  // A password may hold any character, so whatever stands before the last `@` is hidden.
  const at = rest.lastIndexOf('@');
  const isRevision = scheme === '' && isRevisionPath(rest.slice(0, at));
  if (at >= 0 && scheme === '' && !isRevision) return null;
  const user = at >= 0 && !isRevision ? `${hidden}@` : '';
  const [place = ''] = (user === '' ? rest : rest.slice(at + 1)).split(/[?#]/, 1);
  const bare = place.replace(/^\.{0,2}[/\\]|^~[/\\]/, '');
  if (!modelCharacters.test(bare)) return null;
  if (scheme !== '' && !/^[^:]*(?::[0-9]{1,5})?$/.test(bare.split('/', 1)[0] as string)) return null;
  return cut(`${scheme}${user}${redactText(place)}`, 512);
}
