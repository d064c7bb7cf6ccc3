import type { ServerResponse } from 'node:http';
import {
  type FleetEvent,
  type HiveView,
  queenEventKinds,
  type StreamHeartbeat,
  type WorkerView,
} from '../contract/api.js';
import { defaults } from '../contract/defaults.js';
import {
  positionOf,
  type SlowConsumer,
  StreamClient,
  type StreamLimits,
  sseMessage,
  streamHeaders,
  streamLimits,
} from '../http/sse.js';
import type { Replay } from '../queen/events.js';

/** What a stream shows; an absent field shows all. */
export interface StreamFilter {
  readonly hive?: string;
  readonly model?: string;
  /** Names of messages (`heartbeat`, `event`, `queenEvent`) or kinds of events. Without `heartbeat` there are no rows. */
  readonly kinds?: readonly string[];
}

export type StreamChange =
  | { readonly type: 'heartbeat'; readonly hiveId: string; readonly heartbeat: StreamHeartbeat }
  | { readonly type: 'event' | 'queenEvent'; readonly event: FleetEvent };

/** What the hub asks of the registry. */
export interface StreamSource {
  readonly warming: boolean;
  readonly lastEventId: string;
  eventsSince(id: string): Replay;
  hiveIds(): readonly string[];
  hive(id: string): HiveView | null;
  workersOf(hive: string): readonly WorkerView[];
  /** Gives back what ends the subscription. The hub subscribes only while somebody reads. */
  subscribe(listener: (change: StreamChange) => void): () => void;
}

/** What beat since the last flush: the newest rows that changed, and keys of rows that are gone. */
interface Dirty {
  hive: HiveView;
  /** All rows of the hive are to be sent: it is new, or another run of it. */
  whole: boolean;
  readonly changed: Map<string, WorkerView>;
  readonly gone: Set<string>;
}

const conclusions: ReadonlySet<string> = new Set(queenEventKinds);
const messageOf = (event: FleetEvent): 'queenEvent' | 'event' => (conclusions.has(event.kind) ? 'queenEvent' : 'event');

/** Bytes of a snapshot that are built at once; between two pieces the socket is asked whether there is room. */
const pieceLength = 64 * 1024;
const keepAliveMs = 15_000;
const maxFlushDelayMs = 500;

/** All clients that see the same: each frame is built once for them. */
class Group {
  readonly clients = new Set<StreamClient>();
  readonly filter: StreamFilter;
  readonly rows: boolean;
  /** Events pass it by, so that the id of the last one it was sent may be old, or not there at all. */
  readonly filtered: boolean;
  readonly #whole = new Map<string, Buffer | null>();
  /** Keys shown to clients that filter by model, so that a worker that turns to another model can be taken back. */
  readonly #shown = new Set<string>();

  constructor(filter: StreamFilter) {
    this.filter = filter;
    this.rows = filter.kinds?.includes('heartbeat') ?? true;
    this.filtered = filter.hive !== undefined || filter.model !== undefined || filter.kinds !== undefined;
  }

  wants(event: FleetEvent): boolean {
    const { hive, model, kinds } = this.filter;
    if (hive !== undefined && event.hive !== hive) return false;
    // An event that is about no worker bears on all models.
    if (model !== undefined && event.workerId !== undefined && event.model !== model) return false;
    return kinds === undefined || kinds.includes(messageOf(event)) || kinds.includes(event.kind);
  }

  wantsHive(hive: string): boolean {
    return this.rows && (this.filter.hive === undefined || this.filter.hive === hive);
  }

  passes(row: WorkerView): boolean {
    return this.filter.model === undefined || row.model === this.filter.model;
  }

  /** The rows of one beat, or null where this group sees none of them. */
  beat(source: StreamSource, { hive, whole, changed, gone: left }: Dirty, text: RowText): string | null {
    if (whole || this.filter.hive !== undefined) return this.wholeText(source, hive, text);
    const rows: string[] = [];
    const gone = [...left];
    for (const row of changed.values()) {
      if (this.passes(row)) {
        rows.push(text.of(row));
        if (this.filter.model !== undefined) this.#shown.add(row.key);
      } else if (this.#shown.delete(row.key)) gone.push(row.key);
    }
    for (const key of left) this.#shown.delete(key);
    if (this.filter.model !== undefined && rows.length === 0 && gone.length === 0) return null;
    return sseMessage(
      'heartbeat',
      `{"hive":${text.of(hive)},"workers":[${rows.join(',')}],"gone":${JSON.stringify(gone)},"whole":false}`,
    );
  }

  wholeText(source: StreamSource, hive: HiveView, text: RowText): string {
    const rows = source.workersOf(hive.id).filter((row) => this.passes(row));
    if (this.filter.model !== undefined) for (const row of rows) this.#shown.add(row.key);
    const json = rows.map((row) => JSON.stringify(row)).join(',');
    return sseMessage('heartbeat', `{"hive":${text.of(hive)},"workers":[${json}],"gone":[],"whole":true}`);
  }

  /** For clients that catch up: built once until the hive beats again. */
  wholeFrame(source: StreamSource, id: string): Buffer | null {
    const known = this.#whole.get(id);
    if (known !== undefined) return known;
    const hive = source.hive(id);
    const frame = hive === null ? null : Buffer.from(this.wholeText(source, hive, new RowText()));
    this.#whole.set(id, frame);
    return frame;
  }

  /** What was built of these hives is old; nothing is kept longer than the clients that needed it. */
  forget(hives: Iterable<string>, events: readonly FleetEvent[]): void {
    for (const hive of hives) this.#whole.delete(hive);
    for (const event of events) this.#whole.delete(event.hive);
  }

  forgetAll(): void {
    this.#whole.clear();
  }

  *snapshot(source: StreamSource, lastEventId: string): Generator<Buffer> {
    const ids = source.hiveIds().filter((id) => this.wantsHive(id));
    let piece = `event: snapshot\ndata: {"lastEventId":${JSON.stringify(lastEventId)},"warming":${source.warming},"hives":[`;
    let first = true;
    const add = (json: string) => {
      piece += first ? json : `,${json}`;
      first = false;
    };
    for (const id of ids) {
      const hive = source.hive(id);
      if (hive !== null) add(JSON.stringify(hive));
      if (piece.length < pieceLength) continue;
      yield Buffer.from(piece);
      piece = '';
    }
    piece += '],"workers":[';
    first = true;
    for (const id of ids) {
      for (const row of source.workersOf(id)) {
        if (!this.passes(row)) continue;
        if (this.filter.model !== undefined) this.#shown.add(row.key);
        add(JSON.stringify(row));
      }
      if (piece.length < pieceLength) continue;
      yield Buffer.from(piece);
      piece = '';
    }
    yield Buffer.from(`${piece}]}\n\n`);
  }
}

/** JSON of rows, built at most once per flush whatever the number of groups. */
class RowText {
  readonly #texts = new Map<HiveView | WorkerView, string>();

  of(view: HiveView | WorkerView): string {
    let json = this.#texts.get(view);
    if (json === undefined) {
      json = JSON.stringify(view);
      this.#texts.set(view, json);
    }
    return json;
  }
}

/**
 * Fans the registry's changes out. Everything that happened in one turn of the event loop goes out as one write per
 * client, built once per filter; a flush that took long (many clients) puts off the next, so that streaming never takes
 * more than about a quarter of the loop.
 */
export class StreamHub {
  readonly #source: StreamSource;
  readonly #limits: StreamLimits;
  readonly #now: () => number;
  readonly #groups = new Map<string, Group>();
  readonly #maxClients: number;
  #dirty = new Map<string, Dirty>();
  #events: FleetEvent[] = [];
  #scheduled = false;
  #lastFlushMs = 0;
  readonly #onParted: (reader: SlowConsumer, count: number) => void;
  #clients = 0;
  #parted = 0;
  #timer: NodeJS.Timeout | null = null;
  #unsubscribe: (() => void) | null = null;
  #closed = false;

  constructor(
    source: StreamSource,
    options: {
      limits?: Partial<StreamLimits>;
      now?: () => number;
      maxClients?: number;
      /** A reader that did not keep up was closed; `count` such so far. */
      onParted?: (reader: SlowConsumer, count: number) => void;
    } = {},
  ) {
    this.#onParted = options.onParted ?? (() => {});
    this.#source = source;
    this.#limits = { ...streamLimits, ...options.limits };
    this.#now = options.now ?? (() => performance.now());
    this.#maxClients = options.maxClients ?? defaults.maxStreams;
  }

  get clients(): number {
    return this.#clients;
  }

  /** Readers that were closed because they did not keep up, since the start. */
  get parted(): number {
    return this.#parted;
  }

  get full(): boolean {
    return this.#clients >= this.#maxClients;
  }

  get closed(): boolean {
    return this.#closed;
  }

  #take(change: StreamChange): void {
    if (change.type !== 'heartbeat') {
      // Its rows are gone with it; if it comes back, its first beat brings them all.
      if (change.event.kind === 'hiveRemoved') this.#dirty.delete(change.event.hive);
      this.#events.push(change.event);
    } else this.#takeBeat(change.heartbeat);
    this.#schedule();
  }

  #takeBeat({ hive, workers, gone, whole }: StreamHeartbeat): void {
    const dirty = this.#dirty.get(hive.id) ?? { hive, whole, changed: new Map(), gone: new Set() };
    this.#dirty.set(hive.id, dirty);
    dirty.hive = hive;
    dirty.whole ||= whole;
    for (const row of workers) {
      dirty.changed.set(row.key, row);
      dirty.gone.delete(row.key);
    }
    for (const key of gone) {
      dirty.gone.add(key);
      dirty.changed.delete(key);
    }
  }

  /**
   * Takes a response over. `lastEventId`: where the client stood; what came after it is replayed, and where that is no
   * longer known it is told by `reset` before the snapshot.
   */
  open(response: ServerResponse, filter: StreamFilter, lastEventId: string | null, caller: string): StreamClient {
    // What is waiting for the others is in the snapshot of this one.
    this.flush();
    const name = JSON.stringify([filter.hive, filter.model, filter.kinds && [...filter.kinds].sort()]);
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = new Group(filter);
      this.#groups.set(name, group);
    }
    const into = group;
    const replay = lastEventId === null ? null : this.#source.eventsSince(lastEventId);
    const newest = this.#source.lastEventId;
    const client = new StreamClient({
      response,
      caller,
      limits: this.#limits,
      wholeHive: (hive) => into.wholeFrame(this.#source, hive),
      newSnapshot: () => (into.rows ? into.snapshot(this.#source, this.#source.lastEventId) : null),
      standsAt: newest,
      now: this.#now,
      onClose: (closed, parted) => {
        if (parted !== null) {
          this.#parted++;
          this.#onParted(parted, this.#parted);
        }
        into.clients.delete(closed);
        if (into.clients.size === 0) this.#groups.delete(name);
        this.#clients--;
        if (this.#clients === 0) this.#rest();
      },
    });
    into.clients.add(client);
    this.#clients++;
    this.#unsubscribe ??= this.#source.subscribe((change) => this.#take(change));
    this.#timer ??= setInterval(() => this.#tick(), keepAliveMs).unref();
    response.writeHead(200, streamHeaders);
    client.begin(this.#opening(into, replay, newest));
    return client;
  }

  *#opening(group: Group, replay: Replay | null, newest: string): Generator<Buffer> {
    // Readers that lost their queen come back spread over two seconds.
    yield Buffer.from(`retry: ${1000 + Math.floor(Math.random() * 2000)}\n\n`);
    if (replay?.type === 'reset') yield Buffer.from(sseMessage('reset', JSON.stringify({ lastEventId: newest })));
    if (group.rows) yield* group.snapshot(this.#source, newest);
    if (replay?.type === 'events') for (const event of replay.events) if (group.wants(event)) yield eventFrame(event);
    if (group.filtered) yield positionOf(newest).frame;
  }

  /** Writes what has gathered. Public so that what must be ordered against it can be. */
  flush(): void {
    if (this.#dirty.size === 0 && this.#events.length === 0) return;
    const started = performance.now();
    const dirty = this.#dirty;
    const events = this.#events;
    this.#dirty = new Map();
    this.#events = [];
    const frames = new Map<FleetEvent, Buffer>();
    const text = new RowText();
    for (const group of this.#groups.values()) this.#flushGroup(group, dirty, events, frames, text);
    this.#lastFlushMs = performance.now() - started;
  }

  #flushGroup(
    group: Group,
    dirty: ReadonlyMap<string, Dirty>,
    events: readonly FleetEvent[],
    frames: Map<FleetEvent, Buffer>,
    text: RowText,
  ): void {
    group.forget(dirty.keys(), events);
    // Events first: rows are as of now, and a hive that was removed and came back in one turn must end up present.
    for (const event of events) {
      if (!group.wants(event)) continue;
      let frame = frames.get(event);
      if (frame === undefined) {
        frame = eventFrame(event);
        frames.set(event, frame);
      }
      for (const client of group.clients) client.event(frame);
    }
    let out = '';
    const hives: string[] = [];
    for (const [id, rows] of dirty) {
      if (!group.wantsHive(id)) continue;
      const frame = group.beat(this.#source, rows, text);
      if (frame === null) continue;
      out += frame;
      hives.push(id);
    }
    if (hives.length === 0) return;
    const frame = Buffer.from(out);
    for (const client of group.clients) client.heartbeats(frame, hives);
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
      this.flush();
    };
    const delay = Math.min(maxFlushDelayMs, this.#lastFlushMs * 3);
    if (delay < 2) setImmediate(run);
    else setTimeout(run, delay);
  }

  #tick(): void {
    // Whatever happened up to the newest event has been written then, or waits for a client that is behind.
    this.flush();
    const position = positionOf(this.#source.lastEventId);
    for (const group of this.#groups.values()) {
      for (const client of group.clients) client.tick(group.filtered ? position : null);
      group.forgetAll();
    }
  }

  #rest(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#unsubscribe?.();
    this.#unsubscribe = null;
    this.#dirty.clear();
    this.#events = [];
  }
}

function eventFrame(event: FleetEvent): Buffer {
  return Buffer.from(sseMessage(messageOf(event), JSON.stringify(event), event.id));
}
