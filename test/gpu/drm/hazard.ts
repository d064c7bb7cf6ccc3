import type { GpuReading } from '../../../lib/gpu/reading.js';
import type { FakeClient, FakeDrmHost } from './fake-host.js';
import type { DrmSource, drmSource } from './sources.js';

export const at = '0000:03:00.0';
export const xeAt = '0000:07:00.0';

/** A Vulkan process on an AMD card. */
export const vulkan = (id: number, vramMiB: number, computeNs: number, more: FakeClient['lines'] = {}): FakeClient => ({
  driver: 'amdgpu',
  pdev: at,
  id,
  lines: {
    'drm-memory-vram': `${vramMiB * 1024} KiB`,
    'drm-memory-gtt': '2048 KiB',
    'drm-engine-gfx': '0 ns',
    'drm-engine-compute': `${computeNs} ns`,
    ...more,
  },
});

/** A SYCL process on an Arc with xe, as the kernel writes it. */
export const sycl = (id: number, ccs: number, total: number): FakeClient => ({
  driver: 'xe',
  pdev: xeAt,
  id,
  lines: {
    'drm-total-vram0': '5065216 KiB',
    'drm-resident-vram0': '5064648 KiB',
    'drm-resident-system': '0',
    'drm-cycles-rcs': '0',
    'drm-total-cycles-rcs': String(total),
    'drm-cycles-ccs': String(ccs),
    'drm-total-cycles-ccs': String(total),
    'drm-engine-capacity-ccs': '4',
  },
});

/** A process on an Arc with i915. */
export const i915 = (id: number, lines: FakeClient['lines'] = {}): FakeClient => ({
  driver: 'i915',
  pdev: '0000:08:00.0',
  id,
  lines: { 'drm-engine-render': '0 ns', 'drm-engine-copy': '0 ns', 'drm-engine-video': '0 ns', ...lines },
});

export const codes = ({ faults }: GpuReading) => faults.map(({ code, field }) => [code, field ?? null]);
export const held = ({ processes }: GpuReading) =>
  processes.map(({ pid, memoryUsedBytes, utilizationPercent }) => [pid, memoryUsedBytes, utilizationPercent]);

export interface Hazard {
  readonly host: () => FakeDrmHost;
  readonly check: (drm: DrmSource, host: FakeDrmHost) => Promise<void>;
  readonly options?: Parameters<typeof drmSource>[1];
}
