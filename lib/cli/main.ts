#!/usr/bin/env node
import { CommanderError } from 'commander';
import { exitCodeOf, exitCodes, explain } from './exit.js';
import { writeNote } from './output.js';
import { createProgram } from './program.js';

async function run(argv: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync(argv);
    return Number(process.exitCode ?? exitCodes.ok);
  } catch (error) {
    // commander has written its message already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    writeNote(explain(error));
    return exitCodeOf(error);
  }
}

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? exitCodes.ok : exitCodes.failed);
});

const code = await run(process.argv);
// What still keeps the loop alive, such as a connection kept open, must not delay the end; what was written must arrive.
process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
