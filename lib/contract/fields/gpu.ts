import { gpuHealths } from '../enums.js';
import type { FieldTable } from './field.js';
import { count, gpuBytes, pid } from './plausible.js';
import { amount, boolean, integer, list, measured, nullable, oneOf, record, share, text } from './shape.js';

export const gpuFields = {
  uuid: {
    shape: text({ minLength: 1, maxLength: 96 }),
    identity: true,
    column: { key: 'uuid', title: 'UUID', width: [8, 8], rank: 4, place: 110 },
    panel: { section: 'device', label: 'UUID', code: true, place: 91 },
  },
  index: {
    shape: integer(0, 'Order of the driver; not the order of CUDA.'),
    column: { key: 'gpu', title: 'GPU', width: [12, 30], rank: 0, place: 10 },
  },
  name: { shape: nullable(text({ maxLength: 96 })), shared: true },
  pciBusId: {
    shape: nullable(text({ maxLength: 32 })),
    panel: { section: 'device', label: 'PCI bus', place: 90 },
  },
  parentUuid: {
    shape: nullable(text({ maxLength: 96 }, 'Of a MIG device: the GPU it is cut from.')),
    panel: { section: 'device', label: 'Cut from', code: true, omitNull: true, place: 92 },
  },
  migMode: {
    shape: nullable(
      boolean(
        'Only its MIG devices can be used, whether any is cut and listed or not. Absent from hives before this field.',
      ),
    ),
    optional: true,
  },
  memoryTotalBytes: {
    shape: amount('Memory of this GPU; null on unified memory of which the driver reports none (see host).'),
    plausible: { least: 1, most: gpuBytes.most },
    hive: { name: 'hivepulse_gpu_memory_total_bytes', help: 'Memory of the GPU.' },
    fleet: { name: 'hivepulse_fleet_gpu_memory_total_bytes', help: 'Memory of the GPU.' },
  },
  memoryUsedBytes: {
    shape: amount('Without what the driver reserves; on unified memory what processes hold.'),
    plausible: gpuBytes,
    hive: { name: 'hivepulse_gpu_memory_used_bytes', help: 'Memory in use, without what the driver reserves.' },
    fleet: { name: 'hivepulse_fleet_gpu_memory_used_bytes', help: 'Memory in use on the GPU.' },
    column: {
      key: 'vram',
      title: 'VRAM',
      width: [26, 40],
      rank: 1,
      place: 50,
      descending: true,
      format: 'gibOf',
      bar: 18,
      share: { of: 'memoryTotalBytes', warn: 0.95, bad: 1.01 },
    },
  },
  memoryReservedBytes: {
    shape: amount('Kept by driver and firmware.'),
    plausible: gpuBytes,
    hive: { name: 'hivepulse_gpu_memory_reserved_bytes', help: 'Memory kept by driver and firmware.' },
    fleet: { name: 'hivepulse_fleet_gpu_memory_reserved_bytes', help: 'Memory kept by driver and firmware.' },
    panel: { section: 'device', label: 'Reserved', format: 'gib' },
  },
  memoryKind: { shape: oneOf(['device', 'unified']), least: 'device' },
  utilizationPercent: {
    shape: share('Share of time in which a kernel ran.'),
    hive: {
      name: 'hivepulse_gpu_utilization_ratio',
      help: 'Share of time in which a kernel ran.',
      scale: 'ratio',
      place: 60,
    },
    fleet: {
      name: 'hivepulse_fleet_gpu_utilization_ratio',
      help: 'Share of time in which a kernel ran.',
      scale: 'ratio',
    },
    column: {
      key: 'utilization',
      title: 'BUSY',
      width: [12, 20],
      rank: 1,
      place: 40,
      descending: true,
      format: 'percent',
      bar: 5,
      share: { of: 100 },
    },
  },
  memoryBusPercent: {
    shape: share('Share of time in which memory was read or written.'),
    hive: {
      name: 'hivepulse_gpu_memory_bus_ratio',
      help: 'Share of time in which memory was read or written.',
      scale: 'ratio',
      place: 60,
    },
    panel: { section: 'device', label: 'Memory bus busy', format: 'percent' },
  },
  temperatureCelsius: {
    shape: measured('GPU core.'),
    plausible: { least: -50, most: 200 },
    hive: { name: 'hivepulse_gpu_temperature_celsius', help: 'Temperature of the core.', place: 60 },
    fleet: { name: 'hivepulse_fleet_gpu_temperature_celsius', help: 'Temperature of the core.' },
    column: {
      key: 'temperature',
      title: 'TEMP',
      right: true,
      width: [6, 6],
      rank: 2,
      place: 60,
      descending: true,
      format: 'celsius',
      share: { of: 100, warn: 0.83, bad: 0.9 },
    },
  },
  powerWatts: {
    shape: amount('Draw.'),
    plausible: { least: 0, most: 10_000 },
    hive: { name: 'hivepulse_gpu_power_watts', help: 'Power drawn.', place: 60 },
    fleet: { name: 'hivepulse_fleet_gpu_power_watts', help: 'Power drawn.' },
    column: { key: 'power', title: 'POWER', right: true, width: [7, 13], rank: 3, place: 70, descending: true },
  },
  powerLimitWatts: {
    shape: amount('Enforced limit.'),
    plausible: { least: 0, most: 10_000 },
    hive: { name: 'hivepulse_gpu_power_limit_watts', help: 'Enforced limit of power.', place: 60 },
    panel: { section: 'device', label: 'Power limit', format: 'watts', place: 60 },
  },
  smClockMhz: {
    shape: amount('SM clock.'),
    plausible: { least: 0, most: 20_000 },
    hive: {
      name: 'hivepulse_gpu_sm_clock_hertz',
      help: 'Clock of the multiprocessors.',
      scale: 'megahertz',
      place: 60,
    },
    panel: { section: 'device', label: 'SM clock', format: 'megahertz' },
  },
  fanPercent: {
    shape: amount('Of the rated speed; may pass 100.'),
    plausible: { least: 0, most: 200 },
    hive: { name: 'hivepulse_gpu_fan_ratio', help: 'Speed of the fan; 1 is the rated one.', scale: 'ratio', place: 60 },
    panel: { section: 'device', label: 'Fan', format: 'percent' },
  },
  throttleReasons: {
    shape: list(text({ maxLength: 64 }), 16),
    shared: true,
    hive: {
      name: 'hivepulse_gpu_throttled',
      help: 'Reasons for which the clocks are held down now.',
      label: 'reason',
      place: 90,
    },
    column: { key: 'throttle', title: 'THROTTLED BY', width: [12, 24], rank: 6, place: 90 },
    panel: { section: 'health', label: 'Throttled by', format: 'list', ifEmpty: 'nothing' },
  },
  eccUncorrected: {
    shape: amount('Uncorrected ECC errors since the driver loaded.'),
    plausible: count,
    hive: {
      name: 'hivepulse_gpu_ecc_uncorrected_errors_total',
      type: 'counter',
      help: 'Uncorrected ECC errors since the driver loaded.',
      place: 60,
    },
    panel: { section: 'health', label: 'ECC, uncorrected', format: 'count' },
  },
  remappedRows: {
    shape: nullable(record({ pending: boolean(), failed: boolean() })),
    shared: true,
    hive: [
      {
        name: 'hivepulse_gpu_remapped_rows_pending',
        help: '1 where rows wait for a reset to be remapped.',
        part: 'pending',
        scale: 'flag',
        place: 60,
      },
      {
        name: 'hivepulse_gpu_remapped_rows_failed',
        help: '1 where remapping rows has failed.',
        part: 'failed',
        scale: 'flag',
        place: 60,
      },
    ],
    panel: { section: 'health', label: 'Remapped rows' },
  },
  nvlinks: {
    shape: nullable(record({ up: integer(0), total: integer(0) })),
    shared: true,
    hive: [
      { name: 'hivepulse_gpu_nvlinks', help: 'NVLinks of the GPU.', part: 'total', place: 60 },
      { name: 'hivepulse_gpu_nvlinks_up', help: 'NVLinks that are up.', part: 'up', place: 60 },
    ],
    panel: { section: 'health', label: 'NVLinks up' },
  },
  lastXid: {
    shape: nullable(integer(0, 'Newest Xid since the hive started.')),
    plausible: { least: 0, most: 65_534 },
    hive: {
      name: 'hivepulse_gpu_last_xid',
      help: 'Newest Xid since the hive started; no sample before the first.',
      place: 60,
    },
    panel: { section: 'health', label: 'Last Xid', format: 'count', ifNull: 'none seen' },
  },
  computeCapability: {
    shape: nullable(text({ maxLength: 8 })),
    shared: true,
    panel: { section: 'device', label: 'Compute capability', place: 70 },
  },
  processCount: {
    shape: nullable(integer(0)),
    plausible: { least: 0, most: pid.most },
    hive: { name: 'hivepulse_gpu_processes', help: 'Processes with a context on the GPU.', place: 60 },
    column: {
      key: 'processes',
      title: 'PROCS',
      right: true,
      width: [5, 5],
      rank: 5,
      place: 80,
      descending: true,
      format: 'count',
    },
    panel: { section: 'device', label: 'Processes', format: 'count', place: 70 },
  },
  unattributedBytes: {
    shape: amount('Memory of processes that belong to no worker.'),
    plausible: { least: 0, most: gpuBytes.most },
    hive: {
      name: 'hivepulse_gpu_memory_unattributed_bytes',
      help: 'Memory of processes that belong to no worker.',
    },
    panel: { section: 'device', label: 'Held by no worker', format: 'gib', place: 70 },
  },
  unsupported: {
    shape: list(text({ maxLength: 64 }), 64, 'Fields that this device cannot report at all.'),
    shared: true,
  },
  health: {
    shape: oneOf(gpuHealths),
    least: 'degraded',
    column: { key: 'health', title: 'HEALTH', width: [14, 16], rank: 0, place: 30 },
  },
} as const satisfies FieldTable;
