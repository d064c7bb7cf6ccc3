import { isIPv4, isIPv6 } from 'node:net';
import type { EndpointReason } from '../contract/enums.js';
import { isLoopbackAddress } from '../util/host-address.js';
import { classifyAbove } from '../workers/classify.js';
import type { PublishedPort } from '../workers/docker-proxy.js';
import type { NamespaceSocket } from '../workers/listening.js';
import { covers, strangersOf, wildcards } from './endpoint.js';

/** A docker-proxy process. */
export interface PortProxy {
  readonly published: PublishedPort;
  /** On which it listens; null: they cannot be read, or were not yet. */
  readonly sockets: readonly NamespaceSocket[] | null;
}

/** What is known of the network namespaces of the host. */
export interface Networks {
  /** null: not known. */
  readonly hostNamespace: number | null;
  /** All sockets that listen in the host's namespace. */
  readonly hostSockets: readonly NamespaceSocket[];
  readonly proxies: readonly PortProxy[];
  /** Addresses of each namespace without loopback and link-local ones; a namespace that is missing is not known. */
  readonly addresses: ReadonlyMap<number, readonly string[]>;
}

/** How a worker of another namespace is seen. */
export interface ContainerReach {
  /** Host name or address under which others reach this host; null where none was given. */
  readonly address: string | null;
  /** Its cgroup is a pod's. */
  readonly isPod: boolean;
  /** Where the server answered; null where it was not asked. */
  readonly answeredAt?: string | null;
}

export type PublishedPlace =
  | { readonly host: string; readonly port: number; readonly reason: null }
  | { readonly host: null; readonly port: null; readonly reason: EndpointReason };

/** Whether a worker at this cgroup path is a container of a Kubernetes pod of this host: none of a cluster in a container. */
export const isPodPath = (path: string): boolean => classifyAbove(path)?.found.group === 'kubepods';

const unplaced = (reason: EndpointReason): PublishedPlace => ({ host: null, port: null, reason });
const isLinkLocal = (address: string): boolean => /^fe[89ab]/.test(address) || address.startsWith('169.254.');

/**
 * Where others reach a server whose sockets (all of one port) are in another network namespace than the host's: at the
 * port of the host that a docker-proxy forwards to it, or at the address of its pod. `all`: every socket of that namespace.
 * An address that several namespaces have, and a port of the host that several have, lead nowhere for certain.
 */
export function publishedAt(
  sockets: readonly NamespaceSocket[],
  all: readonly NamespaceSocket[],
  reach: ContainerReach,
  networks: Networks,
): PublishedPlace {
  const [first] = sockets;
  if (first === undefined) return unplaced('notListening');
  if (networks.hostNamespace === null) return unplaced('socketsUnknown');
  if (sockets.every(({ address }) => isLoopbackAddress(address))) return unplaced('loopbackOnly');
  const { namespace, port } = first;
  const addresses = networks.addresses.get(namespace);
  if (addresses === undefined || namespace === networks.hostNamespace) return unplaced('otherNamespace');
  const strangers = strangersOf(sockets, all);
  const arrival = (address: string): EndpointReason | null => {
    if (isElsewhere(address, namespace, networks)) return 'severalCandidates';
    return arrives(address, sockets, strangers, reach.answeredAt ?? null);
  };
  if (reach.isPod) {
    const address = podAddressOf(addresses);
    if (address === null) return unplaced('otherNamespace');
    const reason = arrival(address);
    return reason === null ? { host: address, port, reason } : unplaced(reason);
  }
  const places = networks.proxies
    .filter(({ published }) => published.containerPort === port && addresses.includes(published.containerAddress))
    .filter((proxy) => heldBy(proxy, networks) !== null)
    .map((proxy) => {
      const reason = arrival(proxy.published.containerAddress);
      return reason === null ? placeOfProxy(proxy, networks, reach.address) : unplaced(reason);
    });
  return best(places, reach.address);
}

/** Several ports may lead to one server: any will do, so the same one is always given. */
function best(places: readonly PublishedPlace[], address: string | null): PublishedPlace {
  const [found] = places
    .filter((place) => place.host !== null)
    .sort((a, b) => Number(b.host === address) - Number(a.host === address) || (a.port ?? 0) - (b.port ?? 0));
  if (found !== undefined) return found;
  const reasons = places.map(({ reason }) => reason);
  const reason = (['severalCandidates', 'addressUnknown', 'loopbackOnly'] as const).find((each) =>
    reasons.includes(each),
  );
  return unplaced(reason ?? 'otherNamespace');
}

/** Another namespace has the address as well, the host's included. */
const isElsewhere = (address: string, namespace: number, { addresses }: Networks): boolean =>
  [...addresses].some(([other, has]) => other !== namespace && has.includes(address));

/** null: what is sent to the address comes to one of the sockets and to nobody else's. */
function arrives(
  address: string,
  sockets: readonly NamespaceSocket[],
  strangers: readonly NamespaceSocket[],
  answeredAt: string | null,
): EndpointReason | null {
  const isBound = (list: readonly NamespaceSocket[], to: string): boolean => list.some((each) => each.address === to);
  if (isBound(strangers, address)) return 'severalCandidates';
  if (isBound(sockets, address)) return null;
  const open = sockets.filter((each) => wildcards.includes(each.address));
  const alone = open.filter((each) => !isBound(strangers, each.address));
  if (alone.some((each) => covers(each.address, address, strangers, answeredAt))) return null;
  return open.length > alone.length ? 'severalCandidates' : 'otherNamespace';
}

/** The address of a pod: its only one, of IPv4 where it has any. */
function podAddressOf(addresses: readonly string[]): string | null {
  const ipv4 = addresses.filter((address) => isIPv4(address));
  const [address, ...others] = ipv4.length > 0 ? ipv4 : addresses;
  return address === undefined || others.length > 0 ? null : address;
}

/** The socket of the host by which a proxy takes connections; null: it holds none such, whatever it says. */
const heldBy = ({ published, sockets }: PortProxy, { hostNamespace }: Networks): NamespaceSocket | null =>
  sockets?.find(
    ({ namespace, address, port }) =>
      namespace === hostNamespace && address === published.hostAddress && port === published.hostPort,
  ) ?? null;

/** What is sent to one address and port may come to either socket. Of the two wildcards, `::` may take IPv4 too. */
function overlaps(a: string, b: string, local: boolean): boolean {
  if (a === b) return true;
  if (!wildcards.includes(a) && !wildcards.includes(b)) return false;
  return local || !(isLoopbackAddress(a) || isLoopbackAddress(b));
}

function placeOfProxy(proxy: PortProxy, networks: Networks, address: string | null): PublishedPlace {
  const { hostAddress, hostPort, containerAddress, containerPort } = proxy.published;
  const { hostNamespace } = networks;
  const local = address !== null && isLoopbackAddress(address);
  const same = networks.proxies
    .filter(
      ({ published }) => published.containerAddress === containerAddress && published.containerPort === containerPort,
    )
    .map((each) => heldBy(each, networks)?.inode);
  const others = networks.hostSockets.filter(({ inode, port }) => port === hostPort && !same.includes(inode));
  if (others.some((other) => overlaps(other.address, hostAddress, local))) return unplaced('severalCandidates');
  if (isLoopbackAddress(hostAddress))
    return local ? { host: hostAddress, port: hostPort, reason: null } : unplaced('loopbackOnly');
  if (isLinkLocal(hostAddress)) return unplaced('addressUnknown');
  // docker-proxy listens for IPv4 and IPv6 apart; a name leads to IPv4 at least.
  const family = hostAddress === '::' ? isIPv6(address ?? '') : !isIPv6(address ?? '');
  const host = !wildcards.includes(hostAddress) ? hostAddress : family ? address : null;
  if (host === null || hostNamespace === null) return unplaced('addressUnknown');
  if (isElsewhere(host, hostNamespace, networks)) return unplaced('severalCandidates');
  return { host, port: hostPort, reason: null };
}
