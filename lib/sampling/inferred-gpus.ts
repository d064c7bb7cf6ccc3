import type { GpuEvidence } from '../contract/enums.js';
import type { WorkerGpu } from '../contract/heartbeat.js';
import type { GpuDevice } from '../gpu/reading.js';
import type { HeldDeviceFiles } from './device-files.js';

/** GPUs that a worker holds by the evidence of its own processes, not by the driver. */
export interface InferredGpus {
  /** How much of them it uses is not known. */
  readonly gpus: readonly WorkerGpu[];
  readonly evidence: GpuEvidence;
  /** The evidence in words. */
  readonly reason: string;
}

export interface InferenceInput extends HeldDeviceFiles {
  /** The GPUs that the hive sees. */
  readonly devices: readonly Pick<GpuDevice, 'uuid' | 'parentUuid' | 'vendor'>[];
}

const words: Readonly<Record<GpuEvidence, string>> = {
  deviceMapped: 'its processes have the device files of all GPUs mapped',
  deviceOpen: 'its processes have the device file of the only GPU open',
};

const isSame = (a: ReadonlySet<string>, b: ReadonlySet<string>): boolean =>
  a.size === b.size && [...a].every((each) => b.has(each));

/**
 * The GPUs of the only engine where the pids of the driver are not ours; null where the evidence does not name exactly the GPUs
 * that the hive sees. Which card has which file is not known, so only all of them can be inferred, and what differs (a MIG
 * device, a card without a file, a file of a card that is not seen) leaves it open. A process of CUDA may open the files of
 * all cards and compute on one: what is open counts only where there is one. Pure.
 */
export function inferGpus({ devices, cards, open, mapped }: InferenceInput): InferredGpus | null {
  if (cards.size === 0 || cards.size !== devices.length) return null;
  if (devices.some(({ parentUuid }) => parentUuid !== null)) return null;
  const isOpen = cards.size === 1 && mapped.size === 0 && isSame(open, cards);
  if (!isOpen && !isSame(mapped, cards)) return null;
  const evidence = isOpen ? 'deviceOpen' : 'deviceMapped';
  return {
    gpus: devices.map(({ uuid }) => ({ uuid, memoryUsedBytes: null, utilizationPercent: null })),
    evidence,
    reason: `not measured, only inferred: it is the only engine that the hive sees, and ${words[evidence]}; the hive runs in a pid namespace of its own, where the pids of the driver mean nothing`,
  };
}
