import fc from 'fast-check';

export const opcodes = { continuation: 0, text: 1, binary: 2, ping: 9, pong: 10 } as const;

/** A frame of a client (RFC 6455, section 5.2). `form`: bytes of its length beyond those that it needs. */
export function frame(opcode: number, payload: Buffer, mask: Buffer, { isFinal = true, form = 0 } = {}): Buffer {
  const least = payload.length < 126 ? 0 : payload.length < 65_536 ? 1 : 2;
  const long = Math.min(2, least + form);
  const length = Buffer.alloc([0, 2, 8][long]!);
  if (long === 1) length.writeUInt16BE(payload.length);
  if (long === 2) length.writeBigUInt64BE(BigInt(payload.length));
  const head = Buffer.from([(isFinal ? 0x80 : 0) | opcode, 0x80 | [payload.length, 126, 127][long]!]);
  return Buffer.concat([head, length, mask, Buffer.from(payload.map((byte, i) => byte ^ mask[i & 3]!))]);
}

export const bytes = (count: number, seed: number) =>
  Buffer.from(Array.from({ length: count }, (_, i) => (i * 31 + seed) & 255));
const length = fc.oneof(
  { weight: 20, arbitrary: fc.nat(6) },
  { weight: 20, arbitrary: fc.constantFrom(0, 125, 126, 127, 300) },
  { weight: 1, arbitrary: fc.constantFrom(65_535, 65_536) },
);
const mask = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((each) => Buffer.from(each));

/** The frames of one message, or of a ping or pong. */
export const message: fc.Arbitrary<readonly Buffer[]> = fc
  .record({
    kind: fc.constantFrom('binary', 'binary', 'binary', 'text', 'ping', 'pong', 'pieces', 'longForm'),
    length,
    seed: fc.nat(255),
    mask,
  })
  .map(({ kind, length: count, seed, mask: key }) => {
    const payload = bytes(count, seed);
    switch (kind) {
      case 'text':
        return [frame(opcodes.text, Buffer.alloc(count, 'a'), key)];
      case 'ping':
      case 'pong':
        return [frame(opcodes[kind], payload.subarray(0, 125), key)];
      case 'pieces':
        return [
          frame(opcodes.binary, payload, key, { isFinal: false }),
          frame(opcodes.ping, Buffer.alloc(2), key),
          frame(opcodes.continuation, payload, key),
        ];
      default:
        return [frame(opcodes.binary, payload, key, { form: kind === 'longForm' ? 1 : 0 })];
    }
  });
