import type { Socket } from 'node:net';
import type { RawData, WebSocket } from 'ws';
import type { SocketRounds } from './socket-rounds.js';

/** `data` is good until it returns: whoever keeps it copies it. */
type OnMessage = (data: RawData, isBinary: boolean) => void;

/** Of RFC 6455: the first byte of a binary message in one frame, the bit that says that it is masked, and lengths that follow it. */
const wholeBinary = 0x82;
const maskBit = 0x80;
const lengths = { two: 126, eight: 127 } as const;
const maskBytes = 4;
/** Messages of one chunk that are given at once. The library gives one in a turn of the event loop. */
const mostTogether = 4;

/** The least bytes that a client's frame takes: its header, the mask, and what it brings. */
function leastBytesOf(payloadBytes: number): number {
  const header = payloadBytes < lengths.two ? 2 : payloadBytes < 65_536 ? 4 : 10;
  return header + maskBytes + payloadBytes;
}

/** The message of the whole binary frame of a client that a chunk begins with; null: it does not. It is unmasked in place. */
export function firstMessage(chunk: Buffer): Buffer | null {
  if (chunk.length < 2 || chunk[0] !== wholeBinary) return null;
  const length = chunk[1]! - maskBit;
  if (length < 0 || length === lengths.eight || (length === lengths.two && chunk.length < 4)) return null;
  const isShort = length < lengths.two;
  const payloadBytes = isShort ? length : chunk.readUInt16BE(2);
  const maskAt = isShort ? 2 : 4;
  const first = maskAt + maskBytes;
  const end = first + payloadBytes;
  // A longer form than the shortest is left to the library as well.
  if (chunk.length < end || end !== leastBytesOf(payloadBytes)) return null;
  for (let at = first; at < end; at++) chunk[at]! ^= chunk[maskAt + ((at - first) & 3)]!;
  return chunk.subarray(first, end);
}

/** Gives the messages that a chunk of a socket begins with, as `firstMessage` has them; how many bytes of it they are. */
function giveMessages(socket: Socket, chunk: Buffer, onMessage: (message: Buffer) => void): number {
  let at = 0;
  for (let i = 0; i < mostTogether && at < chunk.length && !socket.destroyed; i++) {
    const message = firstMessage(at === 0 ? chunk : chunk.subarray(at));
    if (message === null) break;
    at += leastBytesOf(message.length);
    onMessage(message);
  }
  return at;
}

/**
 * Gives the messages of a client, in their order. Where a chunk begins with whole binary messages, which is nearly all that comes
 * of a stream, they are given at once; all else goes through the library, which takes some microseconds for each, and leaves garbage
 * that lives long. `rounds`: what may read the socket from then on.
 */
export function onMessages(
  client: WebSocket,
  socket: Socket,
  onMessage: OnMessage,
  rounds: () => SocketRounds | null = () => null,
): void {
  const [feed] = socket.listeners('data').slice(-1) as [(this: Socket, chunk: Buffer) => void];
  socket.off('data', feed);
  // The library holds nothing back where frames as short as can be make up for all that it was given.
  let given = 0;
  let returned = 0;
  const count = (payload: Buffer) => {
    returned += leastBytesOf(payload.length);
  };
  const onBinary = (message: Buffer) => onMessage(message, true);
  const onChunk = (chunk: Buffer) => giveMessages(socket, chunk, onBinary);
  socket.on('data', (chunk: Buffer) => {
    // The library reads what is left of a socket that ended by itself.
    if (socket.destroyed) return;
    const taken = given === returned ? giveMessages(socket, chunk, onBinary) : 0;
    if (taken < chunk.length) {
      const rest = taken === 0 ? chunk : chunk.subarray(taken);
      given += rest.length;
      if (!socket.destroyed) feed.call(socket, rest);
    } else if (!socket.destroyed) rounds()?.take(socket, onChunk);
  });
  client.on('ping', count);
  client.on('pong', count);
  client.on('message', (data, isBinary) => {
    count(data as Buffer);
    onMessage(data, isBinary);
  });
}
