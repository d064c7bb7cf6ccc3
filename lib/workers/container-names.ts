import { constants } from 'node:os';
import { join } from 'node:path';
import type { Fault } from '../contract/heartbeat.js';
import type { DirectoryEntry, FileResult } from '../io/file-reader.js';
import { GuardedReader, type OpenFiles } from '../io/guarded.js';
import { printablePath } from '../util/byte-path.js';
import type { Clock } from '../util/clock.js';
import type { Classified } from './classify.js';

const { ELOOP, ENOTSUP } = constants.errno;

type Container = Extract<Classified, { kind: 'container' }>;

/** How long a name is kept. A missing one is looked up again sooner: runtimes write it after they made the cgroup. */
const foundMs = 10 * 60_000;
const missingMs = 5000;
/** How long a fault names a file that was refused: at least until it is looked at again. */
const refusedMs = 4 * missingMs;
const maxAnswers = 10_000;
/** Far above the store of a thousand containers; what is longer is not read. */
const maxFileBytes = 4 * 1024 * 1024;
const maxRefused = 100;

export interface ContainerNamesOptions {
  /** Root of the host's file system. */
  readonly hostRoot?: string;
  readonly openFiles?: OpenFiles | undefined;
  readonly clock: Clock;
}

/** Names of containers from the state files of their runtimes; no API is called. */
export class ContainerNames {
  readonly #root: string;
  readonly #clock: Clock;
  readonly #files: GuardedReader;
  /** Files that are not what a runtime writes, by path. */
  readonly #refused = new Map<string, { readonly why: string; readonly untilMs: number }>();
  readonly #answers = new Map<string, { readonly name: string | null; readonly untilMs: number }>();

  constructor({ hostRoot = '/', openFiles, clock }: ContainerNamesOptions) {
    this.#root = hostRoot;
    this.#clock = clock;
    this.#files = new GuardedReader({
      open: openFiles,
      clock,
      maxAbandoned: 2,
      fault: (what) => ({
        source: 'hive',
        code: 'CONTAINER_NAMES_STALLED',
        field: 'name',
        message: `${what}: names of containers that are kept there are not known.`,
      }),
    });
  }

  faults(): readonly Fault[] {
    const now = this.#clock.now();
    for (const [path, { untilMs }] of this.#refused) if (untilMs <= now) this.#refused.delete(path);
    const [first, ...others] = this.#refused;
    if (first === undefined) return this.#files.faults();
    const [path, { why }] = first;
    const more = others.length === 0 ? '' : ` Neither are ${others.length} more.`;
    return [
      ...this.#files.faults(),
      {
        source: 'hive',
        code: 'CONTAINER_NAMES_REFUSED',
        field: 'name',
        message: `${printablePath(path)} is not read, since it is ${why}: names of containers that are kept there are not known.${more}`,
      },
    ];
  }

  close(): void {
    this.#files.close();
  }

  /** `namespace/pod/container` for Kubernetes, the container's name elsewhere; null where it is not found. */
  async find(container: Container, cgroupPath: string): Promise<string | null> {
    if (container.name !== null) return container.name;
    const key = `${container.runtime}/${container.containerId}`;
    const known = this.#answers.get(key);
    if (known && known.untilMs > this.#clock.now()) return known.name;
    const found = await this.#look(container, cgroupPath).catch(() => null);
    const name = found === null ? null : found.slice(0, 512);
    if (this.#answers.size >= maxAnswers) this.#answers.clear();
    this.#answers.set(key, { name, untilMs: this.#clock.now() + (name === null ? missingMs : foundMs) });
    return name;
  }

  async #look(container: Container, cgroupPath: string): Promise<string | null> {
    if (container.podUid !== null) return this.#pod(container.containerId, container.podUid);
    switch (container.runtime) {
      case 'docker':
        return this.#docker(container.containerId);
      case 'podman':
        return this.#podman(container.containerId, cgroupPath);
      case 'nerdctl':
      case 'containerd':
        return this.#nerdctl(container.containerId);
      default:
        return null;
    }
  }

  /**
   * kubelet: /var/log/pods/<namespace>_<pod>_<uid>/<container>/, and /var/log/containers/<pod>_<namespace>_<container>-<id>.log,
   * which alone maps a container's id to its name. Without the latter the name is known only for a pod of one container.
   */
  async #pod(containerId: string, podUid: string): Promise<string | null> {
    const pods = join(this.#root, 'var/log/pods');
    const bare = podUid.replaceAll('-', '');
    // A static pod's uid is a hash without dashes.
    const directory = (await this.#names(pods)).find((name) => name.split('_')[2]?.replaceAll('-', '') === bare);
    if (directory === undefined) return null;
    const [namespace, pod] = directory.split('_');
    const links = await this.#names(join(this.#root, 'var/log/containers'));
    const prefix = `${pod}_${namespace}_`;
    const suffix = `-${containerId}.log`;
    const link = links.find((name) => name.startsWith(prefix) && name.endsWith(suffix));
    if (link) return `${namespace}/${pod}/${link.slice(prefix.length, -suffix.length)}`;
    const only = (await this.#list(join(pods, directory))).filter(({ isDirectory }) => isDirectory);
    return only.length === 1 ? `${namespace}/${pod}/${only[0]?.name}` : `${namespace}/${pod}`;
  }

  /** config.v2.json of the container, of which only the name is used (it holds the environment, too). */
  async #docker(id: string): Promise<string | null> {
    for (const state of ['var/lib/docker', 'var/snap/docker/common/var-lib-docker']) {
      const config = await this.#json(join(this.#root, state, 'containers', id, 'config.v2.json'));
      const name = (config as { Name?: unknown } | null)?.Name;
      if (typeof name === 'string' && name.length > 1) return name.replace(/^\//, '');
    }
    return null;
  }

  /**
   * containers.json of the storage: root's, or that of the user in whose slice the container runs. Of `--rm` and of a
   * transient store it is volatile-containers.json, beside it or in the run directory.
   */
  async #podman(id: string, cgroupPath: string): Promise<string | null> {
    const uid = /\/user-([0-9]+)\.slice\//.exec(cgroupPath)?.[1];
    const home = uid === undefined || uid === '0' ? null : await this.#homeOf(uid);
    const storage = home === null ? 'var/lib/containers/storage' : join(home, '.local/share/containers/storage');
    const runs = home === null ? ['run/containers/storage'] : [`run/user/${uid}/containers`, `run/containers/${uid}`];
    for (const layer of ['overlay-containers', 'vfs-containers', 'btrfs-containers']) {
      const files = [
        join(storage, layer, 'containers.json'),
        join(storage, layer, 'volatile-containers.json'),
        ...runs.map((run) => join(run, layer, 'volatile-containers.json')),
      ];
      for (const file of files) {
        const name = nameInStore(await this.#json(join(this.#root, file)), id);
        if (name !== null) return name;
      }
    }
    return null;
  }

  async #homeOf(uid: string): Promise<string | null> {
    const users = await this.#text(join(this.#root, 'etc/passwd'));
    const line = users?.split('\n').find((user) => user.split(':')[2] === uid);
    return line?.split(':')[5] ?? null;
  }

  /** nerdctl's name store: /var/lib/nerdctl/<address>/names/<namespace>/<name> holds the id. */
  async #nerdctl(id: string): Promise<string | null> {
    const store = join(this.#root, 'var/lib/nerdctl');
    for (const address of await this.#names(store)) {
      const names = join(store, address, 'names');
      for (const namespace of await this.#names(names)) {
        for (const name of await this.#names(join(names, namespace))) {
          const holder = await this.#text(join(names, namespace, name));
          if (holder?.trim() === id) return name;
        }
      }
    }
    return null;
  }

  /** Entries of a directory; none where it can't be listed. */
  async #list(path: string): Promise<readonly DirectoryEntry[]> {
    const [entries] = await this.#files.list([path]);
    return typeof entries === 'object' ? entries : [];
  }

  async #names(path: string): Promise<readonly string[]> {
    return (await this.#list(path)).map(({ name }) => name);
  }

  async #text(path: string): Promise<string | null> {
    const [content] = await this.#files.read([path], maxFileBytes + 1);
    const why = refusal(content);
    if (why === null) this.#refused.delete(path);
    else if (this.#refused.size < maxRefused) this.#refused.set(path, { why, untilMs: this.#clock.now() + refusedMs });
    return content instanceof Buffer && why === null ? content.toString('utf8') : null;
  }

  /** null where the file is missing, not readable for us, or just being written. */
  async #json(path: string): Promise<unknown> {
    try {
      return JSON.parse((await this.#text(path)) ?? 'null');
    } catch {
      return null;
    }
  }
}

/** Why this can't be a file that a runtime wrote, or null. A user's store may hold anything. */
function refusal(content: FileResult | undefined): string | null {
  if (content === ELOOP) return 'a symbolic link';
  if (content === ENOTSUP) return 'not a regular file';
  return content instanceof Buffer && content.length > maxFileBytes ? `longer than ${maxFileBytes} bytes` : null;
}

/** Name of a container in a list of podman's storage. */
function nameInStore(list: unknown, id: string): string | null {
  if (!Array.isArray(list)) return null;
  const entry = (list as { id?: unknown; names?: unknown }[]).find((candidate) => candidate?.id === id);
  const name = Array.isArray(entry?.names) ? entry.names[0] : null;
  return typeof name === 'string' && name !== '' ? name : null;
}
