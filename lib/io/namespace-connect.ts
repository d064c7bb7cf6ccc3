import { closeSync } from 'node:fs';
import { type OnReadOpts, Socket } from 'node:net';
import { constants } from 'node:os';
import type { Fault } from '../contract/heartbeat.js';
import { type BindingResult, loadBinding, type NativeNamespaceConnector } from '../native/binding.js';
import { type Clock, systemClock } from '../util/clock.js';
import { errnoText } from '../util/errno.js';
import { closedError } from '../util/waiters.js';

/** A TCP server in a network namespace. */
export interface NamespaceTarget {
  /** A process in the namespace. */
  readonly pid: number;
  /** Inode of the namespace: the pid may be another process's by now. */
  readonly namespace: number;
  /** An IPv4 or IPv6 address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** How long the server may take to accept. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** How the connection reads, where not by `data`. */
  readonly onread?: OnReadOpts | undefined;
}

export interface NamespaceConnectorOptions {
  /** Where pids are looked up. */
  readonly procRoot: string;
  readonly clock?: Clock;
  readonly load?: () => BindingResult;
}

interface Request {
  readonly target: NamespaceTarget;
  /** null: the caller has its answer. */
  settle: ((outcome: Socket | Error) => void) | null;
  startedMs: number;
}

/** A thread that answers so long after its timeout hangs in the kernel, ms. */
const graceMs = 250;
/** After a refusal no namespace is entered for so long, ms: rights do not change within. */
const refusedMs = 10_000;
const { EPERM, EACCES, ESTALE } = constants.errno;

/** By number; libuv's own list lacks ESTALE. */
const codes = new Map(Object.entries(constants.errno).map(([code, errno]) => [errno as number, code]));

const failed = (code: string, message: string, { host, port }: NamespaceTarget): Error =>
  Object.assign(new Error(message), { code, syscall: 'connect', address: host, port });

/**
 * TCP connections to servers in other network namespaces of this host. Each namespace is entered by a thread of the addon
 * that ends with the connection made: as many at once as the addon has threads for, the others in their order.
 */
export class NamespaceConnector {
  readonly #procRoot: string;
  readonly #clock: Clock;
  readonly #load: () => BindingResult;
  #native: NativeNamespaceConnector | null = null;
  /** By the addon's id, until their thread has ended. */
  readonly #running = new Map<number, Request>();
  readonly #waiting = new Set<Request>();
  /** Namespaces that may not be entered, with the time of the last try. */
  readonly #refused = new Map<number, number>();
  #closed = false;

  constructor({ procRoot, clock = systemClock, load = loadBinding }: NamespaceConnectorOptions) {
    this.#procRoot = procRoot;
    this.#clock = clock;
    this.#load = load;
  }

  /**
   * Rejects in time, with the code of what went wrong. ETIMEDOUT: the server does not accept. Nothing is known of the server
   * with EPERM (no right to enter its namespace), ESTALE (the process is in another one), EBUSY (the threads hang),
   * ENOTSUP (there is no addon).
   */
  connect(target: NamespaceTarget): Promise<Socket> {
    const { signal, timeoutMs, namespace } = target;
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(closedError('The connector of namespaces'));
      if (signal?.aborted) return reject(signal.reason);
      if (!this.#open()) return reject(failed('ENOTSUP', 'Without the addon no namespace can be entered.', target));
      if (this.#clock.now() - (this.#refused.get(namespace) ?? Number.NEGATIVE_INFINITY) < refusedMs)
        return reject(failedWith(EPERM, target));
      const request: Request = {
        target,
        settle: (outcome) => {
          request.settle = null;
          forgetTimer();
          signal?.removeEventListener('abort', abort);
          if (outcome instanceof Socket) resolve(outcome);
          else reject(outcome);
        },
        startedMs: 0,
      };
      const abort = (): void => this.#giveUp(request, signal?.reason);
      const forgetTimer = this.#clock.after(timeoutMs + graceMs, () =>
        this.#giveUp(request, failed('EBUSY', `Not entered within ${timeoutMs + graceMs} ms.`, target)),
      );
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiting.add(request);
      this.#start();
    });
  }

  faults(): readonly Fault[] {
    const now = this.#clock.now();
    const faults: Fault[] = [];
    for (const [namespace, triedMs] of this.#refused)
      if (now - triedMs >= 3 * refusedMs) this.#refused.delete(namespace); // nobody asks there any more
    if (this.#refused.size > 0) {
      const message = `${these(this.#refused.size)} of workers may not be entered: whether the servers in ${it(this.#refused.size)} are ready, and their endpoints, are not known. Give the hive CAP_SYS_ADMIN and CAP_SYS_PTRACE, or start the workers in the host's network.`;
      faults.push({ source: 'proc', code: 'NAMESPACE_REFUSED', message, field: 'ready' });
    }
    const hung = [...this.#running.values()].filter(
      ({ startedMs, target }) => now - startedMs >= target.timeoutMs + graceMs,
    );
    if (hung.length > 0) {
      const [{ target }] = hung as [Request];
      const of = hung.length === 1 ? '' : ` and ${hung.length - 1} more`;
      const message = `Entering the network namespace of process ${target.pid}${of} does not return: whether some workers are ready is not known.`;
      faults.push({ source: 'proc', code: 'NAMESPACE_STALLED', message, field: 'ready' });
    }
    return faults;
  }

  /** Nobody waits for threads that hang. */
  close(): void {
    this.#closed = true;
    for (const request of [...this.#waiting, ...this.#running.values()])
      request.settle?.(closedError('The connector of namespaces'));
    this.#waiting.clear();
    this.#running.clear();
    this.#native?.close();
  }

  #open(): boolean {
    if (this.#native !== null) return true;
    const { binding } = this.#load();
    if (binding === undefined) return false;
    this.#native = new binding.NamespaceConnector(() => this.#finished());
    return true;
  }

  /** Of those that wait, as many as there are threads. */
  #start(): void {
    for (const request of this.#waiting) {
      const { pid, namespace, host, port, timeoutMs } = request.target;
      const path = `${this.#procRoot}/${pid}/ns/net`;
      const id = this.#native?.connect(path, namespace, host, port, timeoutMs) ?? 0;
      if (id === 0) break;
      request.startedMs = this.#clock.now();
      this.#waiting.delete(request);
      this.#running.set(id, request);
    }
    this.#keepAlive();
  }

  #giveUp(request: Request, reason: Error): void {
    this.#waiting.delete(request);
    for (const [id, running] of this.#running) if (running === request) this.#native?.cancel(id);
    request.settle?.(reason);
    this.#keepAlive();
  }

  #finished(): void {
    for (const { id, fd, error } of this.#native?.take() ?? []) {
      const request = this.#running.get(id);
      this.#running.delete(id);
      if (request !== undefined) this.#noteRight(request.target.namespace, error);
      if (request?.settle)
        request.settle(error === 0 ? socketOf(fd, request.target) : failedWith(error, request.target));
      else if (fd >= 0) closeSync(fd);
    }
    if (!this.#closed) this.#start();
  }

  #noteRight(namespace: number, error: number): void {
    if (error === EPERM || error === EACCES) this.#refused.set(namespace, this.#clock.now());
    else this.#refused.delete(namespace);
  }

  #keepAlive(): void {
    this.#native?.keepAlive([...this.#running.values()].some(({ settle }) => settle !== null));
  }
}

const these = (count: number): string => (count === 1 ? 'A network namespace' : `${count} network namespaces`);
const it = (count: number): string => (count === 1 ? 'it' : 'them');

function failedWith(errno: number, target: NamespaceTarget): Error {
  const what = errno === ESTALE ? 'the process is in another network namespace' : errnoText(errno);
  return failed(codes.get(errno) ?? 'EIO', `connect: ${what}.`, target);
}

function socketOf(fd: number, { onread }: NamespaceTarget): Socket | Error {
  try {
    return new Socket({ fd, readable: true, writable: true, ...(onread && { onread }) });
  } catch (error) {
    closeSync(fd);
    return error as Error;
  }
}
