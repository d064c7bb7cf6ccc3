// A fleet of hives that send by streams, each over a connection of its own, one heartbeat a second, at times spread over that
// second. argv: port, hives, workers of each. Connects all, says so, and goes on until it is ended, over new connections where those
// end; answers each message with what came of it so far. What they send is made beforehand for a few hives and used by all, so that most of the machine is
// left to the queen.
import { gzipSync } from 'node:zlib';
import { WebSocket } from 'ws';
import { encodeKeyframe, messageTypes, sentSchema } from '../../lib/contract/stream/codec.js';
import { ownSchema } from '../../lib/contract/stream/columns.js';
import { helloOf, readQueenMessage, subprotocol } from '../../lib/contract/stream/messages.js';
import { StreamEncoder } from '../../lib/hive/stream-encoder.js';
import { asciiJson } from '../../lib/util/ascii-json.js';
import { SimulatedHive } from '../../test/harness/simulated-fleet.js';

export interface FleetCounts {
  readonly sent: number;
  readonly keyframes: number;
  readonly bytes: number;
  /** Connections that ended, and messages that a queen could not follow or refused. */
  readonly lost: number;
  readonly resyncs: number;
  /** Hives whose newest connection has had a keyframe acknowledged. */
  readonly present: number;
  /** Longest time that a message went out after it was due, ms. */
  readonly lateMs: number;
}

/** A keyframe as text, whose hive and seq are filled in; or a delta, whose seq is. */
type Step = { readonly text: string } | { readonly delta: Buffer };

const [portText, hivesText, workersText] = process.argv.slice(2) as [string, string, string];
const patterns = 32;
/** More than the queen lets pass until it asks a hive for a keyframe, with which that begins anew. */
const steps = 300;
/** Above the seq of any step, and more than the steps there are. */
const seqsPerCycle = 512;
const tickMs = 5;
const connectTogether = 64;
const hello = helloOf(sentSchema(ownSchema));
/** Ids have one length, which none of the others in a heartbeat has a part of. */
const idOf = (index: number): string => `fleet-${String(index).padStart(6, '0')}`;
const patternId = 'fleet-pattern';

async function patternOf(seed: number): Promise<readonly Step[]> {
  const hive = new SimulatedHive({ id: patternId, seed, workers: Number(workersText), gpus: 8 });
  // None is due by time: the first step is one.
  const encoder = new StreamEncoder(
    () => 0,
    () => 0.5,
  );
  encoder.ackEvery = 5;
  const made: Step[] = [];
  for (let i = 0; i < steps; i++) {
    const heartbeat = hive.nextHeartbeat();
    hive.acknowledge(Number.POSITIVE_INFINITY);
    const { bytes } = await encoder.encode(heartbeat);
    made.push(bytes[0] === messageTypes.keyframe ? { text: asciiJson(heartbeat) } : { delta: bytes });
  }
  return made;
}

/** Where the index of a delta begins: after its type, flags and epoch, which are one byte each here. */
const indexAt = 3;

function endOfVarint(bytes: Buffer, at: number): number {
  let end = at;
  while (bytes[end]! > 127) end++;
  return end + 1;
}

function withSeq(delta: Buffer, cycle: number): Buffer {
  const begin = endOfVarint(delta, indexAt);
  const end = endOfVarint(delta, begin);
  let rest = cycle * seqsPerCycle;
  for (let at = begin; at < end; at++) rest += (delta[at]! & 127) * 128 ** (at - begin);
  const seq: number[] = [];
  for (; rest > 127; rest >>>= 7) seq.push((rest & 127) | 128);
  seq.push(rest);
  return Buffer.concat([delta.subarray(0, begin), Buffer.from(seq), delta.subarray(end)]);
}

const totals = { sent: 0, keyframes: 0, bytes: 0, lost: 0, resyncs: 0, lateMs: 0, present: 0 };
/** Where the queen has not said within which time: a hive tries again within an interval. */
const comeBackMs = 1000;

class Hive {
  readonly #id: string;
  readonly #steps: readonly Step[];
  #client: WebSocket | null = null;
  #isPresent = false;
  /** A keyframe is not answered yet: a hive waits for that. */
  #isWaiting = false;
  #comeBackMs = comeBackMs;
  #cycle = 0;
  #step = 0;
  #epoch = 0;

  constructor(index: number, made: readonly Step[]) {
    this.#id = idOf(index);
    this.#steps = made;
  }

  /** Connects, until it has a connection. */
  open(): Promise<void> {
    return new Promise((resolve) => {
      const client = new WebSocket(`ws://127.0.0.1:${portText}/v1/stream`, subprotocol, { perMessageDeflate: false });
      client.on('error', () => client.terminate());
      client.once('open', () => client.send(hello));
      client.once('close', () => this.#comeBack(resolve));
      client.on('message', (data) => {
        const message = readQueenMessage(String(data));
        if (message?.type === 'welcome') {
          this.#client = client;
          resolve();
        } else if (message?.type === 'goaway') this.#comeBackMs = message.withinMs;
        else if (message?.type === 'ack') {
          this.#isWaiting = false;
          this.#setPresent(true);
        } else if (message?.type === 'keyframe') this.#begin();
        else if (message?.type === 'resync' || message?.type === 'refused') {
          totals.resyncs++;
          this.#begin();
        }
      });
    });
  }

  #comeBack(resolve: () => void): void {
    if (this.#client !== null) totals.lost++;
    this.#client = null;
    this.#setPresent(false);
    this.#begin();
    setTimeout(() => void this.open().then(resolve), Math.random() * this.#comeBackMs);
    this.#comeBackMs = comeBackMs;
  }

  #setPresent(isPresent: boolean): void {
    if (isPresent !== this.#isPresent) totals.present += isPresent ? 1 : -1;
    this.#isPresent = isPresent;
  }

  #begin(): void {
    this.#isWaiting = false;
    this.#cycle++;
    this.#step = 0;
  }

  send(): void {
    if (this.#client === null || this.#isWaiting) return;
    if (this.#step === steps) this.#begin();
    const step = this.#steps[this.#step++]!;
    const bytes = 'delta' in step ? this.#delta(step.delta) : this.#keyframe(step.text);
    totals.sent++;
    totals.bytes += bytes.length;
    this.#isWaiting = 'text' in step;
    this.#client.send(bytes);
  }

  #delta(delta: Buffer): Buffer {
    return withSeq(delta, this.#cycle);
  }

  #keyframe(text: string): Buffer {
    totals.keyframes++;
    this.#epoch = this.#step === 1 ? 1 : this.#epoch + 1;
    const heartbeat = text
      .replaceAll(patternId, this.#id)
      .replace(/"seq":(\d+)/, (_, seq: string) => `"seq":${Number(seq) + this.#cycle * seqsPerCycle}`);
    return encodeKeyframe({ epoch: this.#epoch, encoding: 'gzip', body: gzipSync(heartbeat, { level: 1 }) });
  }
}

const made = await Promise.all(Array.from({ length: patterns }, (_, i) => patternOf(i + 1)));
const hives = Array.from({ length: Number(hivesText) }, (_, i) => i);
const open: Hive[] = [];
const beganMs = performance.now();
for (let i = 0; i < hives.length; i += connectTogether) {
  const together = hives.slice(i, i + connectTogether).map((index) => new Hive(index, made[index % patterns]!));
  await Promise.all(together.map((hive) => hive.open()));
  open.push(...together);
}
const connectMs = performance.now() - beganMs;

const fromMs = performance.now();
let due = 0;
setInterval(() => {
  const elapsedMs = performance.now() - fromMs;
  const until = Math.floor((elapsedMs / 1000) * open.length);
  totals.lateMs = Math.max(totals.lateMs, elapsedMs - (due / open.length) * 1000);
  for (; due < until; due++) open[due % open.length]!.send();
}, tickMs);
process.on('message', () => {
  process.send?.({ ...totals } satisfies FleetCounts);
  totals.lateMs = 0;
});
process.once('disconnect', () => process.exit());
process.send?.({ connectMs });
