import { type GpuReason, gpuReason } from '../reasons.js';
import type { ReportedGpu, ReportedProcess } from '../report.js';
import type { CardIdentity, CardReading } from './card.js';
import { busiest, type CardContext, type CardMeter, type ComputeHolder } from './driver.js';
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
function drawnBytes(clients: DrmHolder['clients'], bytesOf: CardMeter['bytesOf']): number | null {
  let total: number | null = null;
  for (const { client } of clients) {
    const bytes = bytesOf(client);
    if (bytes === null) return null;
    total = (total ?? 0) + bytes;
  }
  return total;
}

/** Processes that hold memory of a card or have used it; those that only have it open are none. */
function processesOf(
  device: number,
  holders: readonly DrmHolder[],
  computeHolders: readonly ComputeHolder[],
  bytesOf: CardMeter['bytesOf'],
): Held {
  const processes: ReportedProcess[] = [];
  let unmeasured: GpuReason | null = null;
  const add = (pid: number, holder: DrmHolder | undefined, compute: ComputeHolder | undefined): void => {
    const clients = holder?.clients ?? [];
    const bytes = larger(drawnBytes(clients, bytesOf), compute?.bytes ?? null);
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

/** One card as its files, its clients and the vendor's own interface show it; `reading` is null where it sleeps. */
export function reportCard(
  position: number,
  vendor: string,
  identity: CardIdentity,
  meter: CardMeter,
  reading: CardReading | null,
  context: CardContext,
): CardReport {
  const common = {
    index: position,
    uuid: `${vendor}-${identity.pdev}`,
    parentUuid: '',
    busId: identity.pdev,
    problems: [],
    processesKnown: context.incomplete === null,
  };
  const unreachable = reading === null ? suspended : reading.unreachable;
  if (reading === null || unreachable !== null) {
    const name = `${vendor} GPU ${identity.pciId}`.trim();
    const { unifiedMemory } = meter;
    const blank = { name, computeCapability: '', unifiedMemory, values: {}, reasons: {} };
    return { gpu: { ...common, ...blank, unreachable }, processes: [] };
  }
  const { values, reasons: own, ...card } = meter.measure(reading, context);
  const reasons = { ...own };
  const held = processesOf(position, context.holders, context.computeHolders, (client) => meter.bytesOf(client));
  const utilization = values.utilizationPercent ?? null;
  const { unmeasured } = held;
  const [only] = held.processes;
  const isAlone = held.processes.length === 1 && context.incomplete === null;
  // What the only process on a card does is what the card does.
  if (only?.utilization === null && isAlone && utilization !== null) held.processes[0] = { ...only, utilization };
  else if (unmeasured !== null) reasons['workers.gpus.utilizationPercent'] = unmeasured;
  if (context.incomplete !== null) reasons.processCount = context.incomplete;
  return {
    gpu: { ...common, ...card, unifiedMemory: meter.unifiedMemory, unreachable: null, values, reasons },
    processes: held.processes,
  };
}
