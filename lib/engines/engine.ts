import type { IdentityQuestion } from './answer.js';
import type { ShownOptions } from './shown-options.js';

/** One engine as the table describes it: how its processes are recognized, and where it is asked. All by its own documentation. */
export interface EngineRow {
  readonly name: string;
  readonly starts: readonly Start[];
  /** What its helper processes put before their titles: `VLLM::EngineCore`. */
  readonly titlePrefix?: string;
  readonly arguments: Arguments;
  /** Options whose values are known to be harmless, with the shape that a value must have to be shown. */
  readonly shown: ShownOptions;
  readonly defaultPort: number;
  /** Answers 200 once it can serve. */
  readonly healthPath: string;
  /** Answers by which it is known; asked in order until one is its own. */
  readonly identity: readonly IdentityQuestion[];
}

/** Names of options, as its parser takes them. */
export interface Arguments {
  readonly model: readonly string[];
  /** What clients ask for; wins over `model`. */
  readonly servedName: readonly string[];
  readonly port: readonly string[];
}

/** One way to start it: a program by its file name, or a Python module. */
export interface Start {
  readonly programs?: readonly string[];
  readonly module?: RegExp;
  /** Words of which one follows. */
  readonly subcommands?: readonly string[];
  /** It also starts without a subcommand. */
  readonly bare?: boolean;
  /** The model may stand right behind, without an option. */
  readonly positionalModel?: boolean;
}
