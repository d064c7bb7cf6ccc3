import { join } from 'node:path';
import { Type } from 'typebox';
import { type KeptFile, keepMarked, listParser, listPieces, type WriteFile } from './kept-file.js';
import type { Roster } from './roster.js';

export const rosterFile = 'roster.json';

/** What a state file's text holds, or why it is not one. Its hives are judged one by one where they are adopted. Pure. */
export const parseRoster = listParser('hivepulse.roster', 'hives', Type.Unknown(), 'hives');

export interface KeptRoster extends KeptFile {
  /** Writes it where hives came or went, at most each five seconds, and once a minute. `hives`: how many there are. */
  look(hives: number, nowMs: number): void;
}

const soonMs = 5000;
const laterMs = 60_000;

/**
 * Keeps the roster in `<dir>/roster.json` over restarts.
 * @throws HivepulseError STATE_UNWRITABLE where the directory can't be made, read or written.
 */
export async function keepRoster(
  roster: Roster,
  dir: string,
  warn: (message: string) => void,
  write?: WriteFile,
): Promise<KeptRoster> {
  const kept = await keepMarked({
    path: join(dir, rosterFile),
    parse: parseRoster,
    adopt: (hives) => roster.adopt(hives),
    text: () => listPieces('hivepulse.roster', 'hives', roster.entries()),
    loss: 'Hosts that died meanwhile are not shown as missing.',
    warn,
    ...(write && { write }),
  });
  let written = { hives: 0, atMs: Number.NEGATIVE_INFINITY };
  return {
    ...kept,
    look(hives, nowMs) {
      const since = nowMs - written.atMs;
      if (since < (hives === written.hives ? laterMs : soonMs)) return;
      written = { hives, atMs: nowMs };
      kept.mark();
    },
  };
}
