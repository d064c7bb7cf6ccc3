import type { RawReaderOptions } from '../native/layout.js';

/** What the thread of the TypeScript reader is started with. */
export interface FilesThreadData {
  readonly options: RawReaderOptions;
  /** 64-bit cells shared with the reader, see `cells`. */
  readonly shared: SharedArrayBuffer;
}

export const cells = {
  /** Sequence of the last pass that has begun. */
  begun: 0,
  /** CLOCK_MONOTONIC in ns at the start of the pass now running; 0 when none is. */
  runningSince: 1,
  /** Slot that it is at, plus one; 0 when none is running. */
  reading: 2,
} as const;
export const cellCount = 3;

export type FilesCommand =
  | { readonly kind: 'add'; readonly slot: number; readonly path: string }
  | { readonly kind: 'blockDevices'; readonly table: Float64Array }
  | { readonly kind: 'remove'; readonly slot: number }
  | { readonly kind: 'start'; readonly intervalMs: number }
  | { readonly kind: 'request' };
