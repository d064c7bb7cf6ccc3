import { Argument, type Command } from 'commander';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

export function register(program: Command): void {
  program
    .command('completion')
    .summary('print a completion script for a shell')
    .description('Prints a script with which the shell completes commands, options and their values.')
    .addArgument(new Argument('<shell>', 'which shell').choices(shells))
    .addHelpText(
      'after',
      `
Examples:
  $ source <(hivepulse completion bash)
  $ hivepulse completion zsh > ~/.zfunc/_hivepulse      # with fpath+=~/.zfunc before compinit
  $ hivepulse completion fish > ~/.config/fish/completions/hivepulse.fish`,
    )
    .action((shell: Shell) => {
      process.stdout.write(completionScript(program, shell));
    });
}

interface Flag {
  readonly name: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
  readonly isPath: boolean;
  readonly text: string;
}

interface Described {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly Flag[];
  /** Values of its argument. */
  readonly words: readonly string[];
}

/** What can be typed, from the definitions that also parse it. */
function describe(program: Command): Described[] {
  return program.commands.map((command) => ({
    name: command.name(),
    summary: command.summary() || command.description(),
    words: command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
    flags: [
      ...command.options
        .filter(({ hidden, long }) => !hidden && long)
        .map(({ long, flags, argChoices, required, optional, description }) => {
          const placeholder = /<([^>]+)>/.exec(flags)?.[1] ?? '';
          const listed = placeholder.includes('|') ? placeholder.split('|') : [];
          return {
            name: long as string,
            takesValue: required || optional,
            choices: argChoices ?? listed,
            isPath: placeholder === 'path' || placeholder === 'dir',
            text: description.split(/[.:;] | \(| \[/)[0] ?? '',
          };
        }),
      { name: '--help', takesValue: false, choices: [], isPath: false, text: 'print the help' },
    ],
  }));
}

export function completionScript(program: Command, shell: Shell): string {
  const commands = describe(program);
  if (shell === 'bash') return bash(commands);
  if (shell === 'zsh') return zsh(commands);
  return fish(commands);
}

function bash(commands: readonly Described[]): string {
  const names = commands.map(({ name }) => name).join(' ');
  const cases = commands.map(({ name, flags, words }) => {
    const values = flags
      .filter(({ choices, isPath }) => choices.length > 0 || isPath)
      .map(({ name: flag, choices, isPath }) =>
        isPath
          ? `        ${flag}) compopt -o filenames; COMPREPLY=($(compgen -f -- "$word")); return;;`
          : `        ${flag}) COMPREPLY=($(compgen -W '${choices.join(' ')}' -- "$word")); return;;`,
      );
    const plain = flags.filter(({ takesValue, choices, isPath }) => takesValue && choices.length === 0 && !isPath);
    if (plain.length > 0) values.push(`        ${plain.map(({ name: flag }) => flag).join('|')}) return;;`);
    return [
      `    ${name})`,
      '      case "$previous" in',
      ...values,
      '      esac',
      `      COMPREPLY=($(compgen -W '${[...flags.map((flag) => flag.name), ...words].join(' ')}' -- "$word"));;`,
    ].join('\n');
  });
  return `# bash completion of hivepulse
_hivepulse() {
  local word="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" command="\${COMP_WORDS[1]}"
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${names} --help --version' -- "$word"))
    return
  fi
  case "$command" in
    help) COMPREPLY=($(compgen -W '${names}' -- "$word"));;
${cases.join('\n')}
  esac
}
complete -F _hivepulse hivepulse
`;
}

/** In single quotes for zsh and fish; what the specifications of zsh take as syntax is escaped. */
const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const zshText = (text: string): string => text.replace(/[[\]:\\]/g, (sign) => `\\${sign}`);

function zsh(commands: readonly Described[]): string {
  const list = commands.map(({ name, summary }) => `    ${quote(`${name}:${zshText(summary)}`)}`).join('\n');
  const cases = commands.map(({ name, flags, words }) => {
    const specs = flags.map(({ name: flag, takesValue, choices, isPath, text }) => {
      const action = choices.length > 0 ? `(${choices.join(' ')})` : isPath ? '_files' : ' ';
      return quote(`*${flag}[${zshText(text)}]${takesValue ? `:value:${action}` : ''}`);
    });
    if (words.length > 0) specs.push(quote(`1:value:(${words.join(' ')})`));
    return `    ${name}) _arguments ${specs.join(' ')} ;;`;
  });
  return `#compdef hivepulse
_hivepulse() {
  local -a commands=(
${list}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
    help) _describe command commands ;;
${cases.join('\n')}
  esac
}
compdef _hivepulse hivepulse
`;
}

function fish(commands: readonly Described[]): string {
  const fishText = (text: string): string => `'${text.replace(/['\\]/g, (sign) => `\\${sign}`)}'`;
  const lines = ['# fish completion of hivepulse', 'complete -c hivepulse -f'];
  for (const { name, summary, flags, words } of commands) {
    lines.push(`complete -c hivepulse -n __fish_use_subcommand -a ${name} -d ${fishText(summary)}`);
    const when = `-n '__fish_seen_subcommand_from ${name}'`;
    for (const { name: flag, takesValue, choices, isPath, text } of flags) {
      const value =
        choices.length > 0 ? ` -x -a ${fishText(choices.join(' '))}` : isPath ? ' -r -F' : takesValue ? ' -x' : '';
      lines.push(`complete -c hivepulse ${when} -l ${flag.slice(2)}${value} -d ${fishText(text)}`);
    }
    if (words.length > 0) lines.push(`complete -c hivepulse ${when} -a ${fishText(words.join(' '))}`);
  }
  return `${lines.join('\n')}\n`;
}
