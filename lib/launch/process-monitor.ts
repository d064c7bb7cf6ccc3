import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { WorkerSample } from '../contract/heartbeat.js';
import { maxLabelLength, maxLabels } from '../contract/limits.js';
import type { Labels } from '../contract/primitives.js';
import { checkReadyUrl } from '../engines/probe.js';
import { processLives, processStat } from '../procfs/process-stat.js';
import type { RunningSampler } from '../sampling/create.js';
import type { CreateSamplerOptions } from '../sampling/open.js';
import { HivepulseError, systemCode } from '../util/errors.js';
import {
  cleanRecords,
  defaultRuntimeDir,
  lockInstance,
  readRecord,
  recordExit,
  removeRecord,
  type WorkerExit,
  type WorkerRecord,
  writeRecord,
} from '../workers/records.js';
import { checkWorkerId, parseWorkerId } from '../workers/worker-id.js';
import { inodeOf, isPopulated, processesIn, removeEmptyParents, removeTree } from './cgroup-tree.js';
import { pidusageCollector } from './fallback-collect.js';
import {
  findWorkerHome,
  type LaunchEnvironment,
  type Launched,
  launchWorker,
  locateWorker,
  occupied,
  type WorkerHome,
  workersSlice,
} from './launch.js';
import { type CommandOptions, execError, execProblem, keepOutput } from './launcher.js';
import { type LimitOptions, limitNames, type NotApplied, notApplied, parseLimits } from './limits.js';
import { type StopOptions, type Stopped, stopCgroup, stopProcess } from './stop.js';

export interface SpawnOptions extends CommandOptions, LimitOptions {
  readonly group: string;
  readonly instance: string;
  /** What it serves; else found by the rules of known engines. */
  readonly model?: string;
  readonly port?: number;
  readonly labels?: Labels;
  /** Loopback URL that answers 2xx once it is ready. */
  readonly readyUrl?: string;
  readonly reservationId?: string;
  /** Gives up before the start; a started worker is stopped with `stop`. */
  readonly signal?: AbortSignal;
}

export interface SpawnedWorker {
  /** `group/instance` */
  readonly id: string;
  readonly pid: number;
  /** Absolute path; null where there is no cgroup v2. */
  readonly cgroupPath: string | null;
  readonly owner: Launched['owner'];
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

interface Entry {
  readonly worker: SpawnedWorker;
  oomKills: number;
  watcher: FSWatcher | null;
}

/**
 * Starts, watches and stops workers: each alone in a cgroup, under limits. Fires `exited` and `oomKill` for those that it
 * spawned. They outlive it: `close` ends the watching, not the workers.
 */
export class ProcessMonitor extends EventEmitter<ProcessMonitorEvents> implements AsyncDisposable {
  readonly runtimeDir: string;
  readonly #options: ProcessMonitorOptions;
  readonly #platform: NodeJS.Platform;
  readonly #entries = new Map<string, Entry>();
  readonly #fallback = pidusageCollector();
  #timer: NodeJS.Timeout | null = null;
  #sampler: Promise<RunningSampler> | null = null;

  constructor(options: ProcessMonitorOptions = {}) {
    super();
    this.#options = options;
    this.#platform = options.platform ?? process.platform;
    this.runtimeDir = options.runtimeDir ?? defaultRuntimeDir();
  }

  /**
   * Starts a command in a cgroup of its own, in which it is before it executes.
   * Throws INVALID_OPTION, INSTANCE_OCCUPIED, EXEC_NOT_FOUND (ENOENT), EXEC_NOT_PERMITTED (EACCES), CGROUP_UNAVAILABLE,
   * CGROUP_PERMISSION_DENIED, STATE_UNWRITABLE, LAUNCH_FAILED; nothing is left behind then.
   */
  async spawn(options: SpawnOptions): Promise<SpawnedWorker> {
    checkWorkerId(options.group, options.instance);
    checkDescription(options);
    const limits = parseLimits(options);
    options.signal?.throwIfAborted();
    const linux = this.#platform === 'linux';
    const home = linux ? await findWorkerHome(this.#options.root, this.#options.procRoot) : null;

    const unlock = await lockInstance(this.runtimeDir, options.group, options.instance);
    try {
      await this.#refuseOccupied(options.group, options.instance);
      options.signal?.throwIfAborted();
      const launched =
        home === null
          ? await this.#spawnPlain(options)
          : await launchWorker(home, { ...options, limits }, this.#options.launch);
      return await this.#adopt(options, launched, home);
    } finally {
      await unlock();
    }
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
    return processLives(record.pid, record.startTicks, this.#options.procRoot);
  }

  async #spawnPlain(options: SpawnOptions): Promise<Launched> {
    const problem = execProblem(options.command, options.env ?? process.env, options.cwd ?? process.cwd());
    if (problem !== null) throw execError(options.command, problem);
    const { spawn } = await import('node:child_process');
    const unstarted = (error: unknown) => execError(options.command, systemCode(error) ?? String(error));
    let child: ChildProcess;
    try {
      child = spawn(options.command, options.args ?? [], {
        stdio: options.stdio ?? 'pipe',
        ...(options.env === undefined ? {} : { env: options.env }),
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
        ...(options.detached === undefined ? {} : { detached: options.detached }),
      });
    } catch (error) {
      // Node throws at once for all but a few errno, such as E2BIG.
      throw unstarted(error);
    }
    const [stdout, stderr] = [keepOutput(child.stdout), keepOutput(child.stderr)];
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) => reject(unstarted(error)));
    });
    return {
      child,
      pid: child.pid as number,
      stdin: child.stdin,
      stdout,
      stderr,
      owner: 'none',
      cgroup: null,
      cgroupInode: null,
      unit: null,
      notApplied: limitNames(options).map((name) =>
        notApplied(name, `limits need cgroup v2, which ${this.#platform} lacks`),
      ),
    };
  }

  async #adopt(options: SpawnOptions, launched: Launched, home: WorkerHome | null): Promise<SpawnedWorker> {
    const id = `${options.group}/${options.instance}`;
    const { pid, child } = launched;
    const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null)
        resolve({ code: child.exitCode, signal: child.signalCode });
      else child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    const names = limitNames(options);
    const record: WorkerRecord = {
      schema: 1,
      group: options.group,
      instance: options.instance,
      owner: launched.owner,
      cgroup: launched.cgroup,
      cgroupInode: launched.cgroupInode,
      unit: launched.unit,
      pid,
      startTicks: (await processStat(pid, this.#options.procRoot))?.startTicks ?? null,
      startedAt: new Date().toISOString(),
      parentPid: process.pid,
      parentStartTicks: (await processStat(process.pid, this.#options.procRoot))?.startTicks ?? null,
      model: options.model ?? null,
      port: options.port ?? null,
      labels: options.labels ?? {},
      readyUrl: options.readyUrl ?? null,
      reservationId: options.reservationId ?? null,
      command: [options.command, ...(options.args ?? [])],
      limits: Object.fromEntries(names.map((name) => [name, options[name]])),
      notApplied: launched.notApplied.map(({ name, message }) => ({ name, message })),
      exit: null,
    };
    try {
      await writeRecord(this.runtimeDir, record);
    } catch (error) {
      // Without a record a restarted hive would not know it: better no worker than an anonymous one.
      if (launched.cgroup !== null && launched.owner !== 'none') {
        await stopCgroup(launched.cgroup, id, launched.owner, { graceMs: 0 });
      } else child.kill('SIGKILL');
      throw error;
    }
    let resolveExited: (exited: ExitedWorker) => void = () => undefined;
    const worker: SpawnedWorker = {
      id,
      pid,
      cgroupPath: launched.cgroup,
      owner: launched.owner,
      notApplied: launched.notApplied,
      child,
      stdin: launched.stdin,
      stdout: launched.stdout,
      stderr: launched.stderr,
      record,
      exited: new Promise((resolve) => {
        resolveExited = resolve;
      }),
    };
    const entry: Entry = { worker, oomKills: 0, watcher: null };
    this.#entries.set(id, entry);
    this.#watchOom(entry);
    void ended.then(({ code, signal }) => this.#finish(entry, home, code, signal)).then(resolveExited);
    return worker;
  }

  /** The main process ended: note how, look for children that live on, and clean up where none does. */
  async #finish(
    entry: Entry,
    home: WorkerHome | null,
    code: number | null,
    signal: NodeJS.Signals | null,
  ): Promise<ExitedWorker> {
    const { worker } = entry;
    const { record, cgroupPath } = worker;
    const oomKills = this.#checkOom(entry);
    entry.watcher?.close();
    let remaining = 0;
    if (cgroupPath !== null) {
      // Children that end together with it get a moment to do so.
      for (let i = 0; i < 20 && (await isPopulated(cgroupPath)) === true; i += 1) await delay(10);
      remaining = (await processesIn(cgroupPath)).length;
      if (remaining === 0 && home?.kind === 'cgroup') {
        await removeTree(cgroupPath);
        await removeEmptyParents(join(home.root, workersSlice, record.group), home.root);
      }
    }
    const exit: WorkerExit = { at: new Date().toISOString(), code, signal, oomKills, remaining };
    await recordExit(this.runtimeDir, record, exit).catch((error: unknown) => {
      if (this.listenerCount('fault') > 0) this.emit('fault', error as HivepulseError);
    });
    if (this.#entries.get(worker.id) === entry) this.#entries.delete(worker.id);
    if (this.#entries.size === 0) this.#stopTimer();
    const exited = { id: worker.id, pid: worker.pid, ...exit };
    this.emit('exited', exited);
    return exited;
  }

  /**
   * Fires `oomKill` where the kernel killed since the last look; gives the total, or null where it cannot be known.
   * Synchronous: the file is tiny and behind no lock, and systemd removes an empty scope within milliseconds.
   */
  #checkOom(entry: Entry): number | null {
    const { cgroupPath, id } = entry.worker;
    if (cgroupPath === null) return null;
    let found: string | undefined;
    try {
      found = /^oom_kill (\d+)$/m.exec(readFileSync(join(cgroupPath, 'memory.events'), 'utf8'))?.[1];
    } catch {
      // The cgroup is gone, or has no memory controller.
    }
    if (found === undefined) return entry.oomKills > 0 ? entry.oomKills : null;
    const total = Number(found);
    const kills = total - entry.oomKills;
    if (kills > 0) {
      entry.oomKills = total;
      this.emit('oomKill', { id, at: new Date().toISOString(), kills, total });
    }
    return total;
  }

  /** The kernel notifies watchers of memory.events; the timer stands in where that is not to be had. */
  #watchOom(entry: Entry): void {
    if (entry.worker.cgroupPath !== null) {
      try {
        entry.watcher = watch(join(entry.worker.cgroupPath, 'memory.events'), { persistent: false }, () =>
          this.#checkOom(entry),
        );
        entry.watcher.on('error', () => entry.watcher?.close());
      } catch {
        // No memory controller here, or the worker has ended already.
      }
    }
    this.#timer ??= setInterval(() => {
      for (const each of this.#entries.values()) this.#checkOom(each);
    }, this.#options.oomIntervalMs ?? 1000).unref();
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /**
   * Ends a worker whole, also one that another process spawned, with children that re-parented.
   * Throws WORKER_NOT_FOUND, STOP_TIMEOUT, CGROUP_PERMISSION_DENIED.
   */
  async stop(id: string, options: StopOptions = {}): Promise<Stopped> {
    const { group, instance } = parseWorkerId(id);
    const record = await readRecord(this.runtimeDir, group, instance);
    const entry = this.#entries.get(id);
    const stopped = await this.#stopFound(id, group, instance, record, options);
    if (entry) await entry.worker.exited;
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
        const root = record.cgroup.slice(0, -`/${workersSlice}/${group}/${instance}`.length);
        await removeEmptyParents(join(root, workersSlice, group), root);
      }
      return stopped;
    }
    if (record !== null && alive) return stopProcess(record.pid, record.startTicks, id, options);
    // No record, or one of an earlier worker: it may have been lost while the worker lives.
    if (this.#platform === 'linux') {
      const home = await findWorkerHome(this.#options.root, this.#options.procRoot);
      const dir = await locateWorker(home, group, instance);
      if (dir !== null) {
        const owner = home.kind === 'cgroup' ? 'cgroup' : home.manager === 'user' ? 'systemdUser' : 'systemd';
        const stopped = await stopCgroup(dir, id, owner, options);
        if (home.kind === 'cgroup') await removeEmptyParents(join(home.root, workersSlice, group), home.root);
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
    return [...this.#entries.keys()].sort();
  }

  /** Ids of the workers of this host; elsewhere than on Linux, of those that this monitor spawned. */
  async enumerate(): Promise<readonly string[]> {
    if (this.#platform !== 'linux') return this.spawned();
    return (await this.collect()).map(({ id }) => id).sort();
  }

  /** One sample of each worker that `enumerate` names. Rates are null until the second call. */
  async collect(signal?: AbortSignal): Promise<readonly WorkerSample[]> {
    signal?.throwIfAborted();
    if (this.#platform !== 'linux')
      return this.#fallback([...this.#entries.values()].map(({ worker }) => worker.record));
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
        ...(root === undefined ? {} : { root }),
        ...(procRoot === undefined ? {} : { procRoot }),
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
    this.#stopTimer();
    for (const entry of this.#entries.values()) entry.watcher?.close();
    const sampler = this.#sampler;
    this.#sampler = null;
    await (await sampler)?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function checkDescription(options: SpawnOptions): void {
  const refuse = (flag: string, message: string): never => {
    throw new HivepulseError('INVALID_OPTION', flag, `${flag}: ${message}.`);
  };
  if (options.command === '') refuse('command', 'name a command to run');
  for (const text of [options.command, ...(options.args ?? [])]) {
    if (text.includes('\0')) refuse('command', 'a command line cannot hold a NUL character');
  }
  const { port, model, labels = {}, readyUrl, reservationId } = options;
  if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65535))
    refuse('--port', `${port} is not between 1 and 65535`);
  if (model !== undefined && (model === '' || model.length > 512))
    refuse('--model', 'it must have 1 to 512 characters');
  if (reservationId !== undefined && (reservationId === '' || reservationId.length > 64))
    refuse('--reservation', 'it must have 1 to 64 characters');
  if (Object.keys(labels).length > maxLabels) refuse('--label', `at most ${maxLabels} labels`);
  for (const [key, value] of Object.entries(labels)) {
    if (!/^[A-Za-z0-9_./-]{1,63}$/.test(key))
      refuse('--label', `the key ${JSON.stringify(key)} is not 1 to 63 of A-Z a-z 0-9 _ . / -`);
    if (value.length > maxLabelLength)
      refuse('--label', `the value of ${key} is longer than ${maxLabelLength} characters`);
  }
  if (readyUrl !== undefined) checkReadyUrl(readyUrl);
}
