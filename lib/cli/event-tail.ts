import type { HivepulseClient, StreamMessage } from '../client/client.js';
import type { FleetEvent } from '../contract/api.js';
import { before, isUpTo, splitId } from '../contract/event-ids.js';
import { answerMs, newestEventId, noAnswer } from './event-ids.js';
import { outputWidth, printLines, wantsColours, writeNote } from './output.js';
import { fitSpans, toText } from './table.js';
import { columns, printable } from './text.js';
import { eventLine } from './top/lines.js';

/** With a filter so many events are looked through for those that match. */
const searched = 1000;

interface Wanted {
  readonly hive: string | undefined;
  readonly kinds: readonly string[] | undefined;
  readonly worker: string | undefined;
  /** By the queen's clock, ms. */
  readonly fromMs: number | undefined;
}

const wants = ({ hive, kinds, worker, fromMs }: Wanted, event: FleetEvent): boolean =>
  (hive === undefined || event.hive === hive) &&
  (kinds === undefined || kinds.includes(event.kind)) &&
  (worker === undefined || event.workerId === worker) &&
  (fromMs === undefined || Date.parse(event.at) >= fromMs);

export type Print = (events: readonly FleetEvent[]) => void;

/** Prints lines for people, cut to `width`; the column of hives is as wide as the longest name so far. */
export function linePrinter(width = outputWidth): Print {
  let hiveWidth = 8;
  return (events) => {
    for (const { hive } of events) hiveWidth = Math.max(hiveWidth, Math.min(24, columns(printable(hive))));
    printLines(events.map((event) => toText(fitSpans(eventLine(event, hiveWidth), width()), wantsColours()).trimEnd()));
  };
}

/** The newest `last` of the events up to `newest`, printed when that one has come; then each one as it comes. */
class Tail {
  readonly #past: FleetEvent[] = [];
  readonly #newest: string;
  readonly #last: number;
  readonly #wanted: Wanted;
  readonly #print: Print;
  replaying = false;

  constructor(newest: string, last: number, wanted: Wanted, print: Print) {
    this.#newest = newest;
    this.#last = last;
    this.#wanted = wanted;
    this.#print = print;
  }

  take(id: string, event: FleetEvent): void {
    const mine = wants(this.#wanted, event) ? [event] : [];
    if (!this.replaying) {
      this.#print(mine);
      return;
    }
    this.#past.push(...mine);
    if (this.#past.length > 2 * this.#last) this.#past.splice(0, this.#past.length - this.#last);
    if (isUpTo(id, this.#newest) && id !== this.#newest) return;
    this.#print(this.#past.slice(-this.#last));
    this.replaying = false;
  }
}

/**
 * The stream replays what came after an id, and its first snapshot names the newest: so the last ones are had by asking
 * for what came after the one `last` places before it.
 */
export async function showEvents(
  client: HivepulseClient,
  wanted: Wanted,
  last: number,
  follow: boolean,
  print: Print,
): Promise<void> {
  const newest = await newestEventId(client);
  const [, sequence] = splitId(newest);
  const filtered = Object.values(wanted).some((filter) => filter !== undefined);
  const tail = new Tail(newest, last, wanted, print);
  let back = last === 0 ? 0 : Math.min(sequence, filtered ? Math.max(searched, last) : last);
  while (back > 0 || follow) {
    tail.replaying = back > 0;
    const end = await readStream(client, before(newest, back), tail, follow);
    if (end !== 'fewerKept') return;
    back = Math.floor(back / 2);
  }
}

/** Reads a stream of events until `tail` has what was asked for, or until it turns out that fewer are kept. */
async function readStream(
  client: HivepulseClient,
  lastEventId: string,
  tail: Tail,
  follow: boolean,
): Promise<'fewerKept' | 'complete'> {
  const late = new AbortController();
  const timer = tail.replaying ? setTimeout(() => late.abort(), answerMs) : undefined;
  const stream = client.events({ kind: 'event,queenEvent' }, { lastEventId, signal: late.signal });
  try {
    const end = await readMessages(stream, tail, follow, () => clearTimeout(timer));
    if (late.signal.aborted) throw noAnswer(client, 'events up to the newest');
    return end;
  } finally {
    clearTimeout(timer);
  }
}

async function readMessages(
  stream: AsyncIterable<StreamMessage>,
  tail: Tail,
  follow: boolean,
  onReplayed: () => void,
): Promise<'fewerKept' | 'complete'> {
  for await (const message of stream) {
    if (message.type === 'event' || message.type === 'queenEvent') {
      tail.take(message.id, message.data);
      if (!tail.replaying) onReplayed();
      if (!tail.replaying && !follow) return 'complete';
    } else if (message.type === 'reset' && tail.replaying) return 'fewerKept';
    else if (message.type === 'lagged') {
      const { dropped } = message.data;
      writeNote(`${dropped} events were lost, because they were read too slowly.`);
    } else if (message.type === 'closed') {
      if (!follow || tail.replaying) throw message.error;
      reportCut(message);
    }
  }
  return 'complete';
}

function reportCut({ error, retryInMs }: Extract<StreamMessage, { type: 'closed' }>): void {
  const why = error instanceof Error ? error.message : String(error);
  writeNote(`disconnected (${why}); retrying in ${(retryInMs / 1000).toFixed(1)} s.`);
}
