import type { ReportedGpu } from './report.js';

type Identity = Pick<ReportedGpu, 'uuid' | 'name' | 'busId' | 'computeCapability' | 'unifiedMemory'>;

export const isUnidentified = (uuid: string): boolean => uuid.startsWith('unidentified-');

/**
 * Which GPU of a vendor was seen on which bus id and at which index, so that one which fell off the bus is still called by
 * its name. By its bus id where that is known: the others may be numbered anew once it is gone.
 */
export class GpuIdentities {
  readonly #byIndex = new Map<number, Identity>();
  readonly #byBusId = new Map<string, Identity>();
  readonly #prefix: string;

  /** @param prefix tells unidentified GPUs of several vendors apart */
  constructor(prefix = '') {
    this.#prefix = prefix;
  }

  remember(devices: readonly ReportedGpu[]): void {
    for (const gpu of devices) {
      if (gpu.unreachable || gpu.parentUuid !== '' || gpu.uuid === '') continue;
      this.#byIndex.set(gpu.index, gpu);
      if (gpu.busId !== '') this.#byBusId.set(plainBusId(gpu.busId), gpu);
    }
  }

  /** A GPU that was never seen healthy is named after its place. */
  of(gpu: ReportedGpu): Identity {
    if (gpu.uuid !== '') return gpu;
    const known = gpu.busId === '' ? this.#byIndex.get(gpu.index) : this.#byBusId.get(plainBusId(gpu.busId));
    return known ?? this.unidentified(gpu);
  }

  /** The GPU by a name of its place alone. */
  unidentified(gpu: ReportedGpu): Identity {
    return { ...gpu, uuid: `unidentified-${this.#prefix}${gpu.index}` };
  }

  /** Index of the GPU on a bus id (in any spelling), or null. */
  indexAt(busId: string): number | null {
    for (const [index, identity] of this.#byIndex) if (sameBusId(identity.busId, busId)) return index;
    return null;
  }

  /** Bus ids of all GPUs ever seen. */
  busIds(): readonly string[] {
    return [...this.#byBusId.values()].map(({ busId }) => busId);
  }
}

/** One spelling of the domain's length and of letters. */
const plainBusId = (text: string): string => text.toLowerCase().replace(/^0*/, '');

/** `0000:1B:00.0` and `00000000:1b:00.0` are one place. */
export const sameBusId = (one: string, other: string): boolean => plainBusId(one) === plainBusId(other);
