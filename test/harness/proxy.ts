import { connect, createServer, type Server, type Socket } from 'node:net';

/** What a proxy does to the bytes between a client and the server behind it. */
export type ProxyFault =
  /** Passes everything on. */
  | { readonly kind: 'none' }
  /** Accepts and passes nothing on, in either direction. */
  | { readonly kind: 'silent' }
  /** Passes the answer on at so many bytes a second. */
  | { readonly kind: 'slow'; readonly bytesPerSecond: number }
  /** Ends the connection with RST after so many bytes of the answer. */
  | { readonly kind: 'reset'; readonly afterBytes: number }
  /** Answers by itself, whatever was asked, and then waits. */
  | { readonly kind: 'answer'; readonly bytes: string | Buffer };

/** A TCP proxy on loopback, between a hive and its queen, that can be told to be odd. */
export class FaultyProxy {
  readonly #server: Server;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();
  /** Undoes the connection of both ends, for each that stands. */
  readonly #stalls = new Set<() => void>();
  #fault: ProxyFault = { kind: 'none' };
  #flips = false;
  #port = 0;
  /** Connections taken so far. */
  accepted = 0;

  private constructor(target: { host: string; port: number }) {
    this.#target = target;
    this.#server = createServer({ allowHalfOpen: false }, (client) => this.#take(client));
  }

  /** Listens in front of `url`. */
  static async before(url: string): Promise<FaultyProxy> {
    const { hostname, port } = new URL(url);
    const proxy = new FaultyProxy({ host: hostname, port: Number(port) });
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    proxy.#port = (proxy.#server.address() as { port: number }).port;
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Connections open towards it. */
  get open(): number {
    return this.#sockets.size;
  }

  /** From now on, for connections to come; those that stand are cut. */
  become(fault: ProxyFault): void {
    this.#fault = fault;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Connections that stand stay, and lead nowhere from now on; those to come are passed on. */
  stall(): void {
    for (const stall of this.#stalls) stall();
  }

  /** One bit of what clients send next is another one at the server. */
  flipBit(): void {
    this.#flips = true;
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #take(client: Socket): void {
    this.accepted += 1;
    this.#keep(client);
    const fault = this.#fault;
    if (fault.kind === 'silent') return;
    if (fault.kind === 'answer') {
      client.once('data', () => client.write(fault.bytes));
      return;
    }
    const server = connect(this.#target);
    this.#keep(server);
    // Before it is passed on.
    client.on('data', (chunk: Buffer) => {
      if (this.#flips) chunk[chunk.length - 1]! ^= 1;
      this.#flips = false;
    });
    client.pipe(server);
    const stall = () => {
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const)
        from.unpipe(to).pause();
    };
    this.#stalls.add(stall);
    client.on('close', () => {
      this.#stalls.delete(stall);
      server.destroy();
    });
    server.on('close', () => client.destroy());
    if (fault.kind === 'none') server.pipe(client);
    else if (fault.kind === 'slow') this.#trickle(server, client, fault.bytesPerSecond);
    else this.#cut(server, client, fault.afterBytes);
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
  }

  #trickle(from: Socket, to: Socket, bytesPerSecond: number): void {
    let waiting = Buffer.alloc(0);
    from.on('data', (chunk) => {
      waiting = Buffer.concat([waiting, chunk]);
    });
    const timer = setInterval(() => {
      if (waiting.length > 0) to.write(waiting.subarray(0, 1));
      waiting = waiting.subarray(1);
    }, 1000 / bytesPerSecond);
    this.#timers.add(timer);
    to.on('close', () => {
      clearInterval(timer);
      this.#timers.delete(timer);
    });
  }

  #cut(from: Socket, to: Socket, afterBytes: number): void {
    let passed = 0;
    from.on('data', (chunk) => {
      const part = chunk.subarray(0, Math.max(0, afterBytes - passed));
      passed += chunk.length;
      to.write(part, () => {
        if (passed >= afterBytes) to.resetAndDestroy();
      });
    });
  }
}
