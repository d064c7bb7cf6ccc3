import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { completionScript, shells } from '../../lib/cli/completion.js';
import { createProgram } from '../../lib/cli/program.js';
import type { FleetEvent, HiveView, WorkerView } from '../../lib/contract/api.js';
import { Control } from '../harness/control.js';
import { useHarness } from '../harness/harness.js';
import { createFleet, SimulatedFleet, SimulatedHive } from '../harness/simulated-fleet.js';
import { waitFor } from '../harness/wait.js';
import { mainFile, runCli } from './run-cli.js';

const harness = useHarness();
/** What was sent once counts for minutes, however long commands take on a machine under load. */
const intervalMs = 30_000;

async function queenWithFleet(): Promise<{ url: string; fleet: SimulatedFleet }> {
  const { url } = await harness().queen();
  const fleet = createFleet({
    ...{ queenUrls: [url], hives: 2, workersPerHive: 3, gpusPerHive: 2, prefix: 'node-', intervalMs },
  });
  harness().defer(() => fleet.close());
  await fleet.sendHeartbeat();
  return { url, fleet };
}

/** A heartbeat of a host in each of two zones. */
async function sendFromTwoZones(url: string): Promise<SimulatedFleet> {
  const fleet = new SimulatedFleet((agent) =>
    ['east', 'west'].map(
      (zone) =>
        new SimulatedHive({ id: `host-${zone}`, labels: { zone }, workers: 2, queenUrls: [url], agent, intervalMs }),
    ),
  );
  harness().defer(() => fleet.close());
  await fleet.sendHeartbeat();
  return fleet;
}

const items = <T>(json: string): T[] => (JSON.parse(json) as { items: T[] }).items;

describe('cli: start', () => {
  test('the help loads no web server, schema, parser or logger', () => {
    const seen = new Set<string>();
    const packages = new Set<string>();
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const [, name = ''] of readFileSync(file, 'utf8').matchAll(
        /^(?:import|export)\s(?:[^;'"]*?\sfrom )?'([^']+)';$/gm,
      )) {
        if (name.startsWith('.')) visit(resolve(dirname(file), name));
        else if (!name.startsWith('node:')) packages.add(name);
      }
    };
    visit(mainFile);
    expect([...packages]).toEqual(['commander']);
    expect(seen.size).toBeGreaterThan(10);
  });

  test('every command has help with examples or arguments, and is in the help of the program', async () => {
    const { stdout, code } = await runCli(['--help']);
    expect(code).toBe(0);
    for (const command of createProgram().commands) {
      expect(stdout).toContain(`  ${command.name()} `);
      expect(command.summary() || command.description(), command.name()).not.toBe('');
    }
    const help = await runCli(['workers', '--help']);
    expect(help.stdout).toContain('Examples:');
    expect(help.stdout).toContain('HIVEPULSE_QUEEN');
  });

  test('a mistake on the command line ends with 2 and says what was meant', async () => {
    expect(await runCli(['wrokers'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Did you mean workers?'),
    });
    expect(await runCli(['hive', '--prot', '1'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Did you mean --port?'),
    });
    expect(await runCli(['hive', '--interval', '5 parsecs'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('hivepulse: --interval: the value does not fit'),
    });
    expect(await runCli(['workers', '--limit', '-1'])).toMatchObject({ code: 2 });
    expect(await runCli(['workers', '--state', 'lazy'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('starting, loading, idle, busy, saturated, sleeping, stalled, unknown'),
    });
  });

  test('a token on the command line is refused and not repeated', async () => {
    const { code, stderr } = await runCli(['hive', '--token', 's3cret']);
    expect(code).toBe(2);
    expect(stderr).toContain('HIVEPULSE_TOKEN');
    expect(stderr).not.toContain('s3cret');
  });

  test('a wrong configuration file names the line', async () => {
    const file = join(harness().directory(), 'hivepulse.yaml');
    writeFileSync(file, 'interval: 1s\nintervall: 2s\n');
    expect(await runCli(['queen', '--config', file])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`${file} line 2: the name here is no setting; did you mean interval`),
    });
  });
});

describe('cli: daemons', () => {
  test('SIGTERM ends a queen with 0 within two seconds, also with a stream open', async () => {
    const { url, process: queen } = await harness().queen();
    const control = await Control.start(harness());
    const stream = harness().stream(`${url}/v1/events`);
    await stream.next(({ event }) => event === 'snapshot');
    const began = performance.now();
    queen.signal('SIGTERM');
    expect(await queen.ended()).toBe(0);
    const ended = performance.now();
    expect(ended - began).toBeLessThan(2500 + control.lateMs(began, ended));
  });

  test('SIGINT ends it too', async () => {
    const { process: queen } = await harness().queen();
    queen.signal('SIGINT');
    expect(await queen.ended()).toBe(0);
  });

  test('a port that is taken is one clear line, and 1', async () => {
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    harness().defer(() => void server.close());
    const { port } = server.address() as { port: number };
    const { code, stderr } = await runCli(['queen', '--port', String(port)]);
    expect(code).toBe(1);
    const lines = stderr.trim().split('\n');
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] as string)).toMatchObject({
      code: 'ADDRESS_IN_USE',
      msg: expect.stringContaining(String(port)),
    });
  });

  test('listening elsewhere without a token is refused with 2', async () => {
    const { code, stderr } = await runCli(['queen', '--port', '0', '--host', '0.0.0.0']);
    expect(code).toBe(2);
    expect(stderr).toContain('INSECURE_BIND');
  });

  test('a variable that nobody reads is warned of in the log', async () => {
    const { process: queen } = await harness().queen({ env: { HIVEPULSE_MAX_HVIES: '3' } });
    await queen.line(/HIVEPULSE_MAX_HVIES is not used; did you mean HIVEPULSE_MAX_HIVES/);
  });
});

describe('cli: what a queen knows', () => {
  test('hives and workers as tables and as JSON, filtered and sorted', async () => {
    const { url } = await queenWithFleet();
    const hives = await runCli(['hives', '--queen', url]);
    expect(hives.code).toBe(0);
    expect(hives.stdout).toMatch(/^HIVE +STATE +HEARD/);
    expect(hives.stdout).toMatch(/^node-0001 +● online/m);
    expect(hives.stdout).not.toContain('\u001b');
    expect(hives.stderr).toContain('may not have heard the whole fleet');

    const all = items<WorkerView>((await runCli(['workers', '--json'], { HIVEPULSE_QUEEN: url })).stdout);
    expect(all).toHaveLength(6);
    expect(all[0]).toHaveProperty('pressure.cpu');
    const ofOne = items<WorkerView>(
      (await runCli(['workers', '--json', '--hive', 'node-0002', '--queen', url])).stdout,
    );
    expect(ofOne.map(({ hive }) => hive)).toEqual(['node-0002', 'node-0002', 'node-0002']);
    const byVram = items<WorkerView>(
      (await runCli(['workers', '--json', '--sort', 'vram', '--limit', '2', '--queen', url])).stdout,
    );
    const most = Math.max(...all.map(({ vramUsedBytes }) => vramUsedBytes ?? 0));
    expect(byVram).toHaveLength(2);
    expect(byVram[0]?.vramUsedBytes).toBe(most);
    expect(
      items<HiveView>((await runCli(['hives', '--json', '--liveness', 'offline', '--queen', url])).stdout),
    ).toEqual([]);
    expect(await runCli(['workers', '--group', 'nothing', '--queen', url])).toMatchObject({
      code: 0,
      stdout: '',
      stderr: expect.stringContaining('no worker matches'),
    });
  });

  test('more items than one page holds all come', async () => {
    const { url } = await harness().queen();
    const fleet = createFleet({ queenUrls: [url], hives: 12, workersPerHive: 100, gpusPerHive: 0, intervalMs });
    harness().defer(() => fleet.close());
    await fleet.sendHeartbeat();
    expect(items((await runCli(['workers', '--json', '--queen', url])).stdout)).toHaveLength(1200);
  });

  test('the newest events, those of a kind, and those to come', async () => {
    const { url, fleet } = await queenWithFleet();
    const lines = (text: string): FleetEvent[] =>
      text
        .trim()
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as FleetEvent);
    const joined = await runCli(['events', '--kind', 'hiveJoined', '--json', '--queen', url]);
    expect(
      lines(joined.stdout)
        .map(({ hive }) => hive)
        .sort(),
    ).toEqual(['node-0001', 'node-0002']);
    expect(lines((await runCli(['events', '-n', '1', '--json', '--queen', url])).stdout)).toHaveLength(1);
    expect((await runCli(['events', '-n', '0', '--queen', url])).stdout).toBe('');
    expect((await runCli(['events', '--kind', 'hiveJoined', '--queen', url])).stdout).toMatch(
      /\+ joined +node-0001 {2}joined the fleet/,
    );

    const follow = harness().cli(['events', '--follow', '--last', '0', '--kind', 'gpuLost', '--json', '--queen', url]);
    const hive = fleet.hive('node-0001');
    // Sent again until it is seen: nothing says when the follower's stream is open.
    const seen = await waitFor(
      async () => {
        hive.loseGpu(0);
        await fleet.sendHeartbeat();
        hive.recoverGpu(0);
        await fleet.sendHeartbeat();
        return follow.lines.find((line) => line.includes('gpuLost'));
      },
      { what: 'the follower to print gpuLost', everyMs: 100 },
    );
    expect(JSON.parse(seen)).toMatchObject({ kind: 'gpuLost', hive: 'node-0001' });
  });

  test('top into a pipe prints the tables once', async () => {
    const { url } = await queenWithFleet();
    const { code, stdout } = await runCli(['top', '--queen', url]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^hivepulse {2}http:\S+ {2}.*● live {2}\d\d:\d\d:\d\d\n2 hives {2}● 2 online/);
    expect(stdout).toMatch(/^WORKER +HIVE/m);
    expect(stdout).not.toContain('\u001b');
  });

  test('top into a pipe prints events where they are asked for', async () => {
    const { url, fleet } = await queenWithFleet();
    fleet.hive('node-0001').loseGpu(0);
    await fleet.sendHeartbeat();
    const { code, stdout } = await runCli(['top', '--view', 'events', '--queen', url]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d\d:\d\d:\d\d {2}\+ joined +node-0001 /m);
    expect(stdout).toMatch(/^\d\d:\d\d:\d\d {2}✕ GPU lost +node-0001 .*is lost/m);
    expect(stdout.indexOf('joined')).toBeLessThan(stdout.indexOf('GPU lost'));
    expect(stdout).not.toMatch(/^(HIVE|WORKER) /m);
    const filtered = await runCli(['top', '--view', 'events', '--filter', 'gpulost', '--queen', url]);
    expect(filtered.stdout).toContain('GPU lost');
    expect(filtered.stdout).not.toContain('joined');
    // A queen that knows of nothing says so, and does not wait for something to happen.
    const { url: bare } = await harness().queen();
    expect((await runCli(['top', '--view', 'events', '--queen', bare])).stdout).toContain('No event yet.');
  });

  test('top into a pipe filters what it knows, not what it prints', async () => {
    const { url } = await harness().queen();
    const fleet = await sendFromTwoZones(url);
    const { stdout } = await runCli(['top', '--filter', 'zone=east', '--queen', url]);
    expect(stdout).toMatch(/^host-east /m);
    expect(stdout).not.toMatch(/host-west/);
    expect(stdout).toContain('No worker matches "zone=east".');
    // The model of a worker may be cut in its column.
    const [worker] = fleet.hive('host-west').nextHeartbeat().workers;
    const byModel = await runCli(['top', '--view', 'workers', '--filter', worker!.id, '--queen', url]);
    expect(byModel.stdout).toContain(worker!.id);
    const byPid = await runCli(['top', '--view', 'workers', '--filter', `${worker!.pid}`, '--queen', url]);
    expect(byPid.stdout).toContain(worker!.id);
  });

  test('top into a pipe says each interval that the queen is gone', async () => {
    const queen = await harness().queen();
    const fleet = createFleet({ queenUrls: [queen.url], hives: 1, workersPerHive: 1, gpusPerHive: 1 });
    harness().defer(() => fleet.close());
    await fleet.sendHeartbeat();
    const top = harness().cli(['top', '--interval', '200ms', '--queen', queen.url]);
    const heads = () => top.lines.filter((line) => line.startsWith('hivepulse '));
    await waitFor(() => heads().length >= 2, { what: 'two frames' });
    expect(heads().every((line) => line.includes('● live'))).toBe(true);
    queen.process.signal('SIGKILL');
    await waitFor(() => heads().filter((line) => /○ disconnected .*retrying/.test(line)).length >= 3, {
      what: 'three frames that say that the queen is gone',
    });
    expect(heads().at(-1)).toMatch(/disconnected/);
  });

  test('a reader that has seen enough is no failure', async () => {
    const { url } = await queenWithFleet();
    const script = `"${process.execPath}" "${mainFile}" workers --json --queen "${url}" | head -n 1; echo "\${PIPESTATUS[0]}"`;
    expect(execFileSync('bash', ['-c', script], { encoding: 'utf8' })).toBe('{\n0\n');
  });

  test('a queen that is not there is 3, and doctor then ends with 1', async () => {
    const url = 'http://127.0.0.1:9';
    for (const args of [['hives'], ['workers'], ['gpus'], ['models'], ['silences'], ['events'], ['top']]) {
      const { code, stderr, stdout } = await runCli([...args, '--queen', url]);
      expect(code, args[0]).toBe(3);
      expect(stderr, args[0]).toContain('cannot be reached');
      expect(stdout).toBe('');
    }
    const { code, stdout } = await runCli(['doctor', '--json', '--queen', url]);
    expect(code).toBe(1);
    const { ok, findings } = JSON.parse(stdout) as { ok: boolean; findings: { check: string; status: string }[] };
    expect(ok).toBe(false);
    expect(findings.find(({ check }) => check === 'queen')?.status).toBe('fail');
    expect(findings.map(({ check }) => check)).toEqual(
      expect.arrayContaining(['cgroup', 'addon', 'pressure', 'gpu', 'clock', 'descriptors']),
    );
  });

  test('a queen that wants a token lets nobody in without one', async () => {
    const file = join(harness().directory(), 'tokens');
    writeFileSync(file, 'read reader-token-0123456789\n', { mode: 0o600 });
    const { url } = await harness().queen({ args: ['--tokens-file', file] });
    expect((await runCli(['hives', '--queen', url])).code).toBe(3);
    expect((await runCli(['hives', '--queen', url], { HIVEPULSE_TOKEN: 'reader-token-0123456789' })).code).toBe(0);
  });
});

describe('cli: sample', () => {
  test('shows this host as a whole snapshot, with rates', async () => {
    const { code, stdout } = await runCli(['sample', '--json', '--gpu', 'none']);
    expect(code).toBe(0);
    const { host, collection, gpus } = JSON.parse(stdout) as {
      host: { cpuPercent: number | null; cpuCount: number };
      collection: { gpuReader: string };
      gpus: unknown[];
    };
    expect(host.cpuPercent).toBeGreaterThanOrEqual(0);
    expect(host.cpuCount).toBeGreaterThan(0);
    expect(collection.gpuReader).toBe('none');
    expect(gpus).toEqual([]);
    const table = await runCli(['sample', '--gpu', 'none']);
    expect(table.stdout).toMatch(/^cpu {7}\S+ \/ \d+(?:\.\d+)? cores?,/);
  });
});

describe('cli: completion', () => {
  const complete = (...words: string[]): string[] => {
    const script = completionScript(createProgram(), 'bash');
    const list = words.map((word) => `'${word}'`).join(' ');
    const own = `hivepulse() { '${process.execPath}' '${mainFile}' "$@"; }`;
    const run = `${script}\n${own}\nwords=(${list}); COMP_LINE="\${words[*]}"; COMP_POINT=\${#COMP_LINE}; compopt() { :; }; _hivepulse; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync('bash', ['-c', run], { encoding: 'utf8' }).split('\n').filter(Boolean);
  };

  test('bash completes commands, options and values', () => {
    expect(complete('hivepulse', 'wo')).toEqual(['workers']);
    expect(complete('hivepulse', 'hive', '--inter')).toEqual(['--interval']);
    expect(complete('hivepulse', 'hive', '--reader', '')).toEqual(['auto', 'native', 'files']);
    expect(complete('hivepulse', 'workers', '--state', 'b')).toEqual(['busy']);
    expect(complete('hivepulse', 'completion', '')).toEqual(expect.arrayContaining(['bash', 'zsh', 'fish']));
    expect(complete('hivepulse', 'workers', '--sort=v')).toEqual(['vram']);
    expect(complete('hivepulse', 'events', '--kind', 'gpuL')).toEqual(['gpuLost']);
  });

  test('names that the queen knows are completed: hives, models, labels, also behind = and :', async () => {
    const { url } = await harness().queen();
    await sendFromTwoZones(url);
    const queen = ['--queen', url];
    // A shell is not kept waiting: on a machine under load some answers come too late to be offered.
    const offered = (...words: string[]) =>
      waitFor(() => {
        const names = complete('hivepulse', ...words);
        return names.length > 0 && names;
      });
    expect(await offered('cordon', ...queen, 'host-w')).toEqual(['host-west']);
    expect(await offered('events', ...queen, '--hive', '')).toEqual(['host-east', 'host-west']);
    // Bash replaces what is behind the last = or : alone.
    expect(await offered('hives', ...queen, '--label', 'zone=e')).toEqual(['east']);
    await offered('workers', ...queen, '--model', '');
  });

  test('a queen that is not there, or never answers, completes nothing and does not keep the line waiting', async () => {
    const server = createServer(() => undefined);
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    harness().defer(() => void server.close());
    const { port } = server.address() as { port: number };
    for (const queen of ['127.0.0.1:9', `127.0.0.1:${port}`, '$(touch /tmp/never)', 'no address'])
      expect(await runCli(['completion', 'bash', '--names', 'hives', '--', 'hives', '--queen', queen])).toEqual({
        ...{ code: 0, stdout: '', stderr: '' },
      });
  });

  test('what is typed is never evaluated', () => {
    expect(complete('hivepulse', 'hives', '--label', '$(echo zone)')).toEqual([]);
    expect(complete('hivepulse', 'workers', '--state', '`echo busy`')).toEqual([]);
  });

  test.each(shells)('%s knows every command and offers no hidden flag', (shell) => {
    const script = completionScript(createProgram(), shell);
    for (const command of createProgram().commands) expect(script).toContain(command.name());
    expect(script).not.toMatch(/--token[ '[]|-l token /);
  });

  test('zsh and fish take their scripts, where they are installed', () => {
    for (const shell of ['zsh', 'fish'] as const) {
      if (!['/usr/bin', '/bin'].some((directory) => existsSync(join(directory, shell)))) {
        console.info(`${shell} is not installed: its completion script is not checked here`);
        continue;
      }
      execFileSync(shell, ['-n'], { input: completionScript(createProgram(), shell) });
    }
  });
});
