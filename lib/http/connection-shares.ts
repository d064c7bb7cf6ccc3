import type { Server, Socket } from 'node:net';
import { hasShare } from '../util/fair-share.js';
import { openFilesLimit } from '../util/open-files.js';

/** Connections that a server may have where the system allows it. */
const mostConnections = 20_000;
/** Descriptors for all else: files, other servers, what the runtime needs. */
const otherDescriptors = 256;
/** Part of all connections that may be open without a token that is right, where tokens are asked for. */
const partUnknown = 8;

export const connectionLimit = (descriptors: number | null): number =>
  Math.max(16, Math.min(mostConnections, (descriptors ?? mostConnections) - otherDescriptors));

/**
 * Who may have how many connections. One address leaves room for the others. Where tokens are asked for, those that have not
 * shown a right one have an eighth of all, and one goes for a new one: the oldest of the address that has most of them, so that
 * whoever connects beside a flood has the time to show a token, however far away or busy it is.
 */
export class ConnectionShares {
  readonly max: number;
  /** By address, oldest first. */
  readonly #unknown = new Map<string, Set<Socket>>();
  #unknownCount = 0;
  readonly #byAddress = new Map<string, number>();
  #open = 0;

  constructor(max: number) {
    this.max = max;
  }

  get open(): number {
    return this.#open;
  }

  /** False: it is refused. `isAsked`: who has no token is unknown. */
  accept(socket: Socket, isAsked: boolean): boolean {
    const address = socket.remoteAddress ?? '';
    const ofAddress = this.#byAddress.get(address) ?? 0;
    if (!hasShare(ofAddress, this.max - this.#open)) return false;
    this.#open++;
    this.#byAddress.set(address, ofAddress + 1);
    if (isAsked) this.#addUnknown(address, socket);
    socket.once('close', () => {
      this.#open--;
      this.#forgetUnknown(address, socket);
      const left = (this.#byAddress.get(address) ?? 1) - 1;
      if (left === 0) this.#byAddress.delete(address);
      else this.#byAddress.set(address, left);
    });
    return true;
  }

  /** It has shown a token that is right. */
  prove(socket: Socket): void {
    this.#forgetUnknown(socket.remoteAddress ?? '', socket);
  }

  #forgetUnknown(address: string, socket: Socket): void {
    const own = this.#unknown.get(address);
    if (!own?.delete(socket)) return;
    this.#unknownCount--;
    if (own.size === 0) this.#unknown.delete(address);
  }

  #addUnknown(address: string, socket: Socket): void {
    const own = this.#unknown.get(address) ?? new Set();
    this.#unknown.set(address, own.add(socket));
    this.#unknownCount++;
    if (this.#unknownCount <= Math.max(1, this.max / partUnknown)) return;
    let [from, most] = [address, own];
    for (const [each, sockets] of this.#unknown) if (sockets.size > most.size) [from, most] = [each, sockets];
    const [oldest] = most;
    if (oldest === undefined) return;
    this.#forgetUnknown(from, oldest);
    oldest.destroy();
  }
}

/** Holds the connections of a server to their shares, from its next one on. */
export function shareConnections(server: Server, isAsked: () => boolean, max = connectionLimit(openFilesLimit())) {
  const shares = new ConnectionShares(max);
  server.maxConnections = max;
  server.prependListener('connection', (socket) => {
    if (!shares.accept(socket, isAsked())) socket.destroy();
  });
  return shares;
}
