import type { IdentityQuestion, ModelsQuestion } from './answer.js';
import type { Parser } from './arguments.js';
import type { ShownOptions } from './shown-options.js';

/** One engine as the table describes it: how its processes are recognized, and where it is asked. All by its own documentation. */
export interface EngineRow {
  readonly name: string;
  readonly starts: readonly Start[];
  /** What its helper processes put before their titles: `VLLM::EngineCore`. */
  readonly titlePrefix?: string;
  readonly arguments: Arguments;
  /** How it reads its command line. */
  readonly parser: Parser;
  /** Options whose values are known to be harmless, with the shape that a value must have to be shown. */
  readonly shown: ShownOptions;
  readonly defaultPort: number;
  /** Whether it serves on a Unix socket at this path, and its parts do not; left out where it never does. */
  readonly isUnixServer?: (path: string) => boolean;
  /** Answers 200 once it can serve. */
  readonly healthPath: string;
  /** Answers by which it is known; asked in order until one is its own. */
  readonly identity: readonly IdentityQuestion[];
  /** Asked where no argument names its model. */
  readonly models?: ModelsQuestion;
  /** The engines that it starts are given files, and clients ask for other names. */
  readonly renamesModels?: true;
}

/** Names of options, as its parser takes them. */
export interface Arguments {
  readonly model: readonly string[];
  /** What clients ask for; wins over `model`. */
  readonly servedName: readonly string[];
  readonly port: readonly string[];
  /** Where it says its load, if that is another port than the one at which it serves. */
  readonly loadPort?: { readonly options: readonly string[]; readonly default: number };
  /** Whether an option has it listen on a Unix socket, and so on no port. */
  readonly isUnixSocket?: (option: string, value: string) => boolean;
  /** Each value of `servedName` is names with commas between. */
  readonly commas?: true;
  /** Each `servedName` adds a model, where otherwise the last one wins. */
  readonly adds?: true;
  /** Whether a served name is one; each is where this is left out. */
  readonly isName?: (name: string) => boolean;
  /**
   * What clients ask for where no served name is given; the model as it is written where this is left out. `option`: by
   * which it was given, null where it stands alone.
   */
  readonly namesOf?: (model: string, option: string | null) => readonly string[];
}

/** One way to start it: a program by its file name, or a Python module. */
export interface Start {
  readonly programs?: readonly string[];
  readonly module?: RegExp;
  /** Words of which one follows; `serve api_server` are two. */
  readonly subcommands?: readonly string[];
  /** It also starts without a subcommand. */
  readonly bare?: boolean;
  /** Subcommands of a program that also starts without one, which start something else. */
  readonly others?: readonly string[];
  /** The model is the word that belongs to no option. */
  readonly positionalModel?: boolean;
  /** The first of several options for the model wins. */
  readonly firstModel?: boolean;
}
