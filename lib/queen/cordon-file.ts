import { join } from 'node:path';
import { Type } from 'typebox';
import type { Cordons } from './cordons.js';
import { type KeptFile, keepFile, listParser, type WriteFile } from './kept-file.js';

export const cordonsFile = 'cordons.json';

/** What a state file's text holds, or why it is not one. Pure. */
export const parseCordons = listParser('hivepulse.cordons', 'entries', Type.Unknown(), 'cordons');

/**
 * Keeps cordons in `<dir>/cordons.json` over restarts.
 * @throws HivepulseError STATE_UNWRITABLE where the directory can't be made, read or written.
 */
export const keepCordons = (
  cordons: Cordons,
  dir: string,
  warn: (message: string) => void,
  write?: WriteFile,
): Promise<KeptFile> =>
  keepFile({
    path: join(dir, cordonsFile),
    parse: parseCordons,
    adopt: (entries) => {
      for (const entry of entries) cordons.adopt(entry);
    },
    text: () => JSON.stringify({ kind: 'hivepulse.cordons', version: 1, entries: cordons.entries() }),
    onChange: (mark) => {
      cordons.onChange = mark;
    },
    loss: 'Hives that were cordoned take work again.',
    warn,
    ...(write && { write }),
  });
