// Simulated hives, each with a stream of its own. argv: port, hives, workers of each. A message `{ prepare }` makes at least
// that many of all of them, and the next sends those, and waits until the queen has taken them in. A second passes between two
// of one hive, so that keyframes are as many as they are in a fleet.
import { WebSocket } from 'ws';
import { sentSchema } from '../../lib/contract/stream/codec.js';
import { ownSchema } from '../../lib/contract/stream/columns.js';
import { helloOf, readQueenMessage, subprotocol } from '../../lib/contract/stream/messages.js';
import type * as Encoder from '../../lib/hive/stream-encoder.js';
import type { StreamMessage } from '../../lib/hive/stream-encoder.js';
import { SimulatedHive } from '../../test/harness/simulated-fleet.js';
import type { LoadResult } from './load.js';

export interface StreamLoadResult extends LoadResult {
  /** CPU time of this process in the encoder, µs of one heartbeat. */
  readonly encodeMicros: number;
}

const [portText, hivesText, workersText] = process.argv.slice(2) as [string, string, string];
/** Of a WebSocket message from a client: opcode, length and mask. */
const messageHeaderBytes = 8;
// As built: what runs TypeScript for the benchmarks gives each function its name at every call.
const { StreamEncoder } = (await import(
  new URL('../../dist/hive/stream-encoder.js', import.meta.url).href
)) as typeof Encoder;

class Hive {
  readonly #client: WebSocket;
  readonly #hive: SimulatedHive;
  readonly #encoder: Encoder.StreamEncoder;
  #nowMs = 0;
  #answered: (() => void) | null = null;
  bytes = 0;
  sent = 0;
  encodeMs = 0;

  constructor(index: number) {
    this.#client = new WebSocket(`ws://127.0.0.1:${portText}/v1/stream`, subprotocol, { perMessageDeflate: false });
    this.#hive = new SimulatedHive({ id: `stream-${index}`, seed: index + 1, workers: Number(workersText), gpus: 8 });
    this.#encoder = new StreamEncoder(
      () => this.#nowMs,
      () => (index % 60) / 60,
    );
  }

  async open(): Promise<void> {
    await new Promise((resolve) => this.#client.once('open', resolve));
    const welcomed = new Promise<void>((resolve) => {
      this.#client.on('message', (data) => {
        const message = readQueenMessage(String(data));
        if (message?.type === 'welcome') {
          this.#encoder.ackEvery = message.ackEvery;
          resolve();
        } else if (message?.type === 'ack') {
          this.#answered?.();
        } else if (message?.type === 'keyframe') this.#encoder.reset();
        else if (message?.type !== 'interval') throw new Error(`refused: ${String(data)}`);
      });
    });
    this.#client.send(helloOf(sentSchema(ownSchema)));
    await welcomed;
  }

  /** The next messages, made before time is measured: at least so many, the last of which is answered. */
  async prepare(least: number): Promise<readonly StreamMessage[]> {
    const messages: StreamMessage[] = [];
    while (messages.length < least || !messages.at(-1)!.wantsAck) {
      this.#nowMs += 1000;
      const heartbeat = this.#hive.nextHeartbeat();
      // The queen takes them in when they are sent.
      this.#hive.acknowledge(Number.POSITIVE_INFINITY);
      const beganMs = performance.now();
      const encoded = this.#encoder.encode(heartbeat);
      this.encodeMs += performance.now() - beganMs;
      const message = encoded instanceof Promise ? await encoded : encoded;
      messages.push(message);
      this.bytes += message.bytes.length + messageHeaderBytes;
      this.sent++;
    }
    return messages;
  }

  /** Resolves once it is answered, where an answer is wanted. */
  async send({ bytes, wantsAck }: StreamMessage): Promise<void> {
    const answered = new Promise<void>((resolve) => {
      this.#answered = resolve;
    });
    this.#client.send(bytes);
    if (wantsAck) await answered;
  }

  /** Resolves once the queen has read what came before. */
  async ping(): Promise<void> {
    const answered = new Promise((resolve) => this.#client.once('pong', resolve));
    this.#client.ping();
    await answered;
  }
}

/** One message of each hive after the other, as they come in a fleet: the queen reads each for itself. */
async function sendAll(prepared: readonly (readonly StreamMessage[])[]): Promise<void> {
  const rounds = Math.max(...prepared.map(({ length }) => length));
  for (let round = 0; round < rounds; round++) {
    const sent = hives.map((hive, i) => {
      const message = prepared[i]![round];
      return message && hive.send(message);
    });
    await Promise.all([...sent, hives.at(-1)!.ping()]);
  }
}

const hives = Array.from({ length: Number(hivesText) }, (_, index) => new Hive(index));
await Promise.all(hives.map((hive) => hive.open()));
const sum = (of: (hive: Hive) => number) => hives.reduce((total, hive) => total + of(hive), 0);
const totals = () => ({
  sent: sum(({ sent }) => sent),
  bytes: sum(({ bytes }) => bytes),
  encodeMs: sum(({ encodeMs }) => encodeMs),
});
let before = totals();
let prepared: (readonly StreamMessage[])[] = [];
process.on('message', async ({ prepare }: { prepare?: number }) => {
  if (prepare !== undefined) {
    before = totals();
    prepared = [];
    for (const hive of hives) prepared.push(await hive.prepare(prepare));
    process.send?.({ ready: true });
    return;
  }
  const fromMs = performance.now();
  await sendAll(prepared);
  const after = totals();
  const count = after.sent - before.sent;
  process.send?.({
    count,
    wallMs: performance.now() - fromMs,
    bodyBytes: (after.bytes - before.bytes) / count,
    encodeMicros: ((after.encodeMs - before.encodeMs) * 1000) / count,
  } satisfies StreamLoadResult);
});
process.once('disconnect', () => process.exit());
process.send?.({ ready: true });
