import { createHash } from 'node:crypto';

/** Ids of containers as their runtimes make them. */
const id64 = '[0-9a-f]{64}';
const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';

export type Runtime = 'docker' | 'podman' | 'containerd' | 'crio' | 'nerdctl' | 'nomad' | 'container';

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
  let runtime: Runtime | null = null;
  let containerId = '';
  for (const [shape, named] of prefixes) {
    const found = shape.exec(last)?.[1];
    if (found) {
      runtime = named;
      containerId = found;
      break;
    }
  }
  if (runtime === null) {
    // cgroupfs drivers name the cgroup after the container alone; its parent names the runtime.
    if (!bareId.test(last)) return null;
    containerId = last;
    const parent = parts[parts.length - 2] ?? '';
    runtime = /^(?:docker|moby)(?:\.slice)?$/.test(parent)
      ? 'docker'
      : /^libpod(?:_parent|_pod_.*)?$/.test(parent)
        ? 'podman'
        : /^(?:default|k8s\.io|containerd|buildkit)$/.test(parent)
          ? 'containerd'
          : 'container';
  }
  const podUid = podUidOf(parts.slice(0, -1)) ?? (last.includes(':') ? podUidOf([last]) : null);
  const kubernetes = podUid !== null || parts.some((part) => /^(?:kubelet-)?kubepods\b/.test(part));
  return {
    kind: 'container',
    group: kubernetes ? 'kubepods' : runtime,
    instance: containerId.slice(0, 12),
    runtime,
    containerId,
    podUid,
    name: null,
  };
}

const partsOf = (path: string): readonly string[] => path.split('/').filter((part) => part !== '');

/** What the cgroup at `path` (relative to the cgroup root, `/a/b`) is by its name; null where the name says nothing. */
export function classify(path: string): Classified | null {
  const parts = partsOf(path);
  return parts.length === 0 ? null : (classifyOwn(parts) ?? classifyContainer(parts));
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

/** Makes any text one part of a worker id. Two texts that differ stay apart: what had to change carries a hash. */
export function idOf(text: string): string {
  const safe = text.replace(/[^A-Za-z0-9_.:@+-]/g, '_').replace(/^[^A-Za-z0-9]+/, '');
  if (safe === text && safe.length <= 128) return safe;
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 8);
  return `${safe.slice(0, 128 - 9) || 'cgroup'}-${hash}`;
}

/**
 * Name of a cgroup that is watched for what runs in it (an engine, a GPU holder, a `--watch` pattern): the group is its
 * systemd manager (`system`, `user-1000`) or `cgroup`, the instance its unit, with the path below the unit where there is one.
 */
export function adoptedName(path: string): { readonly group: string; readonly instance: string } {
  const parts = partsOf(path);
  // The root is watched only where it is the container that the hive runs in.
  if (parts.length === 0) return { group: 'container', instance: 'self' };
  let unit = -1;
  for (let i = parts.length - 1; i >= 0 && unit < 0; i -= 1) {
    const part = parts[i] as string;
    // `user@1000.service` is the manager of what is below it.
    if (/\.(?:service|scope)$/.test(part) && !(/^user@[0-9]+\.service$/.test(part) && i < parts.length - 1)) unit = i;
  }
  if (unit < 0) return { group: 'cgroup', instance: idOf(parts.map(unescapeUnit).join(':')) };
  const user = parts.slice(0, unit).find((part) => /^user-[0-9]+\.slice$/.test(part));
  const group = user ? user.slice(0, -'.slice'.length) : 'system';
  return { group, instance: idOf(parts.slice(unit).map(unescapeUnit).join(':')) };
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
