import type { Logger } from 'pino';
import { defined } from '../util/defined.js';
import { HivepulseError } from '../util/errors.js';
import type { Log } from '../util/log.js';
import { type OptionsOf, type SettingKey, type Settings, settingOf, settingsOf } from './settings.js';

/** What everything that is opened gives back. `close` may be called twice; both calls resolve when it has ended. */
export interface Running extends AsyncDisposable {
  readonly url: string;
  close(): Promise<void>;
}

/** PEM files. */
interface TlsFiles {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** How to reach the NATS servers that the queens of a fleet share. */
export interface NatsOptions {
  /** `nats://host:4222` or `tls://host:4222`, of one cluster. */
  readonly servers: readonly string[];
  /** A credentials file as `nsc` writes it. */
  readonly credentialsFile?: string;
  readonly tls?: TlsFiles;
  /** Copies of what must last: 1, 3 or 5, no more than the cluster has servers. Default 1. */
  readonly replicas?: number;
}

/** Everything has a default. Each setting is described, with unit and trade-off, in docs/configuration.md. */
export interface HiveOptions extends OptionsOf<'hive'> {
  /** Publish to the queens through NATS; `queens` are then used only where NATS is out of reach. */
  readonly nats?: NatsOptions;
  readonly token?: string;
  /** For TLS to the queen. */
  readonly tls?: TlsFiles;
  readonly logger?: Log;
  readonly signal?: AbortSignal;
}

/** Everything has a default. Each setting is described, with unit and trade-off, in docs/configuration.md. */
export interface QueenOptions extends OptionsOf<'queen'> {
  /** Tokens given directly, besides those of `tokensFile`. */
  readonly tokens?: readonly TokenGrant[];
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string };
  /** None: one queen, in memory. */
  readonly nats?: NatsOptions;
  readonly logger?: Logger;
  readonly signal?: AbortSignal;
}

export type GpuChoice = NonNullable<HiveOptions['gpu']>;

export type Role = 'hive' | 'read' | 'schedule' | 'admin';

export interface TokenGrant {
  readonly token: string;
  readonly role: Role;
  /** A hive token that may speak for this hive alone. */
  readonly hive?: string;
}

export const hiveOptions = (settings: Settings, token: string | null): HiveOptions => ({
  ...optionsOf('hive', settings),
  ...defined({ token: token ?? undefined }),
});

export const queenOptions = (settings: Settings): QueenOptions => optionsOf('queen', settings);

/** The values of all settings that `user` reads, each where its table entry says. Throws INVALID_OPTION. */
function optionsOf(user: 'hive' | 'queen', settings: Settings): object {
  check(settings);
  const options: Nested = {};
  for (const key of settingsOf(user)) {
    const path = settingOf(key).option;
    if (path === null || settings[key] === undefined) continue;
    const names = (path || key).split('.');
    const last = names.pop() as string;
    // The number of copies has a default, but means nothing without servers.
    if (names[0] === 'nats' && !settings.nats?.length) continue;
    let object = options;
    for (const name of names) {
      object[name] ??= {};
      object = object[name] as Nested;
    }
    object[last] = settings[key];
  }
  return options;
}

/** Settings that need each other. */
function check(settings: Settings): void {
  requireBoth(settings, 'tlsCert', 'tlsKey');
  if (settings.tlsClientCa && !settings.tlsCert) {
    throw invalid('tlsClientCa', 'needs tlsCert and tlsKey: clients show their certificate over TLS alone');
  }
  requireBoth(settings, 'natsTlsCert', 'natsTlsKey');
  if (settings.nats?.length) return;
  const given = (['natsCredentials', 'natsTlsCa', 'natsTlsCert'] as const).find((key) => settings[key]);
  if (given) throw invalid(given, 'was given without nats: name the servers as well');
}

interface Nested {
  [name: string]: unknown;
}

function requireBoth(settings: Settings, cert: SettingKey, key: SettingKey): void {
  if ((settings[cert] === undefined) === (settings[key] === undefined)) return;
  const [given, missing] = settings[cert] ? [cert, key] : [key, cert];
  throw invalid(given, `was given without ${missing}: name both PEM files`);
}

const invalid = (key: SettingKey, message: string): HivepulseError =>
  new HivepulseError('INVALID_OPTION', key, `${key} ${message}.`);
