/** The last hour or day of the whole fleet, asked for each half minute while somebody looks. */
import { effect, signal } from '@preact/signals';
import type { History } from '../../contract/api.js';
import { sumOf } from '../../present/totals.js';
import { windowSeconds } from './chart-window.js';
import { client } from './client.js';
import { connection, hives, summed, workers } from './fleet.js';
import { heardGpuTotals } from './fleet-rows.js';

export interface PastFleet {
  readonly history: History;
  readonly atMs: number;
}
export const fleetPast = signal<PastFleet | null>(null);

const everyMs = 30_000;
let askedAtMs = Number.NEGATIVE_INFINITY;
let askedSpan = '';

async function ask(span: 'hour' | 'day'): Promise<void> {
  askedAtMs = performance.now();
  askedSpan = span;
  try {
    fleetPast.value = { history: await client.history({ fleet: true }, { span }), atMs: performance.now() };
  } catch {
    // A queen of an older version has none; the next try may find it.
  }
}

export function startFleetHistory(): void {
  effect(() => {
    summed.value;
    if (connection.value.kind !== 'live' || document.visibilityState !== 'visible') return;
    const span = windowSeconds() > 3600 ? 'day' : 'hour';
    if (span !== askedSpan || performance.now() - askedAtMs >= everyMs) void ask(span);
  });
}

/** What the fleet does now, over hosts that are heard. */
export function fleetNow() {
  const { utilizationPercent, watts } = heardGpuTotals(Array.from(hives.values(), ({ view }) => view));
  const heard = [...workers.values()].filter(({ liveness }) => liveness !== 'offline');
  const tokens = sumOf(heard.map(({ serving }) => serving?.generationTokensPerSecond ?? null));
  return { utilizationPercent, watts, tokens };
}
