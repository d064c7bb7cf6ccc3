import { isIPv4, isIPv6 } from 'node:net';

/** A published port of a container, as its docker-proxy process says. */
export interface PublishedPort {
  /** `0.0.0.0` and `::`: all addresses of that family. */
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly containerAddress: string;
  readonly containerPort: number;
}

const flags = ['proto', 'host-ip', 'host-port', 'container-ip', 'container-port'] as const;

/** As the kernel's tables have it (RFC 5952). */
function addressOf(text: string): string | null {
  if (isIPv4(text)) return text;
  return isIPv6(text) && !text.includes('%') ? new URL(`http://[${text}]/`).hostname.slice(1, -1) : null;
}

function portOf(text: string | undefined): number | null {
  const port = text !== undefined && /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  return port > 0 && port < 65_536 ? port : null;
}

/**
 * What a process forwards, by its command line: `docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 18080 -container-ip
 * 172.17.0.2 -container-port 8000 [-use-listen-fd]`. null: it is no such process, or does not forward TCP. Others
 * (rootlessport, rootlesskit) say nothing of it there.
 */
export function publishedPortOf(argv: readonly string[]): PublishedPort | null {
  const [program = ''] = argv;
  // Nearly none is one, and the words of all are looked at.
  if (!program.endsWith('docker-proxy')) return null;
  const rest = argv.slice(1);
  if (program.slice(program.lastIndexOf('/') + 1) !== 'docker-proxy') return null;
  const values = new Map<string, string>();
  for (let i = 0; i < rest.length; i += 1) {
    // Go's flags: one or two dashes, the value behind `=` or as the next word.
    const [, name = '', inline] = /^--?([a-z-]+)(?:=(.*))?$/.exec(rest[i] as string) ?? [];
    if (!flags.some((flag) => flag === name)) continue;
    values.set(name, inline ?? rest[++i] ?? '');
  }
  const hostAddress = addressOf(values.get('host-ip') ?? '0.0.0.0');
  const containerAddress = addressOf(values.get('container-ip') ?? '');
  const hostPort = portOf(values.get('host-port'));
  const containerPort = portOf(values.get('container-port'));
  if ((values.get('proto') ?? 'tcp') !== 'tcp') return null;
  if (hostAddress === null || containerAddress === null || hostPort === null || containerPort === null) return null;
  return { hostAddress, hostPort, containerAddress, containerPort };
}
