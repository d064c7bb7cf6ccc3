import { join } from 'node:path';
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { OneOf } from '../contract/primitives.js';
import { WebhookMessage } from '../http/webhook.js';
import type { Attention } from '../present/attention.js';
import { severities } from '../present/severity.js';
import { type KeptFile, keepMarked, listParser, listPieces, type WriteFile } from '../queen/kept-file.js';

export const noticesFile = 'notices.json';

const text = Type.String({ maxLength: 8192 });
const SavedAttention = Type.Object({
  id: text,
  cause: text,
  hive: text,
  severity: OneOf(severities),
  tone: OneOf(['bad', 'warning', 'unknown']),
  count: Type.Number({ minimum: 0 }),
  title: text,
  text,
  show: text,
});

/** What was said to need attention and not yet to be over, and what the webhook has not taken yet. */
const Notice = Type.Union([Type.Object({ reported: SavedAttention }), Type.Object({ waiting: WebhookMessage })]);
type Notice = Static<typeof Notice>;
const valid = Compile(Notice);

/** What a state file's text holds, or why it is not one. Its entries are judged one by one where they are adopted. Pure. */
export const parseNotices = listParser('hivepulse.notices', 'entries', Type.Unknown(), 'notices');

export interface Notices {
  readonly reported: Iterable<Attention>;
  readonly waiting: readonly WebhookMessage[];
}

function noticesOf(entries: readonly unknown[]): { reported: Attention[]; waiting: WebhookMessage[] } {
  const known = entries.filter((entry): entry is Notice => valid.Check(entry));
  return {
    reported: known.flatMap((entry) => ('reported' in entry ? [entry.reported] : [])),
    waiting: known.flatMap((entry) => ('waiting' in entry ? [entry.waiting] : [])),
  };
}

function* entriesOf({ reported, waiting }: Notices): Generator<string, void> {
  for (const item of reported) yield JSON.stringify({ reported: item });
  for (const message of waiting) yield JSON.stringify({ waiting: message });
}

/**
 * Keeps what a webhook was sent in `<dir>/notices.json`, so that a restart repeats nothing and loses nothing of it.
 * @throws HivepulseError STATE_UNWRITABLE where the directory can't be made, read or written.
 */
export const keepNotices = (
  now: () => Notices,
  adopt: (notices: { reported: Attention[]; waiting: WebhookMessage[] }) => void,
  dir: string,
  warn: (message: string) => void,
  write?: WriteFile,
): Promise<KeptFile & { mark(): void }> =>
  keepMarked({
    path: join(dir, noticesFile),
    parse: parseNotices,
    adopt: (entries) => adopt(noticesOf(entries)),
    text: () => listPieces('hivepulse.notices', 'entries', entriesOf(now())),
    loss: 'The webhook is sent again what needs attention.',
    warn,
    ...(write && { write }),
  });
