// Simulated hives, each on a connection of its own with one request in flight. Requests are made beforehand, so that
// the load costs little beside what it loads; their seq and times are written into them as they go.
// argv: port, hives, workers of each, `gzip` or `plain`. Each message `{ heartbeats }` sends that many from all of them; those of
// a message `{ prepare }` before it are made already.
import { connect, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { SimulatedHive } from '../../test/harness/simulated-fleet.js';

export interface LoadResult {
  readonly count: number;
  readonly wallMs: number;
  /** Bytes of one body on average, as sent. */
  readonly bodyBytes: number;
}

const [portText, hivesText, workersText, packing] = process.argv.slice(2) as [string, string, string, string];
const gzip = packing === 'gzip';
const hives = Number(hivesText);
const workers = Number(workersText);
/** Snapshots of each hive that are sent in turn. With compression each is packed beforehand, for its number can't be written in. */
const turns = 6;
const firstSeq = 1_000_000;

class Connection {
  readonly #port: number;
  #socket: Socket | null = null;
  readonly #hive: SimulatedHive;
  readonly #texts: readonly string[];
  #at = 0;
  #done: (() => void) | null = null;

  constructor(port: number, index: number) {
    this.#port = port;
    this.#hive = new SimulatedHive({ id: `load-${index}`, seed: index + 1, workers, gpus: 8 });
    const texts: string[] = [];
    for (let turn = 0; turn < turns; turn++) {
      // A worker ends and another starts in its place now and then.
      if (turn === turns >> 1 && index % 8 === 0) {
        this.#hive.killWorker(undefined);
        this.#hive.addWorker({ settled: true });
      }
      const heartbeat = this.#hive.nextHeartbeat();
      texts.push(JSON.stringify({ ...heartbeat, seq: firstSeq }));
    }
    this.#texts = texts;
  }

  /** A connection that was idle for long is ended by the queen. */
  async open(): Promise<void> {
    const socket = connect(this.#port, '127.0.0.1');
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      if (!this.#done) return;
      if (!chunk.toString('latin1', 0, 16).startsWith('HTTP/1.1 200')) throw new Error(`refused: ${chunk.toString()}`);
      this.#done();
      this.#done = null;
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      if (this.#done) throw new Error('the connection ended before the answer');
      this.#socket = null;
    });
    await new Promise((resolve) => socket.once('connect', resolve));
    this.#socket = socket;
  }

  /** Bodies of the next beats, made before time is measured. */
  prepare(count: number): readonly Buffer[] {
    return Array.from({ length: count }, () => {
      const text = (this.#texts[this.#at % turns] as string).replace(
        `"seq":${firstSeq}`,
        `"seq":${firstSeq + this.#at}`,
      );
      this.#at++;
      const body = gzip ? gzipSync(text, { level: 1 }) : Buffer.from(text);
      const head =
        'POST /v1/heartbeats HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n' +
        `${gzip ? 'content-encoding: gzip\r\n' : ''}content-length: ${body.length}\r\n\r\n`;
      return Buffer.concat([Buffer.from(head), body]);
    });
  }

  async send(bodies: readonly Buffer[]): Promise<void> {
    if (this.#socket === null) await this.open();
    for (const body of bodies) {
      await new Promise<void>((resolve) => {
        this.#done = resolve;
        this.#socket?.write(body);
      });
    }
  }
}

const connections = Array.from({ length: hives }, (_, index) => new Connection(Number(portText), index));
let made: readonly (readonly Buffer[])[] | null = null;
process.on('message', async ({ prepare, heartbeats: count = 0 }: { prepare?: number; heartbeats?: number }) => {
  if (prepare !== undefined) {
    made = connections.map((connection) => connection.prepare(prepare));
    process.send?.({ ready: true });
    return;
  }
  const prepared = made ?? connections.map((connection) => connection.prepare(count));
  made = null;
  const bytes = prepared.flat().reduce((sum, body) => sum + body.length, 0);
  const from = performance.now();
  await Promise.all(connections.map((connection, i) => connection.send(prepared[i] as readonly Buffer[])));
  process.send?.({
    count: count * hives,
    wallMs: performance.now() - from,
    bodyBytes: bytes / (count * hives),
  } satisfies LoadResult);
});
process.once('disconnect', () => process.exit());
process.send?.({ ready: true });
