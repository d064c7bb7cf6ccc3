import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { GpuList, HiveList } from '../../lib/contract/api.js';
import { FakeGpuHost, h100With } from '../fakes/scenario.js';
import {
  apu,
  arcXe,
  type FakeClient,
  FakeDrmHost,
  GiB,
  instinct,
  integrated,
  MiB,
  radeon,
} from '../gpu/drm/fake-host.js';
import { chromiumPath, desktop, openBrowser, openPage } from '../harness/browser.js';
import { getJson, useHarness } from '../harness/harness.js';
import { hasTmux, Terminal } from '../harness/terminal.js';
import { cgroupSuite, createHost, sleeping, workerSeen } from './fleet.js';

const suite = cgroupSuite('a host with cards of three vendors');
const skip = suite.skip || process.getuid?.() !== 0;

/** A directory for pictures, to look at them. */
const pictures = process.env.HIVEPULSE_PICTURES;

const names = ['nvidia', 'radeon', 'rocm', 'apu', 'arc'] as const;
type Name = (typeof names)[number];

const radeonAt = '0000:03:00.0';
const instinctAt = '0000:c1:00.0';
const apuAt = '0000:c5:00.0';
const arcAt = '0000:07:00.0';

const clients: Readonly<Partial<Record<Name, FakeClient>>> = {
  radeon: {
    driver: 'amdgpu',
    pdev: radeonAt,
    id: 11,
    lines: { 'drm-resident-vram': `${6 * 1024} MiB`, 'drm-resident-gtt': '12 MiB', 'drm-engine-compute': '0 ns' },
  },
  // What ROCm computes is in none of its counters.
  rocm: {
    driver: 'amdgpu',
    pdev: instinctAt,
    id: 4,
    lines: { 'drm-resident-vram': '40 MiB', 'drm-engine-gfx': '0 ns' },
  },
  apu: {
    driver: 'amdgpu',
    pdev: apuAt,
    id: 21,
    lines: { 'drm-memory-vram': '256 MiB', 'drm-memory-gtt': `${18 * 1024} MiB`, 'drm-engine-compute': '0 ns' },
  },
  arc: {
    driver: 'xe',
    pdev: arcAt,
    id: 9,
    lines: { 'drm-resident-vram0': `${5 * 1024} MiB`, 'drm-cycles-ccs': '0', 'drm-total-cycles-ccs': '1000' },
  },
};

/** An APU that reaches more than this machine has. */
const apuTotalBytes = 2 * totalmem();
const shared = { 'device/mem_info_gtt_total': apuTotalBytes - 512 * MiB };

/** In the order of the host. */
const gpus = [
  {
    index: 0,
    vendor: 'NVIDIA',
    name: 'NVIDIA H100 80GB HBM3',
    memoryTotalBytes: 81_559 * MiB,
    memoryUsedBytes: 70_000 * MiB,
    health: 'ok',
  },
  {
    index: 1,
    vendor: 'AMD',
    name: 'AMD GPU 1002:744c',
    memoryTotalBytes: 24 * GiB,
    memoryUsedBytes: 9 * GiB,
    health: 'ok',
  },
  {
    index: 2,
    vendor: 'AMD',
    name: 'AMD Instinct MI300X OAM',
    memoryTotalBytes: 192 * GiB,
    memoryUsedBytes: 150 * GiB,
    health: 'ok',
  },
  {
    index: 3,
    vendor: 'AMD',
    name: 'AMD GPU 1002:1586',
    memoryTotalBytes: apuTotalBytes,
    memoryUsedBytes: 20 * GiB + 400 * MiB,
    health: 'ok',
  },
  {
    index: 4,
    vendor: 'Intel',
    name: 'Intel GPU 8086:e20b',
    memoryTotalBytes: null,
    memoryUsedBytes: null,
    health: 'ok',
  },
];

describe.skipIf(skip)(`${suite.title} (needs root for its mounts)`, () => {
  const harness = useHarness();

  /** The host, with a worker on each of its five GPUs, and one that nothing holds. */
  const start = async () => {
    const nvidia = new FakeGpuHost({ generation: 550, driver: '550.54.15', gpus: [h100With(0, [])] });
    harness().defer(() => nvidia[Symbol.dispose]());
    const drm = new FakeDrmHost([
      radeon(radeonAt),
      instinct(instinctAt),
      apu(apuAt, shared),
      arcXe(arcAt),
      integrated(),
    ]);
    harness().defer(() => drm[Symbol.dispose]());
    drm.kfdNode(51_001, { location_id: 0xc100, gfx_target_version: 90_402 });
    const host = await createHost(harness());
    const up = await harness().up({
      under: ['unshare', '-m', '--propagation', 'private'],
      args: [...host.watchArgs, '--gpu', 'auto', '--sys-root', drm.roots.sys, '--id', 'mixed'],
      env: nvidia.env,
    });
    const pids = {} as Record<Name, number>;
    for (const name of names) host.worker('llm', name, sleeping, ['--model', `model-of-${name}`]);
    for (const name of names) pids[name] = (await workerSeen(up, `llm/${name}`)).pid as number;
    // Descriptors of the workers, as the hive alone sees them.
    for (const [name, client] of Object.entries(clients)) {
      const pid = pids[name as Name];
      drm.process(pid, [client]);
      for (const each of ['fd', 'fdinfo']) {
        const from = join(drm.root, 'proc', String(pid), each);
        execFileSync('nsenter', [
          `--mount=/proc/${up.process.pid}/ns/mnt`,
          'mount',
          '--bind',
          from,
          `/proc/${pid}/${each}`,
        ]);
      }
    }
    drm.kfdProcess(pids.rocm, { 51001: 140 * GiB });
    nvidia.become({
      generation: 550,
      driver: '550.54.15',
      gpus: [h100With(0, [{ pid: pids.nvidia, bytes: 70_000 * MiB, utilization: 87 }])],
    });
    return { up, pids };
  };

  const inTop = async (url: string) => {
    const terminal = new Terminal(['--queen', url], 150, 40);
    harness().defer(() => terminal.close());
    await terminal.shows(/5 GPUs/);
    terminal.keys('2');
    const workers = await terminal.shows(/^ *WORKER\s[\s\S]*llm\/rocm/m);
    for (const name of names) expect(workers).toContain(`llm/${name}`);
    terminal.keys('3');
    const gpus = await terminal.shows(/Instinct/);
    for (const name of ['H100', 'AMD GPU', 'AMD Instinct', 'Intel GPU']) expect(gpus).toContain(name);
    if (pictures !== undefined) console.log(`${workers}\n${gpus}`);
  };

  const onPage = async (url: string) => {
    const browser = await openBrowser();
    harness().defer(() => browser.close());
    const { page, errors } = await openPage(browser, `${url}/?view=workers`, desktop);
    for (const name of names) await page.getByText(`llm/${name}`).first().waitFor();
    if (pictures !== undefined) await page.screenshot({ path: join(pictures, 'workers.png') });
    for (const [file, search, shown] of [
      ['hives', '', 'mixed'],
      ['amd', `?show=gpu:mixed/AMD-${instinctAt}`, 'gfx942'],
      ['intel', `?show=gpu:mixed/Intel-${arcAt}`, arcAt],
    ] as const) {
      await page.goto(`${url}/${search}`);
      // The notes of hosts, folded, name them too.
      await page.getByText(shown).filter({ visible: true }).first().waitFor();
      if (pictures !== undefined) await page.screenshot({ path: join(pictures, `${file}.png`) });
    }
    expect(errors).toEqual([]);
  };

  test('mixed_vendors: all five GPUs with their workers on the API, in top and on the page', async () => {
    const { up } = await start();
    const held = (name: Name, bytes: number) =>
      workerSeen(up, `llm/${name}`, ({ vramUsedBytes, gpus }) => gpus.length === 1 && vramUsedBytes === bytes);
    const workers = [
      await held('nvidia', 70_000 * MiB),
      await held('radeon', 6 * GiB),
      await held('rocm', 140 * GiB),
      await held('apu', 18 * GiB + 256 * MiB),
      await held('arc', 5 * GiB),
    ];
    const { items } = await getJson<GpuList>(`${up.url}/v1/gpus`);
    const shown = items.map(({ index, vendor, name, memoryTotalBytes, memoryUsedBytes, health }) => ({
      index,
      vendor,
      name,
      memoryTotalBytes,
      memoryUsedBytes,
      health,
    }));
    expect(shown.toSorted((a, b) => a.index - b.index)).toEqual(gpus);
    expect(workers.map(({ gpus }) => gpus[0]?.uuid)).toEqual([
      items.find(({ vendor }) => vendor === 'NVIDIA')?.uuid,
      `AMD-${radeonAt}`,
      `AMD-${instinctAt}`,
      `AMD-${apuAt}`,
      `Intel-${arcAt}`,
    ]);
    // What an APU has left is what the host has.
    const unified = items.filter(({ memoryKind }) => memoryKind === 'unified');
    expect(unified.map(({ uuid }) => uuid)).toEqual([`AMD-${apuAt}`]);
    expect(unified[0]?.freeBytes).toBeGreaterThan(0);
    expect(unified[0]?.freeBytes).toBeLessThan(totalmem());
    // The only process on a card does what the card does.
    expect(workers[2]?.gpuUtilizationPercent).toBe(91);
    const [hive] = (await getJson<HiveList>(`${up.url}/v1/hives`)).items;
    expect(hive?.collection).toMatchObject({ gpuReader: 'nvml', gpuReaders: ['nvml', 'drm'] });
    const metrics = await (await fetch(`${up.url}/metrics`)).text();
    expect(metrics).toContain('vendor="Intel"');

    if (hasTmux) await inTop(up.url);
    if (existsSync(chromiumPath)) await onPage(up.url);
  });
});
