import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { WorkerSample } from '../contract/heartbeat.js';
import { processLives, processStat } from '../procfs/process-stat.js';
import type { RunningSampler } from '../sampling/create.js';
import type { CreateSamplerOptions } from '../sampling/open.js';
import { defined } from '../util/defined.js';
import { HivepulseError } from '../util/errors.js';
import { isObject } from '../util/is-object.js';
import { checkOptions, expected, isText, numberFrom, type TableOf, text } from '../util/options.js';
import {
  cleanRecords,
  defaultRuntimeDir,
  lockInstance,
  readRecord,
  readRecords,
  recordExit,
  removeRecord,
  type WorkerExit,
  type WorkerRecord,
  writeRecord,
} from '../workers/records.js';
import { safeCommand, shownModel } from '../workers/shown-command.js';
import { checkWorkerId, parseWorkerId } from '../workers/worker-id.js';
import { inodeOf, isPopulated, processesIn, removeTree } from './cgroup-tree.js';
import { pidusageCollector } from './fallback-collect.js';
import {
  findWorkerHome,
  type LaunchEnvironment,
  type Launched,
  launchInPlace,
  launchPlain,
  launchWorker,
  locateWorker,
  occupied,
  ownerIn,
  removeEmptyGroup,
  type WorkerHome,
  workersSlice,
} from './launch.js';
import { placeProblem, stopWorkerTree, treeOf } from './launch-tree.js';
import { type Limits, limitNames, type NotApplied, parseLimits } from './limits.js';
import { OomWatch } from './oom-watch.js';
import { checkDescription, checkSpawnOptions, type SpawnOptions } from './spawn-options.js';
import { checkStopOptions, type StopOptions, type Stopped, stopCgroup, stopProcess } from './stop.js';

export type { SpawnOptions } from './spawn-options.js';

export interface SpawnedWorker {
  /** `group/instance` */
  readonly id: string;
  readonly pid: number;
  /** Absolute path; null where there is no cgroup v2. */
  readonly cgroupPath: string | null;
  readonly owner: Launched['owner'];
  /** Why it has no cgroup, and so no limits; null where it has one, and on other systems than Linux. */
  readonly withoutCgroup: string | null;
  /** Limits that were asked for and do not hold, each with its reason. */
  readonly notApplied: readonly NotApplied[];
  readonly child: ChildProcess;
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  readonly record: WorkerRecord;
  /** Resolves when it ended and its cgroup is gone, or when only re-parented children are left (`remaining`). */
  readonly exited: Promise<ExitedWorker>;
}

export interface ExitedWorker extends WorkerExit {
  readonly id: string;
  readonly pid: number;
}

export interface OomKill {
  readonly id: string;
  readonly at: string;
  /** Kills since the last event of this worker. */
  readonly kills: number;
  /** Kills in the life of its cgroup. */
  readonly total: number;
}

export interface ProcessMonitorEvents {
  exited: [ExitedWorker];
  oomKill: [OomKill];
  /** A worker goes on, but something about it could not be done (its exit could not be recorded). */
  fault: [HivepulseError];
}

const path = expected('a path', isText);
const monitorTable: TableOf<ProcessMonitorOptions> = {
  root: path,
  runtimeDir: path,
  platform: text,
  procRoot: path,
  oomIntervalMs: numberFrom(1, 'a number of milliseconds'),
  launch: {
    launcher: expected('a path, or null', (value) => value === null || isText(value)),
    nofile: expected('a number of descriptors, or null', (value) => value === null || Number.isSafeInteger(value)),
    procRoot: path,
  } satisfies TableOf<LaunchEnvironment>,
  sampler: expected('a sampler, or options for one', isObject),
};

export interface ProcessMonitorOptions {
  /** A delegated cgroup to make workers in; else as `findWorkerHome` decides. */
  readonly root?: string;
  readonly runtimeDir?: string;
  /** Other than `linux`: plain processes, no limits, collection through pidusage. */
  readonly platform?: NodeJS.Platform;
  readonly procRoot?: string;
  /** How often memory.events of spawned workers is looked at, in ms (default 1000). */
  readonly oomIntervalMs?: number;
  readonly launch?: LaunchEnvironment;
  /** What `enumerate` and `collect` see besides workers of our own, as for `createSampler`; or a sampler that runs already. */
  readonly sampler?: CreateSamplerOptions | RunningSampler;
}

/**
 * Starts, watches and stops workers: each alone in a cgroup, under limits. Fires `exited` and `oomKill` for those that it
 * spawned. They outlive it: `close` ends the watching, not the workers.
 */
export class ProcessMonitor extends EventEmitter<ProcessMonitorEvents> implements AsyncDisposable {
  readonly runtimeDir: string;
  readonly #options: ProcessMonitorOptions;
  readonly #platform: NodeJS.Platform;
  readonly #workers = new Map<string, SpawnedWorker>();
  readonly #oom: OomWatch;
  readonly #fallback = pidusageCollector();
  #sampler: Promise<RunningSampler> | null = null;

  constructor(options: ProcessMonitorOptions = {}) {
    super();
    checkOptions('', options, monitorTable);
    this.#options = options;
    this.#platform = options.platform ?? process.platform;
    this.runtimeDir = options.runtimeDir ?? defaultRuntimeDir();
    this.#oom = new OomWatch(options.oomIntervalMs ?? 1000, (id, kills, total) => {
      this.emit('oomKill', { id, at: new Date().toISOString(), kills, total });
    });
  }

  /**
   * Starts a command in a cgroup of its own, in which it is before it executes.
   * Throws INVALID_OPTION, INSTANCE_OCCUPIED, EXEC_NOT_FOUND (ENOENT), EXEC_NOT_PERMITTED (EACCES), CGROUP_UNAVAILABLE,
   * CGROUP_PERMISSION_DENIED, STATE_UNWRITABLE, LAUNCH_FAILED; nothing is left behind then.
   */
  async spawn(options: SpawnOptions): Promise<SpawnedWorker> {
    checkSpawnOptions(options);
    checkWorkerId(options.group, options.instance);
    checkDescription(options);
    const limits = parseLimits(options);
    options.signal?.throwIfAborted();
    const linux = this.#platform === 'linux';
    const { root, procRoot } = this.#options;
    const home = linux
      ? await findWorkerHome(root, procRoot).catch((error: unknown) => {
          const problem = placeProblem(error, root);
          if (problem === null) throw error;
          return problem;
        })
      : null;

    const unlock = await lockInstance(this.runtimeDir, options.group, options.instance);
    try {
      await this.#refuseOccupied(options.group, options.instance);
      options.signal?.throwIfAborted();
      const launched = await this.#launch(home, { ...options, limits });
      return await this.#adopt(options, launched, home instanceof HivepulseError ? null : home);
    } finally {
      await unlock();
    }
  }

  /** In a cgroup where the place has one for it, else as a tree of processes. `home`: null on other systems than Linux. */
  async #launch(
    home: WorkerHome | HivepulseError | null,
    request: SpawnOptions & { limits: Limits },
  ): Promise<Launched> {
    const { root, launch } = this.#options;
    if (home === null) return launchPlain(request, this.#platform);
    const inPlace = async (problem: HivepulseError) =>
      launchInPlace(problem, { ...request, takenCpus: await this.#takenCpus(request) }, launch);
    if (home instanceof HivepulseError) return inPlace(home);
    try {
      return await launchWorker(home, request, launch);
    } catch (error) {
      const problem = placeProblem(error, root);
      if (problem === null) throw error;
      return inPlace(problem);
    }
  }

  /** CPUs that workers without a cgroup were given; looked up only where one more is to get some. */
  async #takenCpus({ limits, bestEffort }: SpawnOptions & { limits: Limits }): Promise<readonly string[]> {
    if (limits.cpu === null || bestEffort !== true) return [];
    const { running } = await readRecords(this.runtimeDir);
    return running.map(({ bounds }) => bounds?.cpus ?? null).filter((cpus) => cpus !== null);
  }

  /** A record whose worker lives is an occupied name, wherever the worker lives; others are swept away. */
  async #refuseOccupied(group: string, instance: string): Promise<void> {
    const record = await readRecord(this.runtimeDir, group, instance);
    if (record === null) return;
    if (await this.isAlive(record))
      throw occupied(group, instance, `process ${record.pid} runs since ${record.startedAt}`);
    await removeRecord(this.runtimeDir, record);
  }

  /** Whether the worker of a record lives: its own cgroup holds processes, or without a cgroup its process does. */
  async isAlive(record: WorkerRecord): Promise<boolean> {
    if (record.cgroup !== null) {
      const sameCgroup = (await inodeOf(record.cgroup)) === record.cgroupInode;
      return sameCgroup && (await isPopulated(record.cgroup)) === true;
    }
    if (await processLives(record.pid, record.startTicks, this.#options.procRoot)) return true;
    const tree = treeOf(record, this.#options.procRoot);
    return tree !== null && (await tree.scan()).length > 0;
  }

  async #adopt(options: SpawnOptions, launched: Launched, home: WorkerHome | null): Promise<SpawnedWorker> {
    const id = `${options.group}/${options.instance}`;
    const { pid, child, stdin, stdout, stderr, owner, cgroup, notApplied } = launched;
    const ended = new Promise<Pick<WorkerExit, 'code' | 'signal'>>((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null)
        resolve({ code: child.exitCode, signal: child.signalCode });
      else child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    const record = await this.#recordOf(options, launched);
    try {
      await writeRecord(this.runtimeDir, record);
    } catch (error) {
      // Without a record a restarted hive would not know it: better no worker than an anonymous one.
      if (cgroup !== null && owner !== 'none') await stopCgroup(cgroup, id, owner, { graceMs: 0 });
      else child.kill('SIGKILL');
      throw error;
    }
    let resolveExited: (exited: ExitedWorker) => void = () => undefined;
    const exited = new Promise<ExitedWorker>((resolve) => {
      resolveExited = resolve;
    });
    const withoutCgroup = launched.tree?.reason ?? null;
    const worker = {
      id,
      pid,
      cgroupPath: cgroup,
      owner,
      withoutCgroup,
      notApplied,
      child,
      stdin,
      stdout,
      stderr,
      record,
      exited,
    };
    this.#workers.set(id, worker);
    const countOomKills = cgroup === null ? () => null : this.#oom.add(id, cgroup);
    void ended.then((exit) => this.#finish(worker, home, { ...exit, oomKills: countOomKills() })).then(resolveExited);
    return worker;
  }

  async #recordOf(options: SpawnOptions, launched: Launched): Promise<WorkerRecord> {
    const startTicks = async (pid: number) => (await processStat(pid, this.#options.procRoot))?.startTicks ?? null;
    return {
      schema: 1,
      group: options.group,
      instance: options.instance,
      owner: launched.owner,
      cgroup: launched.cgroup,
      cgroupInode: launched.cgroupInode,
      unit: launched.unit,
      pid: launched.pid,
      startTicks: await startTicks(launched.pid),
      startedAt: new Date().toISOString(),
      parentPid: process.pid,
      parentStartTicks: await startTicks(process.pid),
      model: options.model === undefined ? null : shownModel(options.model),
      port: options.port ?? null,
      labels: options.labels ?? {},
      readyUrl: options.readyUrl ?? null,
      reservationId: options.reservationId ?? null,
      shown: safeCommand([options.command, ...(options.args ?? [])]),
      ...(launched.tree === null ? {} : { marker: launched.tree.marker, bounds: launched.tree.bounds }),
      command: [],
      limits: Object.fromEntries(limitNames(options).map((name) => [name, options[name]])),
      notApplied: launched.notApplied.map(({ name, message }) => ({ name, message })),
      exit: null,
    };
  }

  /** The main process ended: note how, look for children that live on, and clean up where none does. */
  async #finish(
    worker: SpawnedWorker,
    home: WorkerHome | null,
    ended: Pick<WorkerExit, 'code' | 'signal' | 'oomKills'>,
  ): Promise<ExitedWorker> {
    const { id, pid, record, cgroupPath } = worker;
    let remaining = 0;
    const tree = treeOf(record, this.#options.procRoot);
    if (tree !== null) remaining = (await tree.scan()).length;
    if (cgroupPath !== null) {
      // Children that end together with it get a moment to do so.
      for (let i = 0; i < 20 && (await isPopulated(cgroupPath)) === true; i += 1) await delay(10);
      remaining = (await processesIn(cgroupPath)).length;
      if (remaining === 0 && home?.kind === 'cgroup') {
        await removeTree(cgroupPath);
        await removeEmptyGroup(home.root, record.group);
      }
    }
    const exit: WorkerExit = { at: new Date().toISOString(), ...ended, remaining };
    await recordExit(this.runtimeDir, record, exit).catch((error: unknown) => {
      if (this.listenerCount('fault') > 0) this.emit('fault', error as HivepulseError);
    });
    if (this.#workers.get(id) === worker) this.#workers.delete(id);
    const exited = { id, pid, ...exit };
    this.emit('exited', exited);
    return exited;
  }

  /**
   * Ends a worker whole, also one that another process spawned, with children that re-parented.
   * Throws WORKER_NOT_FOUND, STOP_TIMEOUT, CGROUP_PERMISSION_DENIED, DIRECTORY_UNTRUSTED, PROCESS_UNVERIFIED.
   */
  async stop(id: string, options: StopOptions = {}): Promise<Stopped> {
    checkStopOptions(options);
    const { group, instance } = parseWorkerId(id);
    const record = await readRecord(this.runtimeDir, group, instance);
    const worker = this.#workers.get(id);
    const stopped = await this.#stopFound(id, group, instance, record, options);
    await worker?.exited;
    if (record !== null) await removeRecord(this.runtimeDir, record);
    return stopped;
  }

  async #stopFound(
    id: string,
    group: string,
    instance: string,
    record: WorkerRecord | null,
    options: StopOptions,
  ): Promise<Stopped> {
    const alive = record !== null && (await this.isAlive(record));
    if (record !== null && alive && record.cgroup !== null && record.owner !== 'none') {
      const stopped = await stopCgroup(record.cgroup, id, record.owner, options);
      if (record.owner === 'cgroup') {
        await removeEmptyGroup(record.cgroup.slice(0, -`/${workersSlice}/${id}`.length), group);
      }
      return stopped;
    }
    if (record !== null && alive) {
      const tree = treeOf(record, this.#options.procRoot);
      if (tree !== null) return stopWorkerTree(tree, id, options);
      return stopProcess({ ...record, child: this.#workers.get(id)?.child }, id, options);
    }
    // No record, or one of an earlier worker: it may have been lost while the worker lives.
    if (this.#platform === 'linux') {
      const home = await findWorkerHome(this.#options.root, this.#options.procRoot);
      const dir = await locateWorker(home, group, instance);
      if (dir !== null) {
        const stopped = await stopCgroup(dir, id, ownerIn(home), options);
        if (home.kind === 'cgroup') await removeEmptyGroup(home.root, group);
        return stopped;
      }
    }
    if (record !== null) await removeRecord(this.runtimeDir, record);
    throw new HivepulseError(
      'WORKER_NOT_FOUND',
      id,
      `No worker ${id} of ours runs here; "hivepulse workers" lists those that do.`,
    );
  }

  /** Ids of the workers that this monitor spawned and whose exit has not been recorded yet. */
  spawned(): readonly string[] {
    return [...this.#workers.keys()].sort();
  }

  /** Ids of the workers of this host; elsewhere than on Linux, of those that this monitor spawned. */
  async enumerate(): Promise<readonly string[]> {
    if (this.#platform !== 'linux') return this.spawned();
    return (await this.collect()).map(({ id }) => id).sort();
  }

  /** One sample of each worker that `enumerate` names. Rates are null until the second call. */
  async collect(signal?: AbortSignal): Promise<readonly WorkerSample[]> {
    signal?.throwIfAborted();
    if (this.#platform !== 'linux') return this.#fallback([...this.#workers.values()].map(({ record }) => record));
    const sampler = await this.#openSampler();
    return (await sampler.sample(signal)).workers;
  }

  /** Opened by the first call that needs it: whoever only spawns pays nothing for it. */
  #openSampler(): Promise<RunningSampler> {
    const { sampler, root, procRoot } = this.#options;
    if (sampler !== undefined && 'sample' in sampler) return Promise.resolve(sampler);
    this.#sampler ??= import('../sampling/open.js').then(({ createSampler }) =>
      createSampler({
        runtimeDir: this.runtimeDir,
        ...defined({ root, procRoot }),
        ...sampler,
      }),
    );
    return this.#sampler;
  }

  /** Removes records of workers that are gone. Returns their ids. */
  async cleanStale(): Promise<readonly string[]> {
    const removed = await cleanRecords(this.runtimeDir, (record) => this.isAlive(record));
    return removed.map(({ group, instance }) => `${group}/${instance}`);
  }

  async close(): Promise<void> {
    this.#oom.close();
    const sampler = this.#sampler;
    this.#sampler = null;
    await (await sampler)?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
