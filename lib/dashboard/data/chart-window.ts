/** How far back charts go, and the part of it that is looked at closer: the same for all charts. */
import { signal } from '@preact/signals';
import { at } from './location.js';

export const windows = [
  ['900', '15 min'],
  ['3600', '1 h'],
  ['21600', '6 h'],
  ['86400', '24 h'],
] as const;

export const windowSeconds = (): number =>
  windows.some(([seconds]) => seconds === at.window.value) ? Number(at.window.value) : 3600;

/** Wall clock, ms; null: the whole window. It stands still while time goes on. */
export const zoom = signal<{ readonly fromMs: number; readonly toMs: number } | null>(null);

/** A closer look than this shows nothing more, ms. */
const leastMs = 20_000;

export function zoomTo(fromMs: number, toMs: number): void {
  if (toMs - fromMs >= leastMs) zoom.value = { fromMs, toMs };
}
