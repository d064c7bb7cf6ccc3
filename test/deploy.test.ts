import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { createProgram } from '../lib/cli/program.js';
import { type SettingUser, settingsOf, variableOf } from '../lib/config.js';
import { defaults } from '../lib/defaults.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');

/** Variables of a command's settings; a typing error in one would be passed over in silence by whoever deploys it. */
const variables = (user: SettingUser) => settingsOf(user).map(variableOf);
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
  readonly spec: {
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

const variableIn = (container: Container, name: string) => container.env.find((each) => each.name === name)?.value;

describe('deploy: Kubernetes', () => {
  const [kustomization] = manifests('kustomization.yaml');
  const all = (kustomization?.resources ?? []).flatMap(manifests);
  const one = (kind: string) => {
    const found = all.filter((manifest) => manifest.kind === kind);
    expect(found, kind).toHaveLength(1);
    return found[0] as Manifest;
  };

  it('everything is in one namespace, which is made first', () => {
    expect(all.map(({ kind }) => kind)).toEqual([
      'Namespace',
      'Deployment',
      'PersistentVolumeClaim',
      'Service',
      'DaemonSet',
    ]);
    for (const { kind, metadata } of all.slice(1)) expect(metadata.namespace, kind).toBe(all[0]?.metadata.name);
  });

  it.each(['Deployment', 'DaemonSet'] as const)('%s: selectors, probes, volumes and settings fit together', (kind) => {
    const { selector, template } = one(kind).spec;
    expect(template.metadata.labels).toMatchObject(selector.matchLabels ?? { none: true });
    const { containers, volumes } = template.spec;
    expect(containers).toHaveLength(1);
    const container = containers[0] as Container;
    const user = container.args[0] as 'queen' | 'hive';
    expect(commands).toContain(user);
    for (const { name } of container.env) expect(variables(user), name).toContain(name);
    expect(container.volumeMounts.map(({ name }) => name).toSorted()).toEqual(
      volumes.map(({ name }) => name).toSorted(),
    );
    for (const { livenessProbe } of containers) {
      expect(livenessProbe.httpGet.path).toBe('/healthz');
      expect(container.ports.map(({ name }) => name)).toContain(livenessProbe.httpGet.port);
    }
    expect(container.ports[0]?.containerPort).toBe(user === 'queen' ? defaults.queenPort : defaults.hivePort);
    expect(container.securityContext.readOnlyRootFilesystem).toBe(true);
    // Both listen on the network, which takes a token.
    expect(variableIn(container, 'HIVEPULSE_HOST')).toBe('0.0.0.0');
    for (const { secret } of volumes) if (secret) expect(secret.secretName).toBe('hivepulse-tokens');
    const tokens = variableIn(container, user === 'queen' ? 'HIVEPULSE_TOKENS_FILE' : 'HIVEPULSE_TOKEN_FILE') ?? '';
    expect(container.volumeMounts.some(({ mountPath }) => tokens.startsWith(`${mountPath}/`))).toBe(true);
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
  const compose = parse(read('deploy/docker/compose.yaml'), { merge: true, strict: true }) as {
    readonly services: Readonly<Record<'queen' | 'hive', Service>>;
    readonly volumes: Readonly<Record<string, unknown>>;
  };
  const dockerfile = read('deploy/docker/Dockerfile');

  it('compose: settings, volumes and health checks of both services', () => {
    for (const [name, service] of Object.entries(compose.services) as ['queen' | 'hive', Service][]) {
      expect(service.command).toEqual([name]);
      for (const variable of Object.keys(service.environment)) expect(variables(name), variable).toContain(variable);
      expect(existsSync(join(root, 'deploy/docker', service.build.context, service.build.dockerfile))).toBe(true);
      const port = name === 'queen' ? defaults.queenPort : defaults.hivePort;
      expect(service.healthcheck.test.join(' ')).toContain(`http://127.0.0.1:${port}/healthz`);
      for (const volume of service.volumes) {
        const [source = ''] = volume.split(':');
        if (!source.startsWith('/')) expect(Object.keys(compose.volumes)).toContain(source);
      }
    }
    const { hive } = compose.services;
    expect(hive).toMatchObject({ pid: 'host', cgroup: 'host', user: 'root' });
    expect(hive.volumes).toContain('/sys/fs/cgroup:/sys/fs/cgroup:ro');
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
