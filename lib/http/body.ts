import { isAscii, isUtf8 } from 'node:buffer';
import { promisify } from 'node:util';
import { brotliDecompress, brotliDecompressSync, gunzip, gunzipSync, inflate, inflateSync } from 'node:zlib';
import { systemCode } from '../util/errors.js';
import { ProblemError } from './problem.js';

/** Smaller bodies are decompressed on the spot: a trip to the thread pool would cost more than it saves. */
const inPlaceBytes = 64 * 1024;

const chunkBytes = 128 * 1024;

const decoders = {
  gzip: { sync: gunzipSync, async: promisify(gunzip) },
  deflate: { sync: inflateSync, async: promisify(inflate) },
  br: { sync: brotliDecompressSync, async: promisify(brotliDecompress) },
} as const;

const isEncoding = (name: string): name is keyof typeof decoders => Object.hasOwn(decoders, name);

/** A body in an encoding that has to be undone first. */
export const isEncoded = (encoding: string | undefined): boolean =>
  encoding !== undefined && encoding !== '' && encoding !== 'identity';

/** Bytes as they came -> bytes of JSON. A bomb is cut at `maxBytes`: no more than that is ever inflated. */
export async function decompress(body: Buffer, encoding: string | undefined, maxBytes: number): Promise<Buffer> {
  const name = encoding?.trim().toLowerCase() ?? 'identity';
  if (name === 'identity' || name === '') return body;
  const known = name === 'x-gzip' ? 'gzip' : name;
  if (!isEncoding(known))
    throw new ProblemError(
      'UNSUPPORTED_ENCODING',
      `content-encoding ${name.slice(0, 40)} is not one of gzip, deflate, br.`,
      { field: 'content-encoding' },
    );
  try {
    // In few pieces: the default of 16 KiB makes many of a frame, which are then put together.
    const options = {
      maxOutputLength: maxBytes,
      chunkSize: body.length < chunkBytes / 8 ? chunkBytes / 2 : chunkBytes,
    };
    const decoder = decoders[known];
    return body.length <= inPlaceBytes ? decoder.sync(body, options) : await decoder.async(body, options);
  } catch (error) {
    if (systemCode(error) === 'ERR_BUFFER_TOO_LARGE')
      throw new ProblemError('PAYLOAD_TOO_LARGE', `The body inflates to more than ${maxBytes} bytes.`);
    throw new ProblemError('INVALID_ENCODING', `The body is not ${known}.`, { field: 'content-encoding' });
  }
}

export function parseJson(body: Buffer): unknown {
  // Most frames are plain ASCII, and then need no decoding.
  const encoding = isAscii(body) ? 'latin1' : 'utf8';
  if (encoding === 'utf8' && !isUtf8(body)) throw new ProblemError('INVALID_JSON', 'The body is not UTF-8.');
  try {
    return JSON.parse(body.toString(encoding));
  } catch (error) {
    // The engine's message quotes the body; its first part says where the fault is, the rest is not for a log.
    const where = /position \d+/.exec((error as Error).message)?.[0];
    throw new ProblemError('INVALID_JSON', `The body is not JSON${where === undefined ? '' : ` (${where})`}.`);
  }
}
