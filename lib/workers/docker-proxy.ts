import { isIPv4, isIPv6 } from 'node:net';

/** A published port of a container, as its docker-proxy process says. */
export interface PublishedPort {
  /** `0.0.0.0` and `::`: all addresses of that family. */
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly containerAddress: string;
  readonly containerPort: number;
}

const flags: ReadonlySet<string> = new Set(['proto', 'host-ip', 'host-port', 'container-ip', 'container-port']);

/** As the kernel's tables have it (RFC 5952). */
function addressOf(text: string): string | null {
  if (isIPv4(text)) return text;
  return isIPv6(text) && !text.includes('%') ? new URL(`http://[${text}]/`).hostname.slice(1, -1) : null;
}

function portOf(text: string | undefined): number | null {
  const port = /^[0-9]{1,5}$/.test(text ?? '') ? Number(text) : 0;
  return port > 0 && port < 65_536 ? port : null;
}

/**
 * What a process forwards, by its command line: `docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 18080 -container-ip
 * 172.17.0.2 -container-port 8000 [-use-listen-fd]`. null: it is no such process, or does not forward TCP. Others
 * (rootlessport, rootlesskit) say nothing of it there.
 */
export function publishedPortOf(argv: readonly string[]): PublishedPort | null {
  if (!/(?:^|\/)docker-proxy$/.test(argv[0] ?? '')) return null;
  const values = new Map<string, string>();
  for (let i = 1; i < argv.length; i += 1) {
    // Go's flags: one or two dashes, the value behind `=` or as the next word.
    const [, name, inline] = /^--?([a-z-]+)(?:=(.*))?$/.exec(argv[i]!) ?? [];
    if (name === undefined || !flags.has(name)) continue;
    values.set(name, inline ?? argv[++i] ?? '');
  }
  const hostAddress = addressOf(values.get('host-ip') ?? '0.0.0.0');
  const containerAddress = addressOf(values.get('container-ip') ?? '');
  const hostPort = portOf(values.get('host-port'));
  const containerPort = portOf(values.get('container-port'));
  if ((values.get('proto') ?? 'tcp') !== 'tcp') return null;
  if (hostAddress === null || containerAddress === null || hostPort === null || containerPort === null) return null;
  return { hostAddress, hostPort, containerAddress, containerPort };
}
