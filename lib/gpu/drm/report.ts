import { type GpuReason, gpuReason } from '../reasons.js';
import type { ReportedGpu, ReportedProcess } from '../report.js';
import type { CardIdentity, CardReading } from './card.js';
import { busiest, type CardContext, type CardMeter, type CardValues, type ComputeHolder } from './driver.js';
import type { DrmHolder } from './processes.js';

export interface CardReport {
  readonly gpu: ReportedGpu;
  readonly processes: readonly ReportedProcess[];
}

const suspended = gpuReason('suspended');
const notCounted = gpuReason('notSupported', 'engine time of compute queues is not counted by process');
const noEarlier = gpuReason('notReady', 'there is no earlier reading of a process yet');

/** The larger of what two interfaces say; one of them where the other says nothing. */
const larger = (one: number | null, other: number | null): number | null =>
  one === null || other === null ? (one ?? other) : Math.max(one, other);

interface Held {
  readonly processes: ReportedProcess[];
  /** Why the utilization of one of them is null. */
  readonly unmeasured: GpuReason | null;
}

/**
 * What a process does by the engine time of its clients, or why that is not known; `computes`: through queues whose time is not
 * counted there.
 */
function utilizationOf(holder: DrmHolder | undefined, computes: boolean): number | GpuReason {
  if (holder === undefined) return notCounted;
  const utilization = busiest([holder]);
  if (utilization === null) return noEarlier;
  const moved = !computes || holder.clients.some(({ use }) => use?.everBusy === true);
  return moved ? utilization : notCounted;
}

/** What the clients of a process hold; null where one does not say it. */
function drawnBytes(clients: DrmHolder['clients'], meter: CardMeter): number | null {
  let total: number | null = null;
  for (const { client } of clients) {
    const bytes = meter.bytesOf(client);
    if (bytes === null) return null;
    total = (total ?? 0) + bytes;
  }
  return total;
}

/** Processes that hold memory of a card or have used it; those that only have it open are none. */
function processesOf(device: number, { holders, computeHolders }: CardContext, meter: CardMeter): Held {
  const processes: ReportedProcess[] = [];
  let unmeasured: GpuReason | null = null;
  const add = (pid: number, holder: DrmHolder | undefined, compute: ComputeHolder | undefined): void => {
    const clients = holder?.clients ?? [];
    const bytes = larger(drawnBytes(clients, meter), compute?.bytes ?? null);
    const isUsed = bytes !== 0 || clients.some(({ use }) => use === null || use.everBusy);
    if (!isUsed) return;
    const use = utilizationOf(holder, (compute?.bytes ?? 0) > 0);
    const isKnown = typeof use === 'number';
    if (!isKnown) unmeasured ??= use;
    processes.push({ device, pid, bytes, utilization: isKnown ? use : null });
  };
  const computeByPid = new Map(computeHolders.map((compute) => [compute.pid, compute]));
  for (const holder of holders) {
    add(holder.pid, holder, computeByPid.get(holder.pid));
    computeByPid.delete(holder.pid);
  }
  for (const compute of computeByPid.values()) add(compute.pid, undefined, compute);
  return { processes, unmeasured };
}

const nothingHeld: Held = { processes: [], unmeasured: null };
const noProblems: ReportedGpu['problems'] = [];

/** Of a card that cannot be read. */
const blank = (name: string): CardValues => ({ name, computeCapability: '', values: {}, reasons: {} });

/** One card as its files, its clients and the vendor's own interface show it; `reading` is null where it sleeps. */
export function reportCard(
  position: number,
  vendor: string,
  identity: CardIdentity,
  meter: CardMeter,
  reading: CardReading | null,
  context: CardContext,
): CardReport {
  const unreachable = reading === null ? suspended : reading.unreachable;
  const isReached = reading !== null && unreachable === null;
  const measured = isReached ? meter.measure(reading, context) : blank(`${vendor} GPU ${identity.pciId}`.trim());
  const held = isReached ? processesOf(position, context, meter) : nothingHeld;
  if (isReached) {
    const { reasons } = measured;
    if (!takesUseOf(held, measured, context) && held.unmeasured !== null)
      reasons['workers.gpus.utilizationPercent'] = held.unmeasured;
    if (context.incomplete !== null) reasons.processCount = context.incomplete;
  }
  const gpu: ReportedGpu = {
    index: position,
    uuid: `${vendor}-${identity.pdev}`,
    parentUuid: '',
    name: measured.name,
    busId: identity.pdev,
    computeCapability: measured.computeCapability,
    unifiedMemory: meter.unifiedMemory,
    unreachable,
    values: measured.values,
    reasons: measured.reasons,
    problems: noProblems,
    processesKnown: context.incomplete === null,
  };
  return { gpu, processes: held.processes };
}

/** What the only process on a card does is what the card does. */
function takesUseOf({ processes }: Held, { values }: CardValues, { incomplete }: CardContext): boolean {
  const [only] = processes;
  const utilization = values.utilizationPercent ?? null;
  if (only?.utilization !== null || processes.length > 1 || incomplete !== null || utilization === null) return false;
  processes[0] = { ...only, utilization };
  return true;
}
