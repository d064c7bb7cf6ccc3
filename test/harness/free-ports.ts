import { readFileSync } from 'node:fs';
import { createServer, type ListenOptions } from 'node:net';
import { engines } from '../../lib/engines/table.js';

const leastPort = 10_000;

/** Tests serve there without having looked them up. */
const takenByName: ReadonlySet<number> = new Set(engines.map(({ defaultPort }) => defaultPort));

/** Where ports begin that the kernel gives to whoever asks for any: ip(7), ip_local_port_range. */
function firstGivenPort(): number {
  try {
    return Number.parseInt(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'latin1'), 10);
  } catch {
    return 32_768;
  }
}

/** Listens for good, in a way that keeps no process alive; what ends it, or null where another listens there. */
function listen(options: ListenOptions): Promise<(() => Promise<void>) | null> {
  return new Promise((resolve) => {
    const server = createServer()
      .once('error', () => resolve(null))
      .listen(options, () => {
        server.unref();
        resolve(() => new Promise((closed) => server.close(() => closed())));
      });
  });
}

/**
 * Whether nobody listens there, and no other test was given it: each holds a name of the kernel's (unix(7), abstract) for a port
 * of its own, until its process or thread has ended.
 */
async function isFree(port: number): Promise<boolean> {
  const release =
    process.platform === 'linux' ? await listen({ path: `\0hivepulse-test-port-${port}` }) : () => Promise.resolve();
  if (release === null) return false;
  // Of both families, or of IPv4 where a kernel has no other.
  const close = await listen({ port });
  if (close === null) await release();
  await close?.();
  return close !== null;
}

/**
 * Ports on which nobody listens now, from a random one on, each given to one test alone. The kernel gives none of them to those
 * that ask for any port, so they stay free until they are used, whatever else runs. No test serves on a port of this range that
 * it was not given, but for those that engines have by default.
 */
export async function freePorts(count: number): Promise<readonly number[]> {
  const end = Math.max(firstGivenPort(), leastPort + 4 * count);
  const ports: number[] = [];
  let port = leastPort + Math.floor(Math.random() * (end - leastPort));
  for (let tried = 0; ports.length < count && tried < end - leastPort; tried++) {
    if (!takenByName.has(port) && (await isFree(port))) ports.push(port);
    port = port + 1 === end ? leastPort : port + 1;
  }
  if (ports.length < count) throw new Error(`there are no ${count} free ports from ${leastPort} to ${end}`);
  return ports;
}
