import type { Socket } from 'node:net';
import { type BindingResult, loadBinding, type NativeSocketReader } from '../native/binding.js';

/** Between two rounds: each heartbeat waits half of it on average. */
const roundMs = 10;
/** Sockets that are read in one go; others of the process get a turn between. */
const mostReads = 64;
/** As native/socket_reader.h. What nothing is read into takes no memory. */
const bytesOfRead = 64 * 1024;
/** As native/socket_reader.h: id, where the bytes begin, how many. */
const readNumbers = 3;

/** What Node has no call for: the descriptor of a socket, and to read it or not, of which the socket knows nothing. */
interface Handle {
  readonly fd: number;
  readStart(): void;
  readStop(): void;
}

/** Of a socket whose bytes are what its peer sent; null: it is encrypted, or of another kind. */
function handleOf(socket: Socket): Handle | null {
  const { _handle: handle } = socket as unknown as { readonly _handle?: Partial<Handle> | null };
  if ('encrypted' in socket || !handle || typeof handle.fd !== 'number' || handle.fd < 0) return null;
  return typeof handle.readStart === 'function' && typeof handle.readStop === 'function' ? (handle as Handle) : null;
}

/** How much of a chunk, which is only good until it returns, it has done with. What is left is given out by Node. */
type OnChunk = (chunk: Buffer) => number;

interface Taken {
  readonly socket: Socket;
  readonly handle: Handle;
  readonly onChunk: OnChunk;
  readonly onClose: () => void;
}

/**
 * Reads the sockets of many hives together, a hundred times a second. A turn of the event loop for each message costs more
 * than all that is done with a small one: 10,000 hives take a sixth less CPU so.
 *
 * Node has its socket back with the first chunk that is not simply a message, at its end, and where it fails.
 */
export class SocketRounds {
  readonly #reader: NativeSocketReader;
  readonly #bytes: Buffer;
  readonly #reads: Int32Array;
  readonly #taken = new Map<number, Taken>();
  #lastId = 0;
  #isRunning = false;
  /** What waits for the end of the round that is under way; null: none is. */
  #answers: (() => void)[] | null = null;

  /** Null: this process has no addon, or the system not what it takes. */
  static create(load: () => BindingResult = loadBinding): SocketRounds | null {
    const { binding } = load();
    if (binding?.SocketReader === undefined) return null;
    const [bytes, reads] = [Buffer.alloc(mostReads * bytesOfRead), new Int32Array(readNumbers * mostReads)];
    try {
      return new SocketRounds(new binding.SocketReader(bytes, reads), bytes, reads);
    } catch {
      return null;
    }
  }

  private constructor(reader: NativeSocketReader, bytes: Buffer, reads: Int32Array) {
    this.#reader = reader;
    this.#bytes = bytes;
    this.#reads = reads;
  }

  get size(): number {
    return this.#taken.size;
  }

  /** Reads a socket from now on, if it can. To be called where all that Node has read of it was given out. */
  take(socket: Socket, onChunk: OnChunk): boolean {
    const handle = handleOf(socket);
    if (handle === null || socket.isPaused() || socket.readableLength > 0) return false;
    const id = this.#nextId();
    if (this.#reader.add(handle.fd, id) !== 0) return false;
    handle.readStop();
    // The descriptor's number may belong to another socket by then.
    const onClose = () => void this.#taken.delete(id);
    socket.once('close', onClose);
    this.#taken.set(id, { socket, handle, onChunk, onClose });
    this.#run();
    return true;
  }

  #nextId(): number {
    do this.#lastId = (this.#lastId + 1) & 0x7fffffff;
    while (this.#taken.has(this.#lastId));
    return this.#lastId;
  }

  #giveBack(id: number, { socket, handle, onClose }: Taken): void {
    this.#taken.delete(id);
    socket.off('close', onClose);
    this.#reader.remove(handle.fd);
    handle.readStart();
  }

  /** When no socket is read any more. */
  close(): void {
    this.#reader.close();
  }

  #run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    setTimeout(this.#round, roundMs).unref();
  }

  /**
   * Does what answers a message once all messages of the round are taken in, in the order in which it is asked; at once where
   * no round is under way. One answer after the other wakes who reads them less often than one between two messages.
   */
  answer(send: () => void): void {
    if (this.#answers === null) send();
    else this.#answers.push(send);
  }

  readonly #round = (): void => {
    const count = this.#reader.read();
    const answers: (() => void)[] = [];
    this.#answers = answers;
    try {
      for (let i = 0; i < count; i++) this.#give(i * readNumbers);
    } finally {
      this.#answers = null;
      for (const send of answers) send();
    }
    this.#isRunning = false;
    if (this.#taken.size === 0) return;
    if (count < mostReads) {
      this.#run();
      return;
    }
    this.#isRunning = true;
    setImmediate(this.#round).unref();
  };

  #give(read: number): void {
    const [id, at, length] = [this.#reads[read]!, this.#reads[read + 1]!, this.#reads[read + 2]!];
    const taken = this.#taken.get(id);
    // What comes of a socket that was ended here in the meantime is not wanted.
    if (taken === undefined || taken.socket.destroyed) return;
    const chunk = this.#bytes.subarray(at, at + length);
    const done = length === 0 ? 0 : taken.onChunk(chunk);
    if ((length > 0 && done === length) || taken.socket.destroyed) return;
    this.#giveBack(id, taken);
    if (length > 0) taken.socket.emit('data', Buffer.from(chunk.subarray(done)));
  }
}
