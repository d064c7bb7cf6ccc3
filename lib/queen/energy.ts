import type { GpuSample, WorkerSample } from '../contract/heartbeat.js';

/** What the tokens of a worker cost now. */
export interface Energy {
  /** Of its share of its GPUs. */
  readonly watts: number;
  /** Generated. */
  readonly tokensPerSecond: number;
  /** Others hold one of its GPUs as well: its watts are its share by utilization. */
  readonly isShared: boolean;
}

type Worker = {
  readonly gpus: readonly Pick<WorkerSample['gpus'][number], 'uuid' | 'utilizationPercent'>[];
  readonly serving?: Pick<NonNullable<WorkerSample['serving']>, 'generationTokensPerSecond'> | null | undefined;
} & Pick<WorkerSample, 'model' | 'gpusReason'>;
type Gpu = Pick<GpuSample, 'uuid' | 'powerWatts' | 'unattributedBytes'>;

/** What energy goes by, of all GPUs and workers of a host. */
export interface PowerRows {
  readonly gpus: readonly Gpu[];
  readonly workers: readonly (Worker & Pick<WorkerSample, 'id'>)[];
}

/**
 * Energy of each worker of a host that generates tokens; those of which watts or tokens are not known are left out. A GPU that one worker
 * holds alone is its own; of one that is shared, it has what its utilization is of the utilization of all that hold it.
 */
export function energyOfHost<W extends Worker>(gpus: readonly Gpu[], workers: readonly W[]): Map<W, Energy> {
  const holders = new Map<string, { count: number; percent: number | null }>();
  for (const worker of workers)
    for (const { uuid, utilizationPercent } of worker.gpus) {
      const held = holders.get(uuid) ?? { count: 0, percent: 0 };
      const percent = held.percent === null || utilizationPercent === null ? null : held.percent + utilizationPercent;
      holders.set(uuid, { count: held.count + 1, percent });
    }
  const byUuid = new Map(gpus.map((gpu) => [gpu.uuid, gpu]));
  const found = new Map<W, Energy>();
  for (const worker of workers) {
    const tokensPerSecond = worker.serving?.generationTokensPerSecond ?? null;
    if (tokensPerSecond === null || tokensPerSecond <= 0) continue;
    const power = powerOf(worker, byUuid, holders);
    if (power !== null) found.set(worker, { ...power, tokensPerSecond });
  }
  return found;
}

function powerOf(
  { gpus, gpusReason }: Worker,
  byUuid: ReadonlyMap<string, Gpu>,
  holders: ReadonlyMap<string, { readonly count: number; readonly percent: number | null }>,
): Pick<Energy, 'watts' | 'isShared'> | null {
  if (gpusReason != null) return null;
  // Null while it holds none.
  let watts: number | null = null;
  let isShared = false;
  for (const { uuid, utilizationPercent } of gpus) {
    const gpu = byUuid.get(uuid);
    const { count, percent } = holders.get(uuid)!;
    if (gpu === undefined || gpu.powerWatts === null) return null;
    // A process that belongs to no worker uses it too, and nobody knows how much.
    const hasOthers = gpu.unattributedBytes !== null && gpu.unattributedBytes > 0;
    if (count === 1) {
      watts = (watts ?? 0) + gpu.powerWatts;
      isShared ||= hasOthers;
      continue;
    }
    if (utilizationPercent === null || percent === null || percent <= 0) return null;
    watts = (watts ?? 0) + (gpu.powerWatts * utilizationPercent) / percent;
    isShared = true;
  }
  return watts === null ? null : { watts, isShared };
}

/** J, six digits: more are none of a measured power. */
export const joulesOf = (watts: number, tokensPerSecond: number): number =>
  Number((watts / tokensPerSecond).toPrecision(6));

/** Of all workers of a model together; null where none is known. */
export function joulesPerToken(
  energies: Iterable<Energy>,
): { readonly joules: number; readonly isShared: boolean } | null {
  let watts = 0;
  let tokens = 0;
  let isShared = false;
  for (const energy of energies) {
    watts += energy.watts;
    tokens += energy.tokensPerSecond;
    isShared ||= energy.isShared;
  }
  return tokens > 0 ? { joules: joulesOf(watts, tokens), isShared } : null;
}
