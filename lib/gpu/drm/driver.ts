import type { GuardedReader } from '../../io/guarded.js';
import type { DrmClient } from '../../native/drm-clients.js';
import { type GpuReason, gpuReason } from '../reasons.js';
import type { ReportedValues } from '../report.js';
import type { CardFileNames, CardIdentity, CardReading, Read } from './card.js';
import type { EngineUse } from './engine-meter.js';
import type { DrmHolder } from './processes.js';

/** Memory of one process on one card, by an interface of the vendor's own. */
export interface ComputeHolder {
  readonly pid: number;
  readonly bytes: number | null;
}

/** What a vendor's own interface says of processes. */
export interface ComputeHolders {
  /** By PCI address. */
  readonly byPlace: ReadonlyMap<string, readonly ComputeHolder[]>;
  /** Why some may be missing; null: none is. */
  readonly incomplete: GpuReason | null;
}

export const noComputeHolders: ComputeHolders = { byPlace: new Map(), incomplete: null };

/** What is given to judge a card beside its files. */
export interface CardContext {
  /** Time of the reading, ms. */
  readonly atMs: number;
  readonly holders: readonly DrmHolder[];
  readonly computeHolders: readonly ComputeHolder[];
  /** Why some processes may be missing from both; null: none is. */
  readonly incomplete: GpuReason | null;
}

export interface CardValues {
  readonly name: string;
  readonly computeCapability: string;
  readonly values: Partial<ReportedValues>;
  /** Made for one report, which adds to them. */
  readonly reasons: Record<string, GpuReason>;
}

/** One card: keeps what its figures need of the reading before. */
export interface CardMeter {
  /** Its memory is the host's, as far as that is known while it cannot be read. */
  readonly unifiedMemory: boolean;
  measure(reading: CardReading, context: CardContext): CardValues;
  /** Memory that a client holds on this card. */
  bytesOf(client: DrmClient): number | null;
}

/** The cards of one vendor while a reader is open. */
export interface DrmCards {
  filesOf(identity: CardIdentity): CardFileNames;
  open(identity: CardIdentity): CardMeter;
  /** Processes by an interface of the vendor's own. */
  computeHolders(): Promise<ComputeHolders>;
}

/** What the cards of one vendor have of their own; all else of `drm/` is the same for every one. */
export interface DrmDriver {
  readonly vendor: string;
  /** Names of its kernel drivers. */
  readonly drivers: readonly string[];
  openCards(files: Pick<GuardedReader, 'read' | 'readKept' | 'list' | 'pids'>, sysRoot: string): DrmCards;
}

/** Values of a card as they are filled in. */
export class ValueSheet {
  readonly values: Partial<Record<keyof ReportedValues, ReportedValues[keyof ReportedValues]>> = {};
  readonly reasons: Record<string, GpuReason> = {};

  set(field: keyof ReportedValues, read: Read<NonNullable<ReportedValues[keyof ReportedValues]>>): void {
    if ('value' in read) this.values[field] = read.value;
    else this.reasons[field] = read.reason;
  }

  refuse(field: string, reason: GpuReason): void {
    delete this.values[field as keyof ReportedValues];
    this.reasons[field] = reason;
  }
}

/** What these drivers are not asked for, and null alone would not say. */
export function unasked(sheet: ValueSheet): void {
  for (const field of ['throttleReasons', 'lastXid']) sheet.reasons[field] = gpuReason('notSupported');
}

/** Both, added; the reason of the first that has none. */
export function sum(one: Read<number>, other: Read<number>): Read<number> {
  if ('reason' in one) return one;
  return 'reason' in other ? other : { value: one.value + other.value };
}

function largest({ percents }: EngineUse): number {
  let most = 0;
  // NaN is larger than nothing.
  for (let i = 0; i < percents.length; i++) if ((percents[i] as number) > most) most = percents[i] as number;
  return most;
}

/** The largest of what the engines of one kind did for all these clients; null where one has no earlier reading. */
export function busiest(holders: readonly DrmHolder[]): number | null {
  const [only] = holders;
  if (only !== undefined && holders.length === 1 && only.clients.length === 1) {
    const use = only.clients[0]?.use ?? null;
    return use === null ? null : Math.min(100, largest(use));
  }
  const byEngine = new Map<string, number>();
  for (const { clients } of holders)
    for (const { use } of clients) {
      if (use === null) return null;
      for (const [i, name] of use.engines.entries())
        byEngine.set(name, (byEngine.get(name) ?? 0) + ((use.percents[i] as number) || 0));
    }
  return Math.min(100, Math.max(0, ...byEngine.values()));
}
