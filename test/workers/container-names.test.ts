import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Classified, classify } from '../../lib/workers/classify.js';
import { ContainerNames } from '../../lib/workers/container-names.js';
import { ManualClock } from '../harness/manual-clock.js';
import { MemoryTree } from '../io/fake-files.js';
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

  const dockerPath = `/system.slice/docker-${id}.scope`;
  const podmanPath = `/machine.slice/libpod-${id}.scope`;
  const config = `var/lib/docker/containers/${id}/config.v2.json`;
  const store = 'var/lib/containers/storage/overlay-containers/containers.json';

  it('a name is 512 characters at most, the first time and each after it', async () => {
    const { put, find } = prepared();
    put(config, JSON.stringify({ Name: `/${'n'.repeat(600)}` }));
    expect([await find(dockerPath), await find(dockerPath)]).toEqual(Array(2).fill('n'.repeat(512)));
  });

  it('a name that was found is kept for ten minutes, one that was not for five seconds', async () => {
    const { put, find, clock } = prepared();
    expect(await find(dockerPath)).toBeNull();
    put(config, '{"Name": "/early"}');
    await clock.advance(4999);
    expect(await find(dockerPath)).toBeNull();
    await clock.advance(1);
    expect(await find(dockerPath)).toBe('early');
    put(config, '{"Name": "/later"}');
    await clock.advance(10 * 60_000 - 1);
    expect(await find(dockerPath)).toBe('early');
    await clock.advance(1);
    expect(await find(dockerPath)).toBe('later');
  });

  it('each container has its own, of each runtime', async () => {
    const { put, find } = prepared();
    put(config, '{"Name": "/docked"}');
    put(store, JSON.stringify([{ id, names: ['podded'] }]));
    const other = id.replace('4', '5');
    put(`var/lib/docker/containers/${other}/config.v2.json`, '{"Name": "/second"}');
    put('var/lib/nerdctl/1935db59/names/default/wrong', other);
    put('var/lib/nerdctl/1935db59/names/k8s/right', ` ${id}\n`);
    const found = [dockerPath, podmanPath, `/system.slice/docker-${other}.scope`, `/default/${id}`, `/other/${id}`].map(
      find,
    );
    expect(await Promise.all(found)).toEqual(['docked', 'podded', 'second', 'right', null]);
  });

  it.each([
    ['/a', 'a'],
    ['a/b', 'a/b'],
    ['/a/b', 'a/b'],
    ['ab', 'ab'],
    ['/', null],
    ['', null],
    [7, null],
    [['x', 'y'], null],
    [null, null],
  ])('docker: of the name %j that it keeps %j is shown', async (name, shown) => {
    const { put, find } = prepared();
    put(config, JSON.stringify({ Name: name }));
    expect(await find(dockerPath)).toBe(shown);
  });

  it('docker: from the state of a snap too; a state that is null has no name', async () => {
    const { put, find } = prepared();
    put(config, 'null');
    put(`var/snap/docker/common/var-lib-docker/containers/${id}/config.v2.json`, '{"Name": "/snapped"}');
    expect(await find(dockerPath)).toBe('snapped');
  });

  it.each([
    ['[null, {"id":"ID","names":["n"]}]', 'n'],
    ['[{"id":"ID","names":[""]}]', null],
    ['[{"id":"ID","names":[7]}]', null],
    ['[{"id":"ID","names":[]}]', null],
    ['[{"id":"ID"}]', null],
    ['[{"id":"other","names":["x"]}]', null],
    ['{"id":"ID","names":["n"]}', null],
    ['', null],
  ])('podman: of the store %s', async (text, name) => {
    const { put, find } = prepared();
    put(store, text.replace('ID', id));
    expect(await find(podmanPath)).toBe(name);
  });

  it.each(['overlay', 'vfs', 'btrfs'])('podman: from a store of %s', async (layer) => {
    const { put, find } = prepared();
    put(`var/lib/containers/storage/${layer}-containers/containers.json`, JSON.stringify([{ id, names: ['n'] }]));
    expect(await find(podmanPath)).toBe('n');
  });

  it('podman: of a user by their own home, of root and of one without a home by that of the host', async () => {
    const { put, find } = prepared();
    const below = (uid: number, hex: string) =>
      `/user.slice/user-${uid}.slice/user@${uid}.service/user.slice/libpod-${id.replace('4', hex)}.scope`;
    const named = (...entries: readonly [string, string][]) =>
      JSON.stringify(entries.map(([hex, name]) => ({ id: id.replace('4', hex), names: [name] })));
    put(
      'etc/passwd',
      'root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:1000::/home/bob:/bin/sh\nshort:x:1002\n',
    );
    put(store, named(['5', 'host'], ['6', 'none'], ['7', 'cut']));
    put('home/bob/.local/share/containers/storage/overlay-containers/containers.json', named(['8', 'bobs']));
    put('root/.local/share/containers/storage/overlay-containers/containers.json', named(['5', 'wrong']));
    put('run/containers/1000/overlay-containers/volatile-containers.json', named(['9', 'brief']));
    const found = [below(0, '5'), below(4000, '6'), below(1002, '7'), below(1001, '8'), below(1000, '9')].map(find);
    expect(await Promise.all(found)).toEqual(['host', 'none', 'cut', 'bobs', 'brief']);
    const { put: putAlone, find: alone } = prepared();
    putAlone(store, named(['5', 'host']));
    // Without a list of users.
    expect(await alone(below(1000, '5'))).toBe('host');
  });

  it('Kubernetes: of the pod alone, by a log that is of its name and of its id', async () => {
    const { put, find } = prepared();
    put('var/log/pods/short/server/0.log', '');
    put(`var/log/pods/other_pod_${uid.replace('0', '1')}/wrong/0.log`, '');
    put(`var/log/pods/serving_llama_${uid.replaceAll('-', '')}/server/0.log`, '');
    put(`var/log/pods/serving_llama_${uid.replaceAll('-', '')}/note.txt`, '');
    put(`var/log/containers/llama_serving_other-${id.replace('4', '5')}.log`, '');
    put(`var/log/containers/llama_other_wrong-${id}.log`, '');
    expect(await find(podPath)).toBe('serving/llama/server');
    const { put: putOther, find: none } = prepared();
    putOther(`var/log/pods/other_pod_${uid.replace('0', '1')}/wrong/0.log`, '');
    expect(await none(podPath)).toBeNull();
  });

  it('files that are refused are named for twenty seconds, the first by its path and the others by their number', async () => {
    const { host, put, clock } = prepared();
    const names = new ContainerNames({ hostRoot: host.hostRoot, clock });
    put('var/lib/containers/storage/overlay-containers/note', '');
    put('var/lib/containers/storage/vfs-containers/note', '');
    const stores = ['overlay', 'vfs'].map((layer) =>
      join(host.hostRoot, `var/lib/containers/storage/${layer}-containers/containers.json`),
    );
    const find = () => names.find(classify(podmanPath) as Extract<Classified, { kind: 'container' }>, podmanPath);
    await plant(stores[0]!, { kind: 'link', to: '/dev/zero' });
    expect(await find()).toBeNull();
    const [one] = names.faults();
    expect(one).toMatchObject({ source: 'hive', code: 'CONTAINER_NAMES_REFUSED', field: 'name' });
    expect(one?.message).toMatch(/names of containers that are kept there are not known\.$/);
    await plant(stores[1]!, { kind: 'link', to: '/dev/zero' });
    await clock.advance(5000);
    expect(await find()).toBeNull();
    expect(names.faults().map(({ message }) => message.slice(-24))).toEqual(['known. Neither are 1 more.'.slice(-24)]);
    await clock.advance(19_999);
    expect(names.faults()).toHaveLength(1);
    await clock.advance(1);
    expect(names.faults()).toEqual([]);
    names.close();
  });

  it('a store that does not answer costs the names in it, and says so', async () => {
    const tree = new MemoryTree();
    const clock = new ManualClock();
    const names = new ContainerNames({ openFiles: () => tree.reader(clock), clock });
    tree.hangs.add(`/${config}`);
    const find = names.find(classify(dockerPath) as Extract<Classified, { kind: 'container' }>, dockerPath);
    await clock.advance(5000);
    expect(await find).toBeNull();
    expect(names.faults()).toMatchObject([{ source: 'hive', code: 'CONTAINER_NAMES_STALLED', field: 'name' }]);
    names.close();
    expect(tree.readers.every(({ closed }) => closed)).toBe(true);
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
