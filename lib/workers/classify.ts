import { createHash } from 'node:crypto';

/** Ids of containers as their runtimes make them. */
const id64 = '[0-9a-f]{64}';
const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';

export type Runtime = 'docker' | 'podman' | 'containerd' | 'crio' | 'nerdctl' | 'nomad' | 'ecs' | 'container';

/** What a cgroup is, by its path alone. */
export type Classified =
  | { readonly kind: 'own'; readonly group: string; readonly instance: string }
  | {
      readonly kind: 'container';
      readonly group: string;
      readonly instance: string;
      readonly runtime: Runtime;
      /** Whole id of the container; of a Nomad task the allocation. */
      readonly containerId: string;
      /** uid of its Kubernetes pod, with `-`; null outside Kubernetes. */
      readonly podUid: string | null;
      /** What the path itself says of its name (the task of a Nomad allocation); else null. */
      readonly name: string | null;
    };

const partsOf = (path: string): readonly string[] => path.split('/').filter((part) => part !== '');

/** systemd's unit-name escaping undone: `\x2d` is `-`. (A bare `-` stands for `/` and never comes from an id of ours.) */
export function unescapeUnit(name: string): string {
  return name.replace(/\\x([0-9a-f]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

const idShape = /^[A-Za-z0-9][A-Za-z0-9_.:@+-]{0,127}$/;

/**
 * A worker of ours: `hivepulse.slice/<group>/<instance>` where we made the tree, else
 * `hivepulse.slice/hivepulse-<group>.slice/hivepulse-<group>-<instance>.scope` in systemd's escaping, anywhere below a
 * system or user manager.
 */
function classifyOwn(parts: readonly string[]): Classified | null {
  const [slice, first, second] = parts.slice(-3);
  if (slice !== 'hivepulse.slice' || first === undefined || second === undefined) return null;
  if (first.startsWith('hivepulse-') && first.endsWith('.slice') && second.endsWith('.scope')) {
    const group = first.slice('hivepulse-'.length, -'.slice'.length);
    const prefix = `hivepulse-${group}-`;
    if (!second.startsWith(prefix)) return null;
    return own(unescapeUnit(group), unescapeUnit(second.slice(prefix.length, -'.scope'.length)));
  }
  return own(first, second);
}

const own = (group: string, instance: string): Classified | null =>
  idShape.test(group) && idShape.test(instance) ? { kind: 'own', group, instance } : null;

const bareId = new RegExp(`^${id64}$`);
/** A container of a Fargate task: `<task>-<number>`. */
const fargateContainer = /^([0-9a-f]{32})-([0-9]+)$/;
const ecsTask = `(?:[0-9a-f]{32}|${uuid})`;
/** The cgroup of an ECS task: `/ecs/<task>`, of older agents below the cluster's; `ecstasks-<task>.slice` of the systemd driver. */
const ecsTaskPath = new RegExp(`(?:^|/)(?:ecs/(?:[^/]+/)?${ecsTask}|ecstasks\\.slice/ecstasks-${ecsTask}\\.slice)$`);
const nomadTask = new RegExp(`^(${uuid})[._](.+?)(?:\\.scope)?$`);

/** Prefixes of a container's own cgroup, by runtime. `conmon` and pods are none. */
const prefixes: readonly (readonly [RegExp, Runtime])[] = [
  [new RegExp(`^docker-(${id64})\\.scope$`), 'docker'],
  [new RegExp(`^libpod-(?:payload-)?(${id64})(?:\\.scope)?$`), 'podman'],
  [new RegExp(`^cri-containerd-(${id64})\\.scope$`), 'containerd'],
  [new RegExp(`^(?:[^:]+:)?cri-containerd:(${id64})$`), 'containerd'],
  [new RegExp(`^crio-(${id64})(?:\\.scope)?$`), 'crio'],
  [new RegExp(`^nerdctl-(${id64})\\.scope$`), 'nerdctl'],
  [new RegExp(`^(?:containerd|buildkit|container)-(${id64})\\.scope$`), 'containerd'],
];

/** What names itself after a pod: `pod<uid>` (cgroupfs), `kubepods-burstable-pod<uid with _>.slice` (systemd). */
const podPart =
  /(?:^|[-:])pod([0-9a-f]{8}[-_]?[0-9a-f]{4}[-_]?[0-9a-f]{4}[-_]?[0-9a-f]{4}[-_]?[0-9a-f]{12})(?:\.slice|$|:)/;

function podUidOf(parts: readonly string[]): string | null {
  for (let i = parts.length - 1; i >= 0; i -= 1) {
    const found = podPart.exec(parts[i] as string)?.[1];
    if (found) return found.replaceAll('_', '-');
  }
  return null;
}

const isInEcsTask = (parts: readonly string[]): boolean => ecsTaskPath.test(parts.slice(0, -1).join('/'));

function classifyFargate(parts: readonly string[]): Classified | null {
  const containerId = parts.at(-1) ?? '';
  const [, task, number] = fargateContainer.exec(containerId) ?? [];
  if (task === undefined || !isInEcsTask(parts)) return null;
  // All containers of a task begin with the task's id.
  const instance = idOf(`${task.slice(0, 12)}-${number}`);
  return { kind: 'container', group: 'ecs', instance, runtime: 'ecs', containerId, podUid: null, name: null };
}

/** The runtime of a cgroup that is named after its container alone, by the cgroup above. */
function runtimeAbove(parts: readonly string[]): Runtime {
  const parent = parts.at(-2) ?? '';
  // On hosts of one's own the agent of ECS starts containers by Docker.
  if (/^(?:docker|moby)(?:\.slice)?$/.test(parent) || isInEcsTask(parts)) return 'docker';
  if (/^libpod(?:_parent|_pod_.*)?$/.test(parent)) return 'podman';
  return /^(?:default|k8s\.io|containerd|buildkit)$/.test(parent) ? 'containerd' : 'container';
}

function containerOf(last: string, parts: readonly string[]): readonly [id: string, runtime: Runtime] | null {
  for (const [shape, runtime] of prefixes) {
    const id = shape.exec(last)?.[1];
    if (id !== undefined) return [id, runtime];
  }
  // cgroupfs drivers name the cgroup after the container alone; its parent names the runtime.
  return bareId.test(last) ? [last, runtimeAbove(parts)] : null;
}

function classifyContainer(parts: readonly string[]): Classified | null {
  const last = parts[parts.length - 1] ?? '';
  const nomad = nomadTask.exec(last);
  if (nomad && parts.some((part) => part === 'nomad.slice' || part === 'nomad')) {
    const [, allocation = '', task = ''] = nomad;
    const short = `${allocation.slice(0, 8)}.${task}`;
    return {
      kind: 'container',
      group: 'nomad',
      instance: idOf(short),
      runtime: 'nomad',
      containerId: allocation,
      podUid: null,
      name: unescapeUnit(task),
    };
  }
  const container = containerOf(last, parts);
  if (container === null) return null;
  const [containerId, runtime] = container;
  const podUid = podUidOf(parts);
  const kubernetes = podUid !== null || parts.some((part) => /^(?:kubelet-)?kubepods\b/.test(part));
  return {
    kind: 'container',
    group: kubernetes ? 'kubepods' : isInEcsTask(parts) ? 'ecs' : runtime,
    instance: containerId.slice(0, 12),
    runtime,
    containerId,
    podUid,
    name: null,
  };
}

/** What the cgroup at `path` (relative to the cgroup root, `/a/b`) is by its name; null where the name says nothing. */
export function classify(path: string): Classified | null {
  const parts = partsOf(path);
  return classifyOwn(parts) ?? classifyFargate(parts) ?? classifyContainer(parts);
}

/** The outermost worker that holds `path`: a container inside a container belongs to the outer one. */
export function classifyAbove(path: string): { readonly path: string; readonly found: Classified } | null {
  const parts = partsOf(path);
  for (let depth = 1; depth <= parts.length; depth += 1) {
    const above = `/${parts.slice(0, depth).join('/')}`;
    const found = classify(above);
    if (found) return { path: above, found };
  }
  return null;
}

const maxLength = 128;
const hashLength = 8;

// UTF-16, so that texts with different lone surrogates (bytes that are not UTF-8) have different hashes.
const hashOf = (text: string): string =>
  createHash('sha256').update(text, 'utf16le').digest('hex').slice(0, hashLength);

const withHash = (text: string, hash: string): string => `${text.slice(0, maxLength - 1 - hashLength)}-${hash}`;

/** Makes any text one part of a worker id. Two texts that differ stay apart: what had to change carries a hash. */
export function idOf(text: string): string {
  const safe = text.replace(/[^A-Za-z0-9_.:@+-]/g, '_').replace(/^[^A-Za-z0-9]+/, '');
  return safe === text && safe.length <= maxLength ? safe : withHash(safe || 'cgroup', hashOf(text));
}

/** An instance that no other cgroup has: with a hash of the path. */
export const boundTo = (path: string, instance: string): string => withHash(instance, hashOf(path));

/** Group and instance of a worker. */
export interface WorkerName {
  readonly group: string;
  readonly instance: string;
}

/** The slice that systemd gives to the instances of a template: `system-vllm.slice` for `vllm@8000.service`. */
const templateSlice = (root: 'system' | 'app', unit: string): string =>
  `${root}-${unit.slice(0, unit.indexOf('@'))}.slice`;

/**
 * Whether a unit is where its manager puts units by default. One manager has each unit name once, so such a unit has its
 * plain name. All others (another slice, a manager in a container, a unit inside a unit) might share a name with one.
 */
function isInUsualPlace(above: readonly string[], unit: string): boolean {
  const inSlice = (slices: readonly string[], root: 'system' | 'app'): boolean =>
    unit.includes('@')
      ? slices.length === 2 &&
        slices[0] === `${root}.slice` &&
        unescapeUnit(slices[1] as string) === templateSlice(root, unescapeUnit(unit))
      : slices.length === 1 && slices[0] === `${root}.slice`;
  const [first, second, manager] = above;
  const session = /^session-[^/]*\.scope$/.test(unit);
  if (first !== 'user.slice') return unit === 'init.scope' ? above.length === 0 : inSlice(above, 'system');
  const user = /^user-([0-9]+)\.slice$/.exec(second ?? '')?.[1];
  if (user === undefined) return false;
  if (manager === undefined) return session;
  if (manager !== `user@${user}.service` || session) return false;
  return unit === 'init.scope' ? above.length === 3 : inSlice(above.slice(3), 'app');
}

/**
 * Name of a cgroup that is watched for what runs in it (an engine, a GPU holder, a `--watch` pattern): the group is its
 * systemd manager (`system`, `user-1000`) or `cgroup`, the instance its unit, with the path below the unit where there is
 * one. Decided by the path alone; where another path might have the same name, the instance carries a hash of the path.
 */
export function adoptedName(path: string): WorkerName {
  const parts = partsOf(path);
  // The root is watched only where it is the container that the hive runs in.
  if (parts.length === 0) return { group: 'container', instance: 'self' };
  let unit = -1;
  for (let i = parts.length - 1; i >= 0 && unit < 0; i -= 1) {
    const part = parts[i] as string;
    // `user@1000.service` is the manager of what is below it.
    if (/\.(?:service|scope)$/.test(part) && !(/^user@[0-9]+\.service$/.test(part) && i < parts.length - 1)) unit = i;
  }
  const shown = parts.slice(Math.max(0, unit));
  const instance = idOf(shown.map(unescapeUnit).join(':'));
  const above = unit < 0 ? [] : parts.slice(0, unit);
  const user = above.find((part) => /^user-[0-9]+\.slice$/.test(part));
  const group = unit < 0 ? 'cgroup' : user ? user.slice(0, -'.slice'.length) : 'system';
  const usual = unit < 0 || isInUsualPlace(above, parts[unit] as string);
  // `:` joins the parts, so one that has it itself might read like two.
  const plain = usual && !(shown.length > 1 && shown.some((part) => part.includes(':')));
  return { group, instance: plain ? instance : boundTo(path, instance) };
}

/**
 * A `--watch` pattern as a test of cgroup paths. `*` and `?` stay within one component, `**` crosses them; a pattern
 * without `/` is compared with the last component.
 */
export function compileGlob(pattern: string): (path: string) => boolean {
  const anchored = pattern.includes('/');
  let source = '';
  const body = anchored && !pattern.startsWith('/') ? `/${pattern}` : pattern;
  for (let i = 0; i < body.length; i += 1) {
    const char = body[i] as string;
    if (char === '*' && body[i + 1] === '*') {
      source += '.*';
      i += 1;
      if (body[i + 1] === '/') {
        source = `${source.slice(0, -2)}(?:.*/)?`;
        i += 1;
      }
    } else if (char === '*') source += '[^/]*';
    else if (char === '?') source += '[^/]';
    else source += char.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  }
  const matcher = new RegExp(`^${source}$`);
  return anchored ? (path) => matcher.test(path) : (path) => matcher.test(path.slice(path.lastIndexOf('/') + 1));
}
