import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from './random.js';

/** What becomes of one piece that a socket gave. */
type Fate = 'passed' | 'split' | 'delayed' | 'torn' | 'ended' | 'swallowed';

/**
 * A TCP proxy on loopback that treats bytes as a bad network does: it splits and delays what it passes on, cuts connections in
 * the middle of a piece, ends them, turns some away, and lets others stand that lead nowhere from then on. Bytes keep their order.
 */
export class RoughProxy {
  /** Else all is passed on as it comes. */
  isRough = false;
  readonly counts = new Map<Fate | 'refused', number>();
  readonly #random: Random;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target: { readonly host: string; readonly port: number };

  private constructor(random: Random, target: string) {
    this.#random = random;
    this.#target = endOf(target);
    this.#server = createServer((client) => this.#take(client));
  }

  static async before(target: string, random: Random): Promise<RoughProxy> {
    const proxy = new RoughProxy(random, target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  /** Where connections lead from now on; those that stand are cut. */
  retarget(target: string): void {
    this.#target = endOf(target);
    this.cut();
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #take(client: Socket): void {
    this.#keep(client);
    if (this.isRough && this.#random.chance(0.1)) {
      this.#count('refused');
      client.resetAndDestroy();
      return;
    }
    const server = connect(this.#target).setNoDelay(true);
    client.setNoDelay(true);
    this.#keep(server);
    this.#carry(client, server);
    this.#carry(server, client);
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
  }

  /** One piece after the other. */
  #carry(from: Socket, to: Socket): void {
    let before: Promise<unknown> = Promise.resolve();
    let isSwallowing = false;
    from.on('data', (piece: Buffer) => {
      before = before.then(async () => {
        const fate = isSwallowing ? 'swallowed' : this.#fate();
        isSwallowing = fate === 'swallowed';
        this.#count(fate);
        await this.#pass(piece, to, fate);
      });
    });
    from.on('close', () => void before.then(() => to.destroy()));
  }

  async #pass(piece: Buffer, to: Socket, fate: Fate): Promise<void> {
    const random = this.#random;
    if (fate === 'swallowed') return;
    if (fate === 'delayed') await pause(random.whole(1, 5));
    const most = fate === 'split' ? Math.max(1, piece.length >> 2) : piece.length;
    const end = fate === 'torn' ? random.whole(0, piece.length - 1) : piece.length;
    for (let at = 0; at < end && !to.destroyed; ) {
      const next = Math.min(end, at + random.whole(1, most));
      const part = piece.subarray(at, fate === 'split' ? next : end);
      at += part.length;
      to.write(part);
      if (at < end) await new Promise((resolve) => setImmediate(resolve));
    }
    if (fate === 'torn') to.destroySoon();
    if (fate === 'ended') to.end();
  }

  #fate(): Fate {
    if (!this.isRough) return 'passed';
    const at = this.#random.between(0, 100);
    if (at < 4) return 'torn';
    if (at < 6) return 'ended';
    if (at < 8) return 'swallowed';
    if (at < 20) return 'delayed';
    return at < 40 ? 'split' : 'passed';
  }

  #count(fate: Fate | 'refused'): void {
    this.counts.set(fate, (this.counts.get(fate) ?? 0) + 1);
  }
}

function endOf(url: string): { readonly host: string; readonly port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port) };
}
