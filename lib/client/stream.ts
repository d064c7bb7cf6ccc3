import { createParser } from 'eventsource-parser';
import type {
  FleetEvent,
  StreamChanges,
  StreamHeartbeat,
  StreamLagged,
  StreamPosition,
  StreamSnapshot,
} from '../contract/api.js';
import type { EventsQuery } from '../contract/queries.js';
import { HivepulseError } from '../util/errors.js';
import { isObject } from '../util/is-object.js';
import { signal as aborting, callback, checkOptions, expected, numberFrom, type TableOf } from '../util/options.js';
import { shownUrl } from '../util/shown-url.js';
import { endOnAbort, joinUrl, maxAnswerBytes, RequestError, type Transport, unreachable } from './transport.js';

/** A message of the stream. `open` and `closed` come from the client itself and are about its connection. */
export type StreamMessage =
  | { readonly type: 'open'; readonly url: string }
  | { readonly type: 'closed'; readonly error: unknown; readonly retryInMs: number }
  | { readonly type: 'snapshot'; readonly data: StreamSnapshot }
  | { readonly type: 'heartbeat'; readonly data: StreamHeartbeat }
  /** Where `changes` was asked for. */
  | { readonly type: 'changes'; readonly data: StreamChanges }
  | { readonly type: 'event'; readonly id: string; readonly data: FleetEvent }
  | { readonly type: 'queenEvent'; readonly id: string; readonly data: FleetEvent }
  | { readonly type: 'reset'; readonly data: { readonly lastEventId: string } }
  | { readonly type: 'lagged'; readonly data: StreamLagged }
  | { readonly type: 'position'; readonly data: StreamPosition };

export interface StreamOptions {
  readonly signal?: AbortSignal;
  /** The last event of an earlier stream; what came after it is replayed. */
  readonly lastEventId?: string;
  /** Longest wait before another try, ms (default 10 000). */
  readonly maxBackoffMs?: number;
  /** Silence after which the stream is opened again, ms (default 45 000: three keep-alives of the queen). */
  readonly silentMs?: number;
  /** In [0, 1), for the jitter of retries. */
  readonly random?: () => number;
}

const milliseconds = numberFrom(1, 'a number of milliseconds');
const optionTable: TableOf<StreamOptions> = {
  signal: aborting,
  lastEventId: expected('the id of an event', (value) => typeof value === 'string'),
  maxBackoffMs: milliseconds,
  silentMs: milliseconds,
  random: callback,
};

const minBackoffMs = 250;
/** Answers that another try will not change. */
const final = new Set([400, 401, 403, 404, 405]);
const messages: ReadonlySet<string> = new Set([
  'snapshot',
  'heartbeat',
  'changes',
  'event',
  'queenEvent',
  'reset',
  'lagged',
  'position',
]);

/** The stream, opened again from its last event whenever it ends. It stops only by `signal`, `return` or a final answer. */
export function streamOf(
  transport: Transport,
  query: EventsQuery,
  options: StreamOptions,
): AsyncGenerator<StreamMessage, void, undefined> {
  checkOptions('', options, optionTable);
  return messagesOf(transport, query, options);
}

async function* messagesOf(
  transport: Transport,
  query: EventsQuery,
  options: StreamOptions,
): AsyncGenerator<StreamMessage, void, undefined> {
  const { signal, maxBackoffMs = 10_000, random = Math.random } = options;
  const position: Position = { id: options.lastEventId ?? null, retryMs: minBackoffMs };
  for (let failures = 0; ; failures++) {
    let error: unknown;
    try {
      for await (const message of connection(transport, query, position, options)) {
        if (message.type !== 'open') failures = 0;
        yield message;
      }
      error = new HivepulseError('REQUEST_FAILED', transport.base, 'The queen ended the stream.');
    } catch (caught) {
      if (signal?.aborted) return;
      if (caught instanceof RequestError && final.has(caught.status)) throw caught;
      error = caught;
    }
    if (signal?.aborted) return;
    transport.turn();
    const asked = error instanceof RequestError ? (error.retryAfterSeconds ?? 0) * 1000 : 0;
    // Full jitter: a fleet of readers that lost its queen must not come back as one.
    const ceiling = Math.min(maxBackoffMs, Math.max(position.retryMs, minBackoffMs * 2 ** failures));
    const retryInMs = Math.round(asked + random() * ceiling);
    yield { type: 'closed', error, retryInMs };
    await pause(retryInMs, signal);
    if (signal?.aborted) return;
  }
}

interface Position {
  id: string | null;
  retryMs: number;
}

async function* connection(
  transport: Transport,
  query: EventsQuery,
  position: Position,
  { signal, silentMs = 45_000 }: StreamOptions,
): AsyncGenerator<StreamMessage, void, undefined> {
  const resumed = position.id !== null;
  const silence = new AbortController();
  const any = signal === undefined ? silence.signal : AbortSignal.any([signal, silence.signal]);
  const url = joinUrl(transport.base, 'v1/events', query);
  const watch = watchdog(silentMs, () => silence.abort());
  let reader: ReadableStreamDefaultReader<Uint8Array> | null = null;
  const undo: (() => void)[] = [];
  try {
    const headers = { accept: 'text/event-stream', ...(position.id === null ? {} : { 'last-event-id': position.id }) };
    const response = await transport.fetch(url, { headers, signal: any });
    if (!response.headers.get('content-type')?.startsWith('text/event-stream') || response.body === null)
      throw new HivepulseError(
        'INVALID_RESPONSE',
        shownUrl(url),
        `${shownUrl(url)} is not an event stream: is it a queen's address?`,
      );
    yield { type: 'open', url };
    const arrived: StreamMessage[] = [];
    const parser = createParser({
      onEvent: ({ event, id, data }) => {
        if (event === undefined || !messages.has(event)) return;
        const message = { type: event, id, data: JSON.parse(data) } as StreamMessage;
        if (!isWhole(message)) throw malformed(url, event);
        note(position, message, resumed);
        arrived.push(message);
      },
      maxBufferSize: maxAnswerBytes,
      onError: (error) => {
        if (error.type === 'max-buffer-size-exceeded') throw malformed(url, 'message');
      },
      onRetry: (ms) => {
        position.retryMs = ms;
      },
    });
    reader = response.body.getReader();
    // The signal given to fetch does not reach the body for sure (see textOf).
    undo.push(endOnAbort(reader, signal), endOnAbort(reader, silence.signal));
    const decoder = new TextDecoder();
    for (;;) {
      // Read only when the consumer has taken everything, so that a slow one slows the queen instead of filling memory.
      const { done, value } = await reader.read();
      if (done) {
        silence.signal.throwIfAborted();
        return;
      }
      watch.seen();
      parser.feed(decoder.decode(value, { stream: true }));
      // Silence is the queen's; time that the consumer takes is not.
      watch.stop();
      yield* arrived.splice(0);
      watch.seen();
    }
  } catch (error) {
    if (silence.signal.aborted)
      throw new HivepulseError('REQUEST_TIMEOUT', shownUrl(url), `${shownUrl(url)} was silent for ${silentMs} ms.`, {
        cause: error,
      });
    if (error instanceof HivepulseError || signal?.aborted) throw error;
    throw unreachable(url, error);
  } finally {
    watch.stop();
    for (const each of undo) each();
    silence.abort();
    await reader?.cancel().catch(() => undefined);
  }
}

const malformed = (url: string, what: string): HivepulseError =>
  new HivepulseError(
    'INVALID_RESPONSE',
    shownUrl(url),
    `${shownUrl(url)} sent a malformed ${what}: is it a queen's address?`,
  );

/** What a reader walks or waits for is there; the rest is shown as it comes. */
function isWhole({ type, data }: StreamMessage & { readonly data?: unknown }): boolean {
  if (typeof data !== 'object' || data === null) return false;
  const { lastEventId, hives, workers, hive, gone, added } = data as Record<string, unknown>;
  switch (type) {
    case 'snapshot':
      return typeof lastEventId === 'string' && Array.isArray(hives) && Array.isArray(workers);
    case 'heartbeat':
      return typeof hive === 'object' && hive !== null && Array.isArray(workers) && Array.isArray(gone);
    case 'changes':
      return typeof hive === 'string' && isObject(workers) && Array.isArray(added) && Array.isArray(gone);
    case 'reset':
    case 'position':
      return typeof lastEventId === 'string';
    default:
      return true;
  }
}

/**
 * Keeps the id to resume from. A snapshot holds everything up to its own id, but replayed events follow it and are older,
 * so its id counts only where nothing is replayed. A filtered stream sends its position itself.
 */
function note(position: Position, message: StreamMessage, resumed: boolean): void {
  if (message.type === 'event' || message.type === 'queenEvent') position.id = message.id;
  else if (message.type === 'reset' || message.type === 'position') position.id = message.data.lastEventId;
  else if (message.type === 'snapshot' && !resumed) position.id = message.data.lastEventId;
}

function watchdog(ms: number, onSilence: () => void) {
  let timer = setTimeout(onSilence, ms);
  return {
    seen: () => {
      clearTimeout(timer);
      timer = setTimeout(onSilence, ms);
    },
    stop: () => clearTimeout(timer),
  };
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end, { once: true });
  });
}
