import { isAscii, isUtf8 } from 'node:buffer';
import { promisify } from 'node:util';
import { brotliDecompress, brotliDecompressSync, gunzip, gunzipSync, inflate, inflateSync } from 'node:zlib';
import { systemCode } from '../util/errors.js';
import { exceededBudget, type JsonBudget } from '../util/json-budget.js';

/** A heartbeat's bytes as a transport received them. */
export interface HeartbeatBody {
  readonly bytes: Buffer;
  /** Value of content-encoding; null: plain JSON. */
  readonly encoding: string | null;
}

/** Why bytes could not be read as JSON. */
export class UnreadableBody extends Error {
  readonly code: 'INVALID_JSON' | 'INVALID_ENCODING' | 'UNSUPPORTED_ENCODING' | 'PAYLOAD_TOO_LARGE' | 'TOO_COMPLEX';
  readonly field: string | undefined;

  constructor(code: UnreadableBody['code'], message: string, field?: string) {
    super(message);
    this.code = code;
    this.field = field;
  }
}

/** Above what the largest heartbeat has: 2,000 workers with their GPUs, and 10,000 events. */
const heartbeatBudget: JsonBudget = { depth: 32, nodes: 250_000, keys: 1000, stringBytes: 64 * 1024 };
/** What a shorter text can cost is bounded by its length alone, to some milliseconds. */
const unscannedBytes = 112 * 1024;

/** Smaller bodies are decompressed on the spot: a trip to the thread pool would cost more than it saves. */
const inPlaceBytes = 64 * 1024;
const chunkBytes = { least: 16 * 1024, most: 128 * 1024 } as const;
/** What a compressed heartbeat becomes, at the most common: one piece then holds it, and is no larger than it has to be. */
const usualRatio = 10;

const decoders = {
  gzip: { sync: gunzipSync, async: promisify(gunzip) },
  deflate: { sync: inflateSync, async: promisify(inflate) },
  br: { sync: brotliDecompressSync, async: promisify(brotliDecompress) },
} as const;

const isDecoder = (name: string): name is keyof typeof decoders => Object.hasOwn(decoders, name);

/** The name of a content-encoding in one form; null where nothing has to be decompressed. */
export function encodingOf(header: string | null): string | null {
  const name = header?.trim().toLowerCase() ?? '';
  return name === '' || name === 'identity' ? null : name;
}

/** No more than `maxBytes` is ever inflated. @throws UnreadableBody */
export async function decompress(bytes: Buffer, encoding: string, maxBytes: number): Promise<Buffer> {
  const known = encoding === 'x-gzip' ? 'gzip' : encoding;
  if (!isDecoder(known))
    throw new UnreadableBody(
      'UNSUPPORTED_ENCODING',
      `content-encoding ${encoding.slice(0, 40)} is not one of gzip, deflate, br.`,
      'content-encoding',
    );
  try {
    // In few pieces: with Node's default of 16 KiB there would be many, which have to be joined.
    const chunkSize = Math.min(chunkBytes.most, Math.max(chunkBytes.least, bytes.length * usualRatio));
    const options = { maxOutputLength: maxBytes, chunkSize };
    const decoder = decoders[known];
    return bytes.length <= inPlaceBytes ? decoder.sync(bytes, options) : await decoder.async(bytes, options);
  } catch (error) {
    if (systemCode(error) === 'ERR_BUFFER_TOO_LARGE')
      throw new UnreadableBody('PAYLOAD_TOO_LARGE', `The body inflates to more than ${maxBytes} bytes.`);
    throw new UnreadableBody('INVALID_ENCODING', `The body is not ${known}.`, 'content-encoding');
  }
}

/** @throws UnreadableBody */
export function parseJson(body: Buffer): unknown {
  const exceeded = body.length > unscannedBytes ? exceededBudget(body, heartbeatBudget) : null;
  if (exceeded !== null) throw new UnreadableBody('TOO_COMPLEX', `The body has ${exceeded}.`);
  // Most heartbeats are plain ASCII, and then need no decoding.
  const encoding = isAscii(body) ? 'latin1' : 'utf8';
  if (encoding === 'utf8' && !isUtf8(body)) throw new UnreadableBody('INVALID_JSON', 'The body is not UTF-8.');
  try {
    return JSON.parse(body.toString(encoding));
  } catch (error) {
    // Only the position: the rest of the engine's message quotes the body, which does not belong in a log.
    const where = /position \d+/.exec((error as Error).message)?.[0];
    throw new UnreadableBody('INVALID_JSON', `The body is not JSON${where === undefined ? '' : ` (${where})`}.`);
  }
}
