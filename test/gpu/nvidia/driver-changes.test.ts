import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { gpuKnowledge } from '../../../lib/gpu/knowledge.js';
import { FakeGpuHost, fakeLibrary, fourH100, type Generation, h100, stubLibrary } from '../../fakes/scenario.js';
import { nvmlMessage } from './read-once.js';
import { reading, sourceOf, working } from './sources.js';

/** Puts a library in place as a package manager does: another file under the same name. */
function install(library: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  copyFileSync(library, `${path}.new`);
  renameSync(`${path}.new`, path);
}

const driver = (generation: Generation) => ({ ...fourH100(), generation, module: generation });

describe('the driver is upgraded, and its module loaded anew', () => {
  it('a process of its own is replaced, and NVML works with the new driver', async () => {
    using host = new FakeGpuHost(driver(550));
    const library = join(host.directory, 'libnvidia-ml.so.1');
    install(fakeLibrary(550), library);
    using source = sourceOf(host, { gpu: 'nvml', paths: { nvml: [library] } });
    const before = await reading(source, working('nvml'));

    host.become({ ...driver(550), module: 590 });
    const failed = await reading(source, ({ status }) => status === 'failed');
    expect(failed.devices.map(({ uuid, health }) => [uuid, health])).toEqual(
      before.devices.map(({ uuid }) => [uuid, 'stalled']),
    );
    install(fakeLibrary(590), library);
    host.become({ ...driver(590), driver: '590.44.01' });
    const after = await reading(source, working('nvml'));
    expect(after.devices.map(({ uuid, memoryUsedBytes }) => [uuid, memoryUsedBytes])).toEqual(
      before.devices.map(({ uuid, memoryUsedBytes }) => [uuid, memoryUsedBytes]),
    );
    expect(after.faults).toEqual([]);
    expect(source.takeEvents()).toEqual([]);
  });

  it('a thread cannot open the new library: it says so, nvidia-smi takes over, and the old driver works again', async () => {
    using host = new FakeGpuHost(driver(550));
    const library = join(host.directory, 'libnvidia-ml.so.1');
    install(fakeLibrary(550), library);
    process.env.HIVEPULSE_FAKE_GPU = host.file;
    using source = sourceOf(host, { isolation: 'thread', paths: { nvml: [library] } });
    await reading(source, working('nvml'));

    install(fakeLibrary(590), library);
    host.become(driver(590));
    const over = await reading(source, working('nvidiaSmi'));
    expect(over.reason).toMatch(/different versions.*replaced.*restart the hive.*--gpu-isolation process/);
    expect(over.devices.map(({ health }) => health)).toEqual(['ok', 'ok', 'ok', 'ok']);
    // Another thread of this process is given the old library as well.
    await source.release(0.05);
    const again = await reading(source, working('nvidiaSmi'));
    expect(again.reason).toMatch(/restart the hive/);

    host.become(driver(550));
    await reading(source, working('nvml'));
    expect(source.takeEvents()).toEqual([]);
  });
});

describe('a driver without a library', () => {
  const nowhere = (host: FakeGpuHost) => ({ root: host.directory, nvidiaSmi: '/nonexistent/nvidia-smi' });

  it('is a fault that names the library and where it was looked for, and GPUs are unknown, not none', async () => {
    using host = new FakeGpuHost({ gpus: [h100(0), h100(1)] });
    using source = sourceOf(host, { paths: nowhere(host), times: { missingRetryMs: 100 } });
    const failed = await reading(source, ({ status }) => status === 'failed');
    expect(failed.faults[0]).toMatchObject({ code: 'LIBRARY_NOT_FOUND', field: 'gpus' });
    expect(failed.faults[0]?.message).toMatch(/lists 2 GPUs.*libnvidia-ml.*looked for in .*run\/nvidia\/driver/);
    // Once: another fault with the same places would be a second warning of one cause.
    expect(failed.faults).toHaveLength(1);
    const { gpusKnown, gpusReason } = gpuKnowledge(failed);
    expect(gpusKnown).toBe('unknown');
    expect(gpusReason).toMatch(/^the driver lists 2 GPUs that cannot be read: libnvidia-ml is missing/);

    // The root of a driver in a container of its own is mounted.
    install(fakeLibrary(), join(host.directory, 'run/nvidia/driver/usr/lib64/libnvidia-ml.so.1'));
    const found = await reading(source, working('nvml'));
    expect(found.devices).toHaveLength(2);
    expect(found.faults).toEqual([]);
  });

  it('a Jetson, whose driver lists nothing: its GPU is unknown with the reason, not none', async () => {
    using host = new FakeGpuHost({ gpus: [] });
    mkdirSync(join(host.directory, 'sys/module/nvgpu'), { recursive: true });
    using source = sourceOf(host, { paths: nowhere(host), roots: { sys: join(host.directory, 'sys') } });
    const failed = await reading(source, ({ status }) => status === 'failed');
    expect(failed.faults[0]).toMatchObject({ code: 'LIBRARY_NOT_FOUND', field: 'gpus' });
    expect(gpuKnowledge(failed)).toEqual({
      gpusKnown: 'unknown',
      gpusReason: expect.stringMatching(/^the GPU of this Tegra board \(driver nvgpu.*JetPack 6/),
    });
  });

  it('a module that lists no GPU is a host without GPUs', async () => {
    using host = new FakeGpuHost({ gpus: [] });
    mkdirSync(join(host.procDriver, 'gpus'), { recursive: true });
    using source = sourceOf(host, { paths: nowhere(host) });
    const absent = await reading(source, ({ status }) => status === 'absent');
    expect(gpuKnowledge(absent)).toMatchObject({ gpusKnown: 'none' });
  });
});

describe('a stub of the library', () => {
  it('is known by its answers, wherever it lies, and the next place is tried', async () => {
    using host = new FakeGpuHost(fourH100());
    const innocent = join(host.directory, 'lib/libnvidia-ml.so.1');
    install(stubLibrary, innocent);
    using alone = sourceOf(host, { paths: { nvml: [innocent] } });
    expect((await reading(alone, working('nvidiaSmi'))).reason).toContain(`${innocent} is a stub for linking`);
    using both = sourceOf(host, { paths: { nvml: [innocent, fakeLibrary()] } });
    await reading(both, working('nvml'));
    // By its name, as the loader finds it.
    const env = { ...host.env, LD_LIBRARY_PATH: dirname(innocent) };
    expect(await nvmlMessage({ env })).toMatchObject({ type: 'unavailable' });
  });

  it('a library of any driver is none, also where the driver does not work', async () => {
    using host = new FakeGpuHost({ ...fourH100(), calls: { nvmlInit_v2: { codes: [9] } } });
    expect(await nvmlMessage(host)).toMatchObject({ type: 'failed', code: 9, replaced: false });
  });

  it('never prints to the standard output of a process that reads GPUs on a thread', async () => {
    const root = fileURLToPath(new URL('../../../', import.meta.url));
    const script = `
      import { loadBinding } from '${root}dist/native/binding.js';
      const { binding, reason } = loadBinding();
      if (!binding) throw new Error(reason);
      const thread = new binding.GpuThread({ libraryPaths: ['${stubLibrary}'] });
      const timer = setInterval(() => {
        if (!thread.ended()) return;
        clearInterval(timer);
        console.log(thread.take().join());
      }, 5);`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
    expect(stdout.trim()).toMatch(/^\{"type":"unavailable","reason":"[^"]*is a stub for linking[^"]*"\}$/);
  });
});
