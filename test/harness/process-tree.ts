import { spawn } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer as createHttp, type Server as HttpServer, type RequestListener } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { selfSigned } from './certificate.js';
import type { Site } from './fake-engines.js';
import type { Harness } from './harness.js';
import { ownerVariable } from './leftovers.js';
import { waitFor } from './wait.js';

const program = fileURLToPath(new URL('../fakes/build/process', import.meta.url));

/** A TCP socket on which a process listens. */
export interface FakeSocket {
  /** `address:port`, without brackets. */
  readonly at: string;
  /** Who answers; `silent` accepts and never answers; null: nobody accepts. `answer`: whoever does it request by request. */
  readonly site: Site | { readonly answer: RequestListener } | 'silent' | null;
  /** With a self-signed certificate; `mutual`: it asks for one of its client. */
  readonly tls?: boolean | 'mutual';
  readonly reusePort?: boolean;
  readonly v6Only?: boolean;
  /** Its children inherit the socket as this descriptor. */
  readonly fd?: number;
}

/** An inherited descriptor on which a process accepts. */
export interface InheritedSocket {
  readonly fd: number;
  readonly site: Site;
}

export interface FakeProcess {
  readonly argv: readonly string[];
  readonly sockets: readonly FakeSocket[];
  readonly accepts?: readonly InheritedSocket[];
  readonly children: readonly FakeProcess[];
  /** It ends once its children are started. */
  readonly leaves?: boolean;
}

export interface TreeOptions {
  readonly cgroup?: string | undefined;
  /** Path of a network namespace. */
  readonly namespace?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** What its first process runs under; it must end in an exec. */
  readonly under?: readonly string[] | undefined;
}

/** Starts a program under any name. */
const named = ['bash', '-c', 'name=$1; shift; exec -a "$name" "$0" "$@"'];

const listening = (server: Server | HttpServer, path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });

const count = ({ children }: FakeProcess): number => children.reduce((sum, child) => sum + count(child), 1);

/** Starts trees of processes with any command lines and real sockets. What comes in on these is answered in this process. */
export class ProcessTrees {
  readonly #directory: string;
  readonly #servers: Server[] = [];
  readonly #connections = new Set<Socket>();
  readonly #failures: string[] = [];
  #certificate: { readonly key: string; readonly cert: string } | null = null;
  #files = 0;
  #expected = 0;
  #up = 0;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async open(harness: Pick<Harness, 'directory' | 'defer'>): Promise<ProcessTrees> {
    const directory = harness.directory();
    // Trees of other users come by here.
    chmodSync(directory, 0o711);
    const trees = new ProcessTrees(directory);
    harness.defer(() => trees.close());
    await trees.#serve(
      trees.#control,
      createServer((socket) => {
        socket.setEncoding('utf8').on('data', (text: string) => trees.#heard(text));
      }),
    );
    return trees;
  }

  /** Starts a tree; it is whole once `started` resolves. */
  async start(tree: FakeProcess, { cgroup, namespace, env, under }: TreeOptions = {}): Promise<void> {
    const before = [
      ...(cgroup ? [`cgroup ${join(cgroup, 'cgroup.procs')}`] : []),
      ...(namespace ? [`namespace ${namespace}`] : []),
    ];
    const plan = await this.#plan(tree, before);
    const [argv0, ...args] = tree.argv as [string, ...string[]];
    this.#expected += count(tree);
    const [file, ...words] = under ? [...under, ...named, program, ...tree.argv] : [program, ...args];
    const child = spawn(file as string, words, {
      ...(under ? {} : { argv0 }),
      stdio: 'ignore',
      env: {
        ...(under ? { PATH: process.env.PATH } : {}),
        ...env,
        [ownerVariable]: String(process.pid),
        HIVEPULSE_FAKE_PLAN: plan,
      },
    });
    child.on('error', (error) => this.#failures.push(error.message));
  }

  /** All processes of all trees live and listen. */
  async started(): Promise<void> {
    await waitFor(() => this.#failures.length > 0 || this.#up === this.#expected, {
      timeoutMs: 150_000,
      what: 'trees',
    });
    if (this.#failures.length > 0) throw new Error(this.#failures.join('\n'));
  }

  /** All of its processes end with the control connections. */
  async close(): Promise<void> {
    for (const socket of this.#connections) socket.destroy();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  get #control(): string {
    return join(this.#directory, 'control');
  }

  #heard(text: string): void {
    for (const line of text.split('\n').filter(Boolean)) {
      if (line.startsWith('up ')) this.#up += 1;
      else this.#failures.push(line);
    }
  }

  #next(): string {
    this.#files += 1;
    return join(this.#directory, String(this.#files));
  }

  /** Writes what a process has to do, and gives the path. */
  async #plan(tree: FakeProcess, before: readonly string[]): Promise<string> {
    const lines = [`control ${this.#control}`, ...before];
    for (const { at, site, tls = false, reusePort, v6Only, fd = 0 } of tree.sockets) {
      const end = at.lastIndexOf(':');
      const answers = site === null ? '-' : await this.#answer(site, tls);
      const flags = `${reusePort ? 'r' : ''}${v6Only ? '6' : ''}` || '-';
      lines.push(`listen ${answers} ${at.slice(0, end)} ${at.slice(end + 1)} ${flags} ${fd}`);
    }
    for (const { fd, site } of tree.accepts ?? []) lines.push(`accept ${await this.#answer(site, false)} ${fd}`);
    for (const child of tree.children) lines.push(`child ${await this.#plan(child, [])}`);
    if (tree.leaves) lines.push('leaves 1');
    lines.push(...tree.argv.map((word) => `arg ${word}`));
    const path = this.#next();
    writeFileSync(path, `${lines.join('\n')}\n`);
    return path;
  }

  async #answer(site: Exclude<FakeSocket['site'], null>, tls: boolean | 'mutual'): Promise<string> {
    const path = this.#next();
    await this.#serve(path, site === 'silent' ? createServer() : this.#httpServer(site, tls));
    return path;
  }

  #httpServer(site: Exclude<FakeSocket['site'], 'silent' | null>, tls: boolean | 'mutual'): Server {
    const fromSite =
      (pages: Site): RequestListener =>
      ({ url = '/', headers }, response) => {
        const { status, type, body, server } = pages(url, headers.authorization?.startsWith('Bearer ') === true);
        response.writeHead(status, { 'content-type': type, ...(server ? { server } : {}) }).end(body);
      };
    const answer = typeof site === 'function' ? fromSite(site) : site.answer;
    if (!tls) return createHttp(answer);
    this.#certificate ??= selfSigned();
    return createHttps(
      { ...this.#certificate, ...(tls === 'mutual' && { requestCert: true, rejectUnauthorized: true }) },
      answer,
    );
  }

  #serve(path: string, server: Server): Promise<void> {
    this.#servers.push(server);
    server.on('connection', (socket: Socket) => {
      this.#connections.add(socket);
      socket.on('error', () => undefined).on('close', () => this.#connections.delete(socket));
    });
    return listening(server, path).then(() => chmodSync(path, 0o777));
  }
}
