import { join } from 'node:path';
import { Type } from 'typebox';
import { type KeptFile, keepFile, listParser, type WriteFile } from './kept-file.js';
import type { Silences } from './silences.js';

export const silencesFile = 'silences.json';

/** What a state file's text holds, or why it is not one. Its entries are judged one by one where they are adopted. Pure. */
export const parseSilences = listParser('hivepulse.silences', 'entries', Type.Unknown(), 'silences');

/**
 * Keeps silences in `<dir>/silences.json` over restarts.
 * @throws HivepulseError STATE_UNWRITABLE where the directory can't be made, read or written.
 */
export const keepSilences = (
  silences: Silences,
  dir: string,
  warn: (message: string) => void,
  write?: WriteFile,
): Promise<KeptFile> =>
  keepFile({
    path: join(dir, silencesFile),
    parse: parseSilences,
    adopt: (entries) => {
      for (const entry of entries) silences.adopt(entry);
    },
    text: () => JSON.stringify({ kind: 'hivepulse.silences', version: 1, entries: silences.entries() }),
    onChange: (mark) => {
      silences.onChange = mark;
    },
    loss: 'What was acknowledged or silenced needs attention again.',
    warn,
    ...(write && { write }),
  });
