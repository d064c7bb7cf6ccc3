import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { noGpuSource } from '../../lib/gpu/reading.js';
import { type CreateSamplerOptions, createSampler } from '../../lib/sampling/open.js';
import { FakeDrmHost, integrated, radeon } from '../gpu/drm/fake-host.js';
import { waitFor } from '../harness/wait.js';
import { FakeHost } from './fake-host.js';

/** A sampler of made-up files alone: no cgroups, no process. */
async function samplerOn(host: FakeDrmHost, options: CreateSamplerOptions = {}) {
  const { sys, proc } = host.roots;
  const sampler = await createSampler({ procRoot: proc, sysRoot: sys, runtimeDir: host.root, ...options });
  onTestFinished(() => sampler.close());
  return sampler;
}

function fakeDrm(...cards: ConstructorParameters<typeof FakeDrmHost>): FakeDrmHost {
  const host = new FakeDrmHost(...cards);
  onTestFinished(() => host[Symbol.dispose]());
  return host;
}

describe('what a sampler is asked for', () => {
  const wrong: readonly [string, unknown][] = [
    ['root', ''],
    ['procRoot', 1],
    ['sysRoot', null],
    ['hostRoot', ''],
    ['runtimeDir', 7],
    ['pidNamespace', ''],
    ['address', ''],
    ['address', 4],
    ['watch', 'a'],
    ['auto', 'yes'],
    ['allGpus', 1],
    ['readiness', null],
    ['engineLoad', 'no'],
    ['reader', 'fast'],
    ['commands', 'every'],
    ['gpu', 'some'],
    ['gpu', { latest: () => null }],
    ['gpu', { close: () => null }],
    ['reported', null],
    ['reported', 'all'],
    ['intervalMs', 0],
    ['intervalMs', '1000'],
    ['idleForMs', -1],
    ['idleBelowPercent', 101],
    ['idleBelowCpuPercent', -1],
    ['ownPid', 0],
    ['nothing', true],
  ];

  it.each(wrong)('%s: %j is refused by its name', async (name, value) => {
    const asked = createSampler({ [name]: value });
    await expect(asked).rejects.toMatchObject({ code: 'INVALID_OPTION', subject: name });
  });

  it('all that it knows is taken', async () => {
    const reported = { continued: true, exited: () => false, oomKills: () => 0 };
    const sampler = await samplerOn(fakeDrm(), {
      ...{ hostRoot: '/h', pidNamespace: 'pid:[1]', address: null, watch: ['a'], auto: false, allGpus: true },
      ...{ readiness: false, engineLoad: false, reader: 'files', commands: 'none', gpu: 'none', reported },
      ...{ intervalMs: 1, idleForMs: 0, idleBelowPercent: 100, idleBelowCpuPercent: 1, ownPid: 1 },
    });
    expect((await sampler.sample()).collection).toMatchObject({ cgroupReader: 'none' });
    const named = await samplerOn(fakeDrm(), { address: 'a.b', gpu: 'none', readiness: false });
    expect(named.latest()).toBeNull();
  });
});

describe('a sampler of a machine', () => {
  it('reads cgroups where they are, by the reader that was asked for', async () => {
    const host = new FakeHost();
    host.worker('/hivepulse.slice/llm/a', { pid: 7, argv: ['serve'] });
    for (const reader of ['files', undefined] as const) {
      const sampler = await createSampler({
        ...{ root: host.cgroupRoot, procRoot: host.procRoot, runtimeDir: host.runtimeDir, readiness: false },
        ...(reader === undefined ? {} : { reader }),
        gpu: 'none',
      });
      onTestFinished(() => sampler.close());
      const { workers, collection } = await sampler.sample();
      expect(workers.map(({ id }) => id)).toEqual(['llm/a']);
      if (reader !== undefined) expect(collection.cgroupReader).toBe(reader);
    }
  });

  it('shows integrated GPUs that nothing holds where it was asked for them', async () => {
    const host = fakeDrm([radeon(), integrated()]);
    const seen = async (allGpus: boolean) => {
      const sampler = await samplerOn(host, { allGpus, readiness: false });
      return await waitFor(async () => {
        const { gpus, gpusKnown } = await sampler.sample();
        // This machine may have NVIDIA's too, or a fake driver of theirs that another test has loaded.
        const vendors = gpus.map(({ vendor }) => vendor).filter((vendor) => vendor !== 'NVIDIA');
        return gpusKnown !== 'unknown' && vendors.length > 0 ? vendors : null;
      });
    };
    expect(await seen(false)).toEqual(['AMD']);
    expect(await seen(true)).toEqual(['AMD', 'Intel']);
  });

  it('looks for no GPU where it was asked not to, and takes a source of its own, which it closes', async () => {
    const host = fakeDrm([radeon()]);
    const none = await samplerOn(host, { gpu: 'none', readiness: false });
    expect(none.gpu.latest()).toMatchObject({ status: 'off', devices: [] });
    let closed = 0;
    const source = { ...noGpuSource('of my own'), close: () => void closed++ };
    const own = await samplerOn(host, { gpu: source, readiness: false });
    expect(own.gpu).toBe(source);
    await own.close();
    expect(closed).toBe(1);
  });

  it('says that its root is no directory of cgroups, and reads what there is', async () => {
    const host = fakeDrm();
    writeFileSync(join(host.root, 'file'), '');
    const sampler = await samplerOn(host, { root: join(host.root, 'file'), gpu: 'none', readiness: false });
    const { faults } = await sampler.sample();
    expect(faults[0]).toMatchObject({ code: 'CGROUP_UNAVAILABLE', message: expect.stringContaining('--root') });
  });
});
