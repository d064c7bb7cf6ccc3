import type {
  BestWorker,
  Fleet,
  GpuList,
  GpuView,
  History,
  HiveList,
  HiveView,
  PlacementReply,
  PlacementRequest,
  Reservation,
  Session,
  WorkerList,
  WorkerView,
} from '../contract/api.js';
import type { Cordon, CordonRequest } from '../contract/cordon.js';
import type { Heartbeat, HeartbeatReply } from '../contract/heartbeat.js';
import type { Missing, MissingList } from '../contract/missing.js';
import type {
  BestQuery,
  EventsQuery,
  GpusQuery,
  HistoryQuery,
  HivesQuery,
  MissingQuery,
  WorkersQuery,
} from '../contract/queries.js';
import type { AttentionList, Silence, SilenceList, SilenceRequest } from '../contract/silence.js';
import { HivepulseError } from '../util/errors.js';
import { callback, checkOptions, expected, numberFrom, type OptionTable, text, texts } from '../util/options.js';
import { requirePlainUrls } from '../util/shown-url.js';
import { type StreamMessage, type StreamOptions, streamOf } from './stream.js';
import { type Call, drawOrder, segment, Transport } from './transport.js';

export {
  type Connection,
  type FleetChange,
  FleetMirror,
  type MirroredHive,
  type MirrorOptions,
} from './mirror.js';
export type { StreamMessage, StreamOptions } from './stream.js';
export { RequestError } from './transport.js';

export interface ClientOptions {
  /** Addresses of queens, `http://host:port` with or without a path prefix; the first that answers is used. The others are tried in random order. `''`: relative to the page. */
  readonly url: string | readonly string[];
  /** Sent as `Authorization: Bearer`. A page has a cookie instead. */
  readonly token?: string;
  /**
   * Deadline of one try, ms. Default 5000. Where several addresses are given 1000, and 5000 for one more try where none
   * answered and some were only slow.
   */
  readonly timeoutMs?: number;
  /** To be used instead of the global one, for instance with a certificate authority of one's own. */
  readonly fetch?: typeof fetch;
  /** Uniform in [0, 1), for the order of the addresses after the first. */
  readonly random?: () => number;
}

const optionTable: OptionTable = {
  url: expected('an address, or a list of addresses', (value) => typeof value === 'string' || texts(value) === null),
  token: text,
  timeoutMs: numberFrom(1, 'a number of milliseconds'),
  fetch: callback,
  random: callback,
};

export interface CallOptions {
  readonly signal?: AbortSignal;
}

type Page<T> = { readonly items: readonly T[]; readonly nextCursor: string | null };

/**
 * The queen's HTTP API, typed from the schemas that the queen itself uses. Needs nothing but `fetch`, so it works in a
 * browser as well. Every method throws HivepulseError: REQUEST_FAILED (RequestError where the queen answered, with its
 * problem), REQUEST_TIMEOUT or INVALID_RESPONSE; an aborted signal throws its own reason.
 */
export class HivepulseClient {
  readonly #transport: Transport;

  /** @throws HivepulseError INVALID_OPTION */
  constructor(options: ClientOptions | string) {
    if (typeof options !== 'string') checkOptions('', options, optionTable);
    const { url, token, timeoutMs, random, fetch: own } = typeof options === 'string' ? { url: options } : options;
    const urls = typeof url === 'string' ? [url] : url;
    requirePlainUrls('url', urls, 'give a token for access');
    if (urls.length === 0) throw new HivepulseError('INVALID_OPTION', 'url', 'Name at least one address of a queen.');
    const several = timeoutMs === undefined && urls.length > 1;
    this.#transport = new Transport({
      urls: drawOrder(urls, random),
      token: token ?? null,
      timeoutMs: timeoutMs ?? (several ? 1000 : 5000),
      lastTimeoutMs: several ? 5000 : null,
      fetch: own ?? ((input, init) => fetch(input, init)),
    });
  }

  /** The address that answered last. */
  get url(): string {
    return this.#transport.base;
  }

  hives(query: HivesQuery = {}, options: CallOptions = {}): Promise<HiveList> {
    return this.#get('v1/hives', options, query);
  }

  hive(id: string, options: CallOptions = {}): Promise<HiveView> {
    return this.#get(`v1/hives/${segment(id)}`, options);
  }

  /** Forgets a hive; one that still sends comes back. Role admin. */
  async removeHive(id: string, options: CallOptions = {}): Promise<void> {
    await this.#call(`v1/hives/${segment(id)}`, { ...options, method: 'DELETE' });
  }

  /** What was seen and is gone: hives first, then GPUs, then workers. */
  missing(query: MissingQuery = {}, options: CallOptions = {}): Promise<MissingList> {
    return this.#get('v1/missing', options, query);
  }

  allMissing(query: MissingQuery = {}, options: CallOptions = {}): AsyncGenerator<Missing> {
    return pages((cursor) => this.missing(cursor === null ? query : { ...query, cursor }, options));
  }

  /** Forgets what is missing: a hive with all of its own, a GPU, or a worker. Role admin. */
  async forget({ kind, key }: Pick<Missing, 'kind' | 'key'>, options: CallOptions = {}): Promise<void> {
    const id = kind === 'worker' ? path(key) : segment(key);
    await this.#call(`v1/${kind}s/${id}`, { ...options, method: 'DELETE' });
  }

  /** Takes a hive out of scheduling; its workers keep running. Role admin. */
  async cordon(id: string, request: CordonRequest, options: CallOptions = {}): Promise<Cordon> {
    return (await this.#call(`v1/hives/${segment(id)}/cordon`, {
      ...options,
      method: 'POST',
      body: request,
    })) as Cordon;
  }

  /** Takes a hive back into scheduling. Role admin. */
  async uncordon(id: string, options: CallOptions = {}): Promise<void> {
    await this.#call(`v1/hives/${segment(id)}/uncordon`, { ...options, method: 'POST' });
  }

  /** What needs attention, the worst first, equal things as one. */
  attention(options: CallOptions = {}): Promise<AttentionList> {
    return this.#get('v1/attention', options);
  }

  silences(options: CallOptions = {}): Promise<SilenceList> {
    return this.#get('v1/silences', options);
  }

  /** Acknowledges or silences a cause, on some hives or on all. Role admin. */
  async silence(request: SilenceRequest, options: CallOptions = {}): Promise<SilenceList> {
    return (await this.#call('v1/silences', { ...options, method: 'POST', body: request })) as SilenceList;
  }

  /** Role admin. */
  async unsilence({ cause, hive }: Pick<Silence, 'cause' | 'hive'>, options: CallOptions = {}): Promise<void> {
    const query = { cause, ...(hive !== null && { hive }) };
    await this.#call('v1/silences', { ...options, method: 'DELETE', query });
  }

  workers(query: WorkersQuery = {}, options: CallOptions = {}): Promise<WorkerList> {
    return this.#get('v1/workers', options, query);
  }

  /** By key: `hive/group/instance`. */
  worker(key: string, options: CallOptions = {}): Promise<WorkerView> {
    return this.#get(`v1/workers/${path(key)}`, options);
  }

  gpus(query: GpusQuery = {}, options: CallOptions = {}): Promise<GpuList> {
    return this.#get('v1/gpus', options, query);
  }

  gpu(uuid: string, options: CallOptions = {}): Promise<GpuView> {
    return this.#get(`v1/gpus/${segment(uuid)}`, options);
  }

  allHives(query: HivesQuery = {}, options: CallOptions = {}): AsyncGenerator<HiveView> {
    return pages((cursor) => this.hives(cursor === null ? query : { ...query, cursor }, options));
  }

  allWorkers(query: WorkersQuery = {}, options: CallOptions = {}): AsyncGenerator<WorkerView> {
    return pages((cursor) => this.workers(cursor === null ? query : { ...query, cursor }, options));
  }

  allGpus(query: GpusQuery = {}, options: CallOptions = {}): AsyncGenerator<GpuView> {
    return pages((cursor) => this.gpus(cursor === null ? query : { ...query, cursor }, options));
  }

  /** The worker to send a request for a model to; `worker` is null where none is ready. Say how long the prompt is where you know it. */
  best(query: string | BestQuery, options: CallOptions = {}): Promise<BestWorker> {
    return this.#get('v1/workers/best', options, typeof query === 'string' ? { model: query } : query);
  }

  /** A picked request is over, or was not sent: its pick counts no longer. Optional. */
  async pickDone(pickId: string, options: CallOptions = {}): Promise<void> {
    await this.#call(`v1/workers/picks/${segment(pickId)}/done`, { ...options, method: 'POST' });
  }

  /**
   * Where a new worker would fit. A request that reserves gets an idempotency key unless it has one, so that a repeated
   * try reserves once.
   */
  async place(request: PlacementRequest, options: CallOptions = {}): Promise<PlacementReply> {
    const reserves = request.reserveSeconds !== undefined && request.idempotencyKey === undefined;
    const body = reserves ? { ...request, idempotencyKey: randomKey() } : request;
    return (await this.#call('v1/placements', { ...options, method: 'POST', body })) as PlacementReply;
  }

  reservations(options: CallOptions = {}): Promise<{ readonly items: readonly Reservation[] }> {
    return this.#get('v1/reservations', options);
  }

  /** Gives reserved capacity back. */
  async release(reservationId: string, options: CallOptions = {}): Promise<void> {
    await this.#call(`v1/reservations/${segment(reservationId)}`, { ...options, method: 'DELETE' });
  }

  fleet(options: CallOptions = {}): Promise<Fleet> {
    return this.#get('v1/fleet', options);
  }

  /** The last hour, or day, of a hive (`id`), a worker (`hive/group/instance`), a GPU (`uuid`) or the whole fleet. */
  history(
    of: { readonly hive: string } | { readonly worker: string } | { readonly gpu: string } | { readonly fleet: true },
    options: CallOptions & HistoryQuery = {},
  ): Promise<History> {
    const { span, ...call } = options;
    const resource =
      'hive' in of
        ? `v1/hives/${segment(of.hive)}`
        : 'worker' in of
          ? `v1/workers/${path(of.worker)}`
          : 'gpu' in of
            ? `v1/gpus/${segment(of.gpu)}`
            : 'v1/fleet';
    return this.#get(`${resource}/history`, call, span === undefined ? {} : { span });
  }

  /**
   * Everything that happens, for as long as the loop runs: a snapshot first, then what changes (`FleetMirror` folds it). A
   * stream that ends is opened again (at the next address, where several are given) with the id of its last event, after a
   * growing, jittered pause. Throws only where another try would not help: an option that is none, a refused token, a
   * malformed query.
   */
  events(query: EventsQuery = {}, options: StreamOptions = {}): AsyncGenerator<StreamMessage, void, undefined> {
    return streamOf(this.#transport, query, options);
  }

  async sendHeartbeat(heartbeat: Heartbeat, options: CallOptions = {}): Promise<HeartbeatReply> {
    return (await this.#call('v1/heartbeats', { ...options, method: 'POST', body: heartbeat })) as HeartbeatReply;
  }

  session(options: CallOptions = {}): Promise<Session> {
    return this.#get('v1/session', options);
  }

  /** Has the queen keep a token in a cookie that scripts cannot read. */
  async logIn(token: string, options: CallOptions = {}): Promise<Session> {
    return (await this.#call('v1/session', { ...options, method: 'POST', body: { token } })) as Session;
  }

  async logOut(options: CallOptions = {}): Promise<void> {
    await this.#call('v1/session', { ...options, method: 'DELETE' });
  }

  /** True once the queen has had time to receive heartbeats of its whole fleet. */
  async ready(options: CallOptions = {}): Promise<boolean> {
    return !(await this.fleet(options)).warming;
  }

  async #get<T>(resource: string, options: CallOptions, query: object = {}): Promise<T> {
    return (await this.#call(resource, { ...options, query })) as T;
  }

  #call(resource: string, call: Call): Promise<unknown> {
    return this.#transport.call(resource, call);
  }
}

/** `hive/group/instance` as three segments of a URL. */
function path(key: string): string {
  const parts = key.split('/');
  if (parts.length !== 3 || parts.some((part) => part === ''))
    throw new HivepulseError('INVALID_OPTION', key, `${key} is not a worker's key (hive/group/instance).`);
  return parts.map(segment).join('/');
}

async function* pages<T>(page: (cursor: string | null) => Promise<Page<T>>): AsyncGenerator<T> {
  for (let cursor: string | null = null; ; ) {
    const { items, nextCursor }: Page<T> = checkPage(await page(cursor), cursor);
    yield* items;
    if (nextCursor === null) return;
    cursor = nextCursor;
  }
}

/** The page, if another one can follow it. @throws HivepulseError INVALID_RESPONSE where asking on would never end */
export function checkPage<P extends Page<unknown>>(page: P, cursor: string | null): P {
  const { items, nextCursor } = page as Partial<P>;
  const ends = nextCursor === null;
  const goesOn = typeof nextCursor === 'string' && nextCursor !== cursor && Array.isArray(items) && items.length > 0;
  if (Array.isArray(items) && (ends || goesOn)) return page;
  throw new HivepulseError(
    'INVALID_RESPONSE',
    'nextCursor',
    'The answer is no page of a list (items, nextCursor): is it from a queen?',
  );
}

/** Works where `crypto.randomUUID` does not: in a page that is served without TLS. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
