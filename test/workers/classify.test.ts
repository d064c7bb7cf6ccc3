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
    expect(classifyAbove('/a/b')).toBeNull();
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
  ])('%s', (path, group, instance) => expect(adoptedName(path)).toEqual({ group, instance }));

  it.each([
    ['/machine.slice/box.service/system.slice/vllm.service', 'system', 'vllm.service'],
    ['/lxc.payload.a/system.slice/vllm.service', 'system', 'vllm.service'],
    ['/ai.slice/vllm.service', 'system', 'vllm.service'],
    ['/system.slice/a.service/vllm.service', 'system', 'vllm.service'],
    ['/user.slice/user-1000.slice/user@1000.service/app.slice/session-3.scope', 'user-1000', 'session-3.scope'],
    ['/system.slice/vllm@8000.service', 'system', 'vllm@8000.service'],
    ['/jobs/a:b', 'cgroup', 'jobs:a:b'],
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
    ['[x]', '/[x]', true],
  ])('%s on %s: %s', (pattern, path, expected) => expect(compileGlob(pattern)(path)).toBe(expected));
});
