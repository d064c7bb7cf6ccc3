import { type ChildProcess, spawn } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { locateCgroups } from '../cgroup/locate.js';
import { processCgroup } from '../procfs/process-stat.js';
import { workerEnvironment } from '../util/child-environment.js';
import { defined } from '../util/defined.js';
import { HivepulseError, systemCode } from '../util/errors.js';
import { checkWorkerId } from '../workers/worker-id.js';
import { applyLimits, isDenied, verifyLimits, writesFor } from './apply-limits.js';
import { type BoundName, holding, type ProcessBounds } from './best-effort.js';
import { enableControllers, inodeOf, isPopulated, makeCgroup, removeEmptyParents, removeTree } from './cgroup-tree.js';
import { effortsWithout, marked, type WithoutCgroup } from './launch-tree.js';
import {
  type CommandOptions,
  execError,
  execProblem,
  findLauncher,
  keepOutput,
  originalDescriptorLimit,
  type Started,
  type StartFailure,
  start,
} from './launcher.js';
import {
  type Controller,
  type LimitOptions,
  type Limits,
  type LimitWrite,
  limitNames,
  type NotApplied,
  notApplied,
  type UnitProperty,
  unitProperties,
} from './limits.js';
import { findManager, type SystemdManager, scopeArguments, unitNames } from './systemd.js';

/** Where workers of ours can live on this host. */
export type WorkerHome =
  | { readonly kind: 'cgroup' /** Absolute path under which `hivepulse.slice` is made. */; readonly root: string }
  | { readonly kind: 'systemd'; readonly manager: SystemdManager /** v2 mount point. */; readonly mount: string };

export interface LaunchRequest extends CommandOptions {
  readonly group: string;
  readonly instance: string;
  readonly limits: Limits;
}

export interface Launched extends Started {
  readonly owner: 'cgroup' | 'systemd' | 'systemdUser' | 'none';
  /** Absolute path of its cgroup directory; null only where there is no cgroup v2. */
  readonly cgroup: string | null;
  readonly cgroupInode: number | null;
  readonly unit: string | null;
  /** Of a worker without a cgroup: the mark in the environment of its processes, why it has none, and what holds instead. */
  readonly tree: { readonly marker: string; readonly reason: string; readonly bounds: ProcessBounds } | null;
  readonly notApplied: readonly NotApplied[];
}

/** What the kernel offers here; arguments with defaults, so that tests can name other places. */
export interface LaunchEnvironment {
  readonly launcher?: string | null;
  readonly nofile?: number | null;
  readonly procRoot?: string;
}

export const workersSlice = 'hivepulse.slice';
/** Accounting that every worker gets where it can be had, whether limited or not. */
const accounted: readonly Controller[] = ['cpu', 'memory', 'io', 'pids'];

/**
 * Decides where workers go: `root` where it is given (a subtree that was delegated to us), else systemd's scopes where
 * systemd runs, since it owns the tree, else our own tree at the v2 mount. Throws CGROUP_UNAVAILABLE, and
 * CGROUP_PERMISSION_DENIED where systemd runs but none of its managers is ours to ask.
 */
export async function findWorkerHome(
  root: string | undefined,
  procRoot = '/proc',
  uid: number = process.geteuid?.() ?? 0,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<WorkerHome> {
  if (root !== undefined) {
    if (!(await isCgroup(root))) {
      throw new HivepulseError(
        'CGROUP_UNAVAILABLE',
        root,
        `${root} is not a cgroup v2 directory: it has no cgroup.procs.`,
      );
    }
    return { kind: 'cgroup', root };
  }
  const place = locateCgroups({ procRoot });
  const mount = place.root;
  if (mount === null)
    throw new HivepulseError('CGROUP_UNAVAILABLE', '/sys/fs/cgroup', place.reason ?? 'No cgroup v2 is mounted here.');
  const { manager, booted, reason } = await findManager(uid, environment);
  if (manager !== null) return { kind: 'systemd', manager, mount };
  if (booted) {
    throw new HivepulseError(
      'CGROUP_PERMISSION_DENIED',
      mount,
      `systemd owns the cgroup tree, and ${reason}. Log in with a session (or "loginctl enable-linger $USER"), run as root, or name a delegated cgroup with --root.`,
    );
  }
  return { kind: 'cgroup', root: mount };
}

const isCgroup = (dir: string) =>
  stat(join(dir, 'cgroup.procs')).then(
    () => true,
    () => false,
  );

/** Starts the command in the worker's cgroup. What it made is unmade where it fails. */
export async function launchWorker(
  home: WorkerHome,
  request: LaunchRequest,
  environment: LaunchEnvironment = {},
): Promise<Launched> {
  checkWorkerId(request.group, request.instance);
  await checkCommand(request);
  return home.kind === 'systemd'
    ? launchInScope(home, request, environment)
    : launchInTree(home.root, request, environment);
}

async function checkCommand(request: LaunchRequest): Promise<void> {
  const cwd = request.cwd ?? process.cwd();
  const directory = await stat(cwd).catch(() => null);
  if (!directory?.isDirectory())
    throw new HivepulseError('INVALID_OPTION', 'cwd', `The working directory ${cwd} does not exist.`);
  const problem = execProblem(request.command, request.env ?? process.env, cwd);
  if (problem !== null) throw execError(request.command, problem);
}

const planned = (environment: LaunchEnvironment) => ({
  launcher: environment.launcher === undefined ? findLauncher() : environment.launcher,
  nofile: environment.nofile === undefined ? originalDescriptorLimit() : environment.nofile,
});

function denied(path: string, cause: unknown): HivepulseError {
  const code = systemCode(cause) ?? String(cause);
  const fix =
    code === 'EROFS'
      ? 'The cgroup tree is mounted read-only, as containers get it: run on the host, or start the container with a private cgroup namespace and a writable /sys/fs/cgroup.'
      : `Run as root, use a systemd user session, or have a subtree delegated to you (as root: mkdir D && chown $USER D D/cgroup.procs D/cgroup.subtree_control D/cgroup.threads, and move your shell into it) and name it with --root D.`;
  return new HivepulseError('CGROUP_PERMISSION_DENIED', path, `No cgroup can be made at ${path} (${code}). ${fix}`, {
    cause,
  });
}

export function occupied(group: string, instance: string, by: string): HivepulseError {
  const id = `${group}/${instance}`;
  return new HivepulseError(
    'INSTANCE_OCCUPIED',
    id,
    `${id} is taken: ${by}. Stop it with "hivepulse stop ${id}", or choose another --instance.`,
  );
}

/**
 * Makes `<root>/hivepulse.slice/<group>/<instance>` anew: what an earlier run left there is removed, and with it every
 * limit and counter. Another process may remove empty parents at the same time, so that is tried again.
 */
async function makeWorkerCgroup(root: string, group: string, instance: string, controllers: readonly Controller[]) {
  const slice = join(root, workersSlice);
  const groupDir = join(slice, group);
  const dir = join(groupDir, instance);
  for (let attempt = 0; ; attempt += 1) {
    try {
      await makeCgroup(slice);
      await makeCgroup(groupDir);
      if (!(await makeCgroup(dir))) {
        if ((await isPopulated(dir)) === true || !(await removeTree(dir)))
          throw occupied(group, instance, 'processes live in its cgroup');
        await makeCgroup(dir);
      }
      const missing = await enableControllers([root, slice, groupDir], controllers);
      return { dir, groupDir, missing };
    } catch (error) {
      if (systemCode(error) === 'ENOENT' && attempt < 10) {
        await delay(5);
        continue;
      }
      await removeEmptyParents(groupDir, root);
      if (isDenied(error)) throw denied(dir, error);
      throw error;
    }
  }
}

function failed(request: LaunchRequest, failure: StartFailure, where: string): HivepulseError {
  if (failure.step === 'exec') return execError(request.command, failure.reason);
  if (failure.step === 'cgroup') {
    return isDenied({ code: failure.reason })
      ? denied(where, { code: failure.reason })
      : new HivepulseError('LAUNCH_FAILED', where, `The child could not join ${where} (${failure.reason}).`);
  }
  if (failure.step === 'wrapper' && /already (loaded|exists)|fragment file/i.test(failure.reason)) {
    return occupied(request.group, request.instance, `systemd has a unit ${where}`);
  }
  return new HivepulseError(
    'LAUNCH_FAILED',
    where,
    `The worker could not be started (${failure.step}): ${failure.reason}`,
  );
}

/** Starts the command as it is, where the platform has no cgroups. */
export async function launchPlain(options: CommandOptions & LimitOptions, platform: string): Promise<Launched> {
  const { command, args = [], stdio = 'pipe', env, cwd, detached } = options;
  const problem = execProblem(command, env ?? process.env, cwd ?? process.cwd());
  if (problem !== null) throw execError(command, problem);
  const unstarted = (error: unknown) => execError(command, systemCode(error) ?? String(error));
  let child: ChildProcess;
  try {
    child = spawn(command, args, { stdio, env: env ?? workerEnvironment(), ...defined({ cwd, detached }) });
  } catch (error) {
    // Node throws at once for all but a few errno, such as E2BIG.
    throw unstarted(error);
  }
  const [stdout, stderr] = [keepOutput(child.stdout), keepOutput(child.stderr)];
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => reject(unstarted(error)));
  });
  const refused = limitNames(options).map((name) => notApplied(name, `limits need cgroup v2, which ${platform} lacks`));
  const started = { held: new Set<BoundName>(), child, pid: child.pid as number, stdin: child.stdin, stdout, stderr };
  return { ...started, ...nowhere, tree: null, notApplied: refused };
}

const nowhere = { owner: 'none', cgroup: null, cgroupInode: null, unit: null } as const;

/** Starts the command without a cgroup, which the place has none for. Throws `problem` where a limit was asked for. */
export async function launchInPlace(
  problem: HivepulseError,
  request: LaunchRequest & WithoutCgroup,
  environment: LaunchEnvironment = {},
): Promise<Launched> {
  const { bounds, notes } = effortsWithout(problem, request);
  await checkCommand(request);
  const { options, marker } = marked(request);
  const command = [request.command, ...(request.args ?? [])];
  const started = await start({ wrapper: [], command, cgroup: null, bounds, ...planned(environment) }, options);
  if ('step' in started) throw failed(request, started, request.command);
  const tree = { marker, reason: problem.message, bounds: holding(bounds, started.held) };
  return { ...started, ...nowhere, tree, notApplied: notes(started.held) };
}

async function launchInTree(root: string, request: LaunchRequest, environment: LaunchEnvironment): Promise<Launched> {
  const { group, instance, limits } = request;
  const writes = await writesFor(limits);
  const controllers = [...accounted, ...(limits.cpuset === null ? [] : (['cpuset'] as const))];
  const { dir, groupDir, missing } = await makeWorkerCgroup(root, group, instance, controllers);
  try {
    const refused = await applyLimits(dir, writes, missing);
    const held = writes.filter(({ name }) => !refused.some((failure) => failure.name === name));
    const lost = await verifyLimits(dir, held, ({ file }) => `${file} cannot be read back`);
    const command = [request.command, ...(request.args ?? [])];
    const inode = await inodeOf(dir);
    const started = await start({ wrapper: [], command, cgroup: dir, ...planned(environment) }, request);
    if ('step' in started) throw failed(request, started, dir);
    return {
      ...started,
      owner: 'cgroup',
      cgroup: dir,
      cgroupInode: inode,
      unit: null,
      tree: null,
      notApplied: [...refused, ...lost],
    };
  } catch (error) {
    await removeTree(dir);
    await removeEmptyParents(groupDir, root);
    throw error;
  }
}

async function launchInScope(
  home: Extract<WorkerHome, { kind: 'systemd' }>,
  request: LaunchRequest,
  environment: LaunchEnvironment,
): Promise<Launched> {
  const { group, instance, limits } = request;
  const names = unitNames(group, instance);
  const writes = await writesFor(limits);
  const refused: NotApplied[] = [];
  const command = [request.command, ...(request.args ?? [])];
  const launch = (properties: readonly UnitProperty[]) => {
    const wrapper = scopeArguments(home.manager, names, `hivepulse worker ${group}/${instance}`, properties);
    return start({ wrapper, command, cgroup: null, ...planned(environment) }, request);
  };
  const properties = unitProperties(limits);
  let started = await launch(properties);
  if ('step' in started && started.step === 'wrapper' && started.reason.includes('OOMPolicy')) {
    // Before systemd 252 scopes had no such property, and none was stopped for running out of memory.
    started = await launch(properties.filter(({ name }) => name !== 'oomGroup'));
    if (limits.oomGroup) refused.push(notApplied('oomGroup', 'scopes have OOMPolicy= since systemd 252'));
  }
  if ('step' in started) throw failed(request, started, names.scope);
  // A command that has ended already may have left children in its scope, which is then found by its name.
  const path = await processCgroup(started.pid, environment.procRoot);
  const cgroup = path?.endsWith(`/${names.scope}`) ? join(home.mount, path) : await locateWorker(home, group, instance);
  const held = writes.filter(({ name }) => !refused.some((failure) => failure.name === name));
  const hint = ({ controller }: LimitWrite) =>
    home.manager === 'user'
      ? `the ${controller} controller is not delegated to the user manager; as root add "[Service] Delegate=cpu cpuset io memory pids" in /etc/systemd/system/user@.service.d/delegate.conf and log in again`
      : `the ${controller} controller is not on cgroup v2 here`;
  const lost = cgroup === null ? [] : await verifyLimits(cgroup, held, hint);
  return {
    ...started,
    owner: ownerIn(home),
    cgroup,
    cgroupInode: cgroup === null ? null : await inodeOf(cgroup),
    unit: names.scope,
    tree: null,
    notApplied: [...refused, ...lost],
  };
}

export const ownerIn = (home: WorkerHome): 'cgroup' | 'systemd' | 'systemdUser' =>
  home.kind === 'cgroup' ? 'cgroup' : home.manager === 'user' ? 'systemdUser' : 'systemd';

/** Removes the directory of a group of workers below `root`, and the slice, as far as they are empty. */
export const removeEmptyGroup = (root: string, group: string): Promise<void> =>
  removeEmptyParents(join(root, workersSlice, group), root);

/** The cgroup directories in which a worker of this name may live under `home`; the first that exists, or null. */
export async function locateWorker(home: WorkerHome, group: string, instance: string): Promise<string | null> {
  if (home.kind === 'cgroup') {
    const dir = join(home.root, workersSlice, group, instance);
    return (await inodeOf(dir)) === null ? null : dir;
  }
  const { path } = unitNames(group, instance);
  const bases = home.manager === 'system' ? [home.mount] : await userManagerRoots(home.mount);
  for (const base of bases) if ((await inodeOf(join(base, path))) !== null) return join(base, path);
  return null;
}

async function userManagerRoots(mount: string): Promise<readonly string[]> {
  const uid = process.geteuid?.() ?? 0;
  const user = join(mount, 'user.slice', `user-${uid}.slice`);
  const names = await readdir(user).catch(() => []);
  return names.filter((name) => name === `user@${uid}.service`).map((name) => join(user, name));
}
