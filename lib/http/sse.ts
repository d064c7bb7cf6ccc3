import type { ServerResponse } from 'node:http';
import { GzipStream } from './gzip-stream.js';

/** One message of an event stream. JSON has no raw line breaks, so data is always one line and can't forge a field. */
export function sseMessage(event: string, json: string, id?: string): string {
  return id === undefined ? `event: ${event}\ndata: ${json}\n\n` : `id: ${id}\nevent: ${event}\ndata: ${json}\n\n`;
}

export const keepAlive = Buffer.from(':\n\n');

/** Position of a stream: up to this event, nothing that passes its filter is missing. */
export interface Position {
  readonly id: string;
  readonly message: Buffer;
}

/** Carries the id of an event that the reader need not have seen, so that browsers resume from it too. */
export const positionOf = (id: string): Position => ({
  id,
  message: Buffer.from(sseMessage('position', JSON.stringify({ lastEventId: id }), id)),
});

/** Headers that keep proxies from buffering, compressing or caching a stream. One in gzip says so besides. */
export const streamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-store, no-transform',
  'x-accel-buffering': 'no',
} as const;
export const gzipHeaders = { 'content-encoding': 'gzip', vary: 'accept-encoding' } as const;

export interface StreamLimits {
  /** Bytes that may wait in a client's socket before it counts as behind. */
  readonly behindBytes: number;
  /** Events kept for a client that is behind; the oldest is dropped for each one more. */
  readonly maxQueuedEvents: number;
  readonly maxQueuedBytes: number;
  /** A client is closed once it has lost this many events... */
  readonly maxDropped: number;
  /** ...or was behind for so long without a pause. */
  readonly maxBehindMs: number;
  /** One that loses events again and again gets a new snapshot no more often than this. */
  readonly resyncEveryMs: number;
}

export const streamLimits: StreamLimits = {
  behindBytes: 256 * 1024,
  maxQueuedEvents: 1000,
  maxQueuedBytes: 1024 * 1024,
  maxDropped: 10_000,
  maxBehindMs: 30_000,
  resyncEveryMs: 5000,
};

/** What a client that read too slowly had lost when it was closed. */
export interface SlowConsumer {
  /** Events that were dropped for want of room. */
  readonly dropped: number;
  /** Events that still waited. */
  readonly unsent: number;
  /** How long it had not kept up, ms. */
  readonly behindMs: number;
}

/** Of a snapshot, which each client has for itself, so much waits in the socket at most. */
const backlogBytes = 64 * 1024;

/** What a client needs while it catches up: the rows of a hive as they are now, or null where it is gone. */
export type WholeHive = (hive: string) => Buffer | null;

/** A new snapshot, for a client that lost events, which may have said that rows are gone; null where it sees no rows. */
export type NewSnapshot = () => Iterator<Buffer> | null;

/**
 * One open stream. While its reader keeps up, what the hub writes goes straight to the socket. While it is behind, nothing
 * more is given to the socket: hives that changed are only noted (their newest rows are sent later, whole), and events wait
 * in a bounded queue. So a client that never reads costs a fixed amount, whatever the fleet does.
 */
export class StreamClient {
  readonly #response: ServerResponse;
  readonly #limits: StreamLimits;
  readonly #wholeHive: WholeHive;
  readonly #newSnapshot: NewSnapshot;
  readonly #now: () => number;
  readonly #onClose: (client: StreamClient, evicted: SlowConsumer | null) => void;
  readonly #hives = new Set<string>();
  /** What must go out before anything else: the snapshot, piece by piece. */
  #backlog: Iterator<Buffer> | null = null;
  #events: Buffer[] = [];
  #eventBytes = 0;
  #dropped = 0;
  #droppedSinceCaughtUp = 0;
  #behindSinceMs: number | null = null;
  /** It has been sent `lagged`, and its rows may be wrong until the next snapshot. */
  #stale = false;
  #resyncAtMs = Number.NEGATIVE_INFINITY;
  /** The position last sent. */
  #sentId: string;
  #closed = false;
  /** Who reads, so that a token that is taken back ends its streams. */
  readonly caller: string;
  readonly filterName: string;
  readonly #charge: (ms: number) => void;
  readonly #inTurn: (run: () => void) => void;
  readonly #gzip: GzipStream | null;
  /** The next piece of the snapshot waits for its turn. */
  #waitsForTurn = false;

  constructor(options: {
    response: ServerResponse;
    caller: string;
    /** Readers with the same filter see the same. */
    filterName: string;
    /** Given the time that a snapshot took. */
    charge?: (ms: number) => void;
    /** Calls when the next piece of a snapshot may be made: at once, or once others had their turn. */
    inTurn?: (run: () => void) => void;
    limits: StreamLimits;
    wholeHive: WholeHive;
    newSnapshot: NewSnapshot;
    /** Its reader takes it compressed. */
    gzip?: boolean;
    /** Where it stands once what it begins with is read. */
    standsAt: string;
    now: () => number;
    onClose: (client: StreamClient, evicted: SlowConsumer | null) => void;
  }) {
    this.#response = options.response;
    this.#limits = options.limits;
    this.#wholeHive = options.wholeHive;
    this.#newSnapshot = options.newSnapshot;
    this.#sentId = options.standsAt;
    this.#now = options.now;
    this.#onClose = options.onClose;
    this.caller = options.caller;
    this.filterName = options.filterName;
    this.#charge = options.charge ?? (() => {});
    this.#inTurn = options.inTurn ?? ((run) => run());
    this.#gzip = options.gzip ? new GzipStream() : null;
    this.#response.on('drain', () => this.#catchUp());
    this.#response.on('close', () => this.#end());
    this.#response.on('error', () => this.#end());
  }

  get behind(): boolean {
    return this.#behindSinceMs !== null;
  }

  /** What waits for its reader, bytes. */
  get unreadBytes(): number {
    return this.#response.writableLength + this.#eventBytes;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Sends a first part of any size, no faster than the client reads. */
  begin(backlog: Iterator<Buffer>): void {
    this.#backlog = backlog;
    this.#catchUp();
  }

  /** Messages without an id: nothing is lost if they are left out now, since rows are sent whole later. */
  heartbeats(message: Buffer, hives: Iterable<string>): void {
    if (this.#closed) return;
    this.#resync();
    if (this.behind) for (const hive of hives) this.#hives.add(hive);
    else this.#write(message);
  }

  /** `all`: the same messages, joined. */
  events(messages: readonly Buffer[], all: Buffer = Buffer.concat(messages)): void {
    if (this.#closed) return;
    this.#resync();
    if (this.behind) for (const message of messages) this.#queue(message);
    else this.#write(all);
  }

  #queue(message: Buffer): void {
    if (this.#closed) return;
    this.#events.push(message);
    this.#eventBytes += message.length;
    while (this.#events.length > this.#limits.maxQueuedEvents || this.#eventBytes > this.#limits.maxQueuedBytes) {
      this.#eventBytes -= this.#events.shift()?.length ?? 0;
      this.#dropped++;
      this.#droppedSinceCaughtUp++;
    }
    if (this.#droppedSinceCaughtUp >= this.#limits.maxDropped) this.evict();
  }

  /**
   * Called from time to time: keeps proxies awake, sends a filtered stream its position (null: it has no filter), and evicts
   * a client that has stopped reading.
   */
  tick(position: Position | null): void {
    if (this.#closed) return;
    this.#resync();
    if (this.#behindSinceMs !== null) {
      if (this.#now() - this.#behindSinceMs >= this.#limits.maxBehindMs) this.evict();
    } else if (position === null || position.id === this.#sentId) this.#write(keepAlive);
    else {
      this.#sentId = position.id;
      this.#write(position.message);
    }
  }

  /** Ends the stream in order; the client reconnects with the id of its last event. */
  close(): void {
    if (this.#closed) return;
    this.#end();
    if (this.#gzip === null) this.#response.end();
    else this.#response.end(this.#gzip.end());
  }

  /** Evicts a slow consumer. Without a last message: its socket is full. */
  evict(): void {
    if (this.#closed) return;
    this.#end({
      dropped: this.#dropped,
      unsent: this.#events.length,
      behindMs: this.#behindSinceMs === null ? 0 : Math.round(this.#now() - this.#behindSinceMs),
    });
    this.#response.destroy();
  }

  #end(evicted: SlowConsumer | null = null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#backlog = null;
    this.#events = [];
    this.#hives.clear();
    this.#onClose(this, evicted);
  }

  #write(message: Buffer): void {
    if (this.#response.destroyed) return;
    this.#response.write(this.#gzip?.pack(message) ?? message);
    if (this.#response.writableLength > this.#limits.behindBytes) this.#behindSinceMs ??= this.#now();
  }

  /**
   * The socket has room again: the snapshot first, then events in their order, then, where some were lost, a new snapshot,
   * then the newest rows of the hives that changed meanwhile.
   */
  #catchUp(): void {
    if (this.#closed || this.#waitsForTurn) return;
    this.#behindSinceMs = null;
    this.#sendBacklog();
    if (this.#dropped > 0 && !this.behind) {
      this.#write(Buffer.from(sseMessage('lagged', JSON.stringify({ dropped: this.#dropped }))));
      this.#dropped = 0;
      this.#stale = true;
    }
    while (this.#events.length > 0 && !this.behind) {
      const batch = this.#events.splice(0, 64);
      for (const message of batch) this.#eventBytes -= message.length;
      this.#write(Buffer.concat(batch));
    }
    this.#resync();
    for (const hive of this.#hives) {
      if (this.behind) return;
      this.#hives.delete(hive);
      const message = this.#wholeHive(hive);
      if (message !== null) this.#write(message);
    }
    if (!this.behind) this.#droppedSinceCaughtUp = 0;
  }

  /** Ends with the backlog sent, or the client behind: its socket is full, or others have their turn. */
  #sendBacklog(): void {
    while (this.#backlog !== null && !this.behind) {
      if (this.#response.writableLength > backlogBytes) {
        this.#behindSinceMs = this.#now();
        return;
      }
      this.#sendPieceInTurn();
    }
  }

  /** A socket with room takes a whole snapshot without a pause; hundreds of them would keep the queen from all else. */
  #sendPieceInTurn(): void {
    let hadTurn = false;
    this.#inTurn(() => {
      hadTurn = true;
      const hasWaited = this.#waitsForTurn;
      this.#waitsForTurn = false;
      this.#sendPiece();
      if (hasWaited) this.#catchUp();
    });
    if (hadTurn) return;
    this.#waitsForTurn = true;
    this.#behindSinceMs = this.#now();
  }

  #sendPiece(): void {
    if (this.#backlog === null) return;
    const beganMs = performance.now();
    const { done, value } = this.#backlog.next();
    if (done === true) this.#backlog = null;
    else this.#write(value);
    this.#charge(performance.now() - beganMs);
  }

  /** What a client has lost may have said that rows are gone: it gets all anew once it keeps up, but not at every turn. */
  #resync(): void {
    if (!this.#stale || this.behind || this.#now() < this.#resyncAtMs) return;
    this.#stale = false;
    this.#backlog = this.#newSnapshot();
    if (this.#backlog === null) return;
    this.#resyncAtMs = this.#now() + this.#limits.resyncEveryMs;
    this.#hives.clear();
    this.#sendBacklog();
  }
}
