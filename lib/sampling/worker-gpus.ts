import type { Fault, GpuSample, WorkerGpu } from '../contract/heartbeat.js';
import { gpuKnowledge } from '../gpu/knowledge.js';
import type { GpuReading } from '../gpu/reading.js';
import { type Attribution, attribute, holderOf } from './attribution.js';
import type { SamplerDeps } from './deps.js';
import { type InferredGpus, inferGpus } from './inferred-gpus.js';
import type { Tracked } from './tracked.js';
import { UnobservedGpus } from './unobserved-gpus.js';

type Deps = Pick<SamplerDeps, 'discovery' | 'processes' | 'gpuPidsKnown' | 'deviceFiles'>;

/** Why no GPU can be attributed to a worker; null where there is none, or where it can. */
function unattributedReason(reading: GpuReading, pidsKnown: boolean): string | null {
  const { gpusKnown, gpusReason } = gpuKnowledge(reading);
  if (gpusKnown === 'none') return null;
  if (gpusKnown === 'unknown') return gpusReason;
  return pidsKnown ? null : 'the hive runs in a pid namespace of its own, where the pids of the driver mean nothing';
}

/** Which worker holds which GPU, by the newest reading. */
export class WorkerGpus {
  readonly #deps: Deps;
  readonly #unobserved = new UnobservedGpus();
  #attribution: Attribution | null = null;
  #inferred: { readonly path: string; readonly gpus: InferredGpus } | null = null;
  #reason: string | null = 'the GPUs have not been read yet';
  /** GPUs whose health is `ok` or `degraded`. */
  healthy: ReadonlySet<string> = new Set();
  totals: ReadonlyMap<string, number | null> = new Map();
  /** `<uuid> <field>` of values of workers that a GPU does not give, and says why. */
  #explained: ReadonlySet<string> = new Set();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** `pidPaths`: the worker's path of each process that the pass has seen, made only where a GPU is held. */
  update(
    reading: GpuReading,
    tracked: ReadonlyMap<string, Tracked>,
    pidPaths: () => ReadonlyMap<number, string>,
  ): void {
    const { discovery, gpuPidsKnown } = this.#deps;
    const { devices, status } = reading;
    this.#unobserved.update(reading);
    this.healthy = new Set(
      devices.filter(({ health }) => health === 'ok' || health === 'degraded').map(({ uuid }) => uuid),
    );
    this.totals = new Map(devices.map(({ uuid, memoryTotalBytes }) => [uuid, memoryTotalBytes]));
    this.#explained = new Set([
      ...devices.flatMap(({ uuid, unsupported }) => unsupported.map((field) => `${uuid} ${field}`)),
      ...reading.faults.flatMap(({ gpuUuid, field }) => (gpuUuid && field ? [`${gpuUuid} ${field}`] : [])),
    ]);
    this.#attribution = null;
    this.#reason = unattributedReason(reading, gpuPidsKnown);
    if (status !== 'working' || (gpuPidsKnown && this.#unobserved.becameUnobserved)) discovery.keepHeld();
    this.#inferred = this.#infer(reading, tracked);
    if (status === 'working' && gpuPidsKnown) this.#attribution = this.#attribute(reading, tracked, pidPaths);
  }

  /** null where nothing can be said about GPUs of workers. */
  of(path: string): readonly WorkerGpu[] | null {
    return this.#attribution && [...(this.#attribution.byWorker.get(path) ?? [])];
  }

  /** The GPUs that a worker seems to hold, where nothing can be said about GPUs of workers by the driver's pids. */
  inferredOf(path: string): InferredGpus | null {
    return this.#inferred?.path === path ? this.#inferred.gpus : null;
  }

  /** Whether the worker may hold a GPU that does not report its processes. */
  inDoubt(tracked: Tracked, gpus: readonly WorkerGpu[] | null): boolean {
    if (gpus === null) return false;
    const held = tracked.state?.gpuUuids ?? [];
    return this.#unobserved.mayHoldUnobserved({ held, holdsElsewhere: gpus.length > 0, predates: tracked.predates });
  }

  /** Why it is not known which GPUs a worker holds; null where `gpus` are all of them. */
  reasonOf(gpus: readonly WorkerGpu[] | null, inDoubt: boolean): string | null {
    if (gpus === null) return this.#reason;
    return inDoubt ? 'a GPU that it may hold does not list its processes' : null;
  }

  /** Whether the GPU says why it does not give a value of the workers on it. */
  readonly explains = (uuid: string, field: keyof WorkerGpu): boolean =>
    this.#explained.has(`${uuid} workers.gpus.${field}`);

  /** Faults about GPUs that some worker may hold since the last `update`. */
  doubts(): readonly Fault[] {
    return [...this.#unobserved.faults(), ...(this.#deps.deviceFiles?.faults() ?? [])];
  }

  samples({ status, devices, processes, faults: known }: GpuReading): {
    readonly gpus: GpuSample[];
    readonly faults: readonly Fault[];
  } {
    const faults = [...known];
    const working = status === 'working';
    if (working && !this.#deps.gpuPidsKnown && processes.length > 0) {
      faults.push({
        source: 'gpu',
        code: 'PID_NAMESPACE',
        field: 'workers.gpus',
        message:
          'The hive runs in a pid namespace of its own, so the pids that the driver gives cannot be told apart; run it in the host pid namespace (docker: --pid=host, Kubernetes: hostPID: true).',
      });
    }
    const counts = new Map<string, number>();
    for (const { gpuUuid } of processes) counts.set(gpuUuid, (counts.get(gpuUuid) ?? 0) + 1);
    const unattributed = this.#attribution?.unattributedBytes ?? null;
    const bytesOf = (uuid: string) => (unattributed?.has(uuid) ? (unattributed.get(uuid) ?? null) : 0);
    const gpus = devices.map(({ processesKnown, ...device }) => ({
      ...device,
      processCount: working && processesKnown ? (counts.get(device.uuid) ?? 0) : null,
      unattributedBytes:
        // Without processes there is nothing to attribute.
        working && processesKnown && (unattributed !== null || !counts.has(device.uuid)) ? bytesOf(device.uuid) : null,
    }));
    return { gpus, faults };
  }

  /** Of the only engine; of several none can be preferred. */
  #infer({ status, devices }: GpuReading, tracked: ReadonlyMap<string, Tracked>) {
    const { deviceFiles } = this.#deps;
    if (deviceFiles === null) return null;
    const isRead = status === 'working' && devices.length > 0;
    const engines = isRead ? [...tracked].filter(([, { described }]) => described?.serving.engine != null) : [];
    const [only] = engines.length === 1 ? engines : [];
    deviceFiles.update(only === undefined ? [] : only[1].identity.filter((process) => process !== null));
    const held = deviceFiles.held();
    const gpus = held && inferGpus({ devices, ...held });
    return only === undefined || gpus === null ? null : { path: only[0], gpus };
  }

  #attribute(
    reading: GpuReading,
    tracked: ReadonlyMap<string, Tracked>,
    pidPaths: () => ReadonlyMap<number, string>,
  ): Attribution {
    const { processes, discovery } = this.#deps;
    const paths = reading.processes.length === 0 ? null : pidPaths();
    const attribution = attribute({
      processes: reading.processes,
      workersByPath: new Map([...tracked.keys()].map((path) => [path, path])),
      pathOf: (pid) => {
        const path = paths?.get(pid);
        if (path !== undefined) return path;
        const process = processes.get(pid);
        if (process === null) processes.want(pid);
        return process && holderOf(process, discovery.trees);
      },
    });
    for (const [pid, path] of attribution.unclaimed) discovery.holdsGpu(path, pid);
    // An adopted cgroup stays a worker as long as it holds a GPU.
    for (const path of attribution.byWorker.keys())
      if (tracked.get(path)?.watched.origin === 'adopted' && path.startsWith('/')) discovery.holdsGpu(path, null);
    return attribution;
  }
}
