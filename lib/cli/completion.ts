import { Argument, type Command, Option } from 'commander';
import { completionOf, type NameKind, nameKinds } from './completes.js';
import { writeText } from './output.js';

/*
 * The scripts come from commander's own tree of commands, so that a key press starts no Node.js but where a name is asked of
 * the queen. Libraries for the shells' side were looked at (@bomb.sh/tab, omelette, @pnpm/tabtab): each asks Node.js at every key
 * press, none completes paths as the value of an option, and the first evaluates what is typed on the line, command
 * substitutions included.
 */

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

export function register(program: Command): void {
  program
    .command('completion')
    .summary('print a completion script for a shell')
    .description(
      'Prints a script with which the shell completes commands, options and their values, and the names of hives, workers, models and labels that the queen knows.',
    )
    .addArgument(new Argument('<shell>', 'which shell').choices(shells))
    .addArgument(new Argument('[words...]', 'words of the line, where its script asks for names').default([]))
    .addOption(new Option('--names <kind>', 'what its script asks for').choices(nameKinds).hideHelp())
    .addHelpText(
      'after',
      `
Examples:
  $ source <(hivepulse completion bash)
  $ hivepulse completion zsh > ~/.zfunc/_hivepulse      # with fpath+=~/.zfunc before compinit
  $ hivepulse completion fish > ~/.config/fish/completions/hivepulse.fish`,
    )
    .action(async (shell: Shell, words: readonly string[], { names }: { names?: NameKind }) => {
      if (names === undefined) return writeText(completionScript(program, shell));
      const { completedNames } = await import('./names.js');
      writeText((await completedNames(names, words)).map((name) => `${name}\n`).join(''));
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
  readonly names: (kind: NameKind) => string;
}

function valueOfOption(option: Option, values: Values): string {
  const { flags, required } = option;
  // One that may stand alone is followed by anything.
  if (!required) return values.none;
  const placeholder = /<([^<>]+)>/.exec(flags)?.[1] ?? '';
  if (placeholder === 'path' || placeholder === 'dir') return values.path;
  const completed = completionOf(option) ?? (placeholder.includes('|') ? placeholder.split('|') : null);
  return completed === null ? values.any : valuesOf(completed, values);
}

const valuesOf = (completed: NameKind | readonly string[], values: Values): string =>
  typeof completed === 'string' ? values.names(completed) : values.list(completed.join(' '));

/** What its arguments may be: the first that says it. */
const argumentOf = (command: Command): NameKind | readonly string[] | null =>
  command.registeredArguments.map(completionOf).find((completed) => completed !== null) ?? null;

/** What can be typed behind a command, `--help` included. */
const optionsOf = (command: Command): readonly (Option & { readonly long: string })[] =>
  command
    .createHelp()
    .visibleOptions(command)
    .filter((option): option is Option & { long: string } => option.long !== undefined);

const textOf = ({ long, description }: Option): string =>
  long === '--help' ? 'print the help' : (description.split(/[.:;] | \(| \[/)[0] ?? '');
const summaryOf = (command: Command): string => command.summary() || command.description();

function bash(commands: readonly Command[]): string {
  const reply = (words: string): string => `COMPREPLY+=($(compgen -W '${words}' -- "$word"))`;
  const values: Values = {
    none: '',
    path: 'compopt -o filenames; COMPREPLY=($(compgen -f -- "$word")); return;;',
    any: 'return;;',
    list: (words) => `${reply(words)}; return;;`,
    names: (kind) => `_hivepulse_names ${kind}; return;;`,
  };
  const names = commands.map((command) => command.name()).join(' ');
  const cases = commands.flatMap((command) => {
    const options = optionsOf(command);
    const actions = options.map((option) => `        ${option.long}) ${valueOfOption(option, values)}`);
    const argument = argumentOf(command);
    const own = argument !== null && typeof argument !== 'string' ? argument : [];
    const words = [...options.map(({ long }) => long), ...own].join(' ');
    const valued = actions.filter((line) => line.endsWith('return;;'));
    const asked = typeof argument === 'string' ? [`      [[ $word == -* ]] || _hivepulse_names ${argument}`] : [];
    return [
      `    ${command.name()})`,
      '      case "$previous" in',
      ...valued,
      '      esac',
      ...asked,
      `      ${reply(words)};;`,
    ];
  });
  // The words of the line are taken apart here: bash breaks them at = and : too, which names have.
  return `# bash completion of hivepulse
_hivepulse_names() {
  local name
  while IFS= read -r name; do
    [[ $name == "$word"* ]] && COMPREPLY+=("\${name#"$cut"}")
  done < <(hivepulse completion bash --names "$1" -- "\${parts[@]}" 2>/dev/null)
}
_hivepulse() {
  local line="\${COMP_LINE:0:COMP_POINT}" parts word='' previous cut
  COMPREPLY=()
  read -ra parts <<< "$line"
  if [[ $line != *[[:space:]] ]]; then
    word="\${parts[-1]}"
    unset 'parts[-1]'
  fi
  previous="\${parts[-1]}"
  if [ "\${#parts[@]}" -eq 1 ]; then
    ${reply(`${names} --help --version`)}
    return
  fi
  if [[ $word == --*=* ]]; then
    previous="\${word%%=*}"
    word="\${word#*=}"
  fi
  cut="\${word%"\${word##*[=:]}"}"
  case "\${parts[1]}" in
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
    names: (kind) => `:value: _hivepulse_names ${kind}`,
  };
  const list = commands.map((command) => `    ${zshQuote(`${command.name()}:${zshText(summaryOf(command))}`)}`);
  const cases = commands.map((command) => {
    const specs = optionsOf(command).map((option) =>
      zshQuote(`*${option.long}[${zshText(textOf(option))}]${valueOfOption(option, values)}`),
    );
    const argument = argumentOf(command);
    if (argument !== null) specs.push(zshQuote(`*${valuesOf(argument, values)}`));
    return `    ${command.name()}) _arguments ${specs.join(' ')} ;;`;
  });
  return `#compdef hivepulse
_hivepulse_names() {
  local -a names=(\${(f)"$(hivepulse completion zsh --names $1 -- "\${words[@]}" 2>/dev/null)"})
  compadd -a names
}
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
  const ask = (kind: NameKind): string =>
    `(hivepulse completion fish --names ${kind} -- (commandline -opc) 2>/dev/null)`;
  const values: Values = {
    ...{ none: '', path: ' -r -F', any: ' -x', list: (words) => ` -x -a ${quote(words)}` },
    names: (kind) => ` -x -a ${quote(ask(kind))}`,
  };
  const lines = commands.flatMap((command) => {
    const name = command.name();
    const when = `complete -c hivepulse -n '__fish_seen_subcommand_from ${name}'`;
    const argument = argumentOf(command);
    return [
      `complete -c hivepulse -n __fish_use_subcommand -a ${name} -d ${quote(summaryOf(command))}`,
      ...optionsOf(command).map(
        (option) => `${when} -l ${option.long.slice(2)}${valueOfOption(option, values)} -d ${quote(textOf(option))}`,
      ),
      ...(argument === null ? [] : [`${when}${valuesOf(argument, values).replace(' -x', '')}`]),
    ];
  });
  return ['# fish completion of hivepulse', 'complete -c hivepulse -f', ...lines, ''].join('\n');
}
