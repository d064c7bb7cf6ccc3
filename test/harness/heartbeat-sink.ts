import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Heartbeat, HeartbeatReply } from '../../lib/contract/heartbeat.js';
import { ChangedCells } from '../../lib/contract/stream/cells.js';
import { DeltaReader, decodeKeyframe, messageTypes } from '../../lib/contract/stream/codec.js';
import { ownSchema } from '../../lib/contract/stream/columns.js';
import type { QueenMessage } from '../../lib/contract/stream/messages.js';
import { countRows, NumericState } from '../../lib/contract/stream/state.js';

export interface HeardHeartbeat {
  readonly at: number;
  readonly seq: number;
  readonly wireBytes: number;
  /** Workers whose CPU is known. */
  readonly measuredWorkers: number;
  readonly passMs: number;
}

const durationPlace = ownSchema.head.findIndex(({ name }) => name === 'collection.durationMs');
const cpuPlace = ownSchema.worker.findIndex(({ name }) => name === 'cpuPercent');

/** The numbers that are kept of a hive. Those of rows that came as text are not up to date. */
function figuresOf(state: NumericState): Pick<HeardHeartbeat, 'measuredWorkers' | 'passMs'> {
  let measuredWorkers = 0;
  for (let row = state.firstWorker; row < state.rowCount && state.typeOf(row) === 'worker'; row++)
    if (!Number.isNaN(state.values[state.offsetOf(row) + cpuPlace])) measuredWorkers++;
  return { measuredWorkers, passMs: state.values[state.offsetOf(0) + durationPlace] ?? Number.NaN };
}

function stateOf(body: Buffer, isCompressed: boolean): { heartbeat: Heartbeat; state: NumericState } {
  const heartbeat = JSON.parse(String(isCompressed ? gunzipSync(body) : body)) as Heartbeat;
  const state = new NumericState(ownSchema, countRows(heartbeat));
  state.take(heartbeat);
  return { heartbeat, state };
}

/** The least that a queen could be: takes each heartbeat, by a stream or by POST, and says so. It asks for nothing slower. */
export class HeartbeatSink {
  readonly heard: HeardHeartbeat[] = [];
  readonly #server = createServer();
  #waiting: { readonly count: number; readonly resolve: () => void }[] = [];

  private constructor() {
    this.#server.keepAliveTimeout = 75_000;
    this.#server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const body = Buffer.concat(chunks);
        const { heartbeat, state } = stateOf(body, request.headers['content-encoding'] === 'gzip');
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify(replyTo(heartbeat.events)));
        this.#hear(heartbeat.seq, body.length, state);
      });
    });
    new WebSocketServer({ server: this.#server }).on('connection', (client) => this.#greet(client));
  }

  static async start(): Promise<HeartbeatSink> {
    const sink = new HeartbeatSink();
    await new Promise<void>((resolve) => sink.#server.listen(0, '127.0.0.1', resolve));
    return sink;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  reach(count: number): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ count, resolve }));
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #greet(client: WebSocket): void {
    let state: NumericState | null = null;
    const cells = new ChangedCells();
    const say = (message: QueenMessage) => client.send(JSON.stringify(message));
    client.on('message', (data, isBinary) => {
      const message = data as Buffer;
      if (!isBinary)
        say({
          type: 'welcome',
          queenId: 'sink',
          intervalMs: 100,
          ackEvery: 5,
          takesLoads: true,
          asksForKeyframes: false,
        });
      else if (message[0] === messageTypes.keyframe) {
        const { epoch, encoding, body } = decodeKeyframe(message);
        const read = stateOf(body, encoding === 'gzip');
        state = read.state;
        say({ type: 'ack', epoch, index: 0, deltas: true, reply: replyTo(read.heartbeat.events) });
        this.#hear(read.heartbeat.seq, message.length, state);
      } else if (state !== null) {
        const delta = new DeltaReader(message);
        const { epoch, index, seq, wantsAck, isLoad } = delta;
        const text = delta.apply(state, cells);
        const { events = [] } = text === null ? {} : (JSON.parse(String(text)) as Partial<Heartbeat>);
        if (wantsAck) say({ type: 'ack', epoch, index, deltas: true, reply: replyTo(events) });
        if (!isLoad) this.#hear(seq, message.length, state);
      }
    });
  }

  #hear(seq: number, wireBytes: number, state: NumericState): void {
    this.heard.push({ at: performance.now(), seq, wireBytes, ...figuresOf(state) });
    const { length } = this.heard;
    for (const { count, resolve } of this.#waiting) if (length >= count) resolve();
    this.#waiting = this.#waiting.filter(({ count }) => length < count);
  }
}

const replyTo = (events: Heartbeat['events']): HeartbeatReply => ({
  accepted: true,
  queenId: 'sink',
  ackEventSeq: events.at(-1)?.seq ?? 0,
  intervalMs: 100,
});
