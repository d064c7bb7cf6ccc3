import type { Command } from 'commander';
import type { HivepulseClient, StreamMessage } from '../client/client.js';
import * as type from '../config/types.js';
import type { FleetEvent } from '../contract/api.js';
import { before, isUpTo, splitId } from '../contract/event-ids.js';
import { eventStyles } from '../present/status.js';
import { openClient, outputWidth, printLines, wantsColours } from './client.js';
import { newestEventId } from './event-ids.js';
import { filterOption, outputOption, parseFlag } from './filters.js';
import { addSettings } from './settings.js';
import { fitSpans, toText } from './table.js';
import { columns, printable } from './text.js';
import { eventLine } from './top/detail.js';

/** With a filter so many events are looked through for those that match. */
const searched = 1000;

interface Wanted {
  readonly hive: string | undefined;
  readonly kinds: readonly string[] | undefined;
  readonly worker: string | undefined;
}

export function register(program: Command): void {
  const command = program
    .command('events')
    .summary('show what happened in the fleet')
    .description('Shows the newest events that a queen keeps; with --follow also those to come.')
    .addOption(filterOption('--hive <id>', 'only of this hive'))
    .addOption(filterOption('--worker <id>', 'only of this worker (group/instance)'))
    .addOption(
      filterOption('--kind <kinds>', `only these, with commas between: ${Object.keys(eventStyles).join(', ')}`),
    )
    .addOption(outputOption('-n, --last <number>', 'how many that have been').default('20'))
    .addOption(outputOption('-f, --follow', 'go on with those to come, until Ctrl-C'))
    .addOption(outputOption('--json', 'one JSON object a line'))
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse events --follow
  $ hivepulse events --kind oomKill,gpuLost,hiveOffline --last 100
  $ hivepulse events --follow --json | jq -r 'select(.kind == "hiveOffline") | .hive'`,
    );
  addSettings(command, 'client').action(async (flags: Record<string, unknown>) => {
    const last = parseFlag('--last', type.integer(0, 10_000), flags.last) ?? 20;
    const wanted: Wanted = {
      hive: parseFlag('--hive', type.id, flags.hive),
      worker: flags.worker as string | undefined,
      kinds: parseFlag('--kind', type.list(type.oneOf(Object.keys(eventStyles))), flags.kind),
    };
    const { client } = await openClient(command);
    let hiveWidth = 8;
    const print = (events: readonly FleetEvent[]): void => {
      if (flags.json) printLines(events.map((event) => JSON.stringify(event)));
      else {
        for (const { hive } of events) hiveWidth = Math.max(hiveWidth, Math.min(24, columns(printable(hive))));
        printLines(
          events.map((event) => toText(fitSpans(eventLine(event, hiveWidth), outputWidth()), wantsColours()).trimEnd()),
        );
      }
    };
    await showEvents(client, wanted, last, flags.follow === true, print);
  });
}

const wants = ({ hive, kinds, worker }: Wanted, event: FleetEvent): boolean =>
  (hive === undefined || event.hive === hive) &&
  (kinds === undefined || kinds.includes(event.kind)) &&
  (worker === undefined || event.workerId === worker);

/** The newest `last` of the events up to `newest`, printed when that one has come; then each one as it comes. */
class Tail {
  readonly #past: FleetEvent[] = [];
  readonly #newest: string;
  readonly #last: number;
  readonly #wanted: Wanted;
  readonly #print: (events: readonly FleetEvent[]) => void;
  replaying = false;

  constructor(newest: string, last: number, wanted: Wanted, print: (events: readonly FleetEvent[]) => void) {
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
    if (isUpTo(id, this.#newest) && id !== this.#newest) return;
    this.#print(this.#past.slice(-this.#last));
    this.replaying = false;
  }
}

/**
 * The stream replays what came after an id, and its first snapshot names the newest: so the last ones are had by asking
 * for what came after the one `last` places before it.
 */
async function showEvents(
  client: HivepulseClient,
  wanted: Wanted,
  last: number,
  follow: boolean,
  print: (events: readonly FleetEvent[]) => void,
): Promise<void> {
  const newest = await newestEventId(client);
  const [, sequence] = splitId(newest);
  const filtered = Object.values(wanted).some((filter) => filter !== undefined);
  const tail = new Tail(newest, last, wanted, print);
  let back = last === 0 ? 0 : Math.min(sequence, filtered ? Math.max(searched, last) : last);
  while (back > 0 || follow) {
    tail.replaying = back > 0;
    const end = await readStream(
      client.events({ kind: 'event,queenEvent' }, { lastEventId: before(newest, back) }),
      tail,
      follow,
    );
    if (end !== 'fewerKept') return;
    back = Math.floor(back / 2);
  }
}

/** Reads a stream of events until `tail` has what was asked for, or until it turns out that fewer are kept. */
async function readStream(
  stream: AsyncIterable<StreamMessage>,
  tail: Tail,
  follow: boolean,
): Promise<'fewerKept' | 'complete'> {
  for await (const message of stream) {
    if (message.type === 'event' || message.type === 'queenEvent') {
      tail.take(message.id, message.data);
      if (!tail.replaying && !follow) return 'complete';
    } else if (message.type === 'reset' && tail.replaying) return 'fewerKept';
    else if (message.type === 'lagged') {
      const { dropped } = message.data;
      process.stderr.write(`hivepulse: ${dropped} events were lost, because they were read too slowly.\n`);
    } else if (message.type === 'closed') {
      if (!follow || tail.replaying) throw message.error;
      reportCut(message);
    }
  }
  return 'complete';
}

function reportCut({ error, retryInMs }: Extract<StreamMessage, { type: 'closed' }>): void {
  const why = error instanceof Error ? error.message : String(error);
  process.stderr.write(`hivepulse: cut off (${why}); trying again in ${(retryInMs / 1000).toFixed(1)} s.\n`);
}
