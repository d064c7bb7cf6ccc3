import type { Command } from 'commander';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { createProgram } from '../../lib/cli/program.js';
import { labelWarnings, parseLabels, toSpawnOptions } from '../../lib/cli/run.js';
import { parseGrace } from '../../lib/cli/stop.js';
import { HivepulseClient } from '../../lib/client/client.js';
import { readConfigFile, readToken, resolveSettings } from '../../lib/config/resolve.js';
import { settingUsers } from '../../lib/config/setting.js';
import { type SettingKey, settingKeys, settingsOf, variableOf } from '../../lib/config/settings.js';
import { startHive } from '../../lib/daemon/hive.js';
import { checkCommands } from '../../lib/doctor/commands.js';
import { checkReadyUrl } from '../../lib/engines/ready-url.js';
import { parseBytes, parseCpu, parseIo } from '../../lib/launch/limits.js';
import { checkDescription } from '../../lib/launch/spawn-options.js';
import { connectionOptions } from '../../lib/nats/nats-link.js';
import { shownUrl } from '../../lib/util/shown-url.js';
import { parseWorkerId } from '../../lib/workers/worker-id.js';
import { portion } from '../harness/draws.js';

/** A secret that cannot stand in any text by chance, of a kind that looks like nothing, like base64 or like a password. */
const letters = (alphabet: string, least: number, most: number) =>
  fc.string({ unit: fc.constantFrom(...alphabet), minLength: least, maxLength: most });
const lower = 'abcdefghijklmnopqrstuvwxyz';
const secrets = fc.oneof(
  letters(lower, 16, 16),
  letters(`${lower}${lower.toUpperCase()}0123456789+/`, 24, 40).map((text) => `${text}==`),
  letters(`${lower}${lower.toUpperCase()}0123456789!$%^&*(){}~`, 12, 24),
);
const placed = (secret: string) =>
  fc.constantFrom(
    secret,
    `http://u:${secret}@h`,
    `nats://${secret}@h:4222`,
    `http://h/?k=${secret}`,
    `http://h:${secret}/`,
    `k=${secret}\u0000`,
    `a,${secret} b, c`,
    `"${secret}`,
    `*${secret}`,
    `{ ${secret}: [`,
    `-${secret}`,
  );
const inputs = secrets.chain((secret) => placed(secret).map((text) => ({ secret, text })));

/** Everything that an error holds, causes included. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause, ...own } = error as Error & { cause?: unknown };
  return [error.message, error.stack, JSON.stringify(own), cause === undefined ? '' : textOf(cause)].join('\n');
}

function complaint(act: () => unknown): string {
  try {
    act();
    return '';
  } catch (error) {
    return textOf(error);
  }
}

describe('bad input is refused with its place, not its value', () => {
  it('any setting by flag, by variable and in the file', () => {
    fc.assert(
      fc.property(
        inputs,
        fc.constantFrom<SettingKey>(...settingKeys),
        fc.constantFrom(...settingUsers),
        ({ secret, text }, key, user) => {
          const flags = { [key]: text };
          const repeated = { [key]: ['a', text] };
          const environment = { [variableOf(key)]: text };
          const of = (over: object) =>
            resolveSettings({ user, flags: {}, environment: {}, file: null, ...over } as never);
          const inFile = (content: string) => of({ file: { path: 'hivepulse.yaml', text: content } });
          const quoted = JSON.stringify(text);
          const said = [
            complaint(() => of({ flags })),
            complaint(() => of({ flags: repeated })),
            complaint(() => of({ environment })),
            complaint(() => inFile(`${key}: ${text}`)),
            complaint(() => inFile(`${key}: ${quoted}`)),
            complaint(() => inFile(`${key}:\n  - a\n  - ${quoted}`)),
            complaint(() => inFile(`${user}:\n  ${quoted}: 1`)),
            complaint(() => inFile(`${text}: 1\n${text}: 2`)),
            complaint(() => readConfigFile(text)),
            complaint(() =>
              readToken({ settings: { tokenFile: text }, origins: { tokenFile: 'flag' }, warnings: [] } as never),
            ),
          ].join('\n');
          // A path that looks like one may be shown.
          if (!text.startsWith('/')) expect(said).not.toContain(secret);
        },
      ),
      { numRuns: portion(400) },
    );
    expect(settingsOf('hive')).toContain('commands');
  });

  it('flags of run and stop, and options of the package', async () => {
    const spawn = { group: 'g', instance: 'i', command: 'x' };
    await fc.assert(
      fc.asyncProperty(inputs, async ({ secret, text }) => {
        const said = [
          complaint(() => parseLabels([text])),
          complaint(() => toSpawnOptions({ group: 'g', instance: 'i', port: text }, ['x'])),
          complaint(() => parseGrace(text)),
          complaint(() => parseWorkerId(text)),
          complaint(() => parseWorkerId(`a/${text}`)),
          complaint(() => parseCpu(text)),
          complaint(() => parseIo(`/dev/sda ${text}`)),
          complaint(() => parseBytes(text)),
          complaint(() => checkReadyUrl(text)),
          complaint(() => checkDescription({ ...spawn, readyUrl: text })),
          complaint(() => checkDescription({ ...spawn, model: text })),
          complaint(() => checkDescription({ ...spawn, labels: { [text]: text } })),
          complaint(() => new HivepulseClient(text)),
          complaint(() => connectionOptions({ servers: [text] }, {} as never, 'x')),
          shownUrl(`http://u:${text}@h/p`),
          shownUrl(`http://h/p?k=${text}`),
        ];
        const refused = [{ id: `-${text}` }, { queens: [`ftp://${text}`] }, { tls: { ca: text } }];
        for (const options of refused) said.push(await startHive(options).then(String, textOf));
        if (!text.startsWith('/')) expect(said.join('\n')).not.toContain(secret);
      }),
      { numRuns: portion(80) },
    );
  });

  it('labels that look like secrets are warned of by their place; a doctor says what full means', () => {
    const labels = { zone: 'a', api_key: 'hunter2', team: 'sk-proj-abcdefgh12345678' };
    const said = labelWarnings(labels, '--label');
    expect(said).toEqual([expect.stringContaining('label 2 looks'), expect.stringContaining('label 3 looks')]);
    expect(said.join()).not.toMatch(/hunter2|sk-proj|api_key/);
    expect(['safe', 'none', 'full'].map((mode) => checkCommands(mode as 'safe').status)).toEqual(['ok', 'ok', 'warn']);
  });

  it('the parser of the command line', async () => {
    let said = '';
    const write = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      said += String(text);
      return true;
    });
    try {
      await fc.assert(
        fc.asyncProperty(inputs, async ({ secret, text }) => {
          for (const argv of [
            [text],
            ['hive', `--${text}`],
            ['hive', `--token=${text}`],
            ['hive', `--tokn=${text}`],
            ['hive', `-p${text}`],
            ['hive', text],
            ['workers', '--liveness', text],
          ]) {
            said = '';
            // What is accepted would start something.
            const program = createProgram();
            for (const command of program.commands as Command[]) command.action(() => undefined);
            await program.parseAsync(['node', 'hivepulse', ...argv]).catch((error: Error) => {
              if (error.name !== 'CommanderError') said += textOf(error);
            });
            expect(said).not.toContain(secret);
          }
        }),
        { numRuns: 25 },
      );
    } finally {
      write.mockRestore();
    }
  });
});
