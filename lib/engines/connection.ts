import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import type { Cancellation } from '../util/cancellation.js';
import { type HttpAnswer, HttpAnswerReader, NotHttp } from './http-answer.js';

/** Takes what is wanted of an answer. The bytes of its body are used anew as soon as it returns. */
export type ReadAnswer<T> = (answer: HttpAnswer) => T;

export interface Request<T> {
  readonly head: string;
  /** Of a longer answer the body is null. */
  readonly maxBodyBytes: number;
  readonly read: ReadAnswer<T>;
  readonly cancellation: Cancellation;
  /** Where the connection goes once it can be used again; without it it ends with the answer. */
  readonly kept?: KeptConnection | undefined;
}

/** A request under way. */
interface Exchange {
  readonly request: Request<unknown>;
  readonly reader: HttpAnswerReader;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

/** Where all plain connections read into: without it each read has 64 KiB of its own. */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);

/** One connection to a server. One request is under way at a time; what comes while there is none ends it. */
export class Connection {
  readonly #socket: Socket;
  #exchange: Exchange | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('end', () => this.#end());
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new NotHttp('the connection ended')));
  }

  static open(target: TcpNetConnectOpts): Connection {
    const callback = (bytes: number): boolean => {
      connection.#take(readBuffer.subarray(0, bytes));
      return true;
    };
    const connection = new Connection(connect({ ...target, onread: { buffer: readBuffer, callback } }));
    return connection;
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed;
  }

  /** Sends a request and reads the one answer to it. */
  exchange<T>(request: Request<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#exchange = { request, reader: new HttpAnswerReader(request.maxBodyBytes), resolve, reject };
      request.cancellation.onCancel = (reason) => this.#fail(reason);
      this.#socket.write(request.head, 'latin1');
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    const exchange = this.#exchange;
    if (exchange === null) {
      this.close();
      return;
    }
    try {
      const answer = exchange.reader.push(chunk);
      if (answer !== null) this.#finish(exchange, answer);
    } catch (error) {
      this.#fail(error);
    }
  }

  #end(): void {
    const exchange = this.#exchange;
    if (exchange === null) {
      this.close();
      return;
    }
    try {
      this.#finish(exchange, exchange.reader.end());
    } catch (error) {
      this.#fail(error);
    }
  }

  #finish({ request, resolve }: Exchange, answer: HttpAnswer): void {
    const value = request.read(answer);
    this.#exchange = null;
    request.cancellation.onCancel = null;
    if (answer.reusable && request.kept !== undefined) request.kept.give(this);
    else this.close();
    resolve(value as never);
  }

  #fail(error: unknown): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    this.close();
    if (exchange === null) return;
    exchange.request.cancellation.onCancel = null;
    exchange.reject(error);
  }
}

/** One connection to one server, idle between requests. */
export class KeptConnection {
  #idle: Connection | null = null;

  /** null where none is open. */
  take(): Connection | null {
    const connection = this.#idle;
    this.#idle = null;
    return connection?.isOpen ? connection : null;
  }

  give(connection: Connection): void {
    this.close();
    this.#idle = connection;
  }

  close(): void {
    this.#idle?.close();
    this.#idle = null;
  }
}
