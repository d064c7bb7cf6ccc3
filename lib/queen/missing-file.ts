import { join } from 'node:path';
import { Type } from 'typebox';
import { type KeptFile, keepFile, listParser, listPieces, type WriteFile } from './kept-file.js';
import type { MissingItems } from './missing.js';

export const missingFile = 'missing.json';

/** What a state file's text holds, or why it is not one. Its items are judged one by one where they are adopted. Pure. */
export const parseMissing = listParser('hivepulse.missing', 'items', Type.Unknown(), 'missing items');

/** The file holds all that is missing: where workers come and go each second it is not written each time, ms. */
const writeEveryMs = 2000;

/**
 * Keeps what is missing in `<dir>/missing.json` over restarts; a crash loses the last two seconds of it.
 * @throws HivepulseError STATE_UNWRITABLE where the directory can't be made, read or written.
 */
export async function keepMissing(
  missing: MissingItems,
  dir: string,
  warn: (message: string) => void,
  { write, everyMs = writeEveryMs }: { write?: WriteFile; everyMs?: number } = {},
): Promise<KeptFile> {
  const path = join(dir, missingFile);
  let timer: NodeJS.Timeout | null = null;
  let mark: (() => void) | null = null;
  const flush = () => {
    if (timer === null) return;
    clearTimeout(timer);
    timer = null;
    mark?.();
  };
  const kept = await keepFile({
    path,
    parse: parseMissing,
    adopt: (items) => {
      const malformed = missing.adopt(items);
      if (malformed > 0) warn(`${path}: ${malformed} of ${items.length} items are of another form and are left out`);
    },
    text: () => listPieces('hivepulse.missing', 'items', missing.saved()),
    onChange: (marks) => {
      if (marks === null) flush();
      mark = marks;
      missing.onChange =
        marks &&
        (() => {
          timer ??= setTimeout(flush, everyMs).unref();
        });
    },
    loss: 'What was missing before is not known.',
    warn,
    ...(write && { write }),
  });
  return {
    saved: () => {
      flush();
      return kept.saved();
    },
    close: () => kept.close(),
  };
}
