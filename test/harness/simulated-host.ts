/**
 * A simulated host: GPUs and workers whose values move as real ones do. Pure: time passes by `advance`, chance by the seed.
 */
import { unknown } from '../../lib/contract/fields/field.js';
import { workerFields } from '../../lib/contract/fields/worker.js';
import type { Fault, GpuSample, HiveEvent, Snapshot, WorkerSample } from '../../lib/contract/heartbeat.js';
import { memoryProblems } from '../../lib/gpu/health.js';
import { nvmlCode, reasonOf, recoveryProblem } from '../../lib/gpu/nvidia/codes.js';
import { stalledText } from '../../lib/gpu/nvidia/nvml.js';
import { knowledgeOf, servedAt } from './heartbeats.js';
import { Random } from './random.js';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

interface GpuSpec {
  readonly name: string;
  readonly memoryMib: number;
  readonly reservedMib: number;
  readonly idleWatts: number;
  readonly limitWatts: number;
  readonly clockMhz: number;
  readonly capability: string;
  /** Links to its neighbours; 0: none. */
  readonly nvlinks: number;
  readonly ecc: boolean;
  readonly fan: boolean;
  /** Memory shared with the host, which the driver does not count. */
  readonly unified?: true;
}

/** Devices with the sizes that their drivers tell. */
export const gpuSpecs = {
  h100: spec('NVIDIA H100 80GB HBM3', 81_559, 551, 70, 700, 1980, '9.0', 18, true),
  h200: spec('NVIDIA H200', 143_771, 612, 76, 700, 1980, '9.0', 18, true),
  a100: spec('NVIDIA A100-SXM4-80GB', 81_920, 634, 58, 400, 1410, '8.0', 12, true),
  l40s: spec('NVIDIA L40S', 46_068, 611, 34, 350, 2520, '8.9', 0, true),
  l4: spec('NVIDIA L4', 23_034, 457, 12, 72, 2040, '8.9', 0, true),
  rtx4090: { ...spec('NVIDIA GeForce RTX 4090', 24_564, 419, 21, 450, 2520, '8.9', 0, false), fan: true },
  gb10: { ...spec('NVIDIA GB10', 122_570, 0, 5, 140, 2418, '12.1', 0, false), unified: true as const },
} satisfies Record<string, GpuSpec>;
export type GpuKind = keyof typeof gpuSpecs;

function spec(
  name: string,
  memoryMib: number,
  reservedMib: number,
  idleWatts: number,
  limitWatts: number,
  clockMhz: number,
  capability: string,
  nvlinks: number,
  ecc: boolean,
): GpuSpec {
  return { name, memoryMib, reservedMib, idleWatts, limitWatts, clockMhz, capability, nvlinks, ecc, fan: false };
}

interface ModelSpec {
  readonly model: string;
  readonly group: string;
  /** Asked on each of its GPUs. */
  readonly vramGib: number;
  readonly gpus: number;
  readonly command: (model: string, port: number, gpus: number) => string;
}

const vllm = (model: string, port: number, gpus: number) =>
  `vllm serve ${model} --host 127.0.0.1 --port ${port}${gpus > 1 ? ` --tensor-parallel-size ${gpus}` : ''} --gpu-memory-utilization 0.9`;
const sglang = (model: string, port: number) => `python3 -m sglang.launch_server --model-path ${model} --port ${port}`;
const embeddings = (model: string, port: number) =>
  `text-embeddings-router --model-id ${model} --port ${port} --api-key …`;
const llama = (model: string, port: number) => `llama-server -hf ${model} --port ${port} --ctx-size 16384 --jinja`;
const python = (model: string, port: number) => `python3 serve.py --model ${model} --port ${port}`;

const models: readonly ModelSpec[] = [
  { model: 'meta-llama/Llama-3.3-70B-Instruct', group: 'llm', vramGib: 68, gpus: 4, command: vllm },
  { model: 'Qwen/Qwen3-32B', group: 'llm', vramGib: 70, gpus: 1, command: vllm },
  { model: 'Qwen/Qwen2.5-Coder-32B-Instruct', group: 'code', vramGib: 36, gpus: 2, command: vllm },
  { model: 'meta-llama/Llama-3.1-8B-Instruct', group: 'llm', vramGib: 20, gpus: 1, command: vllm },
  { model: 'mistralai/Mistral-Small-24B-Instruct-2501', group: 'llm', vramGib: 38, gpus: 1, command: sglang },
  { model: 'google/gemma-3-12b-it', group: 'llm', vramGib: 18, gpus: 1, command: sglang },
  { model: 'BAAI/bge-m3', group: 'embed', vramGib: 3, gpus: 1, command: embeddings },
  { model: 'BAAI/bge-reranker-v2-m3', group: 'rerank', vramGib: 2.6, gpus: 1, command: embeddings },
  { model: 'openai/whisper-large-v3', group: 'audio', vramGib: 8, gpus: 1, command: python },
  { model: 'stabilityai/stable-diffusion-3.5-medium', group: 'image', vramGib: 14, gpus: 1, command: python },
];
const cpuModels: readonly ModelSpec[] = [
  { model: 'ggml-org/Qwen2.5-Coder-3B-Q8_0-GGUF', group: 'llm', vramGib: 0, gpus: 0, command: llama },
  { model: 'sentence-transformers/all-MiniLM-L6-v2', group: 'embed', vramGib: 0, gpus: 0, command: embeddings },
];

interface Worker {
  readonly id: string;
  readonly group: string;
  readonly instance: string;
  readonly spec: ModelSpec;
  readonly pid: number;
  readonly startedAtMs: number;
  readonly gpuIndexes: readonly number[];
  readonly vramPerGpu: number;
  readonly cpuLimitPercent: number | null;
  readonly memoryLimitBytes: number;
  readonly origin: WorkerSample['origin'];
  readonly name: string | undefined;
  readonly reservationId: string | undefined;
  age: number;
  startingFor: number;
  busy: boolean;
  phaseFor: number;
  load: number;
  workingSet: number;
  cache: number;
  peak: number;
  oomKills: number;
}

interface Gpu {
  readonly uuid: string;
  readonly spec: GpuSpec;
  readonly bus: string;
  health: SimulatedHealth;
  temperature: number;
  lastXid: number | null;
  eccErrors: number;
}

export interface SimulatedHostOptions {
  readonly seed: number;
  readonly gpus: readonly GpuKind[];
  readonly workers: number;
  readonly nowMs: number;
}

/** How a GPU can be made to be. */
export type SimulatedHealth = 'ok' | 'degraded' | 'stalled' | 'lost' | 'resetRequired';
const isReadable = ({ health }: Gpu): boolean => health === 'ok' || health === 'degraded';

/** Why a whole GPU is out of reach, as the driver says it. */
const goneCodes: Partial<Record<SimulatedHealth, number>> = {
  lost: nvmlCode.lost,
  resetRequired: nvmlCode.resetRequired,
};

export class SimulatedHost {
  readonly #random: Random;
  readonly #gpus: Gpu[];
  readonly #workers = new Map<string, Worker>();
  readonly #events: Omit<HiveEvent, 'seq'>[] = [];
  readonly cpuCount: number;
  readonly memoryTotalBytes: number;
  #nowMs: number;
  #uptime: number;
  #nextPid: number;
  /** Names the first worker has had so far. */
  #launched = 0;
  /** Below 1 s between passes a hive computes no rates: the first heartbeat has none. */
  #passes = 0;
  treeReadable = true;

  constructor(options: SimulatedHostOptions) {
    this.#random = new Random(options.seed);
    const random = this.#random;
    this.#nowMs = options.nowMs;
    this.#uptime = random.whole(86_400, 90 * 86_400);
    this.#nextPid = random.whole(2000, 60_000);
    this.#gpus = options.gpus.map((kind, index) => ({
      uuid: `GPU-${random.uuid()}`,
      spec: gpuSpecs[kind],
      bus: `00000000:${(0x17 + index * 0x11).toString(16).toUpperCase().padStart(2, '0')}:00.0`,
      health: 'ok',
      temperature: random.between(30, 38),
      lastXid: null,
      eccErrors: 0,
    }));
    const first = this.#gpus[0]?.spec;
    this.cpuCount = first ? (first.nvlinks > 0 ? 192 : first.unified ? 20 : 64) : 48;
    this.memoryTotalBytes = first?.unified
      ? first.memoryMib * MIB
      : (first ? (first.nvlinks > 0 ? 2015 : 503) : 251) * GIB;
    for (let i = 0; i < options.workers; i++) this.addWorker({ settled: true });
    this.#events.length = 0;
  }

  get workerIds(): readonly string[] {
    return [...this.#workers.keys()];
  }

  get gpuUuids(): readonly string[] {
    return this.#gpus.map((gpu) => gpu.uuid);
  }

  /** Events since the last call. */
  takeEvents(): readonly Omit<HiveEvent, 'seq'>[] {
    return this.#events.splice(0);
  }

  /** Starts a worker where its model fits, else the smallest model on the emptiest GPU. Gives its id. */
  addWorker(options: { settled?: boolean; reservationId?: string } = {}): string {
    const random = this.#random;
    const candidates = this.#gpus.length === 0 ? cpuModels : models;
    const fitting = candidates.filter((m) => this.#placeFor(m) !== null);
    const smallest = candidates.reduce((least, m) => (m.vramGib < least.vramGib ? m : least));
    const chosen = fitting.length > 0 ? random.pick(fitting) : smallest;
    const gpuIndexes = this.#placeFor(chosen) ?? [this.#emptiest()];
    const settled = options.settled ?? false;
    const adopted = random.chance(0.25);
    const port = 8000 + this.#launched++;
    const group = adopted ? random.pick(['docker', 'kubepods']) : chosen.group;
    const instance = adopted ? random.hex(12) : String(port);
    const room = gpuIndexes.length > 0 ? Math.min(...gpuIndexes.map((index) => this.#roomOn(index))) : 0;
    const workingSet = random.between(2.5, 11) * GIB;
    const worker: Worker = {
      id: `${group}/${instance}`,
      group,
      instance,
      spec: chosen,
      pid: this.#nextPid++,
      startedAtMs: this.#nowMs - (settled ? random.whole(120, 9 * 86_400) * 1000 : 0),
      gpuIndexes,
      vramPerGpu: Math.max(64 * MIB, Math.min(chosen.vramGib * GIB, room)),
      cpuLimitPercent: adopted ? null : random.pick([400, 800, 1600, null]),
      memoryLimitBytes: random.pick([24, 32, 48, 64]) * GIB,
      origin: adopted ? 'adopted' : 'launched',
      name: adopted ? `${chosen.group}-${chosen.model.split('/')[1]!.toLowerCase().slice(0, 24)}` : undefined,
      reservationId: options.reservationId,
      age: settled ? 100 : 0,
      startingFor: settled ? 0 : random.between(4, 12),
      busy: random.chance(0.6),
      phaseFor: random.between(5, 90),
      load: random.between(30, 80),
      workingSet,
      cache: random.between(0.2, 6) * GIB,
      peak: workingSet * random.between(1.05, 1.4),
      oomKills: 0,
    };
    this.#workers.set(worker.id, worker);
    this.#note('workerStarted', { workerId: worker.id, detail: { pid: worker.pid } });
    return worker.id;
  }

  /** Ends a worker; false where it is not there. */
  removeWorker(id: string, how: 'exit' | 'signal' | 'oom' = 'signal'): boolean {
    const worker = this.#workers.get(id);
    if (!worker) return false;
    this.#workers.delete(id);
    if (how === 'oom')
      this.#note('oomKill', { workerId: id, detail: { kills: 1, total: 1, limitBytes: worker.memoryLimitBytes } });
    const detail =
      how === 'exit'
        ? { exitCode: 0, signal: null }
        : { exitCode: null, signal: how === 'oom' ? 'SIGKILL' : 'SIGTERM', ranSeconds: this.#uptimeOf(worker) };
    this.#note('workerExited', { workerId: id, detail });
    return true;
  }

  /** The kernel kills one process of a worker at its limit; the worker lives on. */
  oomKill(id: string): boolean {
    const worker = this.#workers.get(id);
    if (!worker) return false;
    worker.oomKills++;
    worker.peak = worker.memoryLimitBytes;
    worker.workingSet = worker.memoryLimitBytes * 0.97;
    worker.cache = 0;
    this.#note('oomKill', { workerId: id, detail: { kills: 1, total: 1, limitBytes: worker.memoryLimitBytes } });
    return true;
  }

  setGpuHealth(index: number, health: SimulatedHealth): void {
    const gpu = this.#gpus[index];
    if (!gpu) throw new RangeError(`no GPU ${index}`);
    if (gpu.health === health) return;
    if (health === 'lost') {
      gpu.lastXid = 79;
      this.#note('xid', { gpuUuid: gpu.uuid, detail: { index, xid: 79 } });
      this.#note('gpuLost', { gpuUuid: gpu.uuid, detail: { index, health } });
    } else if (health === 'degraded') {
      gpu.lastXid = 94;
      gpu.eccErrors += 1;
      this.#note('xid', { gpuUuid: gpu.uuid, detail: { index, xid: 94 } });
    } else if (health === 'ok') {
      gpu.eccErrors = 0;
      this.#note('gpuRecovered', { gpuUuid: gpu.uuid, detail: { index, health } });
    }
    gpu.health = health;
  }

  /** Lets `seconds` pass. */
  advance(seconds: number): void {
    const random = this.#random;
    this.#nowMs += seconds * 1000;
    this.#uptime += seconds;
    this.#passes++;
    for (const worker of this.#workers.values()) {
      worker.age += seconds;
      worker.startingFor = Math.max(0, worker.startingFor - seconds);
      worker.phaseFor -= seconds;
      if (worker.phaseFor <= 0) {
        worker.busy = random.chance(0.65);
        worker.phaseFor = worker.busy ? random.between(15, 120) : random.between(8, 60);
      }
      const aim = worker.startingFor > 0 ? 12 : worker.busy ? 72 : 0;
      worker.load += (aim - worker.load) * 0.35 * Math.min(1, seconds) + random.between(-7, 7) * (aim > 0 ? 1 : 0);
      worker.load = Math.min(100, Math.max(0, worker.load < 0.5 && aim === 0 ? 0 : worker.load));
      worker.workingSet = clamp(
        worker.workingSet * (1 + random.between(-0.004, 0.0042)),
        GIB,
        worker.memoryLimitBytes * 0.98,
      );
      worker.cache = clamp(worker.cache * (1 + random.between(-0.01, 0.012)), 0, worker.memoryLimitBytes * 0.3);
      worker.peak = Math.max(worker.peak, worker.workingSet + worker.cache);
    }
    this.#gpus.forEach((gpu, index) => {
      const aim = 31 + this.#utilizationOf(index) * 0.42;
      gpu.temperature += (aim - gpu.temperature) * Math.min(1, 0.06 * seconds) + random.between(-0.3, 0.3);
    });
  }

  snapshot(): Snapshot {
    const random = this.#random;
    const faults: Fault[] = [];
    const gpus = this.#gpus.map((gpu, index) => this.#gpuSample(gpu, index, faults));
    if (this.#gpus.some(({ health }) => health === 'stalled')) {
      faults.push({ source: 'gpu', code: 'NVML_STALLED', message: stalledText, field: 'gpus' });
    }
    const workers = this.treeReadable ? [...this.#workers.values()].map((worker) => this.#workerSample(worker)) : [];
    if (!this.treeReadable) {
      faults.push({
        source: 'cgroup',
        code: 'CGROUP_UNAVAILABLE',
        message: 'The cgroup tree could not be read: permission denied. Run the hive as root, or watch less.',
        field: 'workers',
      });
    }
    const busyCpu = workers.reduce((sum, worker) => sum + (worker.cpuPercent ?? 0), 0);
    const held = workers.reduce((sum, worker) => sum + (worker.workingSetBytes ?? 0), 0);
    const rates = this.#passes > 1;
    const cpuPercent = Math.min(this.cpuCount * 100, busyCpu + random.between(20, 90));
    return {
      host: {
        cpuCount: this.cpuCount,
        cpuPercent: rates ? round(cpuPercent) : null,
        memoryTotalBytes: this.memoryTotalBytes,
        memoryAvailableBytes: Math.max(GIB, Math.round(this.memoryTotalBytes * 0.94 - held)),
        load1: round(cpuPercent / 100 + random.between(0, 0.4)),
        uptimeSeconds: Math.floor(this.#uptime),
        pressure: { cpu: round(random.between(0, 2)), memory: 0, io: round(random.between(0, 0.8)) },
      },
      ...knowledgeOf(gpus),
      gpus,
      workersComplete: this.treeReadable,
      workers,
      faults,
      collection: {
        durationMs: round(0.4 + workers.length * 0.012 + random.between(0, 0.2)),
        ageMs: round(random.between(2, 30)),
        cgroupReader: 'native',
        cgroupReaderReason: null,
        gpuReader: gpus.length > 0 ? 'nvml' : 'none',
        gpuReaderReason: gpus.length > 0 ? null : 'libnvidia-ml.so.1 is not on this host: it has no NVIDIA driver.',
        gpuAgeMs: gpus.length > 0 ? round(random.between(4, 60)) : null,
      },
    };
  }

  #gpuSample(gpu: Gpu, index: number, faults: Fault[]): GpuSample {
    const { spec } = gpu;
    const readable = isReadable(gpu);
    const fault = (code: string, text: string) =>
      faults.push({ source: 'gpu', code, message: `GPU ${index}: ${text}`, gpuUuid: gpu.uuid });
    const gone = goneCodes[gpu.health];
    if (gone !== undefined) fault(reasonOf(gone).code, reasonOf(gone).text);
    const degraded = gpu.health === 'degraded';
    if (degraded) {
      const wrong = { eccUncorrected: gpu.eccErrors, remappedRows: { pending: true, failed: false } };
      for (const { code, text } of spec.ecc ? memoryProblems(wrong) : [recoveryProblem(3)!]) fault(code, text);
    }
    const holders = [...this.#workers.values()].filter((worker) => worker.gpuIndexes.includes(index));
    const capacity = (spec.memoryMib - spec.reservedMib) * MIB;
    const held = holders.reduce((sum, worker) => sum + this.#vramOf(worker), 0);
    const used = Math.min(capacity, held);
    const utilization = this.#utilizationOf(index);
    const watts = spec.idleWatts + (spec.limitWatts - spec.idleWatts) * (utilization / 100) * 0.86;
    const known = <T>(value: T): T | null => (readable ? value : null);
    const counted = <T>(value: T): T | null => (readable && !spec.unified ? value : null);
    return {
      uuid: gpu.uuid,
      index,
      name: spec.name,
      pciBusId: gpu.bus,
      parentUuid: null,
      migMode: false,
      memoryTotalBytes: this.#totalOf(gpu),
      memoryUsedBytes: counted(Math.round(used)),
      memoryReservedBytes: counted(spec.reservedMib * MIB),
      memoryKind: spec.unified ? 'unified' : 'device',
      utilizationPercent: known(Math.round(utilization)),
      memoryBusPercent: counted(Math.round(utilization * 0.62)),
      temperatureCelsius: known(Math.round(gpu.temperature)),
      powerWatts: known(round(watts)),
      powerLimitWatts: counted(spec.limitWatts),
      smClockMhz: known(utilization > 1 ? spec.clockMhz : Math.round(spec.clockMhz * 0.17)),
      fanPercent: spec.fan ? known(Math.round(Math.max(0, (gpu.temperature - 35) * 1.6))) : null,
      throttleReasons: known(utilization > 97 ? ['powerCap'] : []),
      eccUncorrected: spec.ecc ? known(gpu.eccErrors) : null,
      remappedRows: spec.ecc ? known({ pending: degraded, failed: false }) : null,
      nvlinks: spec.nvlinks > 0 ? known({ up: spec.nvlinks, total: spec.nvlinks }) : null,
      lastXid: gpu.lastXid,
      computeCapability: spec.capability,
      processCount: known(holders.reduce((sum, worker) => sum + (worker.startingFor > 6 ? 0 : 1), 0)),
      unattributedBytes: known(0),
      unsupported: [
        ...(spec.fan ? [] : ['fanPercent']),
        ...(spec.ecc ? [] : ['eccUncorrected', 'remappedRows']),
        ...(spec.nvlinks > 0 ? [] : ['nvlinks']),
        ...(spec.unified ? ['memoryUsedBytes', 'memoryReservedBytes', 'memoryBusPercent', 'powerLimitWatts'] : []),
      ],
      health: gpu.health,
    };
  }

  #totalOf({ spec }: Gpu): number {
    return spec.unified ? this.memoryTotalBytes : spec.memoryMib * MIB;
  }

  #workerSample(worker: Worker): WorkerSample {
    const random = this.#random;
    const gpus = worker.gpuIndexes.map((index) => this.#gpus[index]!);
    const readable = gpus.every(isReadable);
    const starting = worker.startingFor > 0 || worker.age < 2;
    const rates = worker.age >= 2;
    const cpuBase = gpus.length === 0 ? worker.load * 7 : 4 + worker.load * 1.35;
    const cpu = Math.min(worker.cpuLimitPercent ?? Number.POSITIVE_INFINITY, cpuBase + random.between(0, 6));
    const throttled = worker.cpuLimitPercent !== null && cpu >= worker.cpuLimitPercent * 0.98;
    const port = worker.origin === 'launched' ? Number(worker.instance) : null;
    const share = readable && rates ? this.#shareOf(worker) : null;
    return {
      ...(unknown(workerFields) as WorkerSample),
      id: worker.id,
      group: worker.group,
      instance: worker.instance,
      name: worker.name,
      pid: worker.pid,
      startedAt: new Date(worker.startedAtMs).toISOString(),
      uptimeSeconds: this.#uptimeOf(worker),
      processCount: 1 + gpus.length,
      ...{ model: worker.spec.model, models: undefined, nullReasons: undefined, serving: undefined },
      ...servedAt(port),
      command: worker.spec.command(worker.spec.model, port ?? 8000, gpus.length).slice(0, 256),
      labels: { engine: worker.spec.command === vllm ? 'vllm' : worker.spec.command === sglang ? 'sglang' : 'other' },
      cpuPercent: rates ? round(cpu) : null,
      cpuThrottledPercent:
        worker.cpuLimitPercent === null || !rates ? null : throttled ? round(random.between(5, 40)) : 0,
      cpuLimitPercent: worker.cpuLimitPercent,
      memoryBytes: Math.round(worker.workingSet + worker.cache),
      workingSetBytes: Math.round(worker.workingSet),
      memoryPeakBytes: Math.round(worker.peak),
      memoryLimitBytes: worker.memoryLimitBytes,
      memorySource: 'cgroup',
      oomKills: worker.oomKills,
      ioReadBytesPerSecond: rates
        ? Math.round(starting ? random.between(0.4, 2.4) * GIB : random.between(0, 40_000))
        : null,
      ioWriteBytesPerSecond: rates ? Math.round(random.between(0, 90_000)) : null,
      pressure: {
        cpu: throttled ? round(random.between(10, 40)) : round(random.between(0, 1.2)),
        memory: worker.workingSet > worker.memoryLimitBytes * 0.95 ? round(random.between(2, 12)) : 0,
        io: starting ? round(random.between(5, 30)) : 0,
      },
      gpus: gpus.map((gpu) => ({
        uuid: gpu.uuid,
        memoryUsedBytes: isReadable(gpu) ? Math.round(this.#vramOf(worker)) : null,
        utilizationPercent: isReadable(gpu) && share !== null ? round(share) : null,
      })),
      ...{ gpusReason: undefined, gpusInferred: undefined, limitNotes: undefined },
      gpuUtilizationPercent: gpus.length === 0 ? null : share === null ? null : round(share * gpus.length),
      vramUsedBytes: gpus.length === 0 ? null : readable ? Math.round(this.#vramOf(worker) * gpus.length) : null,
      vramTotalBytes: gpus.length === 0 ? null : gpus.reduce((sum, gpu) => sum + this.#totalOf(gpu), 0),
      state: !readable ? 'unknown' : starting ? 'starting' : this.#isBusy(worker) ? 'busy' : 'idle',
      ready: !starting,
      reservationId: worker.reservationId,
      origin: worker.origin,
    };
  }

  #isBusy(worker: Worker): boolean {
    return worker.gpuIndexes.length > 0 ? worker.load > 0 : worker.load * 7 > 5;
  }

  /** A starting worker fills its memory while it loads. */
  #vramOf(worker: Worker): number {
    const loaded = worker.startingFor > 0 ? 1 - Math.min(0.95, worker.startingFor / 12) : 1;
    return worker.vramPerGpu * loaded;
  }

  /** Utilization of a GPU: what its workers ask, at most all of it. */
  #utilizationOf(index: number): number {
    let asked = 0;
    for (const worker of this.#workers.values()) if (worker.gpuIndexes.includes(index)) asked += worker.load;
    return Math.min(100, asked);
  }

  /** What a worker gets of each of its GPUs where several ask for more than there is. */
  #shareOf(worker: Worker): number {
    let least = worker.load;
    for (const index of worker.gpuIndexes) {
      let asked = 0;
      for (const other of this.#workers.values()) if (other.gpuIndexes.includes(index)) asked += other.load;
      if (asked > 100) least = Math.min(least, (worker.load / asked) * 100);
    }
    return least;
  }

  #uptimeOf(worker: Worker): number {
    return Math.max(0, Math.floor((this.#nowMs - worker.startedAtMs) / 1000));
  }

  #roomOn(index: number): number {
    const gpu = this.#gpus[index]!;
    // Engines leave a little for others: nothing is filled to the brim.
    let room = (gpu.spec.memoryMib - gpu.spec.reservedMib) * MIB * 0.95;
    for (const worker of this.#workers.values()) if (worker.gpuIndexes.includes(index)) room -= worker.vramPerGpu;
    return Math.max(0, room);
  }

  #emptiest(): number {
    let best = 0;
    for (let i = 1; i < this.#gpus.length; i++) if (this.#roomOn(i) > this.#roomOn(best)) best = i;
    return best;
  }

  /** The tightest GPUs on which it fits; null: nowhere. */
  #placeFor(model: ModelSpec): number[] | null {
    if (model.gpus === 0) return [];
    const fitting = this.#gpus
      .map((_, index) => ({ index, room: this.#roomOn(index) }))
      .filter(({ room }) => room >= model.vramGib * GIB)
      .sort((a, b) => a.room - b.room || a.index - b.index);
    return fitting.length < model.gpus ? null : fitting.slice(0, model.gpus).map(({ index }) => index);
  }

  #note(kind: HiveEvent['kind'], rest: Omit<HiveEvent, 'seq' | 'at' | 'kind'>): void {
    this.#events.push({ at: new Date(this.#nowMs).toISOString(), kind, ...rest });
  }
}

const clamp = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));
const round = (value: number) => Math.round(value * 100) / 100;
