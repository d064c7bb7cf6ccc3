// Readers of a queen's event stream, each on a socket of its own, in a process of theirs as they are in life.
// argv: port, how many. Says when all have their snapshot; answers each message with what arrived since, and when.
import { connect } from 'node:net';
import { monotonicMs } from '../../lib/util/clock.js';

/** Beats and the times at which they were read, ms of CLOCK_MONOTONIC, which is one for all processes. */
export interface Arrivals {
  readonly heartbeats: readonly number[];
  readonly atMs: readonly number[];
}

const [port, count] = process.argv.slice(2).map(Number) as [number, number];
/** Each beat renames a worker, so that what is read tells which beat it is of. */
const mark = Buffer.from('"name":"beat-');
const quote = 0x22;

let heartbeats: number[] = [];
let atMs: number[] = [];

const snapshot = Buffer.from('event: snapshot');
/** Of what a chunk ends with: a mark may be cut in two. */
const tailBytes = 32;
/** What one reader has read, behind the tail of what it read before. It is that of all: a buffer for each chunk costs more than its search. */
const shared = Buffer.alloc(tailBytes + 64 * 1024);
const buffer = shared.subarray(tailBytes);

async function subscribe(): Promise<void> {
  const tail = Buffer.alloc(tailBytes);
  let tailLength = 0;
  let hasSnapshot = false;
  await new Promise<void>((resolve, reject) => {
    // Searched as bytes: a thousand readers in one process must cost little beside the queen that is measured.
    const search = (bytes: Buffer) => {
      const now = monotonicMs();
      let searched = 0;
      for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, searched)) {
        const end = bytes.indexOf(quote, at + mark.length);
        if (end < 0) break;
        heartbeats.push(Number(bytes.toString('latin1', at + mark.length, end)));
        atMs.push(now);
        searched = end;
      }
      if (!hasSnapshot && bytes.includes(snapshot)) {
        hasSnapshot = true;
        resolve();
      }
      // A mark that is whole must not be found again.
      tailLength = bytes.copy(tail, 0, Math.max(searched, bytes.length - tailBytes));
    };
    const callback = (length: number) => {
      const first = tailBytes - tailLength;
      tail.copy(shared, first, 0, tailLength);
      search(shared.subarray(first, tailBytes + length));
      return true;
    };
    const socket = connect({ port, host: '127.0.0.1', onread: { buffer, callback } });
    socket.once('error', reject);
    socket.write('GET /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/event-stream\r\n\r\n');
  });
}

for (let i = 0; i < count; i += 50)
  await Promise.all(Array.from({ length: Math.min(50, count - i) }, () => subscribe()));
process.on('message', () => {
  process.send?.({ heartbeats, atMs } satisfies Arrivals);
  heartbeats = [];
  atMs = [];
});
process.once('disconnect', () => process.exit());
process.send?.({ ready: true });
