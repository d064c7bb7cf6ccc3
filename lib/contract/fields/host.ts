import type { FieldTable } from './field.js';
import { bytes, cpuPercent, seconds } from './plausible.js';
import { amount, integer, record, share } from './shape.js';

const someAvg10 = (what: string) => share(`Share of the last 10 s in which some task waited for ${what}.`);

export const pressureShape = record({ cpu: someAvg10('CPU'), memory: someAvg10('memory'), io: someAvg10('I/O') });

export const unmeasuredPressure = { cpu: null, memory: null, io: null };

export const hostFields = {
  cpuCount: {
    shape: integer(1),
    hive: { name: 'hivepulse_host_cpus', help: 'Logical CPUs of the host.' },
    fleet: { name: 'hivepulse_fleet_hive_cpus', help: 'Logical CPUs of the host.' },
  },
  cpuPercent: {
    shape: amount('CPU in use; 100 = one whole core.'),
    plausible: cpuPercent,
    unmeasured: null,
    hive: { name: 'hivepulse_host_cpu_used_cores', help: 'CPU in use; 1 is one whole core.', scale: 'ratio' },
    fleet: { name: 'hivepulse_fleet_hive_cpu_used_cores', help: 'CPU in use on the host.', scale: 'ratio' },
  },
  memoryTotalBytes: {
    shape: amount('MemTotal.'),
    plausible: { least: 1, most: bytes.most },
    unmeasured: null,
    hive: { name: 'hivepulse_host_memory_total_bytes', help: 'MemTotal.' },
    fleet: { name: 'hivepulse_fleet_hive_memory_total_bytes', help: 'Memory of the host.' },
  },
  memoryAvailableBytes: {
    shape: amount('MemAvailable.'),
    plausible: { ...bytes, of: 'memoryTotalBytes' },
    unmeasured: null,
    hive: { name: 'hivepulse_host_memory_available_bytes', help: 'MemAvailable.' },
    fleet: { name: 'hivepulse_fleet_hive_memory_available_bytes', help: 'Memory available on the host.' },
  },
  load1: {
    shape: amount('Load average over one minute.'),
    plausible: { least: 0, most: 1e7 },
    unmeasured: null,
    hive: { name: 'hivepulse_host_load1', help: 'Load average over one minute.' },
    detail: { line: 'up', label: 'load', format: 'fixed2' },
  },
  uptimeSeconds: {
    shape: amount('Seconds since boot (CLOCK_BOOTTIME).'),
    plausible: seconds,
    unmeasured: null,
    hive: { name: 'hivepulse_host_uptime_seconds', help: 'Time since boot.' },
    detail: { line: 'up', format: 'duration', place: 10 },
    panel: { section: 'host', label: 'Host up for', format: 'duration' },
  },
  pressure: {
    shape: pressureShape,
    unmeasured: unmeasuredPressure,
    hive: {
      name: 'hivepulse_host_pressure_ratio',
      help: 'Share of the last 10 s in which some task waited for the resource.',
      label: 'resource',
      scale: 'ratio',
    },
    panel: {
      section: 'pressure',
      label: 'Pressure',
      parts: {
        cpu: { label: 'CPU', barWarn: 40 },
        memory: { label: 'Memory', barWarn: 10 },
        io: { label: 'I/O', barWarn: 40 },
      },
    },
  },
} as const satisfies FieldTable;
