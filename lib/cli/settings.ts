import { type Command, Option } from 'commander';
import { flagSyntaxOf, isOn } from '../config/flags.js';
import type { Resolved } from '../config/resolve.js';
import type { SettingUser } from '../config/setting.js';
import { defaultOf, flagOf, type SettingKey, settingOf, settingsOf, variableOf } from '../config/settings.js';
import { HivepulseError } from '../util/errors.js';

/** For a flag that may be repeated. */
export const collect = (value: string, previous: unknown): string[] => [
  ...(Array.isArray(previous) ? previous : []),
  value,
];

/** Gives a command the flags of all its settings, and `--config`. */
export function addSettings(command: Command, user: SettingUser): Command {
  for (const key of settingsOf(user)) {
    const setting = settingOf(key);
    if (flagOf(key) === null) {
      command.addOption(refused(key));
      continue;
    }
    const option = new Option(flagSyntaxOf(key), describe(key, defaultOf(key, user))).helpGroup(`${setting.group}:`);
    if (setting.type.repeatable) option.argParser(collect);
    command.addOption(option);
  }
  return command.addOption(
    new Option('--config <path>', 'YAML file with settings [HIVEPULSE_CONFIG]').helpGroup('All:'),
  );
}

function describe(key: SettingKey, fallback: unknown): string {
  const setting = settingOf(key);
  const empty = fallback === null || fallback === false || isOn(key) || setting.type.format(fallback) === '';
  const text = setting.description.replaceAll('`', '').replace(/\.$/, '');
  return `${text}${empty ? '' : ` (default ${setting.type.format(fallback)})`} [${variableOf(key)}]`;
}

/** A secret has no flag. The error says what to use instead, and does not repeat the secret. */
function refused(key: SettingKey): Option {
  return new Option(`--${key} <secret>`).hideHelp().argParser(() => {
    throw new HivepulseError(
      'INVALID_OPTION',
      `--${key}`,
      `--${key} would show its value in the list of processes. Set ${variableOf(key)}, or name a file with --${key}-file.`,
    );
  });
}

/** The settings of a command that is being run, from its flags, the environment and the file. */
export async function settingsFor(
  command: Command,
  user: SettingUser,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Resolved> {
  // Loaded here, because the YAML parser takes longer than the whole of `--help`.
  const { readConfigFile, resolveSettings } = await import('../config/resolve.js');
  const given = command.opts();
  const flags: Partial<Record<SettingKey, unknown>> = {};
  for (const key of settingsOf(user)) {
    if (flagOf(key) === null) continue;
    const attribute = new Option(flagSyntaxOf(key)).attributeName();
    if (command.getOptionValueSource(attribute) === 'cli') flags[key] = given[attribute];
  }
  const path = (given.config as string | undefined) ?? environment.HIVEPULSE_CONFIG;
  return resolveSettings({ user, flags, environment, file: path ? readConfigFile(path) : null });
}
