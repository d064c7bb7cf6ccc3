/** Names that the shell completes, asked of the queen while somebody waits. */
import { Command } from 'commander';
import type { HivepulseClient } from '../client/client.js';
import { flagOf, settingsOf } from '../config/settings.js';
import { modelsOf } from '../contract/models.js';
import { labelTexts } from '../present/search.js';
import { openClient } from './client.js';
import type { NameKind } from './completes.js';
import { addSettings } from './settings.js';

/** How long a key press may wait, ms. */
const deadlineMs = 700;
const limit = 1000;

/** Characters that no shell takes for anything else: what names hold comes from other hosts. */
const safe = /^[\w.@%+,:=/-]{1,256}$/;

type Ask = (client: HivepulseClient, signal: AbortSignal) => Promise<readonly string[]>;

const workersOf = async (client: HivepulseClient, signal: AbortSignal) =>
  (await client.workers({ limit }, { signal })).items;

const asks: Readonly<Record<NameKind, Ask>> = {
  hives: async (client, signal) => (await client.hives({ limit }, { signal })).items.map(({ id }) => id),
  workers: async (client, signal) => (await workersOf(client, signal)).map(({ id }) => id),
  models: async (client, signal) => (await workersOf(client, signal)).flatMap(modelsOf),
  labels: async (client, signal) => {
    const [hives, workers] = await Promise.all([client.hives({ limit }, { signal }), workersOf(client, signal)]);
    return [...hives.items, ...workers].flatMap(({ labels }) => labelTexts(labels));
  },
  causes: async (client, signal) => (await client.attention({ signal })).items.map(({ cause }) => cause),
  missing: async (client, signal) => (await client.missing({ limit }, { signal })).items.map(({ key }) => key),
};

/** The flags among the words of a line that say which queen is asked, and how. */
export function clientFlags(words: readonly string[]): string[] {
  const flags = ['--config', ...settingsOf('client').map((key) => `--${flagOf(key)}`)];
  return words.flatMap((word, i) => {
    if (flags.some((flag) => word.startsWith(`${flag}=`))) return [word];
    const next = words[i + 1];
    return flags.includes(word) && next !== undefined ? [word, next] : [];
  });
}

export async function askNames(client: HivepulseClient, kind: NameKind, signal: AbortSignal): Promise<string[]> {
  const names = await asks[kind](client, signal);
  return [...new Set(names)].filter((name) => safe.test(name)).sort();
}

/** What the queen that the line names knows, or nothing: a line that is typed is no place for errors. Never waits longer than the deadline. */
export async function completedNames(
  kind: NameKind,
  words: readonly string[],
  signal: AbortSignal = AbortSignal.timeout(deadlineMs),
): Promise<string[]> {
  const late = new Promise<string[]>((resolve) => signal.addEventListener('abort', () => resolve([]), { once: true }));
  const asked = async (): Promise<string[]> => {
    const command = addSettings(new Command('names'), 'client')
      .exitOverride()
      .configureOutput({ writeErr: () => {} });
    command.parse(clientFlags(words), { from: 'user' });
    const { client } = await openClient(command);
    return askNames(client, kind, signal);
  };
  return Promise.race([late, asked().catch(() => [])]);
}
