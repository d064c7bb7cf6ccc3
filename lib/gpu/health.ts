import type { GpuSample } from '../contract/heartbeat.js';
import { plural } from '../util/plural.js';
import type { GpuReason } from './reasons.js';

/** Something that is wrong with a GPU which answers, with the fix. */
export interface GpuProblem {
  readonly code: string;
  readonly text: string;
  readonly health: 'resetRequired' | 'degraded';
}

/** What memory errors say of a GPU, worst first. */
export function memoryProblems({
  remappedRows,
  eccUncorrected,
}: Partial<Pick<GpuSample, 'remappedRows' | 'eccUncorrected'>>): readonly GpuProblem[] {
  const problems: GpuProblem[] = [];
  const add = (code: string, text: string) => problems.push({ code, text, health: 'degraded' });
  if (remappedRows?.failed) add('GPU_REMAP_FAILED', 'a row of its memory could not be remapped: replace the GPU');
  if (remappedRows?.pending)
    add('GPU_REMAP_PENDING', 'row remapping is pending: reset the GPU once its workers have ended');
  const errors = eccUncorrected ?? 0;
  if (errors > 0) {
    const counted = plural(errors, 'uncorrected ECC error');
    const fix = 'plan a reset of the GPU, and replace it if errors come back';
    add('GPU_ECC_UNCORRECTED', `${counted} since the driver loaded: ${fix}`);
  }
  return problems;
}

/** Reasons that are evidence about this one GPU, and not about the driver as a whole. */
const lostReasons: readonly string[] = ['lost', 'gpuNotFound'];
const deniedReasons: readonly string[] = ['noPermission', 'blockedBySystem'];

/** Of a GPU to which the driver gives no access. `othersAnswer`: it gives access to another one. */
export function healthWithout({ name }: GpuReason, othersAnswer: boolean): GpuSample['health'] {
  if (name === 'resetRequired' || name === 'suspended') return name;
  if (deniedReasons.includes(name)) return 'noPermission';
  // An error without a meaning of its own, of one GPU among others that answer, is that of a GPU off the bus.
  return lostReasons.includes(name) || (othersAnswer && name === 'unknown') ? 'lost' : 'stalled';
}

/** Of a GPU which answers. */
export function healthOf(
  problems: readonly GpuProblem[],
  reasons: Readonly<Record<string, GpuReason>>,
): GpuSample['health'] {
  if (problems.some(({ health }) => health === 'resetRequired')) return 'resetRequired';
  if (reasons.memoryTotalBytes?.name === 'noPermission') return 'noPermission';
  const degraded = problems.length > 0 || Object.values(reasons).some(({ name }) => name === 'needsService');
  return degraded ? 'degraded' : 'ok';
}
