import type { Socket } from 'node:net';
import type { RawData, WebSocket } from 'ws';

type OnMessage = (data: RawData, isBinary: boolean) => void;

/** Of RFC 6455: the first byte of a binary message in one frame, the bit that says that it is masked, and lengths that follow it. */
const wholeBinary = 0x82;
const maskBit = 0x80;
const lengths = { two: 126, eight: 127 } as const;
const maskBytes = 4;

/** The least bytes that a client's frame takes: its header, the mask, and what it brings. */
function leastBytesOf(payloadBytes: number): number {
  const header = payloadBytes < lengths.two ? 2 : payloadBytes < 65_536 ? 4 : 10;
  return header + maskBytes + payloadBytes;
}

/** The message of a chunk that is one whole binary frame of a client, and nothing else; null: it is not. It is unmasked in place. */
export function wholeMessage(chunk: Buffer): Buffer | null {
  if (chunk.length < 2 || chunk[0] !== wholeBinary) return null;
  const length = chunk[1]! - maskBit;
  if (length < 0 || length === lengths.eight || (length === lengths.two && chunk.length < 4)) return null;
  const isShort = length < lengths.two;
  const payloadBytes = isShort ? length : chunk.readUInt16BE(2);
  const maskAt = isShort ? 2 : 4;
  const first = maskAt + maskBytes;
  // A longer form than the shortest is left to the library as well.
  if (chunk.length !== first + payloadBytes || chunk.length !== leastBytesOf(payloadBytes)) return null;
  for (let at = first; at < chunk.length; at++) chunk[at]! ^= chunk[maskAt + ((at - first) & 3)]!;
  return chunk.subarray(first);
}

/**
 * Gives the messages of a client, in their order. Where a chunk is one whole binary message, as nearly all of a stream are, it is
 * given at once; all else goes through the library, which takes some microseconds for each, and leaves garbage that lives long.
 */
export function onMessages(client: WebSocket, socket: Socket, onMessage: OnMessage): void {
  const [feed] = socket.listeners('data').slice(-1) as [(this: Socket, chunk: Buffer) => void];
  socket.off('data', feed);
  // The library holds nothing back where frames as short as can be make up for all that it was given.
  let given = 0;
  let returned = 0;
  const count = (payload: Buffer) => {
    returned += leastBytesOf(payload.length);
  };
  socket.on('data', (chunk: Buffer) => {
    // The library reads what is left of a socket that ended by itself.
    if (socket.destroyed) return;
    const message = given === returned ? wholeMessage(chunk) : null;
    if (message !== null) {
      onMessage(message, true);
      return;
    }
    given += chunk.length;
    feed.call(socket, chunk);
  });
  client.on('ping', count);
  client.on('pong', count);
  client.on('message', (data, isBinary) => {
    count(data as Buffer);
    onMessage(data, isBinary);
  });
}
