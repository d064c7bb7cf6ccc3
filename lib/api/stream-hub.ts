import type { ServerResponse } from 'node:http';
import type { FleetEvent } from '../contract/api.js';
import { defaults } from '../contract/defaults.js';
import { RequestTurns } from '../http/request-turns.js';
import {
  gzipHeaders,
  positionOf,
  type SlowConsumer,
  StreamClient,
  type StreamLimits,
  sseMessage,
  streamHeaders,
  streamLimits,
} from '../http/sse.js';
import type { Replay } from '../queen/events.js';
import type { RegistryChange } from '../queen/registry-options.js';
import { hasShare } from '../util/fair-share.js';
import { eventMessage, StreamGroup, showsRows } from './stream-group.js';
import { PendingRows, RowText, rowsNameOf, type StreamFilter, StreamRows, type StreamSource } from './stream-rows.js';

const keepAliveMs = 15_000;
const maxFlushDelayMs = 500;
/** Where two hives were heard in one turn the fleet is busy: then what happens within so many ms of a write goes out together. */
const gatherMs = 10;
/** Events that are written at once, bytes. */
const eventsTogether = 32 * 1024;
/** Changes are gathered for so long: together they are compressed to a third of what they are one by one. */
const holdMs = 100;
/** Each filter is looked at for every change. */
const maxFiltersOfCaller = 64;

const nameOf = ({ hive, model, kinds, changes, lists }: StreamFilter): string =>
  JSON.stringify([hive, model, kinds && [...new Set(kinds)].sort(), changes, lists]);

/**
 * Fans the registry's changes out. Everything that happened in one turn of the event loop, of a busy fleet in a hundredth of a
 * second, goes out as one write per client, built once per filter; a flush that took long (many clients) puts off the next,
 * so that streaming never takes more than about a quarter of the loop.
 */
export class StreamHub {
  readonly #source: StreamSource;
  readonly #limits: StreamLimits;
  /** Snapshots are written piece by piece, in the turns of requests: new connections go first, and callers take turns. */
  readonly turns: RequestTurns;
  readonly #now: () => number;
  readonly #groups = new Map<string, StreamGroup>();
  readonly #rows = new Map<string, StreamRows>();
  readonly #maxClients: number;
  readonly #maxUnreadBytes: number;
  #pending = new Map<string, PendingRows>();
  #events: FleetEvent[] = [];
  #scheduled = false;
  /** From the last write to the next, ms, at least. */
  #restMs = 0;
  #flushedAtMs = Number.NEGATIVE_INFINITY;
  readonly #onEvicted: (reader: SlowConsumer, count: number) => void;
  #clients = 0;
  #evicted = 0;
  #timer: NodeJS.Timeout | null = null;
  #heldTimer: NodeJS.Timeout | null = null;
  #unsubscribe: (() => void) | null = null;
  #closed = false;

  constructor(
    source: StreamSource,
    options: {
      limits?: Partial<StreamLimits>;
      now?: () => number;
      maxClients?: number;
      /** Waiting for all readers together. */
      maxUnreadBytes?: number;
      /** A client that did not keep up was closed; `count` such so far. */
      onEvicted?: (reader: SlowConsumer, count: number) => void;
      turns?: RequestTurns;
    } = {},
  ) {
    this.#onEvicted = options.onEvicted ?? (() => {});
    this.#source = source;
    this.turns = options.turns ?? new RequestTurns();
    this.#limits = { ...streamLimits, ...options.limits };
    this.#now = options.now ?? (() => performance.now());
    this.#maxClients = options.maxClients ?? defaults.maxStreams;
    this.#maxUnreadBytes = options.maxUnreadBytes ?? Number.POSITIVE_INFINITY;
  }

  get clients(): number {
    return this.#clients;
  }

  /** Slow consumers evicted since the start. */
  get evicted(): number {
    return this.#evicted;
  }

  /** Why another stream of this caller is refused, in words; null: it is not. */
  refusal(caller: string, filter: StreamFilter): string | null {
    const own = this.#all().filter((client) => client.caller === caller);
    if (!hasShare(own.length, this.#maxClients - this.#clients))
      return 'Too many streams are open, or as many of this token or address as is its share.';
    const isNew = !this.#groups.has(nameOf(filter));
    return isNew && new Set(own.map(({ filterName }) => filterName)).size >= maxFiltersOfCaller
      ? `This token or address has ${maxFiltersOfCaller} streams with different filters, which are all that it may have.`
      : null;
  }

  /** Where more waits for readers than memory allows, those for whom most waits are evicted: none of them keeps up. */
  #evictLargest(): void {
    let unread = 0;
    for (const client of this.#all()) unread += client.unreadBytes;
    if (unread <= this.#maxUnreadBytes) return;
    for (const client of this.#all().toSorted((a, b) => b.unreadBytes - a.unreadBytes)) {
      if (unread <= this.#maxUnreadBytes / 2) return;
      unread -= client.unreadBytes;
      client.evict();
    }
  }

  get closed(): boolean {
    return this.#closed;
  }

  #take(change: RegistryChange): void {
    if (change.type === 'heartbeat') {
      const { hiveId } = change;
      if (!this.#isWanted(hiveId)) return;
      const { heartbeat } = change;
      const pending = this.#pending.get(hiveId) ?? new PendingRows(heartbeat.hive);
      this.#pending.set(hiveId, pending);
      pending.add(heartbeat);
    } else {
      // Its rows are gone with it; if it comes back, its first heartbeat brings them all.
      if (change.event.kind === 'hiveRemoved') this.#pending.delete(change.event.hive);
      this.#events.push(change.event);
    }
    this.#schedule();
  }

  /** Some reader sees rows of this hive. */
  #isWanted(hive: string): boolean {
    for (const rows of this.#rows.values()) if (rows.wantsHive(hive)) return true;
    return false;
  }

  /**
   * Takes a response over. `lastEventId`: the newest event that the client has; what came after it is replayed, and where
   * that is no longer known, `reset` comes before the snapshot. `charge`: for the time that what is written for it alone takes.
   */
  open(
    response: ServerResponse,
    filter: StreamFilter,
    lastEventId: string | null,
    caller: string,
    charge: (ms: number) => void = () => {},
    gzip = false,
  ): StreamClient {
    // What is pending for the others is in the snapshot of this one.
    this.flush();
    const name = nameOf(filter);
    const group = this.#groups.get(name) ?? this.#newGroup(name, filter);
    const replay = lastEventId === null ? null : this.#source.eventsSince(lastEventId);
    const newest = this.#source.lastEventId;
    const client = new StreamClient({
      response,
      caller,
      filterName: name,
      charge,
      inTurn: (run) => this.turns.take(() => caller, run),
      gzip,
      limits: this.#limits,
      wholeHive: (hive) => group.rows?.wholeHive(hive) ?? null,
      newSnapshot: () => group.rows?.snapshot(this.#source.lastEventId) ?? null,
      standsAt: newest,
      now: this.#now,
      onClose: (closed, evicted) => {
        if (evicted !== null) {
          this.#evicted++;
          this.#onEvicted(evicted, this.#evicted);
        }
        group.clients.delete(closed);
        if (group.clients.size === 0) this.#forgetGroup(name, group);
        this.#clients--;
        if (this.#clients === 0) this.#rest();
      },
    });
    group.clients.add(client);
    this.#clients++;
    this.#unsubscribe ??= this.#source.subscribe((change) => this.#take(change));
    this.#timer ??= setInterval(() => this.#tick(), keepAliveMs).unref();
    response.writeHead(200, gzip ? { ...streamHeaders, ...gzipHeaders } : streamHeaders);
    client.begin(this.#opening(group, replay, newest));
    return client;
  }

  #newGroup(name: string, filter: StreamFilter): StreamGroup {
    const rowsName = rowsNameOf(filter);
    const rows = showsRows(filter) ? (this.#rows.get(rowsName) ?? new StreamRows(this.#source, filter)) : null;
    const group = new StreamGroup(this.#source, filter, rows);
    this.#groups.set(name, group);
    if (rows === null) return group;
    this.#rows.set(rowsName, rows);
    rows.readers.add(group);
    return group;
  }

  #forgetGroup(name: string, group: StreamGroup): void {
    this.#groups.delete(name);
    group.rows?.readers.delete(group);
    if (group.rows?.readers.size === 0) this.#rows.delete(rowsNameOf(group.filter));
  }

  *#opening(group: StreamGroup, replay: Replay | null, newest: string): Generator<Buffer> {
    // Readers that lost their queen come back spread over two seconds.
    yield Buffer.from(`retry: ${1000 + Math.floor(Math.random() * 2000)}\n\n`);
    if (replay?.type === 'reset') yield Buffer.from(sseMessage('reset', JSON.stringify({ lastEventId: newest })));
    if (group.rows !== null) yield* group.rows.snapshot(newest);
    for (const event of replay?.events ?? []) if (group.wants(event)) yield eventMessage(event, event.json);
    const isReplayedAfterReset = replay?.type === 'reset' && replay.events.length > 0;
    if (group.filtered || isReplayedAfterReset) yield positionOf(newest).message;
  }

  /** Writes what has gathered. Public so that what must be ordered against it can be. */
  flush(): void {
    this.#flush(true);
  }

  #flush(withHeld: boolean): void {
    if (this.#pending.size === 0 && this.#events.length === 0 && !withHeld) return;
    const started = performance.now();
    const pending = this.#pending;
    const events = this.#events;
    this.#pending = new Map();
    this.#events = [];
    const messages = new Map<FleetEvent, Buffer>();
    const text = new RowText(this.#source);
    for (const rows of this.#rows.values()) rows.forget(pending.keys(), events);
    for (const group of this.#groups.values()) this.#flushEvents(group, events, messages);
    for (const rows of this.#rows.values()) {
      if (!rows.filter.changes) this.#flushRows(rows, pending, text);
      else if (this.#hold(rows, pending) && (withHeld || events.length > 0)) {
        this.#flushRows(rows, rows.held, text);
        rows.held.clear();
      }
    }
    this.#evictLargest();
    this.#flushedAtMs = performance.now();
    const tookMs = this.#flushedAtMs - started;
    this.#restMs = Math.min(maxFlushDelayMs, Math.max(tookMs * 3, pending.size > 1 ? gatherMs : 0));
  }

  /** Adds to what waits; whether anything does. */
  #hold({ held }: StreamRows, pending: ReadonlyMap<string, PendingRows>): boolean {
    for (const [id, rows] of pending) {
      const known = held.get(id) ?? new PendingRows(rows.hive);
      held.set(id, known);
      known.add({ hive: rows.hive, workers: [...rows.changed.values()], gone: [...rows.gone], whole: rows.whole });
    }
    if (held.size > 0)
      this.#heldTimer ??= setTimeout(() => {
        this.#heldTimer = null;
        this.flush();
      }, holdMs).unref();
    return held.size > 0;
  }

  /** Before rows, which are as of now: a hive that was removed and came back in one turn must end up present. */
  #flushEvents(group: StreamGroup, events: readonly FleetEvent[], messages: Map<FleetEvent, Buffer>): void {
    let together: Buffer[] = [];
    let bytes = 0;
    const send = () => {
      const all = together.length === 1 ? together[0]! : Buffer.concat(together);
      for (const client of group.clients) client.events(together, all);
      together = [];
      bytes = 0;
    };
    for (const event of events) {
      if (!group.wants(event)) continue;
      const message = messages.get(event) ?? eventMessage(event);
      messages.set(event, message);
      together.push(message);
      bytes += message.length;
      if (bytes > eventsTogether) send();
    }
    if (together.length > 0) send();
  }

  /** Once for all readers of these rows, whatever events each of them sees. */
  #flushRows(shown: StreamRows, pending: ReadonlyMap<string, PendingRows>, text: RowText): void {
    let out = '';
    const hives: string[] = [];
    for (const [id, rows] of pending) {
      if (!shown.wantsHive(id)) continue;
      const message = shown.heartbeat(rows, text);
      if (message === null) continue;
      out += message;
      hives.push(id);
    }
    if (hives.length === 0) return;
    const message = Buffer.from(out);
    for (const { clients } of shown.readers) for (const client of clients) client.heartbeats(message, hives);
  }

  /** Ends the streams of callers that are no longer welcome. */
  endWhere(unwelcome: (caller: string) => boolean): void {
    for (const client of this.#all()) if (unwelcome(client.caller)) client.close();
  }

  /** Ends all streams; none can be opened after that. */
  close(): void {
    this.flush();
    this.#closed = true;
    for (const client of this.#all()) client.close();
    this.#rest();
  }

  #all(): StreamClient[] {
    return [...this.#groups.values()].flatMap((group) => [...group.clients]);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const run = () => {
      this.#scheduled = false;
      this.#flush(false);
    };
    const delay = this.#flushedAtMs + this.#restMs - performance.now();
    if (delay < 1) setImmediate(run);
    else setTimeout(run, delay);
  }

  #tick(): void {
    // Whatever happened up to the newest event has been written then, or waits for a client that is behind.
    this.flush();
    const position = positionOf(this.#source.lastEventId);
    for (const group of this.#groups.values()) {
      for (const client of group.clients) client.tick(group.filtered ? position : null);
    }
    for (const rows of this.#rows.values()) rows.forgetAll();
  }

  #rest(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    if (this.#heldTimer !== null) clearTimeout(this.#heldTimer);
    this.#heldTimer = null;
    this.#unsubscribe?.();
    this.#unsubscribe = null;
    this.#pending.clear();
    this.#events = [];
  }
}
