import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { type Binding, type BindingResult, loadBinding, type NativeNamespaceConnector } from '../native/binding.js';
import { errnoText } from '../util/errno.js';

/** A TCP server in a network namespace. */
export interface NamespaceTarget {
  /** A process in the namespace. */
  readonly pid: number;
  /** Inode of the namespace: the pid may be another process's by now. */
  readonly namespace: number;
  /** An IPv4 or IPv6 address, without brackets. */
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

interface Request {
  readonly target: NamespaceTarget;
  readonly settle: (outcome: Socket | Error) => void;
}

/** By number; libuv's own list lacks ESTALE. */
const codes = new Map(Object.entries(constants.errno).map(([code, errno]) => [errno as number, code]));

const failed = (code: string, message: string, { host, port }: NamespaceTarget): Error =>
  Object.assign(new Error(message), { code, syscall: 'connect', address: host, port });

/** Connections into other namespaces: as many at once as the addon has threads for, the others in their order. */
export class NamespaceConnector {
  readonly #native: NativeNamespaceConnector;
  readonly #procRoot: string;
  readonly #running = new Map<number, Request>();
  readonly #waiting = new Set<Request>();

  constructor(binding: Pick<Binding, 'NamespaceConnector'>, procRoot = '/proc') {
    this.#native = new binding.NamespaceConnector(() => this.#finished());
    this.#procRoot = procRoot;
  }

  /** Rejects with ESTALE where the process is in another namespace, EPERM without the right to enter it, ETIMEDOUT. */
  connect(target: NamespaceTarget): Promise<Socket> {
    const { signal, timeoutMs } = target;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const request: Request = {
        target,
        settle: (outcome) => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', abort);
          if (outcome instanceof Socket) resolve(outcome);
          else reject(outcome);
        },
      };
      const give = (reason: Error): void => {
        this.#forget(request);
        request.settle(reason);
      };
      const abort = (): void => give(signal?.reason);
      const timer = setTimeout(
        () => give(failed('ETIMEDOUT', `No connection within ${timeoutMs} ms.`, target)),
        timeoutMs,
      );
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiting.add(request);
      this.#start();
    });
  }

  /** Of those that wait, as many as there are threads. */
  #start(): void {
    for (const request of this.#waiting) {
      const { pid, namespace, host, port, timeoutMs } = request.target;
      const id = this.#native.connect(`${this.#procRoot}/${pid}/ns/net`, namespace, host, port, timeoutMs);
      if (id === 0) break;
      this.#waiting.delete(request);
      this.#running.set(id, request);
    }
    this.#native.keepAlive(this.#running.size > 0);
  }

  #forget(request: Request): void {
    this.#waiting.delete(request);
    for (const [id, running] of this.#running) {
      if (running !== request) continue;
      this.#running.delete(id);
      this.#native.cancel(id);
    }
    this.#native.keepAlive(this.#running.size > 0);
  }

  #finished(): void {
    for (const { id, fd, error } of this.#native.take()) {
      const request = this.#running.get(id);
      this.#running.delete(id);
      if (request === undefined) {
        if (fd >= 0) closeSync(fd);
        continue;
      }
      const { target } = request;
      request.settle(error === 0 ? socketOf(fd) : failedWith(error, target));
    }
    this.#start();
  }
}

function failedWith(errno: number, target: NamespaceTarget): Error {
  const what = errno === constants.errno.ESTALE ? 'the process is in another network namespace' : errnoText(errno);
  return failed(codes.get(errno) ?? 'EIO', `connect: ${what}.`, target);
}

function socketOf(fd: number): Socket | Error {
  try {
    return new Socket({ fd, readable: true, writable: true });
  } catch (error) {
    closeSync(fd);
    return error as Error;
  }
}

const connectors = new WeakMap<Binding, NamespaceConnector>();

/**
 * A TCP connection to a server in another network namespace of this host. The namespace is entered by a thread of its own
 * that ends with the connection made. Rejects with the system's code; ENOTSUP without the addon.
 */
export async function connectInNamespace(
  target: NamespaceTarget,
  load: () => BindingResult = loadBinding,
): Promise<Socket> {
  const { binding } = load();
  if (binding?.NamespaceConnector === undefined)
    throw failed('ENOTSUP', 'Without the addon no other network namespace can be entered.', target);
  let connector = connectors.get(binding);
  if (connector === undefined) {
    connector = new NamespaceConnector(binding);
    connectors.set(binding, connector);
  }
  return connector.connect(target);
}
