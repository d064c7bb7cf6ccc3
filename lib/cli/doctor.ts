import { type Command, Option } from 'commander';
import { openClient } from './client.js';
import { exitCodes } from './exit.js';
import { outputWidth, printJson, printLines, wantsColours } from './output.js';
import { addSettings, settingsFor } from './settings.js';

export function register(program: Command): void {
  const command = program
    .command('doctor')
    .summary('check this host, and say what to fix')
    .description(
      'Checks what usually goes wrong on a host: cgroups, rights, GPU driver, limits, clock, queen. Ends with 1 where something must be fixed, else with 0.',
    )
    .addOption(new Option('--json', 'one JSON document: { ok, findings }').helpGroup('Output:'))
    .addHelpText(
      'after',
      `
Examples:
  $ hivepulse doctor
  $ sudo hivepulse doctor --queen http://10.0.0.1:7833 --token-file /etc/hivepulse/token
  $ hivepulse doctor --json | jq -r '.findings[] | select(.status != "ok") | .fix'`,
    );
  addSettings(command, 'client').action(async (flags: { json?: boolean }) => {
    const { client, resolved, urls } = await openClient(command);
    const [{ examine }, { thisHost }, { checkCommands }, { checkQueen }, { report }] = await Promise.all([
      import('../doctor/examine.js'),
      import('../doctor/host.js'),
      import('../doctor/commands.js'),
      import('../doctor/queen.js'),
      import('./doctor-report.js'),
    ]);
    // As a hive that is started with the same file and environment would have it.
    const hive = await settingsFor(command, 'hive').catch(() => null);
    const [findings, queen] = await Promise.all([
      examine(thisHost(process.env, hive?.settings.allGpus)),
      checkQueen(urls.join(', '), client, resolved.origins.queens !== 'default'),
    ]);
    const commands = hive?.settings.commands === undefined ? [] : [checkCommands(hive.settings.commands)];
    const all = [...findings, ...commands, queen];
    const sound = all.every(({ status }) => status !== 'fail');
    if (flags.json) printJson({ ok: sound, findings: all });
    else printLines(report(all, outputWidth(), wantsColours()));
    process.exitCode = sound ? exitCodes.ok : exitCodes.failed;
  });
}
