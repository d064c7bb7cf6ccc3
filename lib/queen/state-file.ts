import { join } from 'node:path';
import { type KeptFile, keepFile, listParser, type WriteFile } from './kept-file.js';
import type { Registry } from './registry.js';
import { SavedReservationSchema } from './reservations.js';

export const reservationsFile = 'reservations.json';

/** What a state file's text holds, or why it is not one. Pure. */
export const parseReservations = listParser(
  'hivepulse.reservations',
  'reservations',
  SavedReservationSchema,
  'reservations',
);

/**
 * Keeps a registry's reservations in `<dir>/reservations.json` over restarts. Room that a file held which can't be
 * understood is free, which is better than a queen that does not start.
 * @throws HivepulseError STATE_UNWRITABLE where the directory can't be made, read or written.
 */
export const keepReservations = (
  registry: Pick<Registry, 'savedReservations' | 'adoptReservation' | 'onReservations'>,
  dir: string,
  warn: (message: string) => void,
  { write, slow }: { write?: WriteFile; slow?: number } = {},
): Promise<KeptFile> =>
  keepFile({
    path: join(dir, reservationsFile),
    parse: parseReservations,
    adopt: (reservations) => {
      for (const reservation of reservations) registry.adoptReservation(reservation);
    },
    text: () =>
      JSON.stringify({ kind: 'hivepulse.reservations', version: 1, reservations: registry.savedReservations() }),
    onChange: (mark) => registry.onReservations(mark),
    loss: 'Reservations made before are not known.',
    warn,
    ...(write && { write }),
    ...(slow !== undefined && { slow }),
  });
