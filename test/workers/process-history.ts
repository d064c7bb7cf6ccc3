import fc from 'fast-check';
import type { TreeProcess, TreeRoot } from '../../lib/workers/process-forest.js';

/** A process of the model. The product never sees `mother`: who forked it. */
export interface ModelProcess extends TreeProcess {
  parentPid: number;
  session: number;
  marker: string | null;
  readonly mother: ModelProcess | null;
  zombie: boolean;
  subreaper: boolean;
  /** SIGCHLD is ignored: its children vanish when they end, and nothing is added to its `waitedTicks`. */
  ignoresChildren: boolean;
  cpuTicks: number;
  waitedTicks: number;
}

export type Step =
  | { readonly kind: 'fork' | 'exit' | 'wait' | 'setsid' | 'clearEnvironment' | 'ignore'; readonly who: number }
  | { readonly kind: 'launch' | 'adopt' | 'daemonize'; readonly who: number }
  | { readonly kind: 'burn'; readonly who: number; readonly ticks: number }
  | { readonly kind: 'tick' }
  /** `slow`: other steps come between what it reads. */
  | { readonly kind: 'scan'; readonly slow: boolean };

const on = (
  ...kinds: ('fork' | 'exit' | 'wait' | 'setsid' | 'clearEnvironment' | 'ignore' | 'launch' | 'adopt' | 'daemonize')[]
) => fc.record({ kind: fc.constantFrom(...kinds), who: fc.nat(99) });

export const histories: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: on('fork') },
    { weight: 6, arbitrary: on('exit') },
    { weight: 6, arbitrary: on('setsid', 'daemonize', 'wait', 'clearEnvironment') },
    { weight: 4, arbitrary: on('launch', 'adopt') },
    { weight: 1, arbitrary: on('ignore') },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('burn' as const), who: fc.nat(99), ticks: fc.nat(50) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('tick' as const) }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('scan' as const), slow: fc.boolean() }) },
  ),
  { maxLength: 120, size: 'max' },
);

/**
 * What Linux does with processes: pids are given in turn and again, but not while a process or a session has the number;
 * orphans go to the next subreaper above, else to pid 1, which waits for them.
 */
export class ModelHost {
  readonly alive = new Map<number, ModelProcess>();
  readonly roots: TreeRoot[] = [];
  /** All that was ever burned, and by whom. */
  readonly work: { readonly by: ModelProcess; readonly ticks: number }[] = [];
  readonly #init: ModelProcess;
  readonly #pidMax: number;
  #lastPid = 1;
  #ticks = 0;
  #markers = 0;
  #lastUse = new Map<number, number>();

  constructor(pidMax = 24) {
    this.#pidMax = pidMax;
    this.#init = this.#add(1, null);
    this.#init.subreaper = true;
    this.fork(this.#init);
  }

  get ticks(): number {
    return this.#ticks;
  }

  /** Those that run, without pid 1, oldest first. */
  running(): ModelProcess[] {
    return [...this.alive.values()].filter((each) => each !== this.#init && !each.zombie);
  }

  /** Does one step; `scan` is the caller's. Steps that find nobody do nothing. */
  step(step: Step): void {
    if (step.kind === 'tick') this.tick();
    if (!('who' in step)) return;
    const all = this.running();
    const process = all[step.who % Math.max(1, all.length)] ?? this.#init;
    // A launcher has no child but its worker and the orphans of that.
    const launches = process !== this.#init && process.subreaper;
    if (step.kind === 'burn') this.burn(process, step.ticks);
    else if (step.kind === 'exit') {
      if (process !== this.#init) this.exit(process);
    } else if (launches) return;
    else if (step.kind === 'fork') this.fork(process);
    else if (step.kind === 'launch') this.launch(process);
    else if (process === this.#init) return;
    else if (step.kind === 'wait') this.waitForAll(process);
    else if (step.kind === 'setsid') this.setsid(process);
    else if (step.kind === 'clearEnvironment') process.marker = null;
    else if (step.kind === 'ignore') process.ignoresChildren = true;
    else if (step.kind === 'adopt') this.adopt(process);
    else this.daemonize(process);
  }

  fork(mother: ModelProcess): ModelProcess | null {
    const pid = this.#freePid();
    return pid === null ? null : this.#add(pid, mother);
  }

  /** Forks, begins a session, forks again and ends the one between: what daemon(3) does. */
  daemonize(mother: ModelProcess): ModelProcess | null {
    const between = this.fork(mother);
    if (between === null) return null;
    this.setsid(between);
    const daemon = this.fork(between);
    this.exit(between);
    this.waitForAll(mother);
    return daemon;
  }

  burn(process: ModelProcess, ticks: number): void {
    process.cpuTicks += ticks;
    this.work.push({ by: process, ticks });
  }

  tick(): void {
    this.#ticks += 1;
  }

  setsid(process: ModelProcess): void {
    process.session = process.pid;
  }

  /** `hivepulse run`: a subreaper with this child alone, which has a marker of its own. */
  launch(mother: ModelProcess): void {
    const launcher = this.fork(mother);
    if (launcher === null) return;
    launcher.subreaper = true;
    const root = this.fork(launcher);
    if (root === null) return;
    this.#markers += 1;
    root.marker = `m${this.#markers}`;
    const { pid, startTicks, marker } = root;
    const reaper = { pid: launcher.pid, startTicks: launcher.startTicks };
    this.roots.push({ key: `${pid}/${startTicks}`, pid, startTicks, marker, reaper });
  }

  /** An engine is recognized. */
  adopt({ pid, startTicks }: ModelProcess): void {
    if (this.roots.some((root) => root.pid === pid && root.startTicks === startTicks)) return;
    if (this.roots.some(({ reaper }) => reaper?.pid === pid && reaper.startTicks === startTicks)) return;
    this.roots.push({ key: `${pid}/${startTicks}`, pid, startTicks, marker: null, reaper: null });
  }

  exit(process: ModelProcess): void {
    process.zombie = true;
    for (const child of this.#childrenOf(process)) {
      child.parentPid = this.#reaperAbove(process).pid;
      if (child.zombie) this.#ended(child);
    }
    this.#ended(process);
  }

  #ended(process: ModelProcess): void {
    const parent = this.alive.get(process.parentPid) as ModelProcess;
    if (parent.ignoresChildren) this.alive.delete(process.pid);
    else if (parent.subreaper) this.#reap(parent, process);
  }

  #reap(parent: ModelProcess, child: ModelProcess): void {
    parent.waitedTicks += child.cpuTicks + child.waitedTicks;
    this.alive.delete(child.pid);
  }

  waitForAll(parent: ModelProcess): void {
    for (const child of this.#childrenOf(parent)) if (child.zombie) this.#reap(parent, child);
  }

  #childrenOf(parent: ModelProcess): ModelProcess[] {
    return [...this.alive.values()].filter(({ parentPid }) => parentPid === parent.pid);
  }

  #reaperAbove(process: ModelProcess): ModelProcess {
    let at = this.alive.get(process.parentPid) ?? this.#init;
    while (at !== this.#init && (!at.subreaper || at.zombie)) at = this.alive.get(at.parentPid) ?? this.#init;
    return at;
  }

  #freePid(): number | null {
    const taken = new Set([...this.alive.values()].flatMap(({ pid, session }) => [pid, session]));
    for (let i = 0; i < this.#pidMax; i += 1) {
      this.#lastPid = this.#lastPid >= this.#pidMax ? 2 : this.#lastPid + 1;
      if (!taken.has(this.#lastPid)) return this.#lastPid;
    }
    return null;
  }

  #add(pid: number, mother: ModelProcess | null): ModelProcess {
    // A pid is not given twice within a tick: pid and start would not identify a process then.
    if (this.#lastUse.get(pid) === this.#ticks) this.#ticks += 1;
    this.#lastUse.set(pid, this.#ticks);
    const process: ModelProcess = {
      pid,
      startTicks: this.#ticks,
      parentPid: mother?.pid ?? 0,
      session: mother?.session ?? pid,
      marker: mother?.marker ?? null,
      mother,
      zombie: false,
      subreaper: false,
      ignoresChildren: mother?.ignoresChildren ?? false,
      cpuTicks: 0,
      waitedTicks: 0,
    };
    this.alive.set(pid, process);
    return process;
  }
}

/** The process itself and all that it descends from by birth, itself first. */
export function* birthLine(process: ModelProcess): Iterable<ModelProcess> {
  for (let at: ModelProcess | null = process; at !== null; at = at.mother) yield at;
}
