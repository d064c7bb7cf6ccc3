import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import type { NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node';
import type { NatsOptions } from '../config/options.js';
import { HivepulseError } from '../util/errors.js';
import { type MessageLog, silentLog } from '../util/log.js';
import { readNamedFile } from '../util/named-file.js';
import { requirePlainUrls, shownUrl } from '../util/shown-url.js';

export type NatsModule = typeof import('@nats-io/transport-node');
export type JetStreamModule = typeof import('@nats-io/jetstream');
export type KvModule = typeof import('@nats-io/kv');

export interface NatsPackages {
  readonly transport: NatsModule;
  readonly jetstream: JetStreamModule;
  readonly kv: KvModule;
}

/** The packages are optional: they are loaded only where an address of a NATS server is given. */
export async function loadNats(): Promise<NatsPackages> {
  try {
    const [transport, jetstream, kv] = await Promise.all([
      import('@nats-io/transport-node'),
      import('@nats-io/jetstream'),
      import('@nats-io/kv'),
    ]);
    return { transport, jetstream, kv };
  } catch (error) {
    throw new HivepulseError(
      'INVALID_OPTION',
      'nats',
      'The NATS packages cannot be loaded: npm install @nats-io/transport-node @nats-io/jetstream @nats-io/kv',
      { cause: error },
    );
  }
}

/** What an older server does not do, and what that means here. Pure. */
export function versionNotes(version: string): { readonly supported: boolean; readonly lost: readonly string[] } {
  const match = /^(\d+)\.(\d+)\.(\d+)/.exec(version);
  if (!match) return { supported: true, lost: [`"${version}" is not a version of nats-server that is known`] };
  const [major, minor, patch] = match.slice(1).map(Number) as [number, number, number];
  const atLeast = (a: number, b: number, c = 0) =>
    major > a || (major === a && (minor > b || (minor === b && patch >= c)));
  if (!atLeast(2, 9)) return { supported: false, lost: ['it is older than 2.9'] };
  const lost: string[] = [];
  if (!atLeast(2, 10)) lost.push('streams are not compressed (needs 2.10)');
  if (!atLeast(2, 11))
    lost.push('time limits of single keys are ignored (needs 2.11); leases are judged by their revision instead');
  return { supported: true, lost };
}

const read = (path: string): Buffer => readNamedFile(path, { fix: 'It was named for NATS' });

/**
 * Whose certificate is taken. The client names a server to TLS only where its address is a name; of a numeric one Node then
 * knows nothing and asks for "localhost", so that the certificate is held against the numeric addresses that were given.
 */
export function identityAmong(servers: readonly string[]) {
  const hosts = servers.map((server) => new URL(server).hostname.replace(/^\[(.*)\]$/, '$1'));
  const unnamed = hosts.filter((host) => isIP(host) !== 0 || host === 'localhost');
  return (host: string, certificate: PeerCertificate): Error | undefined => {
    if (host !== 'localhost' || unnamed.length === 0) return checkServerIdentity(host, certificate);
    const failures = unnamed.map((each) => checkServerIdentity(each, certificate));
    return failures.includes(undefined) ? undefined : failures[0];
  };
}

/** Of a credentials file as `nsc` writes it, or a file that holds the seed of a user's key alone. */
function authenticatorOf(path: string, { transport }: Pick<NatsPackages, 'transport'>) {
  const bytes = read(path);
  const seed = bytes.toString('latin1').trim();
  if (/^SU[A-Z2-7]{56}$/.test(seed)) return transport.nkeyAuthenticator(Buffer.from(seed));
  return transport.credsAuthenticator(bytes);
}

/** @throws HivepulseError CONFIG_UNREADABLE */
export function connectionOptions(
  { servers, credentialsFile, tls }: NatsOptions,
  packages: Pick<NatsPackages, 'transport'>,
  name: string,
  inboxPrefix: string = '_INBOX',
): NodeConnectionOptions {
  const pem = (path: string | undefined) => (path === undefined ? undefined : read(path).toString('utf8'));
  requirePlainUrls('nats', servers, 'give a credentials file');
  const secure = tls !== undefined || servers.some((server) => server.startsWith('tls:'));
  const [ca, cert, key] = [pem(tls?.ca), pem(tls?.cert), pem(tls?.key)];
  return {
    servers: servers.map((server) => server.replace(/^(nats|tls):\/\//, '')),
    name,
    // Below a name of its own, so that a server's permissions let nobody read the answers that another one gets.
    inboxPrefix,
    // One's own publications do not come back: they are in the registry already.
    noEcho: true,
    // Reconnecting is done here: the client would buffer what is said meanwhile, and stale heartbeats are worth nothing.
    reconnect: false,
    noAsyncTraces: true,
    timeout: 2000,
    // A server behind a cut cable is noticed within three seconds.
    pingInterval: 1000,
    maxPingOut: 2,
    ...(secure
      ? {
          tls: {
            ...(ca && { ca }),
            ...(cert && { cert }),
            ...(key && { key }),
            ...{ checkServerIdentity: identityAmong(servers) },
          },
        }
      : {}),
    ...(credentialsFile === undefined ? {} : { authenticator: authenticatorOf(credentialsFile, packages) }),
  };
}

export interface LinkHooks {
  /** A connection is there. */
  up(connection: NatsConnection): void;
  /** It is gone, or could not be made. */
  down(reason: string): void;
}

export interface LinkOptions {
  readonly options: NodeConnectionOptions;
  readonly connect: (options: NodeConnectionOptions) => Promise<NatsConnection>;
  readonly hooks: LinkHooks;
  readonly log?: MessageLog;
  readonly random?: () => number;
}

const backoffMinMs = 250;
const backoffMaxMs = 2000;

/**
 * Keeps one connection, from now until `close`. It tries again for ever, after pauses drawn at random, so that a server that
 * comes back is not met by all its clients at once.
 */
export class NatsLink {
  readonly #options: LinkOptions;
  readonly #log: MessageLog;
  #connection: NatsConnection | null = null;
  #closed = false;
  #wake: (() => void) | null = null;
  readonly #running: Promise<void>;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#log = options.log ?? silentLog;
    this.#running = this.#run();
  }

  get connection(): NatsConnection | null {
    return this.#connection;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake?.();
    await this.#connection?.close().catch(() => undefined);
    await this.#running;
  }

  async #run(): Promise<void> {
    const { options, connect, hooks } = this.#options;
    let failures = 0;
    while (!this.#closed) {
      try {
        const connection = await connect(options);
        if (this.#closed) {
          await connection.close();
          return;
        }
        failures = 0;
        this.#connection = connection;
        this.#log.info(`connected to NATS at ${connection.getServer()}`);
        hooks.up(connection);
        const error = await connection.closed();
        this.#connection = null;
        if (this.#closed) return;
        const why = error instanceof Error ? error.message : 'the connection ended';
        this.#log.warn(`NATS is out of reach: ${why}`);
        hooks.down(why);
      } catch (error) {
        failures++;
        const why = error instanceof Error ? error.message : String(error);
        if (failures === 1 || failures % 30 === 0)
          this.#log.warn(
            `NATS at ${[options.servers ?? []].flat().map(shownUrl).join(', ')} cannot be reached (${why}); trying again`,
          );
        hooks.down(why);
      }
      await this.#pause(failures);
    }
  }

  /** Full jitter under a ceiling that doubles. */
  #pause(failures: number): Promise<void> {
    const ceiling = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(failures, 8));
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, 50 + (this.#options.random ?? Math.random)() * ceiling);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.#closed) this.#wake();
    });
  }
}
