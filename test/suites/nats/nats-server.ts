import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { undoWhenInterrupted } from '../../harness/interruption.js';
import { temporaryDirectory } from '../../harness/leftovers.js';
import { Managed } from '../../harness/processes.js';
import { waitFor } from '../../harness/wait.js';

undoWhenInterrupted();

export interface NatsServerOptions {
  /** Lines of a configuration file, beside what is set here. */
  readonly config?: readonly string[];
  /** Without JetStream. */
  readonly plain?: boolean;
  /** Default loopback. */
  readonly host?: string;
  /** A command in front of the server, such as one that enters a network namespace. */
  readonly prefix?: readonly string[];
}

/** A nats-server of its own: its own store, and the port that the kernel gave it, also after a restart. */
export class NatsServer {
  readonly directory: string;
  readonly #options: NatsServerOptions;
  readonly #temporary = temporaryDirectory('nats');
  #process: Managed | null = null;
  #port = -1;

  private constructor(options: NatsServerOptions) {
    this.#options = options;
    this.directory = this.#temporary.path;
  }

  static async start(options: NatsServerOptions = {}): Promise<NatsServer> {
    const server = new NatsServer(options);
    await server.start();
    return server;
  }

  get url(): string {
    return `nats://${this.#options.host ?? '127.0.0.1'}:${this.#port}`;
  }

  get pid(): number {
    return (this.#process as Managed).pid;
  }

  async start(): Promise<void> {
    const { config = [], plain = false, host = '127.0.0.1', prefix = [] } = this.#options;
    const file = join(this.directory, 'server.conf');
    writeFileSync(file, config.join('\n'));
    const args = ['-c', file, '-a', host, '-p', String(this.#port), '--ports_file_dir', this.directory];
    if (!plain) args.push('-js', '-sd', join(this.directory, 'store'));
    const [command = 'nats-server', ...before] = prefix.length > 0 ? [...prefix, 'nats-server'] : [];
    const started = new Managed('nats-server', command, [...before, ...args]);
    this.#process = started;
    await started.line(/Server is ready/);
    if (this.#port > 0) return;
    const line = await started.line(/Listening for client connections on \S+:(\d+)/);
    this.#port = Number(line[1]);
    await waitFor(() => this.#port > 0, { what: 'a port' });
  }

  /** Ends it as a host that loses power does. The store stays. */
  async kill(): Promise<void> {
    this.#process?.signal('SIGKILL');
    await this.#process?.ended();
    this.#process = null;
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.signal(signal);
  }

  /** Ends it, and throws away all that it kept. */
  async lose(): Promise<void> {
    await this.kill();
    rmSync(join(this.directory, 'store'), { recursive: true, force: true });
  }

  log(): string {
    return this.#process?.tail() ?? readFileSync(join(this.directory, 'server.conf'), 'utf8');
  }

  async close(): Promise<void> {
    await this.#process?.stop();
    this.#temporary.remove();
  }
}
