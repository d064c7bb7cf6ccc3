import { type FleetEvent, queenEventKinds } from '../contract/api.js';
import { servesModel } from '../contract/models.js';
import { type StreamClient, sseMessage } from '../http/sse.js';
import type { EventHead } from '../queen/events.js';
import { type StreamFilter, StreamRows, type StreamSource } from './stream-rows.js';

const queenKinds: ReadonlySet<string> = new Set(queenEventKinds);
const typeOf = (event: Pick<FleetEvent, 'kind'>) => (queenKinds.has(event.kind) ? 'queenEvent' : 'event');

export const eventMessage = (event: Pick<FleetEvent, 'kind' | 'id'>, json = JSON.stringify(event)): Buffer =>
  Buffer.from(sseMessage(typeOf(event), json, event.id));

/** Whether a filter shows rows at all. */
export const showsRows = ({ kinds }: StreamFilter): boolean => kinds?.includes('heartbeat') ?? true;

/** All clients that see the same: each message is built once for them. */
export class StreamGroup {
  readonly clients = new Set<StreamClient>();
  readonly filter: StreamFilter;
  /** Null: it sees none. */
  readonly rows: StreamRows | null;
  /** Some events are left out, so that the id of the last one sent may be old, or there may be none. */
  readonly filtered: boolean;
  readonly #source: StreamSource;

  constructor(
    source: StreamSource,
    filter: StreamFilter,
    rows = showsRows(filter) ? new StreamRows(source, filter) : null,
  ) {
    this.#source = source;
    this.filter = filter;
    this.rows = rows;
    this.filtered = filter.hive !== undefined || filter.model !== undefined || filter.kinds !== undefined;
  }

  wants(event: EventHead): boolean {
    const { hive, model, kinds } = this.filter;
    if (hive !== undefined && event.hive !== hive) return false;
    // An event that is about no worker concerns all models.
    if (model !== undefined && event.workerId !== undefined && !this.#isOfModel(event, event.workerId, model))
      return false;
    return kinds === undefined || kinds.includes(typeOf(event)) || kinds.includes(event.kind);
  }

  /** An event says the first name of a model; the others are known while the worker is. */
  #isOfModel(event: EventHead, workerId: string, model: string): boolean {
    if (event.model === model) return true;
    const [group = '', instance = ''] = workerId.split('/', 2);
    const worker = this.#source.worker(event.hive, group, instance);
    return worker !== null && servesModel(worker, model);
  }
}
