import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { createProgram } from '../../lib/cli/program.js';
import type { SettingUser } from '../../lib/config/setting.js';
import { settingsOf, variableOf } from '../../lib/config/settings.js';
import { defaults } from '../../lib/contract/defaults.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');

/** Variables of a command's settings; a typing error in one would be passed over in silence by whoever deploys it. */
const variables = (user: SettingUser) => [
  ...settingsOf(user).map(variableOf),
  // Every queen has the nursery that the benchmarks were made with.
  ...(user === 'queen' ? ['NODE_OPTIONS'] : []),
];
const queenOptions = '--max-semi-space-size=32';
const commands = createProgram().commands.map((command) => command.name());

interface Mount {
  readonly name: string;
  readonly mountPath: string;
  readonly readOnly?: boolean;
}
interface Container {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly livenessProbe: { readonly httpGet: { readonly path: string; readonly port: string } };
  readonly readinessProbe?: { readonly httpGet: { readonly path: string; readonly port: string } };
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly volumeMounts: readonly Mount[];
}
interface Volume {
  readonly name: string;
  readonly hostPath?: { readonly path: string };
  readonly secret?: { readonly secretName: string };
  readonly persistentVolumeClaim?: { readonly claimName: string };
}
interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly resources?: readonly string[];
  readonly patches?: readonly { readonly path: string }[];
  readonly data?: Readonly<Record<string, string>>;
  readonly spec: {
    readonly serviceName?: string;
    readonly clusterIP?: string;
    readonly publishNotReadyAddresses?: boolean;
    readonly podSelector?: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly ingress?: readonly {
      readonly from: readonly { readonly podSelector: { readonly matchLabels: Readonly<Record<string, string>> } }[];
      readonly ports: readonly { readonly port: string }[];
    }[];
    readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[];
    readonly replicas?: number;
    readonly selector: Readonly<Record<string, unknown>> & { readonly matchLabels?: Readonly<Record<string, string>> };
    readonly ports?: readonly { readonly port: number; readonly targetPort: string }[];
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: {
        readonly hostPID?: boolean;
        readonly containers: readonly Container[];
        readonly volumes: readonly Volume[];
      };
    };
  };
}

/** Strict: a key that stands twice, or an anchor that is missing, is an error. */
const manifests = (file: string): Manifest[] =>
  parseAllDocuments(read(`deploy/kubernetes/${file}`), { strict: true }).map((document) => {
    if (document.errors.length > 0) throw document.errors[0];
    return document.toJS() as Manifest;
  });

/** What a directory's kustomization brings together, in its order; patches stand apart. */
function resourcesOf(directory: string): Manifest[] {
  const [kustomization] = manifests(join(directory, 'kustomization.yaml'));
  return (kustomization?.resources ?? []).flatMap((name) => {
    const path = join(directory, name);
    return statSync(join(root, 'deploy/kubernetes', path)).isDirectory() ? resourcesOf(path) : manifests(path);
  });
}

const variableIn = (container: Container, name: string) => container.env.find((each) => each.name === name)?.value;

/** A pod of ours: what it is told fits the command, and what it mounts is there. */
function checkPod({ spec: { selector, template } }: Manifest): void {
  expect(template.metadata.labels).toMatchObject(selector.matchLabels ?? { none: true });
  const { containers, volumes } = template.spec;
  expect(containers).toHaveLength(1);
  const container = containers[0] as Container;
  const user = container.args[0] as 'queen' | 'hive';
  expect(commands).toContain(user);
  for (const { name } of container.env) expect(variables(user), name).toContain(name);
  if (user === 'queen')
    expect(container.env).toContainEqual(expect.objectContaining({ name: 'NODE_OPTIONS', value: queenOptions }));
  expect(container.volumeMounts.map(({ name }) => name).toSorted()).toEqual(volumes.map(({ name }) => name).toSorted());
  expect(container.livenessProbe.httpGet.path).toBe('/healthz');
  expect(container.ports.map(({ name }) => name)).toContain(container.livenessProbe.httpGet.port);
  expect(container.ports[0]?.containerPort).toBe(user === 'queen' ? defaults.queenPort : defaults.hivePort);
  expect(container.securityContext.readOnlyRootFilesystem).toBe(true);
  // Both listen on the network, which takes a token.
  expect(variableIn(container, 'HIVEPULSE_HOST')).toBe('0.0.0.0');
  const secrets = volumes.flatMap(({ secret }) => (secret ? [secret.secretName] : []));
  // Both are made in docs/kubernetes.md.
  for (const name of secrets) expect(read('docs/kubernetes.md')).toContain(`create secret generic ${name} `);
  expect(secrets).toContain('hivepulse-tokens');
  const tokens = variableIn(container, user === 'queen' ? 'HIVEPULSE_TOKENS_FILE' : 'HIVEPULSE_TOKEN_FILE') ?? '';
  expect(container.volumeMounts.some(({ mountPath }) => tokens.startsWith(`${mountPath}/`))).toBe(true);
}

describe('deploy: Kubernetes', () => {
  const all = resourcesOf('.');
  const one = (kind: string) => {
    const found = all.filter((manifest) => manifest.kind === kind);
    expect(found, kind).toHaveLength(1);
    return found[0] as Manifest;
  };

  it('everything is in one namespace, which is made first', () => {
    expect(all.map(({ kind }) => kind)).toEqual([
      'Namespace',
      'DaemonSet',
      'Deployment',
      'PersistentVolumeClaim',
      'Service',
    ]);
    for (const { kind, metadata } of all.slice(1)) expect(metadata.namespace, kind).toBe(all[0]?.metadata.name);
  });

  it.each(['Deployment', 'DaemonSet'] as const)('%s: selectors, probes, volumes and settings fit together', (kind) => {
    checkPod(one(kind));
  });

  it('the queen is one, keeps its state in its claim, and is found by the hives under its service', () => {
    const { spec, metadata } = one('Deployment');
    const { containers, volumes } = spec.template.spec;
    expect(spec.replicas).toBe(1);
    expect(volumes.find(({ name }) => name === 'state')?.persistentVolumeClaim?.claimName).toBe(
      one('PersistentVolumeClaim').metadata.name,
    );
    expect(containers[0]?.volumeMounts.find(({ name }) => name === 'state')?.mountPath).toBe(
      variableIn(containers[0] as Container, 'HIVEPULSE_STATE'),
    );
    const service = one('Service');
    expect(service.spec.selector).toEqual(spec.selector.matchLabels);
    const hive = one('DaemonSet').spec.template.spec.containers[0] as Container;
    expect(variableIn(hive, 'HIVEPULSE_QUEEN')).toBe(
      `http://${service.metadata.name}.${metadata.namespace}.svc:${service.spec.ports?.[0]?.port}`,
    );
  });

  it('the hive sees the host: pids, cgroups, records, names; it writes nothing but its records', () => {
    const { hostPID, containers, volumes } = one('DaemonSet').spec.template.spec;
    expect(hostPID).toBe(true);
    const container = containers[0] as Container;
    expect(container.securityContext.privileged).toBe(true);
    for (const { name, mountPath, readOnly } of container.volumeMounts) {
      const path = volumes.find((volume) => volume.name === name)?.hostPath?.path;
      // The same path as on the host: names of pods are looked for there.
      if (path !== undefined) expect(mountPath).toBe(path);
      expect(readOnly ?? false, name).toBe(name !== 'runtime');
    }
    const mounted = container.volumeMounts.map(({ mountPath }) => mountPath);
    expect(mounted).toEqual(expect.arrayContaining(['/sys/fs/cgroup', '/run/hivepulse', '/var/log/pods']));
  });
});

describe('deploy: Kubernetes, three queens', () => {
  const all = resourcesOf('nats');
  const one = (kind: string, name: string) => {
    const found = all.filter((manifest) => manifest.kind === kind && manifest.metadata.name === name);
    expect(found, `${kind} ${name}`).toHaveLength(1);
    return found[0] as Manifest;
  };
  const queens = one('StatefulSet', 'hivepulse-queen');
  const servers = one('StatefulSet', 'hivepulse-nats');
  const queen = queens.spec.template.spec.containers[0] as Container;
  /** `name-0.service.namespace.svc` of each pod, as a list of addresses. */
  const addresses = ({ spec, metadata }: Manifest, scheme: string, port: number) =>
    Array.from(
      { length: spec.replicas ?? 0 },
      (_, i) => `${scheme}://${metadata.name}-${i}.${spec.serviceName}.${metadata.namespace}.svc:${port}`,
    );

  it('everything is in one namespace, and nothing stands twice', () => {
    const names = all.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(new Set(names).size).toBe(names.length);
    expect(all[0]?.kind).toBe('Namespace');
    for (const { kind, metadata } of all.slice(1)) expect(metadata.namespace, kind).toBe(all[0]?.metadata.name);
    // In place of the one queen, not beside it: they answer under the same name.
    expect(names).not.toContain('Deployment hivepulse-queen');
  });

  it('queens: settings, the addresses of all NATS servers, copies on each; ready once they know their fleet', () => {
    checkPod(queens);
    expect(queens.spec.replicas).toBe(3);
    expect(variableIn(queen, 'HIVEPULSE_NATS')?.split(',')).toEqual(addresses(servers, 'nats', 4222));
    expect(variableIn(queen, 'HIVEPULSE_NATS_REPLICAS')).toBe(String(servers.spec.replicas));
    expect(queen.readinessProbe?.httpGet.path).toBe('/readyz');
    for (const name of ['hivepulse-queen', 'hivepulse-queens'])
      expect(one('Service', name).spec.selector).toEqual(queens.spec.selector.matchLabels);
    // Hives must reach a queen that is still warming, or it would never hear them.
    expect(one('Service', 'hivepulse-queens').spec).toMatchObject({
      clusterIP: 'None',
      publishNotReadyAddresses: true,
    });
    expect(one('Service', 'hivepulse-queen').spec.publishNotReadyAddresses).toBeUndefined();
  });

  it('hives: the DaemonSet of one queen, told the names of three', () => {
    const [kustomization] = manifests('nats/kustomization.yaml');
    const patches = (kustomization?.patches ?? []).flatMap(({ path }) => manifests(`nats/${path}`));
    expect(patches).toHaveLength(1);
    const [patch] = patches as [Manifest];
    const hives = one(patch.kind, patch.metadata.name);
    expect(patch.metadata.namespace).toBe(hives.metadata.namespace);
    const [container] = patch.spec.template.spec.containers as [Container];
    // By these names it is merged into what is there.
    expect(hives.spec.template.spec.containers.map(({ name }) => name)).toContain(container.name);
    expect(container.env.map(({ name }) => name)).toEqual(['HIVEPULSE_QUEEN']);
    expect(hives.spec.template.spec.containers[0]?.env.map(({ name }) => name)).toContain('HIVEPULSE_QUEEN');
    expect(variableIn(container, 'HIVEPULSE_QUEEN')?.split(',')).toEqual(addresses(queens, 'http', defaults.queenPort));
  });

  it('NATS: its volumes, its service, its routes; reached by queens and by each other alone', () => {
    const { serviceName, selector, template, volumeClaimTemplates = [] } = servers.spec;
    const [container] = template.spec.containers as [Container];
    expect(one('Service', serviceName ?? '').spec).toMatchObject({ clusterIP: 'None', selector: selector.matchLabels });
    const mounted = container.volumeMounts.map(({ name }) => name).toSorted();
    const there = [
      ...template.spec.volumes.map(({ name }) => name),
      ...volumeClaimTemplates.map((c) => c.metadata.name),
    ];
    expect(mounted).toEqual(there.toSorted());
    const config = one('ConfigMap', 'hivepulse-nats').data?.['nats.conf'] ?? '';
    for (const address of addresses(servers, 'nats', 6222)) expect(config).toContain(`"${address}"`);
    const stored = container.volumeMounts.find(({ name }) => name === 'data')?.mountPath;
    expect(config).toContain(`store_dir: "${stored}"`);
    for (const { name, containerPort } of container.ports) expect(config, name).toContain(`0.0.0.0:${containerPort}"`);
    const policy = one('NetworkPolicy', 'hivepulse-nats').spec;
    expect(policy.podSelector?.matchLabels).toEqual(selector.matchLabels);
    const allowed = policy.ingress?.map(({ from, ports }) => [from[0]?.podSelector.matchLabels, ports[0]?.port]);
    expect(allowed).toEqual([
      [queens.spec.selector.matchLabels, 'client'],
      [selector.matchLabels, 'cluster'],
    ]);
  });

  it('NATS: users and their rights are those of deploy/nats/users.conf', () => {
    const entries = (text: string) =>
      [...text.matchAll(/nkey: \$\w+|(?:publish|subscribe): \[.*\]/g)].map(([line]) => line);
    const shipped = entries(one('ConfigMap', 'hivepulse-nats').data?.['users.conf'] ?? '');
    expect(shipped).toHaveLength(3);
    expect(entries(read('deploy/nats/users.conf')).slice(0, 3)).toEqual(shipped);
  });

  const hasServer = spawnSync('nats-server', ['--version']).status === 0;
  it.skipIf(!hasServer)('NATS: a real server takes the configuration (needs nats-server)', () => {
    const directory = mkdtempSync(join(tmpdir(), 'hivepulse-test-'));
    try {
      const file = join(directory, 'nats.conf');
      for (const [name, text] of Object.entries(one('ConfigMap', 'hivepulse-nats').data ?? {}))
        writeFileSync(join(directory, name), text);
      const key = 'UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4';
      const env = { ...process.env, POD_NAME: 'hivepulse-nats-0', HIVEPULSE_QUEEN_NKEY: key };
      const { status, stderr } = spawnSync('nats-server', ['-c', file, '-t'], { env, encoding: 'utf8' });
      expect(status, stderr).toBe(0);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  const hasKubectl = spawnSync('kubectl', ['kustomize', '--help']).status === 0;
  it.skipIf(!hasKubectl).each(['.', 'nats'])('kubectl kustomize takes %s (needs kubectl)', (directory) => {
    const path = join(root, 'deploy/kubernetes', directory);
    const { status, stdout, stderr } = spawnSync('kubectl', ['kustomize', path], { encoding: 'utf8' });
    expect(status, stderr).toBe(0);
    const built = parseAllDocuments(stdout).map((document) => document.toJS() as Manifest);
    const names = (list: readonly Manifest[]) =>
      list.map(({ kind, metadata }) => `${kind} ${metadata.name}`).toSorted();
    expect(names(built)).toEqual(names(resourcesOf(directory)));
    const hive = built.find(({ kind }) => kind === 'DaemonSet')?.spec.template.spec.containers[0] as Container;
    const queensOf = variableIn(hive, 'HIVEPULSE_QUEEN')?.split(',') ?? [];
    expect(queensOf).toHaveLength(directory === 'nats' ? 3 : 1);
    expect(variableIn(hive, 'HIVEPULSE_TOKEN_FILE')).toBe('/etc/hivepulse/token');
  });
});

describe('deploy: Docker', () => {
  interface Service {
    readonly command: readonly string[];
    readonly environment: Readonly<Record<string, string>>;
    readonly build: { readonly context: string; readonly dockerfile: string };
    readonly pid?: string;
    readonly cgroup?: string;
    readonly user?: string;
    readonly volumes: readonly string[];
    readonly healthcheck: { readonly test: readonly string[] };
  }
  const composeOf = (file: string) =>
    parse(read(`deploy/docker/${file}`), { merge: true, strict: true }) as {
      readonly services: Readonly<Record<string, Service>>;
      readonly volumes: Readonly<Record<string, unknown>>;
    };
  const dockerfile = read('deploy/docker/Dockerfile');

  it.each(['compose.yaml', 'compose.nats.yaml'])('%s: settings, volumes and health checks', (file) => {
    const { services, volumes } = composeOf(file);
    const own = Object.values(services).filter(({ build }) => build !== undefined);
    for (const { command, environment, build, healthcheck } of own) {
      const [user] = command as ['queen' | 'hive'];
      expect(command).toHaveLength(1);
      expect(commands).toContain(user);
      for (const variable of Object.keys(environment)) expect(variables(user), variable).toContain(variable);
      if (user === 'queen') expect(environment).toMatchObject({ NODE_OPTIONS: queenOptions });
      expect(existsSync(join(root, 'deploy/docker', build.context, build.dockerfile))).toBe(true);
      const port = user === 'queen' ? defaults.queenPort : defaults.hivePort;
      const asked = environment.HIVEPULSE_PORT ? "' + process.env.HIVEPULSE_PORT + '" : port;
      expect(healthcheck.test.join(' ')).toContain(`http://127.0.0.1:${asked}/healthz`);
    }
    for (const service of Object.values(services))
      for (const volume of service.volumes ?? []) {
        const [source = ''] = volume.split(':');
        if (!source.startsWith('/')) expect(Object.keys(volumes)).toContain(source);
      }
    const hive = services.hive as Service;
    expect(hive).toMatchObject({ pid: 'host', cgroup: 'host', user: 'root' });
    // Nothing more: CAP_SYS_ADMIN is nearly all that root may do (docs/security.md).
    expect(hive).toMatchObject({ read_only: true, cap_drop: ['ALL'], cap_add: ['SYS_PTRACE', 'DAC_READ_SEARCH'] });
    expect(hive.volumes).toContain('/sys/fs/cgroup:/sys/fs/cgroup:ro');
    // `$` would be a variable of compose's.
    expect(read(`deploy/docker/${file}`)).not.toContain('$');
  });

  it('compose.nats.yaml: three queens on ports of their own share one NATS, and the hive knows all of them', () => {
    const { hive, nats, ...rest } = composeOf('compose.nats.yaml').services as Record<string, Service>;
    const queens = Object.values(rest);
    expect(queens).toHaveLength(3);
    const ports = queens.map(({ environment }) => environment.HIVEPULSE_PORT);
    expect(new Set(ports).size).toBe(3);
    expect(hive?.environment.HIVEPULSE_QUEEN?.split(',')).toEqual(ports.map((port) => `http://127.0.0.1:${port}`));
    const option = (name: string) => nats?.command[nats.command.indexOf(name) + 1];
    expect(nats?.command).toContain('--jetstream');
    for (const { environment } of queens)
      expect(environment.HIVEPULSE_NATS).toBe(`nats://${option('--addr')}:${option('--port')}`);
    expect(nats?.volumes).toContain(`nats:${option('--store_dir')}`);
    expect(nats?.healthcheck.test.join(' ')).toContain(`http://127.0.0.1:${option('--http_port')}/healthz`);
    expect([...ports.map(Number), Number(option('--port')), defaults.hivePort]).toHaveLength(
      new Set([...ports.map(Number), Number(option('--port')), defaults.hivePort]).size,
    );
    // But for its queens, the hive is that of one queen.
    const { environment: _a, ...one } = composeOf('compose.yaml').services.hive as Service;
    const { environment: _b, ...three } = hive as Service;
    expect(three).toEqual(one);
  });

  it('Dockerfile: what it copies is there and not kept out; its command is one', () => {
    const allowed = read('deploy/docker/Dockerfile.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    const copies = [...dockerfile.matchAll(/^COPY (?!--from)(.+)$/gm)].map(([, words = '']) =>
      words.split(' ').slice(0, -1),
    );
    expect(copies.flat().length).toBeGreaterThan(5);
    for (const path of copies.flat()) {
      expect(existsSync(join(root, path)), path).toBe(true);
      expect(allowed).toContain(path);
    }
    expect(commands).toContain((JSON.parse(/^CMD (.+)$/m.exec(dockerfile)?.[1] ?? '[]') as string[])[0]);
    // As it runs under this Node in CI, so it does in the image.
    const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } };
    const image = Number(/^FROM node:(\d+)/m.exec(dockerfile)?.[1]);
    expect(image).toBeGreaterThanOrEqual(Number(/\d+/.exec(engines.node)?.[0]));
  });
});

it('a benchmark of a fleet measures the queen that the units start', () => {
  expect(read('deploy/hivepulse-queen.service')).toContain(`\nEnvironment=NODE_OPTIONS=${queenOptions}\n`);
  expect(read('bench/queen-use.ts')).toContain(`['${queenOptions}']`);
});
