import { type Command, Option } from 'commander';
import type { Finding, Status } from '../doctor/finding.js';
import { ansiOf, type Tone } from '../present/status.js';
import { openClient, outputWidth, printJson, printLines, wantsColours } from './client.js';
import { exitCodes } from './exit.js';
import { addSettings } from './settings.js';
import { paint, printable } from './text.js';

const styles: Readonly<Record<Status, { symbol: string; tone: Tone }>> = {
  ok: { symbol: '●', tone: 'good' },
  unknown: { symbol: '?', tone: 'unknown' },
  warn: { symbol: '◆', tone: 'warning' },
  fail: { symbol: '✕', tone: 'bad' },
};

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
    const [{ examine }, { thisHost }, { checkQueen }] = await Promise.all([
      import('../doctor/examine.js'),
      import('../doctor/host.js'),
      import('../doctor/queen.js'),
    ]);
    const [findings, queen] = await Promise.all([
      examine(thisHost()),
      checkQueen(urls.join(', '), client, resolved.origins.queens !== 'default'),
    ]);
    const all = [...findings, queen];
    const sound = all.every(({ status }) => status !== 'fail');
    if (flags.json) printJson({ ok: sound, findings: all });
    else printLines(report(all, outputWidth(), wantsColours()));
    process.exitCode = sound ? exitCodes.ok : exitCodes.failed;
  });
}

/** One line a finding, the fix below it, and a sum. */
export function report(findings: readonly Finding[], width: number, colours: boolean): string[] {
  const colour = (text: string, sgr: string): string => (colours ? paint(text, sgr) : text);
  const nameWidth = Math.max(...findings.map(({ check }) => check.length));
  const indent = ' '.repeat(nameWidth + 4);
  const lines = findings.flatMap(({ check, status, message, fix }) => {
    const { symbol, tone } = styles[status];
    const head = `${colour(symbol, ansiOf[tone])} ${colour(check.padEnd(nameWidth), '1')}  `;
    return [
      ...fold(printable(message), width - indent.length).map((line, i) => (i === 0 ? head : indent) + line),
      ...(fix === null
        ? []
        : fold(`fix: ${printable(fix)}`, width - indent.length).map((line) => indent + colour(line, ansiOf.waiting))),
    ];
  });
  const count = (status: Status): number => findings.filter((finding) => finding.status === status).length;
  const sum = [
    `${count('ok')} ok`,
    ...(count('unknown') > 0 ? [`${count('unknown')} not known`] : []),
    `${count('warn')} to look at`,
    `${count('fail')} to fix`,
  ].join(', ');
  return [...lines, '', colour(sum, count('fail') > 0 ? ansiOf.bad : count('warn') > 0 ? ansiOf.warning : ansiOf.good)];
}

function fold(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > Math.max(30, Math.min(width, 110))) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
