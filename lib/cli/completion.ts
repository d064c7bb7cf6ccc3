import { Argument, type Command, type Option } from 'commander';
import { writeText } from './output.js';

/*
 * The scripts come from commander's own tree of commands. Libraries were looked at (@bomb.sh/tab, omelette, @pnpm/tabtab):
 * each asks Node.js at every key press instead, none completes paths as the value of an option, and the first evaluates
 * what is typed on the line, command substitutions included.
 */

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
      writeText(completionScript(program, shell));
    });
}

export function completionScript(program: Command, shell: Shell): string {
  return { bash, zsh, fish }[shell](program.commands);
}

/** How a shell completes the value of an option, where it takes one. */
interface Values {
  readonly none: string;
  readonly path: string;
  readonly any: string;
  readonly list: (words: string) => string;
}

function valueOfOption({ flags, argChoices, required, optional }: Option, values: Values): string {
  if (!required && !optional) return values.none;
  const placeholder = /<([^<>]+)>/.exec(flags)?.[1] ?? '';
  if (placeholder === 'path' || placeholder === 'dir') return values.path;
  const words = argChoices ?? (placeholder.includes('|') ? placeholder.split('|') : null);
  return words ? values.list(words.join(' ')) : values.any;
}

/** What can be typed behind a command, `--help` included. */
const optionsOf = (command: Command): readonly (Option & { readonly long: string })[] =>
  command
    .createHelp()
    .visibleOptions(command)
    .filter((option): option is Option & { long: string } => option.long !== undefined);

const textOf = ({ long, description }: Option): string =>
  long === '--help' ? 'print the help' : (description.split(/[.:;] | \(| \[/)[0] ?? '');
/** The values that its argument may have. */
const wordsOf = (command: Command): string[] =>
  command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []);
const summaryOf = (command: Command): string => command.summary() || command.description();

function bash(commands: readonly Command[]): string {
  const reply = (words: string): string => `COMPREPLY=($(compgen -W '${words}' -- "$word"))`;
  const values: Values = {
    none: '',
    path: 'compopt -o filenames; COMPREPLY=($(compgen -f -- "$word")); return;;',
    any: 'return;;',
    list: (words) => `${reply(words)}; return;;`,
  };
  const names = commands.map((command) => command.name()).join(' ');
  const cases = commands.flatMap((command) => {
    const options = optionsOf(command);
    const actions = options.map((option) => `        ${option.long}) ${valueOfOption(option, values)}`);
    const words = [...options.map(({ long }) => long), ...wordsOf(command)].join(' ');
    const valued = actions.filter((line) => line.endsWith('return;;'));
    return [`    ${command.name()})`, '      case "$previous" in', ...valued, '      esac', `      ${reply(words)};;`];
  });
  return `# bash completion of hivepulse
_hivepulse() {
  local word="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" command="\${COMP_WORDS[1]}"
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    ${reply(`${names} --help --version`)}
    return
  fi
  case "$command" in
    help) ${reply(names)};;
${cases.join('\n')}
  esac
}
complete -F _hivepulse hivepulse
`;
}

/** In single quotes for zsh; what its specifications take as syntax is escaped. */
const zshQuote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const zshText = (text: string): string => text.replace(/[[\]:\\]/g, (sign) => `\\${sign}`);

function zsh(commands: readonly Command[]): string {
  const values: Values = {
    none: '',
    path: ':value:_files',
    any: ':value: ',
    list: (words) => `:value:(${words})`,
  };
  const list = commands.map((command) => `    ${zshQuote(`${command.name()}:${zshText(summaryOf(command))}`)}`);
  const cases = commands.map((command) => {
    const specs = optionsOf(command).map((option) =>
      zshQuote(`*${option.long}[${zshText(textOf(option))}]${valueOfOption(option, values)}`),
    );
    const words = wordsOf(command);
    if (words.length > 0) specs.push(zshQuote(`1:value:(${words.join(' ')})`));
    return `    ${command.name()}) _arguments ${specs.join(' ')} ;;`;
  });
  return `#compdef hivepulse
_hivepulse() {
  local -a commands=(
${list.join('\n')}
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

function fish(commands: readonly Command[]): string {
  const quote = (text: string): string => `'${text.replace(/['\\]/g, (sign) => `\\${sign}`)}'`;
  const values: Values = { none: '', path: ' -r -F', any: ' -x', list: (words) => ` -x -a ${quote(words)}` };
  const lines = commands.flatMap((command) => {
    const name = command.name();
    const when = `complete -c hivepulse -n '__fish_seen_subcommand_from ${name}'`;
    const words = wordsOf(command);
    return [
      `complete -c hivepulse -n __fish_use_subcommand -a ${name} -d ${quote(summaryOf(command))}`,
      ...optionsOf(command).map(
        (option) => `${when} -l ${option.long.slice(2)}${valueOfOption(option, values)} -d ${quote(textOf(option))}`,
      ),
      ...(words.length > 0 ? [`${when} -a ${quote(words.join(' '))}`] : []),
    ];
  });
  return ['# fish completion of hivepulse', 'complete -c hivepulse -f', ...lines, ''].join('\n');
}
