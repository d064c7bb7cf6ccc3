import type { Fault } from '../contract/heartbeat.js';
import type { GpuDevice, GpuReading } from '../gpu/reading.js';

/** What is known of a worker that may hold a GPU which does not tell. */
export interface GpuHolderEvidence {
  /** GPUs that it held when they last told. */
  readonly held: readonly string[];
  /** It is seen on a GPU that tells its processes. */
  readonly holdsElsewhere: boolean;
  /** It ran before anybody looked. */
  readonly predates: boolean;
}

/**
 * GPUs that do not tell their processes, and the workers that may hold one of them all the same: their VRAM,
 * utilization and state are not known, and a worker that is not listed is no idle one.
 */
export class UnobservedGpus {
  /** GPUs that have told at some time. */
  readonly #observedOnce = new Set<string>();
  readonly #suspected = new Map<string, GpuDevice>();
  #unobserved: readonly GpuDevice[] = [];

  /** Takes a new reading; the doubts of the one before are over. */
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

  /** Some GPU does not tell now what it told before: whoever held it may hold it still. */
  get becameUnobserved(): boolean {
    return this.#unobserved.some(({ uuid }) => this.#observedOnce.has(uuid));
  }

  /** Whether the worker may hold a GPU that does not tell. */
  mayHoldUnobserved(worker: GpuHolderEvidence): boolean {
    const suspected = this.#unobserved.filter((device) => this.#mayHold(worker, device));
    for (const device of suspected) this.#suspected.set(device.uuid, device);
    return suspected.length > 0;
  }

  /** One for each GPU that has put some worker in doubt since the last `update`. */
  faults(): readonly Fault[] {
    return [...this.#suspected.values()].map(({ uuid, index }) => ({
      source: 'gpu',
      code: 'GPU_PROCESSES_UNKNOWN',
      message: `GPU ${index} does not tell which processes use it: VRAM, GPU utilization and state of workers that may hold it are unknown.`,
      field: 'workers.gpus',
      gpuUuid: uuid,
    }));
  }

  #mayHold({ held, holdsElsewhere, predates }: GpuHolderEvidence, { uuid, health, unsupported }: GpuDevice): boolean {
    if (held.includes(uuid)) return true;
    const answers = health === 'ok' || health === 'degraded';
    // It could tell and does not: anybody may have begun to use it by now.
    if (answers && !unsupported.includes('processCount')) return true;
    // One that never tells says nothing against a worker that is seen at work elsewhere.
    if (holdsElsewhere) return false;
    // A GPU that is gone takes nobody new: only who was there before anybody looked may sit on it.
    return answers || health === 'noPermission' || (predates && !this.#observedOnce.has(uuid));
  }
}
