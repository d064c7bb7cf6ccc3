import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { idPattern } from '../../lib/contract/primitives.js';
import { adoptedName, classify, classifyAbove, compileGlob, idOf, unescapeUnit } from '../../lib/workers/classify.js';

const id = '4f2c1d0e9b8a7f6e5d4c3b2a190817263544536271809f8e7d6c5b4a39281706';
const pod = '0f3a1c2d-4e5f-6789-abcd-ef0123456789';
const podSystemd = pod.replaceAll('-', '_');
const alloc = '2f1a6e3a-1b2c-3d4e-5f60-718293a4b5c6';

// Paths as each runtime makes them, with its systemd and its cgroupfs driver.
describe('the default watch set', () => {
  it.each([
    // ours
    ['/hivepulse.slice/llm/8080', 'llm', '8080'],
    ['/hivepulse.slice/hivepulse-llm.slice/hivepulse-llm-8080.scope', 'llm', '8080'],
    ['/hivepulse.slice/hivepulse-my\\x2dgroup.slice/hivepulse-my\\x2dgroup-a\\x2db.scope', 'my-group', 'a-b'],
    [
      '/user.slice/user-1000.slice/user@1000.service/hivepulse.slice/hivepulse-llm.slice/hivepulse-llm-x.scope',
      'llm',
      'x',
    ],
    // docker
    [`/system.slice/docker-${id}.scope`, 'docker', id.slice(0, 12)],
    [`/docker/${id}`, 'docker', id.slice(0, 12)],
    [`/user.slice/user-1000.slice/user@1000.service/user.slice/docker-${id}.scope`, 'docker', id.slice(0, 12)],
    [`/custom.slice/docker-${id}.scope`, 'docker', id.slice(0, 12)],
    // podman
    [`/machine.slice/libpod-${id}.scope`, 'podman', id.slice(0, 12)],
    [`/machine.slice/machine-libpod_pod_${id}.slice/libpod-${id}.scope`, 'podman', id.slice(0, 12)],
    [`/libpod_parent/libpod-${id}`, 'podman', id.slice(0, 12)],
    [`/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${id}.scope`, 'podman', id.slice(0, 12)],
    [`/system.slice/web.service/libpod-payload-${id}`, 'podman', id.slice(0, 12)],
    // Kubernetes: containerd, CRI-O, docker; systemd and cgroupfs; each QoS class
    [
      `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${podSystemd}.slice/cri-containerd-${id}.scope`,
      'kubepods',
      id.slice(0, 12),
    ],
    [`/kubepods.slice/kubepods-pod${podSystemd}.slice/cri-containerd-${id}.scope`, 'kubepods', id.slice(0, 12)],
    [
      `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${podSystemd}.slice/crio-${id}.scope`,
      'kubepods',
      id.slice(0, 12),
    ],
    [
      `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${podSystemd}.slice/docker-${id}.scope`,
      'kubepods',
      id.slice(0, 12),
    ],
    [`/kubepods/burstable/pod${pod}/${id}`, 'kubepods', id.slice(0, 12)],
    [`/kubepods/pod${pod}/crio-${id}`, 'kubepods', id.slice(0, 12)],
    [
      `/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod${podSystemd}.slice/cri-containerd-${id}.scope`,
      'kubepods',
      id.slice(0, 12),
    ],
    [
      `/system.slice/containerd.service/kubepods-burstable-pod${podSystemd}.slice:cri-containerd:${id}`,
      'kubepods',
      id.slice(0, 12),
    ],
    // nerdctl and plain containerd
    [`/system.slice/nerdctl-${id}.scope`, 'nerdctl', id.slice(0, 12)],
    [`/default/${id}`, 'containerd', id.slice(0, 12)],
    // Nomad
    [`/nomad.slice/share.slice/${alloc}.web.scope`, 'nomad', '2f1a6e3a.web'],
    [`/nomad.slice/reserve.slice/${alloc}.llm-server.scope`, 'nomad', '2f1a6e3a.llm-server'],
    [`/nomad.slice/${alloc}.web.scope`, 'nomad', '2f1a6e3a.web'],
    // ECS: Fargate; hosts of one's own with the cgroupfs driver (task ids old and new, below the cluster) and the systemd driver
    [`/ecs/${id.slice(0, 32)}/${id.slice(0, 32)}-3412345678`, 'ecs', `${id.slice(0, 12)}-3412345678`],
    [`/ecs/${id.slice(0, 32)}/${id}`, 'ecs', id.slice(0, 12)],
    [`/ecs/${alloc}/${id}`, 'ecs', id.slice(0, 12)],
    [`/ecs/web/${id.slice(0, 32)}/${id}`, 'ecs', id.slice(0, 12)],
    [`/ecs/web/${id.slice(0, 32)}/${id.slice(0, 32)}-7`, 'ecs', `${id.slice(0, 12)}-7`],
    [`/ecstasks.slice/ecstasks-${id.slice(0, 32)}.slice/docker-${id}.scope`, 'ecs', id.slice(0, 12)],
  ])('%s', (path, group, instance) => {
    expect(classify(path)).toMatchObject({ group, instance });
    expect(instance).toMatch(new RegExp(idPattern));
  });

  it.each([
    '/',
    '/hivepulse.slice',
    '/hivepulse.slice/llm',
    '/hivepulse.slice/hivepulse-llm.slice',
    '/hivepulse.slice/hivepulse-llm.slice/hivepulse-other-1.scope',
    '/system.slice/docker.service',
    `/machine.slice/libpod-conmon-${id}.scope`,
    `/machine.slice/machine-libpod_pod_${id}.slice`,
    `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${podSystemd}.slice`,
    `/kubepods/burstable/pod${pod}`,
    `/kubepods.slice/crio-conmon-${id}.scope`,
    '/nomad.slice/share.slice',
    `/ecs/${id.slice(0, 32)}`,
    `/ecs/web/${id.slice(0, 32)}-3412345678`,
    `/system.slice/docker-${id.slice(1)}.scope`,
    '/user.slice/user-1000.slice/session-3.scope',
  ])('%s is no worker by its name', (path) => expect(classify(path)).toBeNull());

  it.each([
    ['hivepulse-llm.slice', 'plain'],
    ['llm', 'x.scope'],
    ['llm.slice', 'x.scope'],
    ['hivepulse-llm', 'x.scope'],
  ])('%s/%s below ours is not of systemd: its names are as they stand', (group, instance) => {
    expect(classify(`/hivepulse.slice/${group}/${instance}`)).toEqual({ kind: 'own', group, instance });
  });

  it('what is no part of an id is no worker of ours', () => {
    for (const below of ['-x/8080', 'llm/-x', 'llm/x y', 'l m/x', 'llm/8080/x', `llm/${'x'.repeat(129)}`])
      expect([below, classify(`/hivepulse.slice/${below}`)]).toEqual([below, null]);
  });

  it.each([
    ...['docker', 'moby', 'docker.slice', 'moby.slice'].map((parent) => [parent, 'docker']),
    ...['libpod', 'libpod_parent', 'libpod_pod_abc'].map((parent) => [parent, 'podman']),
    ...['default', 'k8s.io', 'containerd', 'buildkit'].map((parent) => [parent, 'containerd']),
    ...['xdocker', 'dockerx', 'xlibpod', 'libpodx', 'libpod_x', 'xdefault', 'defaultx', 'other'].map((parent) => [
      parent,
      'container',
    ]),
  ])('an id alone below %s is of %s', (parent, runtime) => {
    const found = { kind: 'container', instance: id.slice(0, 12), runtime, containerId: id, podUid: null, name: null };
    expect(classify(`/${parent}/${id}`)).toEqual({ ...found, group: runtime });
  });

  it('an id at the root is of some container', () => {
    expect(classify(`/${id}`)).toMatchObject({ kind: 'container', group: 'container', runtime: 'container' });
  });

  it('a pod is known by its own name, or by what it stands below', () => {
    const groupOf = (path: string) => classify(path)?.group;
    for (const above of [
      'kubepods',
      'kubepods/burstable',
      'kubepods.slice',
      'kubelet-kubepods.slice/x',
      `custom/pod${pod}`,
    ])
      expect([above, groupOf(`/${above}/${id}`)]).toEqual([above, 'kubepods']);
    for (const above of ['xkubepods', 'kubepodsx', `custom/xpod${pod}`])
      expect([above, groupOf(`/${above}/${id}`)]).toEqual([above, 'container']);
  });

  it('a task of Nomad has its allocation and its name, with either driver', () => {
    for (const path of [`/nomad.slice/share.slice/${alloc}.llm\\x2dserver.scope`, `/nomad/${alloc}.llm\\x2dserver`])
      expect(classify(path)).toEqual({
        ...{
          kind: 'container',
          group: 'nomad',
          runtime: 'nomad',
          containerId: alloc,
          podUid: null,
          name: 'llm-server',
        },
        instance: idOf('2f1a6e3a.llm\\x2dserver'),
      });
    expect(classify(`/xnomad/nomad.slicex/${alloc}.web`)).toBeNull();
  });

  it('a task of Fargate is a container of ECS', () => {
    const containerId = `${id.slice(0, 32)}-3412345678`;
    expect(classify(`/ecs/${id.slice(0, 32)}/${containerId}`)).toEqual({
      ...{ kind: 'container', group: 'ecs', runtime: 'ecs', containerId, podUid: null, name: null },
      instance: `${id.slice(0, 12)}-3412345678`,
    });
  });

  it('the pod is known of its container, in either spelling', () => {
    for (const path of [
      `/kubepods.slice/kubepods-pod${podSystemd}.slice/cri-containerd-${id}.scope`,
      `/kubepods/burstable/pod${pod}/${id}`,
      `/system.slice/containerd.service/kubepods-burstable-pod${podSystemd}.slice:cri-containerd:${id}`,
    ]) {
      expect(classify(path)).toMatchObject({ podUid: pod, containerId: id });
    }
  });

  it('a container inside a container belongs to the outer one', () => {
    const outer = `/system.slice/docker-${id}.scope`;
    const inner = `${outer}/kubepods/burstable/pod${pod}/${id.replace('4', '5')}`;
    expect(classifyAbove(inner)).toMatchObject({ path: outer, found: { group: 'docker' } });
    expect(classifyAbove(outer)).toMatchObject({ path: outer, found: { group: 'docker' } });
    expect([classifyAbove('/a/b'), classifyAbove('/')]).toEqual([null, null]);
  });
});

describe('names of adopted cgroups', () => {
  it.each([
    ['/system.slice/vllm.service', 'system', 'vllm.service'],
    ['/system.slice/system-vllm.slice/vllm@8000.service', 'system', 'vllm@8000.service'],
    ['/user.slice/user-1000.slice/session-3.scope', 'user-1000', 'session-3.scope'],
    ['/user.slice/user-1000.slice/user@1000.service/app.slice/ollama.service', 'user-1000', 'ollama.service'],
    ['/user.slice/user-1000.slice/user@1000.service/init.scope', 'user-1000', 'init.scope'],
    ['/system.slice/batch.service/job/7', 'system', 'batch.service:job:7'],
    ['/jobs/train', 'cgroup', 'jobs:train'],
    ['/system.slice/my\\x2dapp.service', 'system', 'my-app.service'],
    ['/', 'container', 'self'],
    ['/init.scope', 'system', 'init.scope'],
    ['/user.slice/user-1000.slice/session-c12.scope', 'user-1000', 'session-c12.scope'],
    ['/user.slice/user-1000.slice/user@1000.service/foo', 'cgroup', 'user.slice:user-1000.slice:user@1000.service:foo'],
    ['/a.service.d/b', 'cgroup', 'a.service.d:b'],
    ['/a:b', 'cgroup', 'a:b'],
  ])('%s', (path, group, instance) => expect(adoptedName(path)).toEqual({ group, instance }));

  it.each([
    ['/machine.slice/box.service/system.slice/vllm.service', 'system', 'vllm.service'],
    ['/lxc.payload.a/system.slice/vllm.service', 'system', 'vllm.service'],
    ['/ai.slice/vllm.service', 'system', 'vllm.service'],
    ['/system.slice/a.service/vllm.service', 'system', 'vllm.service'],
    ['/user.slice/user-1000.slice/user@1000.service/app.slice/session-3.scope', 'user-1000', 'session-3.scope'],
    ['/system.slice/vllm@8000.service', 'system', 'vllm@8000.service'],
    ['/jobs/a:b', 'cgroup', 'jobs:a:b'],
    ['/x.service', 'system', 'x.service'],
    ['/system.slice/init.scope', 'system', 'init.scope'],
    ['/other.slice/system-vllm.slice/vllm@8000.service', 'system', 'vllm@8000.service'],
    ['/system.slice/system-other.slice/vllm@8000.service', 'system', 'vllm@8000.service'],
    ['/user.slice/session-3.scope', 'system', 'session-3.scope'],
    ['/user.slice/xuser-1000.slice/session-3.scope', 'system', 'session-3.scope'],
    ['/user.slice/user-1000.slicex/session-3.scope', 'system', 'session-3.scope'],
    ['/user.slice/user-1000.slice/xsession-3.scope', 'user-1000', 'xsession-3.scope'],
    ['/user.slice/user-1000.slice/session-3.scope.service', 'user-1000', 'session-3.scope.service'],
    ['/user.slice/user-1000.slice/user@1000.service', 'user-1000', 'user@1000.service'],
    ['/user.slice/user-1000.slice/user@1001.service/app.slice/x.service', 'user-1000', 'x.service'],
    ['/user.slice/user-1000.slice/user@1000.service/x.slice/init.scope', 'user-1000', 'init.scope'],
    ['/system.slice/xuser@1000.service/foo', 'system', 'xuser@1000.service:foo'],
    ['/system.slice/user@x1.service/foo', 'system', 'user@x1.service:foo'],
  ])('%s has a name that another path has too: a hash of the path makes the difference', (path, group, instance) => {
    const name = adoptedName(path);
    expect(name.group).toBe(group);
    expect(name.instance).toMatch(/-[0-9a-f]{8}$/);
    expect(name.instance.slice(0, -9)).toBe(instance);
  });

  it('any path gives a valid id, and two that differ stay apart', () => {
    const part = fc
      .string({ minLength: 1, maxLength: 60 })
      .filter((text) => !text.includes('/') && !text.includes('\0'));
    const pattern = new RegExp(idPattern);
    fc.assert(
      fc.property(part, part, (a, b) => {
        expect(idOf(a)).toMatch(pattern);
        if (a !== b) expect(idOf(a)).not.toBe(idOf(b));
        expect(adoptedName(`/${a}/${b}`).instance).toMatch(pattern);
      }),
    );
  });

  it('an id is as long as it may be, and one that had to change says so', () => {
    expect(idOf('a'.repeat(128))).toBe('a'.repeat(128));
    expect(idOf('a'.repeat(129))).toMatch(/^a{119}-[0-9a-f]{8}$/);
    expect(idOf('a b/c')).toMatch(/^a_b_c-[0-9a-f]{8}$/);
    expect(idOf('/')).toMatch(/^cgroup-[0-9a-f]{8}$/);
    // Bytes that are not UTF-8.
    expect(idOf('a\ud800')).not.toBe(idOf('a\ud801'));
  });

  it('systemd escaping is undone', () => expect(unescapeUnit('a\\x2db\\x40c')).toBe('a-b@c'));
});

describe('--watch patterns', () => {
  it.each([
    ['/system.slice/*.service', '/system.slice/vllm.service', true],
    ['system.slice/*.service', '/system.slice/vllm.service', true],
    ['/system.slice/*.service', '/system.slice/a.service/sub', false],
    ['vllm-?.service', '/system.slice/vllm-1.service', true],
    ['vllm-?.service', '/system.slice/vllm-10.service', false],
    ['/jobs/**', '/jobs/a/b/c', true],
    ['/**/worker', '/a/b/worker', true],
    ['/**/worker', '/worker', true],
    ['/a.b', '/axb', false],
    ['/**/worker', '/a/xworker', false],
    ['/a/*/c', '/a/b/c', true],
    ['/a/*/c', '/a/b/x/c', false],
    ['/ab*', '/xy', false],
    ['/ab*', '/ab', true],
    ['/ab**', '/ab/c/d', true],
    ['/a**c', '/a/b/xc', true],
    ['**', '/a/b', true],
    ['[x]', '/[x]', true],
  ])('%s on %s: %s', (pattern, path, expected) => expect(compileGlob(pattern)(path)).toBe(expected));
});
