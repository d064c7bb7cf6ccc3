import { rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { FaultyProxy, ProxyFault } from '../../harness/proxy.js';
import type { Random } from '../../harness/random.js';
import type { Command } from './protocol.js';

/** What a fault may take hold of. */
export interface Stage {
  readonly random: Random;
  readonly url: string;
  /** Lengths of faults are drawn up to this, s. */
  readonly longestSeconds: number;
  /** Between the real hive and the queen. */
  readonly proxy: FaultyProxy;
  /** Where the queen keeps reservations: a small disk of its own. null where none can be mounted. */
  readonly state: string | null;
  command(command: Command): void;
  signalQueen(signal: NodeJS.Signals): void;
  /** Ends the queen by kill -9 and starts another on its port. */
  replaceQueen(afterMs: number): Promise<void>;
  /** Waits so long, or until the soak is interrupted. */
  lasts(seconds: number): Promise<void>;
}

export interface SoakFault {
  readonly name: string;
  /** The queen's memory starts anew with it. */
  readonly endsQueen?: true;
  /** Whether it can be injected here; always, where it is absent. */
  possible?(stage: Stage): boolean;
  inject(stage: Stage): Promise<void>;
}

const { max } = Math;
const length = ({ random, longestSeconds }: Stage, least: number): number =>
  max(least, random.between(least, longestSeconds));

/** Opens connections, has each say something, and closes what is left of them after a while. */
async function flood(stage: Stage, count: number, seconds: number, say: (socket: Socket, i: number) => void) {
  const { port, hostname } = new URL(stage.url);
  const sockets = Array.from({ length: count }, (_, i) => {
    const socket = connect(Number(port), hostname);
    socket.on('error', () => undefined);
    socket.resume();
    socket.on('connect', () => say(socket, i));
    return socket;
  });
  await stage.lasts(seconds);
  for (const socket of sockets) socket.destroy();
}

const junk = [
  '{"schema":1',
  '[]',
  `{"schema":1,"hive":{"id":"../../etc","__proto__":{"a":1}}}`,
  `${'['.repeat(20_000)}`,
  '{"schema":1,"seq":1e400}',
];

const proxyFaults: readonly ProxyFault[] = [
  { kind: 'silent' },
  { kind: 'slow', bytesPerSecond: 1 },
  { kind: 'reset', afterBytes: 40 },
  { kind: 'answer', bytes: 'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<h1>Hello</h1>\n' },
];

async function reserve({ url }: Stage): Promise<void> {
  const response = await fetch(`${url}/v1/placements`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ vramBytes: 1024 ** 3, reserveSeconds: 5 }),
  });
  if (!response.ok) throw new Error(`a placement was not answered: ${response.status} ${await response.text()}`);
}

export const soakFaults: readonly SoakFault[] = [
  {
    name: 'queen_stopped',
    async inject(stage) {
      stage.signalQueen('SIGSTOP');
      await stage.lasts(length(stage, 2));
      stage.signalQueen('SIGCONT');
    },
  },
  {
    name: 'queen_killed',
    endsQueen: true,
    inject: (stage) => stage.replaceQueen(length(stage, 1) * 250),
  },
  {
    name: 'partition',
    async inject(stage) {
      const seconds = length(stage, 3);
      stage.command({ type: 'mute', count: stage.random.whole(5, 60), forMs: seconds * 1000 });
      await stage.lasts(seconds);
    },
  },
  {
    name: 'hive_unreached',
    async inject(stage) {
      stage.proxy.become(stage.random.pick(proxyFaults));
      await stage.lasts(length(stage, 2));
      stage.proxy.become({ kind: 'none' });
    },
  },
  {
    name: 'disk_full',
    possible: ({ state }) => state !== null,
    async inject(stage) {
      const filler = join(stage.state as string, 'filler');
      try {
        writeFileSync(filler, Buffer.alloc(4 << 20));
      } catch {
        // full, as it should be
      }
      await reserve(stage);
      await stage.lasts(length(stage, 2));
      rmSync(filler, { force: true });
      await reserve(stage);
    },
  },
  {
    name: 'hives_killed',
    async inject(stage) {
      stage.command({ type: 'restart', count: stage.random.whole(1, 20) });
      await stage.lasts(1);
    },
  },
  {
    name: 'gpu_stalled',
    async inject(stage) {
      const seconds = length(stage, 2);
      stage.command({ type: 'gpu', count: 10, health: 'stalled', forMs: seconds * 1000 });
      await stage.lasts(seconds);
    },
  },
  {
    name: 'gpu_lost',
    async inject(stage) {
      const seconds = length(stage, 2);
      stage.command({ type: 'gpu', count: 5, health: 'lost', forMs: seconds * 1000 });
      await stage.lasts(seconds);
    },
  },
  {
    name: 'slowloris',
    inject: (stage) =>
      flood(stage, 200, length(stage, 3), (socket) => socket.write('GET /v1/hives HTTP/1.1\r\nHost: localhost\r\nX')),
  },
  { name: 'idle_connections', inject: (stage) => flood(stage, 2000, length(stage, 3), () => undefined) },
  {
    name: 'junk',
    inject: (stage) =>
      flood(stage, 100, 2, (socket, i) => {
        const body = junk[i % junk.length] as string;
        const head = `POST /v1/heartbeats HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
        socket.write(head + body + (i % 3 === 0 ? '\x00\x01\x02 not HTTP\r\n\r\n' : ''));
      }),
  },
  {
    name: 'half_open',
    inject: (stage) =>
      flood(stage, 100, 2, (socket) =>
        socket.end('POST /v1/heartbeats HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{'),
      ),
  },
];
