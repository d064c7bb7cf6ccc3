import type { FleetEvent, HiveView, StreamChanges, StreamHeartbeat, WorkerView } from '../contract/api.js';
import { type Change, changesOf, type LeftOut } from '../contract/changes.js';
import { hiveDetails, workerDetails } from '../contract/details.js';
import { servesModel } from '../contract/models.js';
import { type StreamClient, sseMessage } from '../http/sse.js';
import type { Registry } from '../queen/registry.js';

/** What a stream shows; an absent field shows all. */
export interface StreamFilter {
  readonly hive?: string;
  readonly model?: string;
  /** Names of messages (`heartbeat`, `event`, `queenEvent`) or kinds of events. Without `heartbeat` there are no rows. */
  readonly kinds?: readonly string[];
  /** Rows that were sent before as what changes of them. */
  readonly changes?: boolean;
  /** Of these, only figures that lists show. */
  readonly lists?: boolean;
}

/** What streams ask of the registry. */
export type StreamSource = Pick<
  Registry,
  'warming' | 'lastEventId' | 'eventsSince' | 'hiveIds' | 'hive' | 'worker' | 'workersOf' | 'subscribe'
>;

/** What changed of one hive since the last flush: the newest rows, and keys of rows that are gone. */
export class PendingRows {
  hive: HiveView;
  /** All rows of the hive are to be sent: it is new, or another run of it. */
  whole = false;
  readonly changed = new Map<string, WorkerView>();
  readonly gone = new Set<string>();

  constructor(hive: HiveView) {
    this.hive = hive;
  }

  add({ hive, workers, gone, whole }: StreamHeartbeat): void {
    this.hive = hive;
    this.whole ||= whole;
    for (const row of workers) {
      this.changed.set(row.key, row);
      this.gone.delete(row.key);
    }
    for (const key of gone) {
      this.gone.add(key);
      this.changed.delete(key);
    }
  }
}

/** JSON of rows, built at most once per flush whatever the number of readers. */
export class RowText {
  readonly #source: Pick<StreamSource, 'workersOf'>;
  readonly #texts = new Map<HiveView | WorkerView, string>();
  readonly #workers = new Map<string, readonly WorkerView[]>();

  constructor(source: Pick<StreamSource, 'workersOf'>) {
    this.#source = source;
  }

  of(view: HiveView | WorkerView): string {
    let json = this.#texts.get(view);
    if (json === undefined) {
      json = JSON.stringify(view);
      this.#texts.set(view, json);
    }
    return json;
  }

  /** All workers of a hive, each the same object whenever it is asked for. */
  workersOf(hive: string): readonly WorkerView[] {
    let rows = this.#workers.get(hive);
    if (rows === undefined) {
      rows = this.#source.workersOf(hive);
      this.#workers.set(hive, rows);
    }
    return rows;
  }
}

/** Bytes of a snapshot that are built at once; between two pieces the socket is asked whether there is room. */
const pieceLength = 64 * 1024;

/** The rows of one hive as they were sent last. */
interface SentRows {
  hive: HiveView;
  readonly workers: Map<string, WorkerView>;
}
/** What a reader may know better by an event, or by its clock: it is in each message. */
const always = { ageMs: true, liveness: true } as const;

/** Readers to whom the same of a filter applies see the same rows, whatever events they see. */
export const rowsNameOf = ({ hive, model, changes, lists }: StreamFilter): string =>
  JSON.stringify([hive, model, changes, lists]);

/** The rows that a filter shows: each message is made once for all readers of them. */
export class StreamRows {
  /** Who sees them, by all of their filter. */
  readonly readers = new Set<{ readonly clients: ReadonlySet<StreamClient> }>();
  readonly filter: Pick<StreamFilter, 'hive' | 'model' | 'changes' | 'lists'>;
  readonly #source: StreamSource;
  readonly #whole = new Map<string, Buffer | null>();
  /** Keys shown to clients that filter by model, so that a worker whose model changes can be taken back. */
  readonly #shown = new Set<string>();
  /** By hive, where changes are sent. A reader that has a newer row takes the same change without harm. */
  readonly #sent = new Map<string, SentRows>();
  readonly #leftOut: { readonly hive: LeftOut; readonly worker: LeftOut };
  /** Rows that wait for others, to be compressed together. */
  readonly held = new Map<string, PendingRows>();

  constructor(source: StreamSource, filter: StreamFilter) {
    this.#source = source;
    this.filter = filter;
    this.#leftOut = filter.lists
      ? { hive: { ...always, ...hiveDetails }, worker: { ...always, ...workerDetails } }
      : { hive: always, worker: always };
  }

  wantsHive(hive: string): boolean {
    return this.filter.hive === undefined || this.filter.hive === hive;
  }

  /** A hive's pending rows as a message, or null where none of them are seen. */
  heartbeat(pending: PendingRows, text: RowText): string | null {
    const { model } = this.filter;
    if (this.filter.changes) return this.#changesText(pending, text);
    if (pending.whole || this.filter.hive !== undefined) return this.#wholeText(pending.hive, text);
    const rows: string[] = [];
    const gone = [...pending.gone];
    for (const row of pending.changed.values()) {
      if (this.#shows(row)) rows.push(text.of(row));
      else if (this.#shown.delete(row.key)) gone.push(row.key);
    }
    for (const key of pending.gone) this.#shown.delete(key);
    if (model !== undefined && rows.length === 0 && gone.length === 0) return null;
    return heartbeatMessage(text.of(pending.hive), rows.join(','), gone, false);
  }

  /** For clients that catch up: built once until the hive changes again. */
  wholeHive(id: string): Buffer | null {
    const known = this.#whole.get(id);
    if (known !== undefined) return known;
    const hive = this.#source.hive(id);
    const message = hive === null ? null : Buffer.from(this.#wholeText(hive, new RowText(this.#source)));
    this.#whole.set(id, message);
    return message;
  }

  /** What was built of these hives is old. */
  forget(hives: Iterable<string>, events: readonly FleetEvent[]): void {
    for (const hive of hives) this.#whole.delete(hive);
    for (const event of events) {
      this.#whole.delete(event.hive);
      if (event.kind !== 'hiveRemoved') continue;
      this.#sent.delete(event.hive);
      this.held.delete(event.hive);
    }
  }

  /** Nothing is kept longer than the clients that needed it. */
  forgetAll(): void {
    this.#whole.clear();
  }

  *snapshot(lastEventId: string): Generator<Buffer> {
    const source = this.#source;
    const ids = source.hiveIds().filter((id) => this.wantsHive(id));
    let piece = `event: snapshot\ndata: {"lastEventId":${JSON.stringify(lastEventId)},"warming":${source.warming},"hives":[`;
    let first = true;
    const add = (view: HiveView | WorkerView) => {
      piece += `${first ? '' : ','}${JSON.stringify(view)}`;
      first = false;
    };
    for (const id of ids) {
      const hive = source.hive(id);
      if (hive !== null) add(hive);
      if (piece.length < pieceLength) continue;
      yield Buffer.from(piece);
      piece = '';
    }
    piece += '],"workers":[';
    first = true;
    for (const id of ids) {
      for (const row of source.workersOf(id)) {
        if (this.#shows(row)) add(row);
        if (piece.length < pieceLength) continue;
        yield Buffer.from(piece);
        piece = '';
      }
    }
    yield Buffer.from(`${piece}]}\n\n`);
  }

  /** Whether the row is seen; notes that it was shown. */
  #shows(row: WorkerView): boolean {
    const { model } = this.filter;
    if (model === undefined) return true;
    if (!servesModel(row, model)) return false;
    this.#shown.add(row.key);
    return true;
  }

  #changesText(pending: PendingRows, text: RowText): string {
    const { hive } = pending;
    const sent = pending.whole ? undefined : this.#sent.get(hive.id);
    const change = sent === undefined ? null : changesOf(sent.hive, hive, this.#leftOut.hive);
    if (sent === undefined || change === null) {
      // Only what all readers were sent: the snapshot of one of them may hold more.
      const rows = text.workersOf(hive.id);
      this.#sent.set(hive.id, { hive, workers: new Map(rows.map((row) => [row.key, row])) });
      return this.#wholeText(hive, text);
    }
    sent.hive = hive;
    const workers: [string, Change][] = [];
    const added: string[] = [];
    for (const row of pending.changed.values()) {
      const before = sent.workers.get(row.key);
      const its = before === undefined ? null : changesOf(before, row, this.#leftOut.worker);
      if (its === null) added.push(text.of(row));
      else if (its !== undefined) workers.push([row.id, its]);
      sent.workers.set(row.key, row);
    }
    for (const key of pending.gone) sent.workers.delete(key);
    const { ageMs, liveness } = hive;
    const head: Omit<StreamChanges, 'added'> = {
      hive: hive.id,
      ageMs,
      liveness,
      ...(change === undefined ? {} : { change }),
      workers: Object.fromEntries(workers),
      gone: [...pending.gone],
    };
    return sseMessage('changes', `${JSON.stringify(head).slice(0, -1)},"added":[${added.join(',')}]}`);
  }

  #wholeText(hive: HiveView, text: RowText): string {
    const rows = text.workersOf(hive.id).filter((row) => this.#shows(row));
    return heartbeatMessage(text.of(hive), rows.map((row) => text.of(row)).join(','), [], true);
  }
}

const heartbeatMessage = (hive: string, workers: string, gone: readonly string[], whole: boolean): string =>
  sseMessage('heartbeat', `{"hive":${hive},"workers":[${workers}],"gone":${JSON.stringify(gone)},"whole":${whole}}`);
