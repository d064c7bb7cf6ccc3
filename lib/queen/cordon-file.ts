import { join } from 'node:path';
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Cordons } from './cordons.js';
import { type KeptFile, keepFile, parseJson, type WriteFile } from './kept-file.js';

const Saved = Type.Object({
  kind: Type.Literal('hivepulse.cordons'),
  version: Type.Literal(1),
  entries: Type.Array(Type.Unknown()),
});
const saved = Compile(Saved);

export const cordonsFile = 'cordons.json';

/** What a state file's text holds, or why it is not one. Pure. */
export function parseCordons(text: string): { readonly state: readonly unknown[] } | { readonly reason: string } {
  const parsed = parseJson(text);
  if ('reason' in parsed) return parsed;
  if (!saved.Check(parsed.value)) return { reason: 'it is not a file of cordons of this version' };
  return { state: (parsed.value as Static<typeof Saved>).entries };
}

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
