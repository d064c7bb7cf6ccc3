import type { Cordons } from './cordons.js';
import { decisionsParser, keepDecisions } from './decisions-file.js';
import type { KeptFile, WriteFile } from './kept-file.js';

export const cordonsFile = 'cordons.json';

const kind = 'hivepulse.cordons';

/** What a state file's text holds, or why it is not one. Its entries are judged one by one where they are adopted. Pure. */
export const parseCordons = decisionsParser(kind, 'cordons');

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
  keepDecisions(
    cordons,
    { file: cordonsFile, kind, parse: parseCordons, loss: 'Hives that were cordoned take work again.' },
    dir,
    warn,
    write,
  );
