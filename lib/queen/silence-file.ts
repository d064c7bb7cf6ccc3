import { decisionsParser, keepDecisions } from './decisions-file.js';
import type { KeptFile, WriteFile } from './kept-file.js';
import type { Silences } from './silences.js';

export const silencesFile = 'silences.json';

const kind = 'hivepulse.silences';

/** What a state file's text holds, or why it is not one. Its entries are judged one by one where they are adopted. Pure. */
export const parseSilences = decisionsParser(kind, 'silences');

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
  keepDecisions(
    silences,
    {
      file: silencesFile,
      kind,
      parse: parseSilences,
      loss: 'What was acknowledged or silenced needs attention again.',
    },
    dir,
    warn,
    write,
  );
