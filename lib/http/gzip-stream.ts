import { constants, crc32, deflateRawSync } from 'node:zlib';

const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
/** The last block, which is empty. */
const end = Buffer.from([3, 0]);

/** Whether a request takes gzip, by its `accept-encoding`. */
export const takesGzip = (accepted: string | undefined): boolean =>
  (accepted ?? '')
    .toLowerCase()
    .split(',')
    .some((each) => {
      const [name, ...parameters] = each.split(';').map((part) => part.trim());
      return (name === 'gzip' || name === '*') && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
    });

/** Each message once, however many readers have it: a block that refers to none before it fits into any stream. */
const blocks = new WeakMap<Buffer, Buffer>();

function blockOf(message: Buffer): Buffer {
  let block = blocks.get(message);
  if (block === undefined) {
    block = deflateRawSync(message, { level: 1, finishFlush: constants.Z_FULL_FLUSH });
    blocks.set(message, block);
  }
  return block;
}

/** The gzip of one stream of messages, each of which can be read as soon as it has come. */
export class GzipStream {
  #crc = 0;
  #bytes = 0;
  #isBegun = false;

  pack(message: Buffer): Buffer {
    this.#crc = crc32(message, this.#crc);
    this.#bytes = (this.#bytes + message.length) % 2 ** 32;
    const block = blockOf(message);
    if (this.#isBegun) return block;
    this.#isBegun = true;
    return Buffer.concat([header, block]);
  }

  /** What ends it in order. */
  end(): Buffer {
    const sums = Buffer.alloc(8);
    sums.writeUInt32LE(this.#crc, 0);
    sums.writeUInt32LE(this.#bytes, 4);
    return Buffer.concat([...(this.#isBegun ? [] : [header]), end, sums]);
  }
}
