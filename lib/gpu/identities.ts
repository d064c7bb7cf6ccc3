import type { ReportedGpu } from './report.js';

/** Which GPU one is. */
export type GpuName = Pick<ReportedGpu, 'uuid' | 'name' | 'busId' | 'computeCapability' | 'unifiedMemory'>;

export const isUnidentified = (uuid: string): boolean => uuid.startsWith('unidentified-');

/**
 * Which GPUs of a vendor were seen, so that one which fell off the bus is still called by its name: by uuid, else by bus
 * id, never by its place in a list, since the others may be numbered anew once it is gone.
 */
export class GpuIdentities {
  /** By uuid, in the order in which they were seen first. */
  readonly #seen = new Map<string, ReportedGpu>();
  readonly #prefix: string;

  /** @param prefix tells unidentified GPUs of several vendors apart */
  constructor(prefix = '') {
    this.#prefix = prefix;
  }

  /** Which GPU each of `devices` is; no uuid stands twice. */
  identify(devices: readonly ReportedGpu[]): readonly GpuName[] {
    const taken = new Set<string>();
    // Boards and virtual GPUs exist that all have one uuid: only the first of them has it.
    const isNamed = devices.map((gpu) => {
      const isFirst = gpu.unreachable === null && gpu.uuid !== '' && !taken.has(gpu.uuid);
      if (!isFirst) return false;
      taken.add(gpu.uuid);
      if (gpu.parentUuid === '') this.#seen.set(gpu.uuid, gpu);
      return true;
    });
    const isSecond = (gpu: ReportedGpu) => gpu.unreachable === null && gpu.uuid !== '';
    const named = devices.map((gpu, i) => {
      if (isNamed[i]) return gpu;
      if (isSecond(gpu)) return null;
      const known = gpu.uuid === '' ? this.#at(gpu.busId) : gpu;
      // The name of a GPU that answers in another place is not its own.
      if (known === undefined || taken.has(known.uuid)) return null;
      taken.add(known.uuid);
      // One that has never answered in full is still the one with that uuid once it does not say it any more.
      if (!this.#seen.has(known.uuid) && gpu.parentUuid === '') this.#seen.set(known.uuid, known);
      return known;
    });
    // Those that are left are the ones that are missing.
    const missing = [...this.#seen.values()].filter(({ uuid }) => !taken.has(uuid)).sort((a, b) => a.index - b.index);
    return devices.map((gpu, i) => {
      const known = named[i];
      if (known) return known;
      if (gpu.busId === '' && !isSecond(gpu)) return missing.shift() ?? this.#unidentified(gpu);
      return this.#unidentified(gpu);
    });
  }

  #at(busId: string): ReportedGpu | undefined {
    return busId === '' ? undefined : [...this.#seen.values()].findLast((gpu) => sameBusId(gpu.busId, busId));
  }

  #unidentified(gpu: ReportedGpu): GpuName {
    return { ...gpu, uuid: `unidentified-${this.#prefix}${gpu.index}` };
  }

  /** Index of the GPU on a bus id (in any spelling), or null. */
  indexAt(busId: string): number | null {
    return this.#at(busId)?.index ?? null;
  }

  /** Bus ids of all GPUs ever seen. */
  busIds(): readonly string[] {
    return [...new Set([...this.#seen.values()].flatMap(({ busId }) => (busId === '' ? [] : [busId])))];
  }
}

/** One spelling of the domain's length and of letters. */
const plainBusId = (text: string): string => text.toLowerCase().replace(/^0*/, '');

/** `0000:1B:00.0` and `00000000:1b:00.0` are one place. */
export const sameBusId = (one: string, other: string): boolean => plainBusId(one) === plainBusId(other);
