import { join } from 'node:path';
import { Type } from 'typebox';
import { type KeptFile, keepFile, listParser, type WriteFile } from './kept-file.js';

/** What holds decisions of admins, of whatever kind; its entries are judged one by one where they are adopted. */
interface Decided {
  adopt(entry: unknown): unknown;
  entries(): readonly unknown[];
  onChange: (() => void) | null;
}

/** A file of the state directory: its name, its `kind`, how it is read, and what is lost with one that is left out. */
interface DecisionsFile {
  readonly file: string;
  readonly kind: string;
  readonly parse: ReturnType<typeof decisionsParser>;
  readonly loss: string;
}

/** Gives what a state file's text holds, or why it is not one; `what` names it there. Pure. */
export const decisionsParser = (kind: string, what: string) => listParser(kind, 'entries', Type.Unknown(), what);

/**
 * Keeps decisions in `<dir>/<file>` over restarts.
 * @throws HivepulseError STATE_UNWRITABLE where the directory can't be made, read or written.
 */
export const keepDecisions = (
  decided: Decided,
  given: DecisionsFile,
  dir: string,
  warn: (message: string) => void,
  write?: WriteFile,
): Promise<KeptFile> =>
  keepFile({
    path: join(dir, given.file),
    parse: given.parse,
    adopt: (entries) => {
      for (const entry of entries) decided.adopt(entry);
    },
    text: () => JSON.stringify({ kind: given.kind, version: 1, entries: decided.entries() }),
    onChange: (mark) => {
      decided.onChange = mark;
    },
    loss: given.loss,
    warn,
    ...(write && { write }),
  });
