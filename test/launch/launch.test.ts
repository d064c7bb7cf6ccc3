import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inodeOf } from '../../lib/launch/cgroup-tree.js';
import { findLauncher } from '../../lib/launch/launcher.js';
import { processLives, processStat } from '../../lib/procfs/process-stat.js';
import { readRecords } from '../../lib/workers/records.js';
import { cgroupSuite } from '../harness/cgroups.js';
import { waitFor } from '../harness/wait.js';
import { commandLine, firstLine, textOf, useWorkerBench } from '../harness/worker-suite.js';

const { title, skip } = cgroupSuite('workers in a tree of ours');
const native = findLauncher();

// The native launcher, and sh where there is none: both keep the same promises.
describe.skipIf(skip).each([
  { name: 'native launcher', launcher: native },
  { name: 'sh launcher', launcher: null },
])(`${title}: $name`, ({ name, launcher }) => {
  const bench = useWorkerBench();
  const monitor = () => bench().another({ launch: { launcher, nofile: 512 } });
  const spawn = (script: string, over = {}) =>
    monitor().spawn({
      group: 'test',
      instance: 'one',
      command: 'sh',
      args: ['-c', script],
      stdio: ['ignore', 'pipe', 'pipe'],
      ...over,
    });

  it('the launcher under test is the one that is meant', () => {
    if (name === 'native launcher') expect(launcher, 'hivepulse-launch is not built').toBeTypeOf('string');
  });

  it('spawn_creates_cgroup: the command finds itself in it at its first instruction, and its forks as well', async () => {
    const worker = await spawn('cat /proc/self/cgroup; cat /proc/$$/cgroup');
    const lines = (await textOf(worker.stdout)).split('\n').filter((line) => line.startsWith('0::'));
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line).toMatch(/\/hivepulse\.slice\/test\/one$/);
    expect(worker.cgroupPath).toBe(join(bench().tree.root, 'hivepulse.slice/test/one'));
    await worker.exited;
    expect(await bench().leftovers()).toEqual([]);
  });

  it('spawn_returns_valid_pid: the pid is the command itself, a child of ours', async () => {
    const worker = await spawn('exec sleep 60');
    expect(await waitFor(async () => (await commandLine(worker.pid))?.[0] === 'sleep')).toBe(true);
    expect(worker.record.startTicks).toBe((await processStat(worker.pid))?.startTicks);
    expect(await readFile(`/proc/${worker.pid}/status`, 'utf8')).toContain(`PPid:\t${process.pid}\n`);
    expect((await readFile(join(worker.cgroupPath as string, 'cgroup.procs'), 'utf8')).trim()).toBe(String(worker.pid));
    expect(await bench().monitor.stop(worker.id)).toMatchObject({ signalled: 1, killed: false });
  });

  it('the command has the rights of who launched it: nothing is taken, nothing given', async () => {
    const rights = /^(?:Uid|Gid|Groups|Cap\w+|NoNewPrivs|Seccomp):.*$/gm;
    const worker = await monitor().spawn({
      group: 'test',
      instance: 'rights',
      command: 'cat',
      args: ['/proc/self/status'],
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const own = (await readFile('/proc/self/status', 'utf8')).match(rights);
    expect(own?.length).toBeGreaterThan(8);
    expect((await textOf(worker.stdout)).match(rights)).toEqual(own);
  });

  it('the command gets its arguments, environment, directory, stdio and descriptor limit, and nothing of ours', async () => {
    const worker = await monitor().spawn({
      group: 'test',
      instance: 'one',
      command: 'sh',
      args: [
        '-c',
        'printf "%s|" "$@"; echo "$X|$PWD|$(ulimit -n)|$(ls /proc/$$/fd | wc -w)"; cat; echo oops >&2',
        'sh',
        'a b',
        "c'd",
        '$e',
        '',
      ],
      env: { X: 'y', PATH: process.env.PATH },
      cwd: '/tmp',
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    worker.stdin?.end('typed\n');
    const [out, err] = await Promise.all([textOf(worker.stdout), textOf(worker.stderr)]);
    const [line, typed] = out.split('\n');
    expect(line).toMatch(/^a b\|c'd\|\$e\|\|y\|\/tmp\|512\|/);
    expect(typed).toBe('typed');
    expect(err).toBe('oops\n');
  });

  it.each([
    ['a path that does not exist', '/nonexistent/engine', 'EXEC_NOT_FOUND', 'ENOENT'],
    ['a name that is not on PATH', 'hivepulse-no-such-command', 'EXEC_NOT_FOUND', 'ENOENT'],
    ['a file without execute permission', 'plain.txt', 'EXEC_NOT_PERMITTED', 'EACCES'],
    ['a directory', 'folder', 'EXEC_NOT_PERMITTED', 'EACCES'],
    ['a script whose interpreter does not exist', 'script', 'EXEC_NOT_FOUND', 'ENOENT'],
  ])('spawn_invalid_binary: %s is named, and no cgroup is left behind', async (_what, command, code, errno) => {
    const dir = bench().runtimeDir;
    writeFileSync(join(dir, 'plain.txt'), 'text');
    mkdirSync(join(dir, 'folder'));
    writeFileSync(join(dir, 'script'), '#!/nonexistent/interpreter\n');
    chmodSync(join(dir, 'script'), 0o755);
    const path = command.includes('-') || command.startsWith('/') ? command : join(dir, command);
    const attempt = monitor().spawn({ group: 'test', instance: 'one', command: path });
    await expect(attempt).rejects.toMatchObject({ code, message: expect.stringContaining(errno) });
    expect(await bench().leftovers()).toEqual([]);
  });

  it('arguments beyond what the kernel takes are an error of ours, and no cgroup is left behind', async () => {
    const attempt = spawn('x'.repeat(200_000));
    await expect(attempt).rejects.toMatchObject({ code: 'LAUNCH_FAILED', message: expect.stringContaining('E2BIG') });
    expect(await bench().leftovers()).toEqual([]);
  });

  it('a command that itself ends with 127 is an exit, not a failure to start', async () => {
    const worker = await spawn('exit 127');
    expect(await worker.exited).toMatchObject({ code: 127, signal: null });
  });

  it('a command that ends at once is still an exit, and its record tells', async () => {
    const worker = await spawn(':');
    expect(await worker.exited).toMatchObject({ id: 'test/one', code: 0, signal: null, remaining: 0 });
    const { running, ended } = await readRecords(bench().runtimeDir);
    expect(running).toEqual([]);
    expect(ended).toHaveLength(1);
    expect(ended[0]).toMatchObject({ group: 'test', instance: 'one', pid: worker.pid, exit: { code: 0 } });
  });
});

describe.skipIf(skip)(`${title}: names, stopping and records`, () => {
  const bench = useWorkerBench();

  it('an occupied instance is refused, also by another monitor, and the worker does not notice', async () => {
    const worker = await bench().sh('exec sleep 60');
    const other = bench().another();
    for (const monitor of [bench().monitor, other]) {
      const attempt = monitor.spawn({ group: 'test', instance: 'one', command: 'true' });
      await expect(attempt).rejects.toMatchObject({ code: 'INSTANCE_OCCUPIED', subject: 'test/one' });
    }
    expect(await processLives(worker.pid, worker.record.startTicks)).toBe(true);
  });

  it('a cgroup that holds processes is occupied although no record tells of it', async () => {
    const worker = await bench().sh('exec sleep 60');
    const elsewhere = bench().another({ runtimeDir: join(bench().runtimeDir, 'other') });
    const attempt = elsewhere.spawn({ group: 'test', instance: 'one', command: 'true' });
    await expect(attempt).rejects.toMatchObject({ code: 'INSTANCE_OCCUPIED' });
    expect(await processLives(worker.pid, worker.record.startTicks)).toBe(true);
  });

  it('of many launches under one name at the same time one wins', async () => {
    const attempts = await Promise.allSettled(
      Array.from({ length: 8 }, () =>
        bench()
          .another()
          .spawn({ group: 'test', instance: 'one', command: 'sleep', args: ['60'] }),
      ),
    );
    expect(attempts.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const attempt of attempts) {
      if (attempt.status === 'rejected') expect(attempt.reason).toMatchObject({ code: 'INSTANCE_OCCUPIED' });
    }
  });

  it('launches and ends in one group at the same time do not pull the group from under each other', async () => {
    await Promise.all(
      Array.from({ length: 12 }, async (_, i) => {
        const worker = await bench()
          .another()
          .spawn({ group: 'test', instance: `i${i}`, command: 'true', stdio: 'ignore' });
        expect(await worker.exited).toMatchObject({ code: 0 });
      }),
    );
    expect(await bench().leftovers()).toEqual([]);
  });

  it('an instance re-created under the same name has a cgroup of its own', async () => {
    const first = await bench().sh('exec sleep 60');
    const inode = await inodeOf(first.cgroupPath as string);
    await bench().monitor.stop(first.id);
    const second = await bench().sh('exec sleep 60');
    expect(second.cgroupPath).toBe(first.cgroupPath);
    expect(await inodeOf(second.cgroupPath as string)).not.toBe(inode);
    expect((await readRecords(bench().runtimeDir)).running.map(({ pid }) => pid)).toEqual([second.pid]);
  });

  it('stop: one that ends on SIGTERM is not killed, and its exit says SIGTERM', async () => {
    const worker = await bench().sh('exec sleep 60');
    expect(await bench().monitor.stop(worker.id)).toEqual({ id: 'test/one', signalled: 1, killed: false });
    expect(await worker.exited).toMatchObject({ code: null, signal: 'SIGTERM' });
    expect(await bench().leftovers()).toEqual([]);
  });

  it('stop: one that ignores SIGTERM is killed after the grace, with its children', async () => {
    const worker = await bench().sh(
      'trap "" TERM; (trap "" TERM; while :; do sleep 1; done) & echo up; while :; do sleep 1; done',
    );
    await firstLine(worker.stdout);
    const stopped = await bench().monitor.stop(worker.id, { graceMs: 50 });
    expect(stopped.killed).toBe(true);
    expect(await worker.exited).toMatchObject({ code: null, signal: 'SIGKILL' });
    expect(await bench().leftovers()).toEqual([]);
  });

  it('children that re-parented are said to remain, keep the name, and go with stop', async () => {
    const worker = await bench().sh(
      'setsid sh -c "trap \'\' TERM HUP; echo child $$; exec sleep 60" & sleep 0.05; exit 3',
    );
    const child = Number((await firstLine(worker.stdout)).split(' ')[1]);
    const exited = await worker.exited;
    expect(exited).toMatchObject({ code: 3 });
    expect(exited.remaining).toBeGreaterThanOrEqual(1);
    await expect(bench().sh('true')).rejects.toMatchObject({ code: 'INSTANCE_OCCUPIED' });
    const other = bench().another();
    expect(await other.stop('test/one', { graceMs: 0 })).toMatchObject({ id: 'test/one', killed: true });
    expect(await processLives(child, null)).toBe(false);
    expect(await bench().leftovers()).toEqual([]);
  });

  it('a worker whose record was lost is found by its place and stopped', async () => {
    const worker = await bench().sh('exec sleep 60');
    const other = bench().another({ runtimeDir: join(bench().runtimeDir, 'other') });
    expect(await other.stop(worker.id)).toMatchObject({ signalled: 1 });
    expect(await worker.exited).toMatchObject({ signal: 'SIGTERM' });
  });

  it('stop of a worker that is not there says so and sweeps its record', async () => {
    await expect(bench().monitor.stop('test/none')).rejects.toMatchObject({
      code: 'WORKER_NOT_FOUND',
      subject: 'test/none',
    });
  });

  it('the record tells all that was given, and another monitor finds the worker alive by it', async () => {
    const worker = await bench().sh('exec sleep 60', {
      model: 'm',
      port: 8080,
      labels: { team: 'search' },
      readyUrl: 'http://127.0.0.1:8080/health',
      reservationId: 'r-1',
    });
    const { running } = await readRecords(bench().runtimeDir);
    expect(running).toEqual([worker.record]);
    expect(running[0]).toMatchObject({
      model: 'm',
      port: 8080,
      labels: { team: 'search' },
      readyUrl: 'http://127.0.0.1:8080/health',
      reservationId: 'r-1',
      parentPid: process.pid,
      cgroupInode: await inodeOf(worker.cgroupPath as string),
    });
    expect(await bench().another().isAlive(worker.record)).toBe(true);
    expect(await bench().another().cleanStale()).toEqual([]);
    await bench().monitor.stop(worker.id);
    expect(await bench().another().isAlive(worker.record)).toBe(false);
  });

  it('options that make no sense are refused before anything is made', async () => {
    const bad: [object, string][] = [
      [{ group: '../x' }, '--group'],
      [{ instance: '.hidden' }, '--instance'],
      [{ port: 70_000 }, '--port'],
      [{ readyUrl: 'http://10.0.0.1/' }, '--ready-url'],
      [{ labels: { 'bad key': '1' } }, '--label'],
      [{ cpu: '-5%' }, '--cpu'],
      [{ command: '' }, 'command'],
      [{ args: ['a\0b'] }, 'command'],
      [{ cwd: '/nonexistent' }, 'cwd'],
      [{ io: ['/dev/null rbps=1M'] }, '--io'],
    ];
    for (const [over, subject] of bad) {
      await expect(bench().sh('true', over), JSON.stringify(over)).rejects.toMatchObject({
        code: 'INVALID_OPTION',
        subject,
      });
    }
    expect(await bench().leftovers()).toEqual([]);
  });

  it('limits whose controller is not on v2 are reported, each with the reason, and the worker runs', async () => {
    const worker = await bench().sh('exec sleep 60', { cpu: '50%', memory: '1G', pids: 100 });
    const applied = ['cpu', 'memory', 'pids'].filter((name) => bench().tree.controllers.includes(name));
    expect(worker.notApplied.map(({ name }) => name).sort()).toEqual(
      ['cpu', 'memory', 'pids'].filter((name) => !applied.includes(name)),
    );
    for (const { code, message } of worker.notApplied) {
      expect(code).toBe('LIMIT_NOT_APPLIED');
      expect(message).toMatch(/^--(cpu|memory|pids) requested, not applied: the \1 controller is not available in /);
    }
    expect(worker.record.limits).toEqual({ cpu: '50%', memory: '1G', pids: 100 });
    expect(worker.record.notApplied).toHaveLength(worker.notApplied.length);
  });

  it('a runtime directory that cannot be written is an error before the start', async () => {
    const file = join(bench().runtimeDir, 'file');
    writeFileSync(file, '');
    const attempt = bench().another({ runtimeDir: file }).spawn({ group: 'test', instance: 'one', command: 'true' });
    await expect(attempt).rejects.toMatchObject({ code: 'STATE_UNWRITABLE', subject: file });
    expect(await bench().leftovers()).toEqual([]);
  });

  it('a root that is no cgroup says so', async () => {
    const attempt = bench().another({ root: '/tmp' }).spawn({ group: 'test', instance: 'one', command: 'true' });
    await expect(attempt).rejects.toMatchObject({ code: 'CGROUP_UNAVAILABLE', subject: '/tmp' });
  });
});
