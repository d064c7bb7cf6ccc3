import type { QueenOptions } from '../config/options.js';
import { keepCordons } from '../queen/cordon-file.js';
import { keepHistory } from '../queen/history-file.js';
import type { KeptFile } from '../queen/kept-file.js';
import { keepMissing } from '../queen/missing-file.js';
import type { Registry } from '../queen/registry.js';
import { Roster } from '../queen/roster.js';
import { keepRoster } from '../queen/roster-file.js';
import { keepSilences } from '../queen/silence-file.js';
import { keepReservations } from '../queen/state-file.js';
import { TicketKeys } from './ticket-keys.js';

export interface KeptState {
  /** Null where reservations are not kept in a file. */
  readonly reservations: KeptFile | null;
  /** Null over HTTP. */
  readonly tickets: TicketKeys | null;
  /** To be called often: does what is due. */
  look(): void;
  close(): Promise<void>;
}

/**
 * Keeps what a queen knows in its state directory. Where queens share their reservations those are kept there: a file of one of
 * them would bring back what another released. @throws HivepulseError STATE_UNWRITABLE
 */
export async function keepState(registry: Registry, staleAfterMs: number, options: QueenOptions): Promise<KeptState> {
  const { state, nats, logger } = options;
  const tickets = await TicketKeys.open(options);
  if (state === undefined)
    return { reservations: null, tickets, look: () => tickets?.look(), close: () => Promise.resolve() };
  const warn = (message: string) => logger?.warn(message);
  const missing = await keepMissing(registry.missing, state, warn);
  const cordons = await keepCordons(registry.cordons, state, warn);
  const silences = await keepSilences(registry.silences, state, warn);
  const roster = new Roster(registry, { staleAfterMs });
  const hives = await keepRoster(roster, state, warn);
  const history = await keepHistory(registry, state, warn);
  const reservations = nats === undefined ? await keepReservations(registry, state, warn) : null;
  if (nats !== undefined) logger?.info('reservations are kept in NATS, and not in the state directory');
  return {
    reservations,
    tickets,
    look() {
      tickets?.look();
      roster.check();
      const nowMs = performance.now();
      hives.look(registry.hiveCount, nowMs);
      history.look(nowMs);
    },
    async close() {
      // Each waits for its disk by itself, and one that fails leaves no other unwritten.
      const files = [missing, cordons, silences, hives, history, reservations, tickets];
      const closed = await Promise.allSettled(files.map((file) => file?.close()));
      for (const each of closed) if (each.status === 'rejected') throw each.reason;
    },
  };
}
