import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Classified, classify } from '../../lib/workers/classify.js';
import { ContainerNames } from '../../lib/workers/container-names.js';
import { ManualClock } from '../harness/manual-clock.js';
import { plant } from '../io/hostile-files.js';
import { FakeHost, PlainFiles } from '../sampling/fake-host.js';

const id = '4f2c1d0e9b8a7f6e5d4c3b2a190817263544536271809f8e7d6c5b4a39281706';
const uid = '0f3a1c2d-4e5f-6789-abcd-ef0123456789';

function prepared() {
  const host = new FakeHost();
  const clock = new ManualClock();
  const names = new ContainerNames({ hostRoot: host.hostRoot, openFiles: () => new PlainFiles(), clock });
  const find = (path: string) => names.find(classify(path) as Extract<Classified, { kind: 'container' }>, path);
  return { host, clock, find, put: (path: string, content: string) => host.write(`host/${path}`, content) };
}

describe('names of containers', () => {
  it('docker: from config.v2.json', async () => {
    const { put, find } = prepared();
    put(
      `var/lib/docker/containers/${id}/config.v2.json`,
      JSON.stringify({ ID: id, Name: '/vllm-llama', Config: { Env: ['HF_TOKEN=x'] } }),
    );
    expect(await find(`/system.slice/docker-${id}.scope`)).toBe('vllm-llama');
  });

  it('podman: from containers.json, root’s or the user’s', async () => {
    const { put, find } = prepared();
    const list = (name: string) =>
      JSON.stringify([
        { id: 'other', names: ['x'] },
        { id, names: [name], layer: 'l' },
      ]);
    put('var/lib/containers/storage/overlay-containers/containers.json', list('system-one'));
    put('etc/passwd', 'root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n');
    put('home/ann/.local/share/containers/storage/overlay-containers/containers.json', list('anns'));
    expect(await find(`/host.slice/libpod-${id}.scope`)).toBe('system-one');
    const { find: fresh, put: putFresh } = prepared();
    putFresh('etc/passwd', 'ann:x:1000:1000::/home/ann:/bin/sh\n');
    putFresh('home/ann/.local/share/containers/storage/overlay-containers/containers.json', list('anns'));
    expect(await fresh(`/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${id}.scope`)).toBe('anns');
  });

  it.each([
    ['of a container that goes when it ends', 'var/lib/containers/storage/overlay-containers', '/machine.slice'],
    ['of a transient store', 'run/containers/storage/overlay-containers', '/machine.slice'],
    [
      'of a user’s transient store',
      'run/user/1000/containers/overlay-containers',
      '/user.slice/user-1000.slice/user@1000.service/user.slice',
    ],
  ])('podman: from volatile-containers.json, %s', async (_what, directory, slice) => {
    const { put, find } = prepared();
    put('etc/passwd', 'ann:x:1000:1000::/home/ann:/bin/sh\n');
    put(`${directory}/volatile-containers.json`, JSON.stringify([{ id, names: ['brief'] }]));
    expect(await find(`${slice}/libpod-${id}.scope`)).toBe('brief');
  });

  it.each([
    ['a FIFO', { kind: 'fifo' }, 'not a regular file'],
    ['a link to /dev/zero', { kind: 'link', to: '/dev/zero' }, 'a symbolic link'],
    ['a file of 300 MB', { kind: 'sparse', bytes: 300 * 2 ** 20 }, 'longer than'],
  ] as const)(
    '%s as a user’s store costs the names in it, with a fault that says so, and nothing hangs',
    async (_, what, why) => {
      const { host, put, clock } = prepared();
      const names = new ContainerNames({ hostRoot: host.hostRoot, clock });
      put('etc/passwd', 'ann:x:1000:1000::/home/ann:/bin/sh\n');
      put('home/ann/.local/share/containers/storage/overlay-containers/note', '');
      const store = join(host.hostRoot, 'home/ann/.local/share/containers/storage/overlay-containers/containers.json');
      await plant(store, what);
      const path = `/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${id}.scope`;
      const find = () => names.find(classify(path) as Extract<Classified, { kind: 'container' }>, path);
      expect(await find()).toBeNull();
      expect(names.faults()).toMatchObject([
        { code: 'CONTAINER_NAMES_REFUSED', field: 'name', message: expect.stringContaining(why) },
      ]);
      await rm(store);
      put(
        'home/ann/.local/share/containers/storage/overlay-containers/containers.json',
        `[{"id":"${id}","names":["n"]}]`,
      );
      await clock.advance(6000);
      expect(await find()).toBe('n');
      expect(names.faults()).toEqual([]);
      names.close();
    },
  );

  const podPath = `/kubepods.slice/kubepods-pod${uid.replaceAll('-', '_')}.slice/cri-containerd-${id}.scope`;

  it('Kubernetes: namespace, pod and container, the last by its id', async () => {
    const { put, find } = prepared();
    put(`var/log/pods/serving_llama-7d9f_${uid}/server/0.log`, '');
    put(`var/log/pods/serving_llama-7d9f_${uid}/sidecar/0.log`, '');
    put(`var/log/containers/llama-7d9f_serving_server-${id}.log`, '');
    expect(await find(podPath)).toBe('serving/llama-7d9f/server');
  });

  it('Kubernetes: of two containers none is guessed, of one there is no doubt', async () => {
    const two = prepared();
    two.put(`var/log/pods/serving_llama_${uid}/server/0.log`, '');
    two.put(`var/log/pods/serving_llama_${uid}/sidecar/0.log`, '');
    expect(await two.find(podPath)).toBe('serving/llama');
    const one = prepared();
    one.put(`var/log/pods/serving_llama_${uid}/server/0.log`, '');
    expect(await one.find(podPath)).toBe('serving/llama/server');
  });

  it('nerdctl: from its store of names; Nomad: from the path', async () => {
    const { put, find } = prepared();
    put('var/lib/nerdctl/1935db59/names/default/web', id);
    expect(await find(`/system.slice/nerdctl-${id}.scope`)).toBe('web');
    expect(await find('/nomad.slice/share.slice/2f1a6e3a-1b2c-3d4e-5f60-718293a4b5c6.web.scope')).toBe('web');
  });

  it('null where the host does not tell, and asked again after a while', async () => {
    const { put, find, clock } = prepared();
    const path = `/system.slice/docker-${id}.scope`;
    expect(await find(path)).toBeNull();
    put(`var/lib/docker/containers/${id}/config.v2.json`, '{"Name": "/torn');
    await clock.advance(6000);
    expect(await find(path)).toBeNull();
    put(`var/lib/docker/containers/${id}/config.v2.json`, '{"Name": "/late"}');
    expect(await find(path)).toBeNull();
    await clock.advance(6000);
    expect(await find(path)).toBe('late');
  });
});
