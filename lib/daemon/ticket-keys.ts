import { createHash, randomBytes } from 'node:crypto';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { QueenOptions } from '../config/options.js';
import { type KeptFile, keepMarked, listParser } from '../queen/kept-file.js';
import { systemCode } from '../util/errors.js';

export const ticketKeysFile = 'tls-tickets.json';

/** As Node takes it: a name, and keys of AES and HMAC. */
const keyBytes = 48;
/** Whoever gets hold of a key can read what TLS 1.2 carried meanwhile, and a client's certificate is looked at anew after it. */
const rotateMs = 24 * 3600_000;

/** How long a session may be taken up, s: no longer than its key. */
export const ticketSeconds = rotateMs / 1000;

const SavedKey = Type.Object({ madeAtMs: Type.Number(), key: Type.String({ maxLength: 128 }) });
type SavedKey = Static<typeof SavedKey>;
const valid = Compile(SavedKey);

/** What a state file's text holds, or why it is not one. Pure. */
export const parseTicketKeys = listParser('hivepulse.tls-tickets', 'keys', Type.Unknown(), 'keys of TLS sessions');

/** A TLS server, as far as its sessions go. */
interface TicketServer {
  setTicketKeys(keys: Buffer): unknown;
}

/** The key by which a queen knows TLS sessions again: a new one each day, kept over a restart where there is a directory for state. */
export class TicketKeys {
  readonly #now: () => number;
  #key: Buffer;
  #madeAtMs: number;
  #server: TicketServer | null = null;
  #file: (KeptFile & { mark(): void }) | null = null;

  constructor(now: () => number = Date.now) {
    this.#now = now;
    this.#key = randomBytes(keyBytes);
    this.#madeAtMs = now();
  }

  /** Null: over HTTP there are no sessions. @throws HivepulseError STATE_UNWRITABLE */
  static async open({ tls, state, logger }: QueenOptions, now?: () => number): Promise<TicketKeys | null> {
    if (tls === undefined) return null;
    const keys = new TicketKeys(now);
    if (state !== undefined) await keys.#keep(join(state, ticketKeysFile), (message) => logger?.warn(message));
    return keys;
  }

  attach(server: TicketServer): void {
    this.#server = server;
    server.setTicketKeys(this.#key);
  }

  /** To be called now and then. */
  look(): void {
    if (this.#isInForce(this.#madeAtMs)) return;
    this.#key = randomBytes(keyBytes);
    this.#madeAtMs = this.#now();
    this.#server?.setTicketKeys(this.#key);
    this.#file?.mark();
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }

  /** Of a time that is still to come: the clock was set back. */
  #isInForce(madeAtMs: number): boolean {
    const ageMs = this.#now() - madeAtMs;
    return ageMs >= 0 && ageMs < rotateMs;
  }

  async #keep(path: string, warn: (message: string) => void): Promise<void> {
    const isSecret = await isOwn(path);
    if (!isSecret) warn(`${path} is another user's, or others can read it: hives start their TLS sessions anew`);
    this.#file = await keepMarked({
      path,
      parse: parseTicketKeys,
      adopt: ([entry]) => {
        if (isSecret && valid.Check(entry)) this.#adopt(entry);
      },
      text: () => {
        const entry: SavedKey = { madeAtMs: this.#madeAtMs, key: this.#key.toString('base64') };
        return JSON.stringify({ kind: 'hivepulse.tls-tickets', version: 1, keys: [entry] });
      },
      loss: 'Hives start their TLS sessions anew.',
      warn,
    });
  }

  #adopt({ madeAtMs, key }: SavedKey): void {
    const bytes = Buffer.from(key, 'base64');
    if (bytes.length !== keyBytes || !this.#isInForce(madeAtMs)) return;
    this.#key = bytes;
    this.#madeAtMs = madeAtMs;
  }
}

/** Who knows the key can pass for any client that has shown a certificate. True as well where there is no file. */
async function isOwn(path: string): Promise<boolean> {
  try {
    const { uid, mode } = await lstat(path);
    return uid === process.getuid?.() && (mode & 0o077) === 0;
  } catch (error) {
    return systemCode(error) === 'ENOENT';
  }
}

/** Sessions of another certificate, or of clients that another authority has signed for, are not taken up. */
export const sessionContextOf = (...pems: readonly (Buffer | undefined)[]): string => {
  const hash = createHash('sha256');
  for (const pem of pems)
    hash.update(
      createHash('sha256')
        .update(pem ?? '')
        .digest(),
    );
  return hash.digest('hex').slice(0, 32);
};
