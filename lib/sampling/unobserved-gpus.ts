import type { Fault } from '../contract/heartbeat.js';
import type { GpuDevice, GpuReading } from '../gpu/reading.js';

/** What is known of a worker that may hold a GPU which does not report its processes. */
export interface GpuHolderEvidence {
  /** GPUs that it held when they last reported. */
  readonly held: readonly string[];
  /** It is seen on a GPU that reports its processes. */
  readonly holdsElsewhere: boolean;
  /** It ran before the sampler did. */
  readonly predates: boolean;
}

/**
 * GPUs that do not report their processes. VRAM, utilization and state of workers that may hold one of them are unknown:
 * a worker must not look idle because its GPU is silent.
 */
export class UnobservedGpus {
  /** GPUs that have reported at some time. */
  readonly #observedOnce = new Set<string>();
  readonly #suspected = new Map<string, GpuDevice>();
  #unobserved: readonly GpuDevice[] = [];

  /** Takes a new reading, and forgets the suspicions of the last one. */
  update(reading: GpuReading): void {
    this.#suspected.clear();
    if (reading.status !== 'working') {
      this.#unobserved = [];
      return;
    }
    // Nothing runs on a GPU that is cut into MIG devices but on those.
    const parents = new Set(reading.devices.map(({ parentUuid }) => parentUuid));
    this.#unobserved = reading.devices.filter(({ uuid, processesKnown }) => !processesKnown && !parents.has(uuid));
    for (const { uuid, processesKnown } of reading.devices) if (processesKnown) this.#observedOnce.add(uuid);
  }

  /** Some GPU no longer reports: whoever held it may hold it still. */
  get becameUnobserved(): boolean {
    return this.#unobserved.some(({ uuid }) => this.#observedOnce.has(uuid));
  }

  /** Whether the worker may hold a GPU that does not report. */
  mayHoldUnobserved(worker: GpuHolderEvidence): boolean {
    const suspected = this.#unobserved.filter((device) => this.#mayHold(worker, device));
    for (const device of suspected) this.#suspected.set(device.uuid, device);
    return suspected.length > 0;
  }

  /** One for each GPU that some worker may hold since the last `update`. */
  faults(): readonly Fault[] {
    return [...this.#suspected.values()].map(({ uuid, index }) => ({
      source: 'gpu',
      code: 'GPU_PROCESSES_UNKNOWN',
      message: `GPU ${index} does not report which processes use it: VRAM, GPU utilization and state of workers that may hold it are unknown.`,
      field: 'workers.gpus',
      gpuUuid: uuid,
    }));
  }

  #mayHold({ held, holdsElsewhere, predates }: GpuHolderEvidence, { uuid, health, unsupported }: GpuDevice): boolean {
    if (held.includes(uuid)) return true;
    const answers = health === 'ok' || health === 'degraded';
    // It can report and does not: any worker may have begun to use it.
    if (answers && !unsupported.includes('processCount')) return true;
    // One that never reports casts no doubt on a worker that is seen on another GPU.
    if (holdsElsewhere) return false;
    // A lost GPU takes no new worker: only one that ran before the sampler may hold it.
    return answers || health === 'noPermission' || (predates && !this.#observedOnce.has(uuid));
  }
}
