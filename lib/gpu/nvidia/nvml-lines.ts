import type { NvidiaReport } from './report.js';

/** What the native reader says (native/gpu_loop.h), on a thread and as a process alike. */
export type NvmlMessage =
  | { readonly type: 'init' }
  | { readonly type: 'alive' }
  | { readonly type: 'unavailable'; readonly reason: string }
  /** `replaced`: the library's file is another by now, and this process has the old one. */
  | { readonly type: 'failed'; readonly call: string; readonly code: number; readonly replaced?: boolean }
  | { readonly type: 'xid'; readonly uuid: string; readonly xid: number }
  | ({ readonly type: 'report'; readonly library: string; readonly durationMs: number } & NvidiaReport);

const types = new Set(['init', 'alive', 'unavailable', 'failed', 'xid', 'report']);

/** null: not a line of ours (libraries print to standard output too). */
export function parseNvmlLine(line: string): NvmlMessage | null {
  if (!line.startsWith('{"type":')) return null;
  try {
    const message = JSON.parse(line) as { readonly type?: unknown };
    return typeof message.type === 'string' && types.has(message.type) ? (message as NvmlMessage) : null;
  } catch {
    return null;
  }
}
