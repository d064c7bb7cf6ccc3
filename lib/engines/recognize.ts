import { ancestorsOf } from './ancestors.js';
import { type Command, readCommand } from './command.js';
import { isHelper, isModelSwap, isRouter, isRunner } from './neighbours.js';
import { type Engine, engineNamed } from './table.js';

/** The part of a process in its worker, and the port that its command line names. */
export interface ProcessRole {
  /** `helper`: it may listen, and never serves models. `router`: it passes requests on to engines. */
  readonly role: 'engine' | 'router' | 'helper' | 'other';
  readonly engine: Engine | null;
  /** As the command line says; null where it says none. */
  readonly port: number | null;
  /** Where it listens if nothing says otherwise. */
  readonly defaultPort: number | null;
  /** Where it says its load, where that is a port of its own. */
  readonly loadPort?: number;
  /** It listens on a Unix socket, and on no port. */
  readonly unixSocket?: true;
  /** A helper that may serve after all: it runs what its program handed to it. */
  readonly isRunner?: true;
}

const serverTitle = /(?:api|http)_?server|router/i;

export function roleOf(argv: readonly string[]): ProcessRole {
  const { engine, isTitle, port, loadPort, unixSocket } = readCommand(argv);
  if (engine !== null) {
    const isServer = !isTitle || serverTitle.test(argv[0] ?? '');
    const defaultPort = isTitle ? null : engineNamed(engine).defaultPort;
    const more = { ...(loadPort && { loadPort }), ...(unixSocket && { unixSocket }) };
    return { role: isServer ? 'engine' : 'helper', engine, port, defaultPort, ...more };
  }
  if (isHelper(argv))
    return { role: 'helper', engine: null, port: null, defaultPort: null, ...(isRunner(argv) && { isRunner: true }) };
  return { role: isRouter(argv) ? 'router' : 'other', engine: null, port, defaultPort: null };
}

/** A process of a worker. */
export interface ServingProcess {
  readonly pid: number;
  readonly parentPid: number;
  readonly argv: readonly string[];
}

/** What a worker serves, by the command lines of its processes. */
export interface Serving {
  readonly engine: Engine | null;
  /** Names that clients ask for, the first its own; empty where none is known. */
  readonly models: readonly string[];
  /** Index of the process whose command line says so; null where none does. */
  readonly process: number | null;
}

interface Server extends Command {
  readonly engine: Engine;
  readonly index: number;
  readonly process: ServingProcess;
}

/**
 * What the processes of a worker serve. The first is often a shell or an init, an engine has helpers, and routers and
 * managers start engines. An engine that another one started is a part of that one. Of several engines the worker serves
 * only what all of them do, but for managers that start the engine that a request names: those serve what each does.
 */
export function serving(processes: readonly ServingProcess[]): Serving {
  const commands = processes.map(({ argv }) => readCommand(argv));
  const servers = commands.flatMap((command, index): Server[] => {
    const { engine } = command;
    return engine === null ? [] : [{ ...command, engine, index, process: processes[index] as ServingProcess }];
  });
  if (servers.length === 0) {
    const index = commands.findIndex(({ models }) => models.length > 0);
    return index < 0
      ? { engine: null, models: [], process: null }
      : { engine: null, models: commands[index]?.models ?? [], process: index };
  }
  const tree = new Tree(processes, servers);
  const tops = tree.tops();
  const [first] = tops as [Server, ...Server[]];
  const engine = tops.every((top) => top.engine === first.engine) ? first.engine : null;
  const lists = tops.map((top) => tree.modelsOf(top));
  const models = tops.every((top) => tree.isSwapped(top)) ? unique(lists.flat()) : common(lists);
  return { engine, models, process: first.index };
}

const unique = (names: readonly string[]): readonly string[] => [...new Set(names)];

/** The list, where all are the same. */
function common(lists: readonly (readonly string[])[]): readonly string[] {
  const [first = [], ...others] = lists;
  const all = new Set(first);
  return others.every((list) => list.length === first.length && list.every((name) => all.has(name))) ? first : [];
}

/** The servers of a worker by parentage. */
class Tree {
  readonly #byPid: ReadonlyMap<number, ServingProcess>;
  readonly #servers: readonly Server[];
  readonly #serverOf: ReadonlyMap<number, Server>;

  constructor(processes: readonly ServingProcess[], servers: readonly Server[]) {
    this.#byPid = new Map(processes.map((process) => [process.pid, process]));
    this.#servers = servers;
    this.#serverOf = new Map(servers.map((server) => [server.process.pid, server]));
  }

  /** Servers that no other server started. A helper that its server has left behind is none where that runs too. */
  tops(): readonly Server[] {
    const tops = this.#servers.filter(
      ({ process }) => ![...ancestorsOf(process, this.#byPid)].some(({ pid }) => this.#serverOf.has(pid)),
    );
    const named = tops.filter(({ isTitle }) => !isTitle);
    const rest = tops.filter(({ isTitle, engine }) => isTitle && !named.some((top) => top.engine === engine));
    return named.length + rest.length > 0 ? [...named, ...rest] : this.#servers;
  }

  /** Its own, else those of the servers that it started. */
  modelsOf(top: Server): readonly string[] {
    if (top.models.length > 0 || engineNamed(top.engine).renamesModels) return top.models;
    const children = this.#servers.filter(
      ({ process, engine }) => engine === top.engine && [...ancestorsOf(process, this.#byPid)].includes(top.process),
    );
    return unique(children.flatMap(({ models }) => models));
  }

  /** Started by a manager that runs the engine that a request names. */
  isSwapped(server: Server): boolean {
    return [...ancestorsOf(server.process, this.#byPid)].some(({ argv }) => isModelSwap(argv));
  }
}
