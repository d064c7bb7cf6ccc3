import { join } from 'node:path';
import { Type } from 'typebox';
import { type KeptFile, keepMarked, listParser, listPieces, type WriteFile } from './kept-file.js';
import type { Registry } from './registry.js';

export const historyFile = 'history.json';

/** Characters of the file at most: hosts come first, then GPUs, then workers. */
const maxChars = 32 * 1024 * 1024;
const writeEveryMs = 600_000;

/** What a state file's text holds, or why it is not one. Its rings are judged one by one where they are adopted. Pure. */
export const parseHistory = listParser('hivepulse.history', 'rings', Type.Unknown(), 'histories');

export interface KeptHistory extends KeptFile {
  /** Writes it every ten minutes. */
  look(nowMs: number): void;
}

/** Entries of the file, as JSON. */
function* entriesOf(registry: Registry, wallMs: number): Generator<string, void> {
  yield JSON.stringify({ writtenAtMs: wallMs });
  let chars = 0;
  for (const ring of registry.savedHistories()) {
    const text = JSON.stringify(ring);
    chars += text.length + 1;
    if (chars > maxChars) return;
    yield text;
  }
}

/** The text of the file, in pieces. */
export const historyText = (registry: Registry, wallMs: number): Iterable<string> =>
  listPieces('hivepulse.history', 'rings', entriesOf(registry, wallMs));

export function adoptHistory(registry: Registry, rings: readonly unknown[], wallMs: number): void {
  const [head, ...rest] = rings as readonly [{ readonly writtenAtMs?: unknown } | undefined];
  const at = head?.writtenAtMs;
  if (typeof at === 'number' && Number.isFinite(at)) registry.adoptHistories(rest, wallMs - at);
}

/**
 * Keeps the last day of hosts, GPUs and workers in `<dir>/history.json` over restarts; a crash loses the last ten minutes of it.
 * @throws HivepulseError STATE_UNWRITABLE where the directory can't be made, read or written.
 */
export async function keepHistory(
  registry: Registry,
  dir: string,
  warn: (message: string) => void,
  { write, wallClock = Date.now }: { write?: WriteFile; wallClock?: () => number } = {},
): Promise<KeptHistory> {
  const kept = await keepMarked({
    path: join(dir, historyFile),
    parse: parseHistory,
    adopt: (rings) => adoptHistory(registry, rings, wallClock()),
    text: () => historyText(registry, wallClock()),
    loss: 'Charts begin anew.',
    warn,
    ...(write && { write }),
  });
  let writtenAtMs: number | null = null;
  return {
    ...kept,
    look(nowMs) {
      writtenAtMs ??= nowMs;
      if (nowMs - writtenAtMs < writeEveryMs) return;
      writtenAtMs = nowMs;
      kept.mark();
    },
  };
}
