import { Command } from 'commander';
import { keepColours } from '../present/printable.js';
import { packageVersion } from '../util/version.js';
import { shownOption } from '../workers/shown-command.js';
import { register as attention } from './attention.js';
import { register as completion } from './completion.js';
import { register as control } from './control.js';
import { register as cordon } from './cordon.js';
import { register as doctor } from './doctor.js';
import { register as events } from './events.js';
import { register as gpus } from './gpus.js';
import { register as hive } from './hive.js';
import { register as hives } from './hives.js';
import { register as missing } from './missing.js';
import { register as models } from './models.js';
import { register as queen } from './queen.js';
import { register as run } from './run.js';
import { register as sample } from './sample.js';
import { register as stop } from './stop.js';
import { register as top } from './top.js';
import { register as up } from './up.js';
import { register as workers } from './workers.js';

/** In the order of the help. A command file imports what it needs in its action, so that all of them load in no time. */
const commands = [
  up,
  queen,
  hive,
  run,
  stop,
  control,
  top,
  workers,
  hives,
  gpus,
  models,
  missing,
  cordon,
  attention,
  events,
  sample,
  doctor,
  completion,
];

/** An error of the parser without what was given: it may be a secret in the wrong place. */
export const withoutValues = (text: string): string =>
  text
    .replace(/^(error: unknown option) '(.*)'/s, (_all, what: string, flag: string) => `${what} ${shownOption(flag)}`)
    .replace(/^(error: unknown command) '.*'/s, '$1')
    .replace(/(argument|value) '.*' is invalid/s, '$1 is invalid');

export function createProgram(): Command {
  const program = new Command('hivepulse')
    .description('Telemetry for hosts that serve models on GPUs.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .showHelpAfterError('Run with --help for usage.')
    .showSuggestionAfterError(true)
    .enablePositionalOptions()
    .configureOutput({
      outputError: (text, write) => write(withoutValues(text)),
      writeErr: (text) => void process.stderr.write(keepColours(text)),
    })
    .exitOverride()
    .addHelpText(
      'after',
      `
Start with:
  $ hivepulse up        shows this machine at http://127.0.0.1:7833
  $ hivepulse doctor    checks what usually goes wrong`,
    );
  for (const register of commands) register(program);
  return program;
}
