// `npm run docs:config` writes docs/configuration.md from the table of settings; a test fails where the two differ.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { flagSyntaxOf } from '../lib/config/flags.js';
import { flagOf, type SettingKey, settingKeys, settingOf, variableOf } from '../lib/config/settings.js';

const introduction = `# Configuration

<!-- Written by \`npm run docs:config\` from lib/config/settings.ts; change it there. -->

Everything has a default: \`hivepulse up\` needs no configuration. A setting is given as

1. a flag: \`--interval 2s\`;
2. else an environment variable: \`HIVEPULSE_INTERVAL=2s\` (an empty one counts as unset);
3. else an entry of the YAML file named by \`--config\` or \`HIVEPULSE_CONFIG\`: \`interval: 2s\`;
4. else the default.

A value that does not fit, a file that cannot be read and a name that nobody knows end the command with exit code 2 and a
line that names the flag, the variable or the line of the file. A variable whose name looks like a mistyped setting is
warned of in the log.

\`\`\`yaml
# /etc/hivepulse.yaml: one file may serve all commands
interval: 1s
label: { zone: a, gpu: h100 }
watch:
  - system.slice/vllm-*.service
queen: # only for \`hivepulse queen\`
  host: 0.0.0.0
  tokensFile: /etc/hivepulse/tokens
hive: # only for \`hivepulse hive\`
  queens: http://10.0.0.1:7833
  tokenFile: /etc/hivepulse/token
\`\`\`

The sections \`up\`, \`queen\`, \`hive\`, \`sample\` and \`client\` (all commands that ask a queen: \`top\`, \`workers\`, \`events\`, \`attention\`, ...) hold what is
meant for those commands alone, and go before what stands outside of them.

Values:

- **duration**: a number of milliseconds, or a number with \`ms\`, \`s\`, \`m\` or \`h\`;
- **bytes**: a number, or a number with \`K\`, \`M\`, \`G\` or \`T\` (powers of 1024; also \`KiB\`, ...);
- **several**: the flag repeated, a YAML list, or one text with commas between;
- **switch**: the flag alone (\`--insecure\`, \`--no-auto\`), or \`true\` or \`false\` in a variable or the file.

Secrets never stand on a command line, where every user of the machine would see them, nor in the YAML file, which is copied
and committed: they come from a variable or from a file of their own.
`;

const userWords = {
  up: '`up`',
  queen: '`queen`',
  hive: '`hive`',
  sample: '`sample`',
  client: 'commands that ask a queen',
} as const;

function entry(key: SettingKey): string {
  const setting = settingOf(key);
  const { type } = setting;
  const show = (value: unknown): string => (type.format(value) === '' ? 'none' : `\`${type.format(value)}\``);
  const others = Object.entries(setting.defaultFor ?? {}).map(
    ([user, value]) => `${show(value)} for ${userWords[user as keyof typeof userWords]}`,
  );
  const fallback =
    setting.default === null
      ? [...others, `none: ${setting.without ?? 'it is not set.'}`].join('; else ')
      : [show(setting.default), ...others].join(', ');
  const flag = flagOf(key) === null ? 'none' : `\`${flagSyntaxOf(key)}\`${type.repeatable ? ', repeatable' : ''}`;
  const rows = [
    ['flag', flag],
    ['variable', `\`${variableOf(key)}\``],
    ['file', setting.inFile === false ? 'refused' : `\`${key}\``],
    ['value', `${type.expects}${type.unit ? ` (a bare number: ${type.unit})` : ''}`],
    ['default', fallback],
    ['read by', setting.users.map((user) => userWords[user]).join(', ')],
  ];
  const table = rows.map(([name, text]) => `| ${name} | ${(text as string).replaceAll('|', '\\|')} |`);
  return [
    `### ${key}`,
    '',
    setting.description,
    '',
    `*Trade-off:* ${setting.tradeoff}`,
    '',
    '| what | value |',
    '|---|---|',
    ...table,
    '',
  ].join('\n');
}

/** The text of docs/configuration.md. */
export function configurationDocument(): string {
  const groups = [...new Set(settingKeys.map((key) => settingOf(key).group))];
  const sections = groups.map((group) => {
    const keys = settingKeys.filter((key) => settingOf(key).group === group);
    return [`## ${group === 'All' ? 'Log' : group}`, '', ...keys.map(entry)].join('\n');
  });
  return [introduction, ...sections].join('\n').trimEnd().concat('\n');
}

const target = fileURLToPath(new URL('../docs/configuration.md', import.meta.url));
if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(target, configurationDocument());
