import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { accessSync, closeSync, constants, openSync, readFileSync, statSync } from 'node:fs';
import { availableParallelism, constants as os } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import { PassThrough, type Readable, type Writable } from 'node:stream';
import { findExecutable } from '../native/prebuilt.js';
import { workerEnvironment } from '../util/child-environment.js';
import { defined } from '../util/defined.js';
import { HivepulseError, systemCode } from '../util/errors.js';
import { shownProgram } from '../workers/shown-command.js';
import type { BoundName, ProcessBounds } from './best-effort.js';
import { parseCpuList } from './limits.js';

/** What is to run, apart from where. */
export interface CommandOptions {
  readonly command: string;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** As for `child_process.spawn`; default `pipe` for `spawn`, `inherit` for `hivepulse run`. */
  readonly stdio?: StdioOptions;
  /** In a session of its own, so that a Ctrl-C meant for the caller does not reach it. */
  readonly detached?: boolean;
}

/** The native launcher where it was built or came prebuilt, else null. `HIVEPULSE_LAUNCHER=sh` asks for the fallback. */
export function findLauncher(environment: NodeJS.ProcessEnv = process.env): string | null {
  if (environment.HIVEPULSE_LAUNCHER === 'sh') return null;
  return findExecutable('hivepulse-launch');
}

/**
 * The soft RLIMIT_NOFILE that workers shall start with: that of the process which started us, since Node raises its own
 * at start. null where it cannot be read (then they inherit ours).
 */
export function originalDescriptorLimit(procRoot = '/proc', parent = process.ppid): number | null {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync(`${procRoot}/${parent}/limits`, 'latin1'))?.[1];
    return soft === undefined ? null : Number(soft);
  } catch {
    return null;
  }
}

/** CPUs on which this process may run, and so what it starts. */
export function allowedCpus(procRoot = '/proc'): readonly number[] {
  const all = Array.from({ length: availableParallelism() }, (_unused, cpu) => cpu);
  try {
    const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync(`${procRoot}/self/status`, 'latin1'))?.[1];
    return (list === undefined ? null : parseCpuList(list)) ?? all;
  } catch {
    return all;
  }
}

/** The error for a command that could not be executed, by errno. */
export function execError(command: string, errno: string): HivepulseError {
  const program = shownProgram(command);
  const quoted = JSON.stringify(program);
  if (errno === 'ENOENT') {
    return new HivepulseError(
      'EXEC_NOT_FOUND',
      program,
      `${quoted} was not found (ENOENT): neither it nor, for a script, its interpreter exists; check the path and PATH.`,
    );
  }
  if (errno === 'EACCES') {
    return new HivepulseError(
      'EXEC_NOT_PERMITTED',
      program,
      `${quoted} may not be executed (EACCES): it needs execute permission, also on its directories, and no noexec mount.`,
    );
  }
  return new HivepulseError('LAUNCH_FAILED', program, `${quoted} could not be executed (${errno}).`);
}

/** Why `command` cannot be executed, as execvp would find it, or null. Also looks at the interpreter of a script. */
export function execProblem(command: string, environment: NodeJS.ProcessEnv, cwd: string): 'ENOENT' | 'EACCES' | null {
  const candidates = command.includes('/')
    ? [isAbsolute(command) ? command : join(cwd, command)]
    : (environment.PATH ?? '/bin:/usr/bin').split(delimiter).map((dir) => join(dir === '' ? cwd : dir, command));
  let found: 'ENOENT' | 'EACCES' = 'ENOENT';
  for (const path of candidates) {
    try {
      const stat = statSync(path);
      accessSync(path, constants.X_OK);
      // access(2) lets root execute anything; execve wants one x bit.
      if (!stat.isFile() || (stat.mode & 0o111) === 0) found = 'EACCES';
      else return interpreterProblem(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EACCES') found = 'EACCES';
    }
  }
  return found;
}

function interpreterProblem(path: string): 'ENOENT' | 'EACCES' | null {
  let head: string;
  try {
    head = readFileSync(path, 'latin1').slice(0, 256);
  } catch {
    return null; // executable but not readable: a binary may be so
  }
  const interpreter = /^#!\s*(\/\S+)/.exec(head)?.[1];
  if (interpreter === undefined) return null;
  try {
    accessSync(interpreter, constants.X_OK);
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES' ? 'EACCES' : 'ENOENT';
  }
}

export interface LaunchPlan {
  /** Command lines of what starts the launcher (`systemd-run ... --`); empty: it is started directly. */
  readonly wrapper: readonly string[];
  readonly command: readonly string[];
  /** Directory of the cgroup to join; null: the wrapper has seen to it, or there is none. */
  readonly cgroup: string | null;
  /** The native launcher, or null for sh. */
  readonly launcher: string | null;
  /** Soft RLIMIT_NOFILE of the command. */
  readonly nofile: number | null;
  /** What stands for limits without a cgroup. */
  readonly bounds?: ProcessBounds;
}

/**
 * The same as the native launcher in sh, for hosts without a compiler. A trap reports failing execs where the shell
 * runs it (dash and busybox do, bash does not); `execProblem` has looked for the common ones beforehand.
 */
const shellLauncher = (report: number, stderr: number | null) => `
cgroup=$1; nofile=$2; cpus=$3; nice=$4; io=$5; data=$6; shift 6
if [ -n "$cgroup" ]; then
  { echo 0 >"$cgroup/cgroup.procs"; } 2>/dev/null || { echo "cgroup 13" >&${report}; exit 126; }
fi
[ -z "$nofile" ] || ulimit -S -n "$nofile" 2>/dev/null || :
hold() {
  name=$1; shift
  "$@" >/dev/null 2>&1 && echo "held $name" >&${report} || :
}
[ -z "$cpus" ] || hold cpus taskset -cp "$cpus" $$
[ -z "$nice" ] || hold nice renice -n "$nice" -p $$
[ -z "$io" ] || hold ioPriority ionice -c 2 -n "$io" -p $$
[ -z "$data" ] || hold dataBytes ulimit -d "$((data / 1024))"
echo start >&${report}
trap 'case $? in 127) echo "exec 2";; 126) echo "exec 13";; esac >&${report}' EXIT
exec "$@" ${stderr === null ? '' : `2>&${stderr} ${stderr}>&- `}${report}>&-`;

/** The argument vector that carries out `plan`, reporting on descriptor `report`. */
export function launchArguments(plan: LaunchPlan, report: number, stderr: number | null): readonly string[] {
  const { wrapper, command, cgroup, launcher, nofile, bounds } = plan;
  const asked = [bounds?.cpus, bounds?.nice, bounds?.ioPriority, bounds?.dataBytes];
  if (launcher === null) {
    const script = shellLauncher(report, stderr);
    const values = [cgroup, nofile, ...asked].map((value) => String(value ?? ''));
    return [...wrapper, '/bin/sh', '-c', script, 'hivepulse-launch', ...values, ...command];
  }
  const flags = ['--report', String(report)];
  if (stderr !== null) flags.push('--stderr', String(stderr));
  if (cgroup !== null) flags.push('--cgroup', cgroup);
  if (nofile !== null) flags.push('--nofile', String(nofile));
  for (const [i, flag] of ['--cpus', '--nice', '--io-priority', '--data'].entries())
    if (asked[i] != null) flags.push(flag, String(asked[i]));
  return [...wrapper, launcher, ...flags, '--', ...command];
}

const errnoName = (errno: number): string =>
  Object.entries(os.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;

export interface Started {
  /** Bounds of the plan that the kernel took. */
  readonly held: ReadonlySet<BoundName>;
  readonly child: ChildProcess;
  readonly pid: number;
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
}

/** What failed before the command ran: joining the cgroup, the exec, or what should have started the launcher. */
export interface StartFailure {
  readonly step: 'cgroup' | 'exec' | 'usage' | 'spawn' | 'wrapper';
  /** `ENOENT`..., or what the wrapper said. */
  readonly reason: string;
}

/** Node throws away what is unread when a process ends, and it may have ended before our caller can listen. */
export function keepOutput(stream: Readable | null | undefined): Readable | null {
  return stream?.pipe(new PassThrough()) ?? null;
}

/** Descriptors of the process that is started: those asked for, the report, and the command's stderr behind a wrapper. */
function descriptors(given: StdioOptions | undefined, wrapped: boolean) {
  const stdio: unknown[] = Array.isArray(given)
    ? [...given]
    : [0, 1, 2].map((fd) => (given === 'inherit' ? fd : (given ?? 'pipe')));
  while (stdio.length < 3) stdio.push('pipe');
  const report = stdio.push('pipe') - 1;
  let stderr: number | null = null;
  let nowhere: number | null = null;
  if (wrapped) {
    // The wrapper's own messages go to a pipe of ours; the command gets the stderr that was asked for.
    let own = stdio[2];
    if (own === 'inherit') own = 2;
    // Above 2, `ignore` would mean no descriptor at all.
    if (own === 'ignore' || own === null) own = nowhere = openSync('/dev/null', 'w');
    stderr = stdio.push(own) - 1;
    stdio[2] = 'pipe';
  }
  return { stdio: stdio as StdioOptions, report, stderr, nowhere };
}

/** Gathers the text of a stream, up to 64 KiB. */
function collect(stream: Readable | null | undefined): () => string {
  let text = '';
  stream?.setEncoding('utf8').on('data', (part: string) => {
    if (text.length < 65_536) text += part;
  });
  return () => text;
}

/**
 * Carries out the plan and waits until the command itself runs: the report pipe closes at the exec. Of a command that
 * runs and ends at once the child's `exit` may already have been emitted: look at `exitCode` and `signalCode` as well.
 */
export async function start(
  plan: LaunchPlan,
  { env, cwd, stdio: given, detached }: Pick<CommandOptions, 'env' | 'cwd' | 'stdio' | 'detached'>,
  spawnProcess: typeof spawn = spawn,
  wrapperDeadlineMs = 30_000,
): Promise<Started | StartFailure> {
  const wrapped = plan.wrapper.length > 0;
  const { stdio, report, stderr, nowhere } = descriptors(given, wrapped);
  const [file, ...args] = launchArguments(plan, report, stderr) as [string, ...string[]];
  let child: ChildProcess;
  try {
    child = spawnProcess(file, args, { stdio, env: env ?? workerEnvironment(), ...defined({ cwd, detached }) });
  } catch (error) {
    // Node throws at once for all but a few errno, such as E2BIG for arguments over the kernel's limit.
    return { step: 'spawn', reason: systemCode(error) ?? String(error) };
  } finally {
    if (nowhere !== null) closeSync(nowhere);
  }
  const stdout = keepOutput(child.stdout);
  const stderrStream = keepOutput(stderr === null ? child.stderr : (child.stdio[stderr] as Readable | null));
  const reported = collect(child.stdio[report] as Readable | null);
  const wrapperSaid = collect(wrapped ? child.stderr : null);
  let late = false;
  // A service manager that hangs must not hold the caller, nor the name of the instance.
  const deadline = wrapped
    ? setTimeout(() => {
        late = true;
        child.kill('SIGKILL');
      }, wrapperDeadlineMs)
    : undefined;
  const spawnError = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
    child.once('error', resolve);
    child.stdio[report]?.once('close', () => resolve(null));
  });
  clearTimeout(deadline);
  const { pid } = child;
  if (spawnError !== null || pid === undefined) return { step: 'spawn', reason: spawnError?.code ?? 'no process' };

  const failure = /^(cgroup|exec|usage) (\d+)$/m.exec(reported());
  if (failure === null && /^start$/m.test(reported())) {
    const held = new Set([...reported().matchAll(/^held (\w+)$/gm)].map(([, name]) => name as BoundName));
    return { held, child, pid, stdin: child.stdin, stdout, stderr: stderrStream };
  }
  if (child.exitCode === null && child.signalCode === null) {
    await new Promise((resolve) => child.once('close', resolve));
  }
  if (late)
    return { step: 'wrapper', reason: `${plan.wrapper[0]} did not answer within ${wrapperDeadlineMs / 1000} s` };
  if (failure === null)
    return { step: wrapped ? 'wrapper' : 'spawn', reason: wrapperSaid().trim() || 'it ended early' };
  return { step: failure[1] as 'cgroup' | 'exec' | 'usage', reason: errnoName(Number(failure[2])) };
}
