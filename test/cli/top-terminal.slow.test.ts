import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Daemon, useHarness } from '../harness/harness.js';
import { SimulatedFleet, SimulatedHive } from '../harness/simulated-fleet.js';
import { hasTmux, Terminal } from '../harness/terminal.js';
import { waitFor } from '../harness/wait.js';
import { mainFile } from './run-cli.js';

const harness = useHarness();

function openTerminal(args: readonly string[], columns?: number, rows?: number): Terminal {
  const terminal = new Terminal(args, columns, rows);
  harness().defer(() => terminal.close());
  return terminal;
}

async function fleetOn({ url }: Daemon): Promise<SimulatedFleet> {
  const fleet = new SimulatedFleet((agent) =>
    ['alpha', 'beta'].map(
      (id, i) => new SimulatedHive({ id, seed: i + 1, workers: 3, gpus: 4, queenUrls: [url], agent, intervalMs: 200 }),
    ),
  );
  harness().defer(() => fleet.close());
  fleet.start();
  return fleet;
}

describe.skipIf(!hasTmux)('top in a real terminal (skipped where tmux is not installed)', () => {
  test('shows the fleet live, opens details, filters, and gives the terminal back', async () => {
    const queen = await harness().queen();
    const fleet = await fleetOn(queen);
    const terminal = openTerminal(['--queen', queen.url]);
    const first = await terminal.shows(/2 hives {2}● 2 online/);
    expect(first.split('\n')[0]).toMatch(/● live {2}\d\d:\d\d:\d\d$/);
    expect(terminal.format('alternate_on')).toBe('1');
    expect(terminal.format('cursor_flag')).toBe('0');

    fleet.hive('alpha').stallGpu(1);
    await terminal.shows(/◧ 1 stalled/);

    terminal.keys('2');
    await terminal.shows(/^WORKER +HIVE/m);
    terminal.keys('/');
    terminal.keys('-l', 'beta');
    terminal.keys('Enter');
    const filtered = await terminal.shows(/filter "beta" {2}3 of 6/);
    expect(filtered).not.toMatch(/^\S+\/\S+ +alpha/m);
    terminal.keys('Enter');
    await terminal.shows(/working set/);
    terminal.keys('Escape');
    await terminal.shows(/filter "beta"/);
    terminal.keys('?');
    await terminal.shows(/pause the screen/);
    terminal.keys('x');

    const worker = fleet.hive('beta').workerIds[0] as string;
    fleet.hive('beta').killWorker(worker, 'exit');
    await terminal.shows(/filter "beta" {2}2 of 5/);

    expect(terminal.format('mouse_sgr_flag')).toBe('1');
    terminal.keys('q');
    await terminal.shows(/ended with 0/);
    expect(terminal.format('alternate_on')).toBe('0');
    expect(terminal.format('mouse_sgr_flag')).toBe('0');
    expect(terminal.format('cursor_flag')).toBe('1');
  });

  test("the mouse selects, opens, sorts and scrolls; suspended, and turned off with m, it is the terminal's own", async () => {
    const queen = await harness().queen();
    await fleetOn(queen);
    const terminal = openTerminal(['--queen', queen.url]);
    const first = await terminal.shows(/^beta /m);
    const mouse = (button: number, column: number, line: number) =>
      terminal.keys('-l', `\u001b[<${button};${column};${line}M`);
    const lineOf = (text: string, start: string) => text.split('\n').findIndex((line) => line.startsWith(start)) + 1;
    mouse(0, 3, lineOf(first, 'beta '));
    await terminal.shows(/2 of 2$/m);
    mouse(0, 3, lineOf(first, 'beta '));
    const opened = await terminal.shows(/last heartbeat/);
    mouse(65, 3, 20);
    await terminal.shows(/lines 4 to/);
    mouse(0, 20, lineOf(opened, ' 1 Hives'));
    const workers = await terminal.shows(/^WORKER +HIVE/m);
    mouse(0, 3, lineOf(workers, 'WORKER '));
    await terminal.shows(/sorted by worker ↑/);

    terminal.keys('m');
    await waitFor(() => terminal.format('mouse_sgr_flag') === '0', { what: 'the mouse to be off' });
    terminal.keys('m');
    await waitFor(() => terminal.format('mouse_sgr_flag') === '1', { what: 'the mouse to be on' });
    terminal.keys('C-z');
    await waitFor(() => terminal.format('mouse_sgr_flag') === '0', {
      what: 'the mouse to be off while top is stopped',
    });
    expect(terminal.format('alternate_on')).toBe('0');
    terminal.keys('-l', 'fg');
    terminal.keys('Enter');
    await terminal.shows(/^WORKER +HIVE/m);
    expect(terminal.format('mouse_sgr_flag')).toBe('1');
    terminal.keys('q');
    await terminal.shows(/ended with 0/);
    expect(terminal.format('mouse_sgr_flag')).toBe('0');
  });

  test('a resize is drawn to the new size, and nothing is cleared between frames', async () => {
    const queen = await harness().queen();
    await fleetOn(queen);
    const terminal = openTerminal(['--queen', queen.url]);
    await terminal.shows(/2 hives/);
    const raw = join(harness().directory(), 'raw');
    terminal.tmux('pipe-pane', '-t', 'top', `cat >> '${raw}'`);
    terminal.tmux('resize-window', '-t', 'top', '-x', '90', '-y', '24');
    await waitFor(
      () =>
        /● live {2}\d\d:\d\d:\d\d$/.test(terminal.text().split('\n')[0] ?? '') &&
        terminal.text().split('\n')[0]?.length === 90,
      {
        what: 'a first line of 90 columns',
      },
    );
    const bytes = await waitFor(() => {
      const text = readFileSync(raw, 'utf8');
      return text.split('\u001b[?2026h').length > 8 ? text : null;
    });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the sequences are what is looked for
    expect(bytes).not.toMatch(/\u001b\[2J/);
    expect(terminal.text().split('\n').filter(Boolean).at(-1)).toMatch(/^↑↓ move .* 1 of 2$/);
  });

  test('a queen that goes is said so and heals; SIGTERM gives the terminal back', async () => {
    const queen = await harness().queen();
    await fleetOn(queen);
    const terminal = openTerminal(['--queen', queen.url]);
    await terminal.shows(/2 hives/);
    await queen.process.stop();
    await terminal.shows(/○ disconnected .* retrying/);
    const { port } = new URL(queen.url);
    const again = harness().cli(['queen', '--port', port]);
    await again.line(/"msg":"listening"/);
    await terminal.shows(/● live/);
    await terminal.shows(/2 hives {2}● 2 online/);

    const [pid] = execFileSync('pgrep', ['-f', `${mainFile} top --queen ${queen.url}`], { encoding: 'utf8' })
      .trim()
      .split('\n');
    process.kill(Number(pid), 'SIGTERM');
    await terminal.shows(/ended with 0/);
    expect(terminal.format('alternate_on')).toBe('0');
    expect(terminal.format('cursor_flag')).toBe('1');
  });
});
