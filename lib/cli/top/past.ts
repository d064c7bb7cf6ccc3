import type { HivepulseClient } from '../../client/client.js';
import { recentEvents } from '../../client/recent-events.js';
import type { FleetEvent, History } from '../../contract/api.js';
import type { HistorySpan } from './history.js';
import type { Ui } from './ui.js';

type Detail = NonNullable<Ui['detail']>;

const historyEveryMs = 10_000;
/** Of a hive so many of the fleet's newest events are looked through. */
const eventsBack = 10_000;

/** What the queen keeps of the hive or worker whose detail is open. What cannot be had is asked for again later. */
export class PastOfDetail {
  readonly #client: HivepulseClient;
  readonly #changed: () => void;
  readonly #now: () => number;
  #opened: { readonly detail: Detail; readonly abort: AbortController } | null = null;
  #asked: { readonly span: HistorySpan; readonly atMs: number } | null = null;
  history: History | null = null;
  events: readonly FleetEvent[] | null = null;

  constructor(client: HivepulseClient, changed: () => void, now: () => number = () => performance.now()) {
    this.#client = client;
    this.#changed = changed;
    this.#now = now;
  }

  /** `newestId`: of the events that the stream has brought. */
  refresh({ detail, span }: Pick<Ui, 'detail' | 'span'>, newestId: string): void {
    if (detail?.key !== this.#opened?.detail.key || detail?.kind !== this.#opened?.detail.kind) {
      this.close();
      if (detail === null) return;
      this.#opened = { detail, abort: new AbortController() };
      void this.#readEvents(detail, newestId, this.#opened.abort.signal);
    }
    if (this.#opened === null) return;
    if (this.#asked?.span === span && this.#now() - this.#asked.atMs < historyEveryMs) return;
    if (this.#asked?.span !== span) this.history = null;
    this.#asked = { span, atMs: this.#now() };
    void this.#readHistory(this.#opened.detail, span, this.#opened.abort.signal);
  }

  close(): void {
    this.#opened?.abort.abort();
    this.#opened = null;
    this.#asked = null;
    this.history = null;
    this.events = null;
  }

  async #readEvents({ kind, key }: Detail, newestId: string, signal: AbortSignal): Promise<void> {
    const hive = kind === 'hive' ? key : key.slice(0, key.indexOf('/'));
    const events = await recentEvents(this.#client, newestId, eventsBack, { signal, hive }).catch(() => []);
    if (signal.aborted) return;
    this.events = events;
    this.#changed();
  }

  async #readHistory({ kind, key }: Detail, span: HistorySpan, signal: AbortSignal): Promise<void> {
    const of = kind === 'hive' ? { hive: key } : { worker: key };
    const history = await this.#client.history(of, { signal, span }).catch(() => null);
    // An older answer, or none, takes the place of nothing.
    if (signal.aborted || history === null || this.#asked?.span !== span) return;
    this.history = history;
    this.#changed();
  }
}
