import type { ReportedGpu } from './report.js';

type Identity = Pick<ReportedGpu, 'uuid' | 'name' | 'busId' | 'computeCapability' | 'unifiedMemory'>;

export const isUnidentified = (uuid: string): boolean => uuid.startsWith('unidentified-');

/** Which GPU of a vendor was seen at which index, so that one which fell off the bus is still called by its name. */
export class GpuIdentities {
  readonly #byIndex = new Map<number, Identity>();
  readonly #prefix: string;

  /** @param prefix tells unidentified GPUs of several vendors apart */
  constructor(prefix = '') {
    this.#prefix = prefix;
  }

  remember(devices: readonly ReportedGpu[]): void {
    for (const gpu of devices) {
      if (!gpu.unreachable && gpu.parentUuid === '' && gpu.uuid !== '') this.#byIndex.set(gpu.index, gpu);
    }
  }

  /** A GPU that was never seen healthy is named after its place. */
  of(gpu: ReportedGpu): Identity {
    if (gpu.uuid !== '') return gpu;
    return this.#byIndex.get(gpu.index) ?? { ...gpu, uuid: `unidentified-${this.#prefix}${gpu.index}` };
  }

  /** Index of the GPU on a bus id (in any spelling), or null. */
  indexAt(busId: string): number | null {
    for (const [index, identity] of this.#byIndex) if (sameBusId(identity.busId, busId)) return index;
    return null;
  }

  /** Bus ids of all GPUs ever seen. */
  busIds(): readonly string[] {
    return [...this.#byIndex.values()].map(({ busId }) => busId);
  }
}

/** `0000:1B:00.0` and `00000000:1b:00.0` are one place. */
export function sameBusId(one: string, other: string): boolean {
  const plain = (text: string) => text.toLowerCase().replace(/^0*/, '');
  return plain(one) === plain(other);
}
