import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

const leastPort = 10_000;

/** Where ports begin that the kernel gives to whoever asks for any: ip(7), ip_local_port_range. */
function firstGivenPort(): number {
  try {
    return Number.parseInt(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'latin1'), 10);
  } catch {
    return 32_768;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
      .once('error', () => resolve(false))
      // Of both families, or of IPv4 where a kernel has no other.
      .listen({ port }, () => server.close(() => resolve(true)));
  });
}

/**
 * Ports on which nobody listens now, from a random one on. The kernel gives none of them to those that ask for any port, so they
 * stay free until they are used, whatever else runs.
 */
export async function freePorts(count: number): Promise<readonly number[]> {
  const end = Math.max(firstGivenPort(), leastPort + 4 * count);
  const ports: number[] = [];
  let port = leastPort + Math.floor(Math.random() * (end - leastPort));
  for (let tried = 0; ports.length < count && tried < end - leastPort; tried++) {
    if (await isFree(port)) ports.push(port);
    port = port + 1 === end ? leastPort : port + 1;
  }
  if (ports.length < count) throw new Error(`there are no ${count} free ports from ${leastPort} to ${end}`);
  return ports;
}
