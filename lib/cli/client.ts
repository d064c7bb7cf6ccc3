import type { Command } from 'commander';
import type { HivepulseClient } from '../client/client.js';
import type { Resolved } from '../config/resolve.js';
import { writeNote } from './output.js';
import { settingsFor } from './settings.js';

export interface Opened {
  readonly client: HivepulseClient;
  readonly resolved: Resolved;
  readonly urls: readonly string[];
}

/** A client of the queens that the settings of `command` name. Loaded here, because most of the command line needs none. */
export async function openClient(command: Command): Promise<Opened> {
  const resolved = await settingsFor(command, 'client');
  const { readToken } = await import('../config/resolve.js');
  const { HivepulseClient } = await import('../client/client.js');
  const { queens: urls = [], tlsCa } = resolved.settings;
  const token = readToken(resolved);
  const own = tlsCa === undefined ? null : await fetchWithAuthority(tlsCa);
  const client = new HivepulseClient({
    url: urls,
    ...(token === null ? {} : { token }),
    ...(own ? { fetch: own } : {}),
  });
  for (const warning of resolved.warnings) writeNote(warning);
  return { client, resolved, urls };
}

async function fetchWithAuthority(path: string): Promise<typeof fetch> {
  const [{ Agent, fetch: fetchWith }, { readNamedText }] = await Promise.all([
    import('undici'),
    import('../util/named-file.js'),
  ]);
  const dispatcher = new Agent({ connect: { ca: readNamedText(path, { fix: 'It was named as tlsCa' }) } });
  // The same standard in two places: undici's own types and those of the platform.
  return ((input: string, init?: object) => fetchWith(input, { ...init, dispatcher })) as unknown as typeof fetch;
}
