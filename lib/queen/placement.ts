import type { PlacementReply, PlacementRequest } from '../contract/api.js';
import type { GpuKnowledge } from '../contract/enums.js';
import type { Labels } from '../contract/primitives.js';
import { compareText } from './records.js';
import { isPlaceable } from './scheduling.js';

export type Refusal = PlacementReply['refusals'][number];
export type Candidate = PlacementReply['candidates'][number];

/** What placement needs to know of a host; `freeBytes` and the memory are already less what reservations hold. */
export interface PlacementHost {
  readonly hive: string;
  readonly liveness: string;
  readonly state: string;
  /** Why an admin took it out of scheduling; null: nobody did. */
  readonly cordonReason: string | null;
  readonly labels: Labels;
  readonly memoryAvailableBytes: number | null;
  readonly workerCount: number;
  readonly gpusKnown: GpuKnowledge;
  readonly gpusReason: string | null;
  readonly gpus: readonly PlacementGpu[];
}

export interface PlacementGpu {
  readonly uuid: string;
  readonly vendor?: string | null | undefined;
  readonly health: string;
  readonly isParent: boolean;
  readonly memoryKind: 'device' | 'unified';
  readonly freeBytes: number | null;
  readonly workerCount: number;
}

export interface Fit extends Candidate {
  /** Lower is better, by the strategy asked. */
  readonly score: readonly number[];
}

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** Where a worker would fit, best first, and why each other host was refused. Pure; order does not depend on that of the hosts. */
export function placementCandidates(
  hosts: Iterable<PlacementHost>,
  request: PlacementRequest,
): { readonly candidates: Candidate[]; readonly refusals: Refusal[] } {
  const fits: Fit[] = [];
  const refusals: Refusal[] = [];
  for (const host of hosts) {
    const found = fitHost(host, request);
    if ('reason' in found) refusals.push(found);
    else fits.push(found);
  }
  fits.sort((a, b) => compareScores(a.score, b.score) || compareText(a.hive, b.hive));
  return { candidates: fits.map(({ score: _, ...candidate }) => candidate), refusals };
}

/** Why the host has no GPU that could be chosen from: its GPUs are not known, or it has none. */
function refuseWithoutGpus({ gpus, gpusKnown, gpusReason }: PlacementHost): [Refusal['reason'], string] | null {
  if (gpusKnown === 'unknown' && gpus.every(({ freeBytes }) => freeBytes === null))
    return ['gpusUnknown', `its GPUs are not known: ${gpusReason ?? 'no reason is given'}`];
  if (gpusKnown === 'none') return ['noGpu', gpusReason ?? 'the hive reports no GPU'];
  return gpus.length === 0 ? ['gpusUnknown', 'its GPUs are not known: no entry of its list could be read'] : null;
}

/**
 * How well a request fits on a host, or why it does not. Several GPUs of one worker are of one vendor: no engine computes
 * on two at once.
 */
export function fitHost(host: PlacementHost, request: PlacementRequest): Fit | Refusal {
  const asked = request.gpuVendor?.toLowerCase();
  const vendors = new Set(host.gpus.map(({ vendor }) => vendor ?? null));
  if (asked === undefined && ((request.gpuCount ?? 1) === 1 || vendors.size < 2)) return fitGpus(host, request);
  const wanted = [...vendors].filter((vendor) => asked === undefined || vendor?.toLowerCase() === asked);
  const found = wanted.map((vendor) => {
    const gpus = host.gpus.filter((gpu) => (gpu.vendor ?? null) === vendor);
    return fitGpus({ ...host, gpus }, request);
  });
  const [best] = found.filter((each): each is Fit => 'score' in each).sort((a, b) => compareScores(a.score, b.score));
  if (best !== undefined) return best;
  const [refusal] = found;
  if (refusal !== undefined) return refusal;
  if (host.gpusKnown !== 'known') return fitGpus({ ...host, gpus: [] }, request);
  return { hive: host.hive, reason: 'noGpu', detail: `none of its GPUs is of ${request.gpuVendor}` };
}

function fitGpus(host: PlacementHost, request: PlacementRequest): Fit | Refusal {
  const refuse = (reason: Refusal['reason'], detail: string): Refusal => ({ hive: host.hive, reason, detail });
  const asked = request.gpuCount ?? 1;
  const strategy = request.strategy ?? 'binPack';

  if (host.liveness !== 'online') return refuse('offline', `the hive is ${host.liveness}`);
  if (host.state !== 'ready') return refuse('notReady', `the hive is ${host.state}`);
  if (host.cordonReason !== null) return refuse('cordoned', `an admin cordoned it: ${host.cordonReason}`);
  for (const key in request.labels) {
    const value = request.labels[key]!;
    if (host.labels[key] !== value)
      return refuse('labelMismatch', `${key} is ${host.labels[key] ?? 'not set'}, asked: ${value}`);
  }

  const withoutGpus = refuseWithoutGpus(host);
  if (withoutGpus !== null) return refuse(...withoutGpus);
  const usable = host.gpus.filter(isPlaceable);
  if (usable.length === 0) {
    const states = [...new Set(host.gpus.map((gpu) => (gpu.isParent ? 'cut into MIG devices' : gpu.health)))];
    return refuse('gpuUnhealthy', `of ${host.gpus.length} GPUs none is usable: ${states.join(', ')}`);
  }
  if (usable.length < asked) return refuse('notEnoughGpus', `${usable.length} usable, asked: ${asked}`);

  const roomy = usable.filter((gpu) => gpu.freeBytes !== null && gpu.freeBytes >= request.vramBytes);
  if (roomy.length < asked) {
    const known = usable.flatMap((gpu) => (gpu.freeBytes === null ? [] : [gpu.freeBytes]));
    const largest = known.length === 0 ? 'not known' : gib(Math.max(...known));
    const detail =
      asked === 1 ? `largest ${largest}` : `${roomy.length} of ${asked} GPUs have room; largest ${largest}`;
    return refuse('notEnoughVram', detail);
  }

  const chosen = roomy.sort((a, b) => compareGpus(a, b, strategy)).slice(0, asked);
  // What unified GPUs are to hold comes out of the host's memory, once for each of them.
  const unified = chosen.filter((gpu) => gpu.memoryKind === 'unified').length * request.vramBytes;
  const memory = unified + (request.memoryBytes ?? 0);
  if (request.memoryBytes || unified > request.vramBytes) {
    if (host.memoryAvailableBytes === null) return refuse('notEnoughMemory', 'available memory is not known');
    if (host.memoryAvailableBytes < memory)
      return refuse('notEnoughMemory', `available ${gib(host.memoryAvailableBytes)}, asked: ${gib(memory)}`);
  }
  return {
    hive: host.hive,
    gpus: chosen.map((gpu) => ({ uuid: gpu.uuid, freeBytes: gpu.freeBytes! })),
    memoryAvailableBytes: host.memoryAvailableBytes,
    score: score(host, chosen, request.vramBytes, strategy),
  };
}

type Strategy = NonNullable<PlacementRequest['strategy']>;

function compareGpus(a: PlacementGpu, b: PlacementGpu, strategy: Strategy): number {
  // A GPU that is not wholly well is taken only where no other will do.
  const byHealth = Number(a.health !== 'ok') - Number(b.health !== 'ok');
  if (byHealth !== 0) return byHealth;
  const byFree = a.freeBytes! - b.freeBytes!;
  const byStrategy =
    strategy === 'binPack' ? byFree : strategy === 'mostFree' ? -byFree : a.workerCount - b.workerCount || -byFree;
  return byStrategy || compareText(a.uuid, b.uuid);
}

/**
 * binPack: least room left over. mostFree: the scarcest chosen GPU has the most room. spread: fewest workers on the chosen
 * GPUs, then on the host, then most room.
 */
function score(host: PlacementHost, chosen: readonly PlacementGpu[], vramBytes: number, strategy: Strategy): number[] {
  const unwell = chosen.filter((gpu) => gpu.health !== 'ok').length;
  const least = Math.min(...chosen.map((gpu) => gpu.freeBytes!));
  if (strategy === 'mostFree') return [unwell, -least];
  if (strategy === 'binPack') return [unwell, chosen.reduce((sum, gpu) => sum + gpu.freeBytes! - vramBytes, 0)];
  const workers = chosen.reduce((sum, gpu) => sum + gpu.workerCount, 0);
  return [unwell, workers, host.workerCount, -least];
}

function compareScores(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}
