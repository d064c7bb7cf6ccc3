import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { readUntrusted } from '../io/untrusted.js';
import { sweepTemporaryFiles, writeAtomically } from '../util/atomic-file.js';
import { settledWithin } from '../util/deadline.js';
import { HivepulseError, systemCode } from '../util/errors.js';
import type { Registry } from './registry.js';
import { type SavedReservation, SavedReservationSchema } from './reservations.js';

const Saved = Type.Object({
  kind: Type.Literal('hivepulse.reservations'),
  version: Type.Literal(1),
  reservations: Type.Array(SavedReservationSchema),
});
const saved = Compile(Saved);

/** After a write that failed, ms. */
const retryMs = 2000;
/** A write that takes longer is logged once it is done, and a queen that ends does not wait longer for it, ms. */
const slowMs = 2000;

/** Far above the largest state: 20,000 reservations of a kilobyte. */
const maxFileBytes = 64 * 1024 * 1024;
/** A disk that wakes up may take long to read the file, ms. */
const openMs = 60_000;

export const reservationsFile = 'reservations.json';

/** What a state file's text holds, or why it is not one. Pure. */
export function parseReservations(
  text: string,
): { readonly reservations: SavedReservation[] } | { readonly reason: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { reason: text.trim() === '' ? 'it is empty' : 'it is not whole JSON' };
  }
  if (!saved.Check(value)) return { reason: 'it is not a file of reservations of this version' };
  return { reservations: (value as Static<typeof Saved>).reservations };
}

export interface KeptReservations {
  /** Resolves when all that was granted or released so far is on the disk. @throws HivepulseError STATE_UNWRITABLE */
  saved(): Promise<void>;
  /** Writes what is left, unless the disk says nothing for two seconds. May be called twice. */
  close(): Promise<void>;
}

/**
 * Keeps a registry's reservations in `<dir>/reservations.json` over restarts: reads them into the registry, then writes the
 * file after each change, one write at a time, the newest state always. The file is replaced whole (written beside, synced,
 * renamed), so a crash leaves the former one. A file that can't be understood is set aside under another name, with a
 * line to `warn`: room that it held is then free, which is better than a queen that does not start.
 * @throws HivepulseError STATE_UNWRITABLE where the directory can't be made, read or written.
 */
export async function keepReservations(
  registry: Pick<Registry, 'savedReservations' | 'adoptReservation' | 'onReservations'>,
  dir: string,
  warn: (message: string) => void,
  { write = writeDurably, slow = slowMs }: { write?: WriteFile; slow?: number } = {},
): Promise<KeptReservations> {
  const path = join(dir, reservationsFile);
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await sweepTemporaryFiles(dir);
    for (const reservation of await read(path, warn)) registry.adoptReservation(reservation);
  } catch (error) {
    throw unwritable(path, error);
  }
  const state = () => ({
    kind: 'hivepulse.reservations',
    version: 1,
    reservations: registry.savedReservations(),
  });
  const warnOf = (message: string) => warn(`${path}: ${message}`);
  const writer = new Writer(path, state, warnOf, write, slow);
  registry.onReservations(() => writer.mark());
  // The first write finds out now, and not at the first grant, whether the directory can be written.
  writer.mark();
  await writer.settled().catch((error: unknown) => {
    writer.close();
    throw error;
  });
  return {
    saved: () => writer.settled(),
    async close() {
      registry.onReservations(null);
      try {
        let hangs = true;
        const settled = writer.settled().finally(() => {
          hangs = false;
        });
        await settledWithin(settled, slow);
        if (!hangs) await settled;
        else warnOf('the disk does not answer; what changed last may not be kept');
      } finally {
        writer.close();
      }
    },
  };
}

async function read(path: string, warn: (message: string) => void): Promise<SavedReservation[]> {
  let text: string;
  try {
    text = await readUntrusted(path, { maxBytes: maxFileBytes, deadlineMs: openMs });
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
  const parsed = parseReservations(text);
  if ('reservations' in parsed) return parsed.reservations;
  const aside = `${path}.unreadable-${new Date().toISOString().replaceAll(':', '')}`;
  await rename(path, aside);
  warn(`${path} is left out, since ${parsed.reason}; it is kept as ${aside}. Reservations made before are not known.`);
  return [];
}

type WriteFile = (path: string, text: string) => Promise<void>;
const writeDurably: WriteFile = (path, text) => writeAtomically(path, text, { durable: true });

/** Writes the newest state, one write at a time; changes during a write make one more. */
class Writer {
  readonly #path: string;
  readonly #state: () => unknown;
  readonly #warn: (message: string) => void;
  readonly #replace: WriteFile;
  readonly #slowMs: number;
  #dirty = false;
  #writing: Promise<void> | null = null;
  #retry: NodeJS.Timeout | null = null;
  #failed = false;
  #closed = false;

  constructor(path: string, state: () => unknown, warn: (message: string) => void, replace: WriteFile, slowMs: number) {
    this.#path = path;
    this.#state = state;
    this.#warn = warn;
    this.#replace = replace;
    this.#slowMs = slowMs;
  }

  mark(): void {
    this.#dirty = true;
    // A failure is reported to whoever waits for it, and tried again.
    if (!this.#writing) this.#start().catch(() => {});
  }

  /** No more tries after this. */
  close(): void {
    this.#closed = true;
    if (this.#retry) clearTimeout(this.#retry);
  }

  async settled(): Promise<void> {
    if (this.#writing) await this.#writing;
    else if (this.#dirty) await this.#start();
  }

  /** A disk that was full may have room again long before the next grant: what was granted must not wait for that. */
  #tryLater(): void {
    this.#failed = true;
    if (this.#closed) return;
    if (this.#retry) clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.mark(), retryMs).unref();
  }

  #start(): Promise<void> {
    this.#writing = this.#write().finally(() => {
      this.#writing = null;
    });
    return this.#writing;
  }

  async #write(): Promise<void> {
    // One turn later: what is granted in the same turn goes into the same write.
    await Promise.resolve();
    while (this.#dirty) {
      this.#dirty = false;
      const startedMs = performance.now();
      try {
        await this.#replace(this.#path, JSON.stringify(this.#state()));
      } catch (error) {
        this.#dirty = true;
        this.#tryLater();
        throw unwritable(this.#path, error);
      }
      if (this.#failed || performance.now() - startedMs >= this.#slowMs) this.#warn('the state is kept again');
      this.#failed = false;
    }
  }
}

const unwritable = (path: string, cause: unknown): HivepulseError =>
  cause instanceof HivepulseError
    ? cause
    : new HivepulseError(
        'STATE_UNWRITABLE',
        path,
        `${path} can't be kept: ${cause instanceof Error ? cause.message : String(cause)}. Give --state a directory that this user may write.`,
        { cause },
      );
