import type { FieldTable } from './field.js';
import { bytes, cpuPercent, seconds } from './plausible.js';
import { amount, integer, nullable, record, share } from './shape.js';

const someAvg10 = (what: string) => share(`Share of the last 10 s in which some task waited for ${what}.`);

export const pressureShape = record({ cpu: someAvg10('CPU'), memory: someAvg10('memory'), io: someAvg10('I/O') });

const containerShape = record({
  cpus: amount('CPUs that it may use at once: the least of its quotas and sets of CPUs; null: not known.'),
  memoryBytes: amount(
    'The least of its limits (`memory.max`, `memory.high`), else what the machine has; null: not known.',
  ),
  throttledPercent: share('Share of periods in which it was throttled; null where its CPUs are not limited.'),
  machineCpuCount: integer(1, 'Logical CPUs of the machine around it.'),
  machineMemoryTotalBytes: amount('MemTotal of the machine.'),
  machineMemoryAvailableBytes: amount('MemAvailable of the machine.'),
});

export const unmeasuredPressure = { cpu: null, memory: null, io: null };

export const hostFields = {
  cpuCount: {
    shape: integer(1, 'Logical CPUs; in a container the next whole number from what it may use at once.'),
    hive: { name: 'hivepulse_host_cpus', help: 'Logical CPUs of the host.' },
    fleet: { name: 'hivepulse_fleet_hive_cpus', help: 'Logical CPUs of the host.' },
  },
  cpuPercent: {
    shape: amount('CPU in use; 100 = one whole core. Of the container where its CPUs are limited.'),
    plausible: cpuPercent,
    unmeasured: null,
    hive: { name: 'hivepulse_host_cpu_used_cores', help: 'CPU in use; 1 is one whole core.', scale: 'ratio' },
    fleet: { name: 'hivepulse_fleet_hive_cpu_used_cores', help: 'CPU in use on the host.', scale: 'ratio' },
  },
  memoryTotalBytes: {
    shape: amount('MemTotal, or the memory limit of the container.'),
    plausible: { least: 1, most: bytes.most },
    unmeasured: null,
    hive: { name: 'hivepulse_host_memory_total_bytes', help: 'MemTotal.' },
    fleet: { name: 'hivepulse_fleet_hive_memory_total_bytes', help: 'Memory of the host.' },
  },
  memoryAvailableBytes: {
    shape: amount('MemAvailable, or what is left below the memory limit of the container, where that is less.'),
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
  container: {
    optional: true,
    shape: nullable(containerShape),
    absent: 'not in a container',
    hive: [
      { name: 'hivepulse_container_cpus', help: 'CPUs that the container may use at once.', part: 'cpus' },
      {
        name: 'hivepulse_container_throttled_ratio',
        help: 'Share of periods in which the container was throttled.',
        part: 'throttledPercent',
        scale: 'ratio',
      },
      {
        name: 'hivepulse_machine_cpus',
        help: 'Logical CPUs of the machine around the container.',
        part: 'machineCpuCount',
      },
      {
        name: 'hivepulse_machine_memory_total_bytes',
        help: 'MemTotal of the machine around the container.',
        part: 'machineMemoryTotalBytes',
      },
      {
        name: 'hivepulse_machine_memory_available_bytes',
        help: 'MemAvailable of the machine around the container.',
        part: 'machineMemoryAvailableBytes',
      },
    ],
  },
} as const satisfies FieldTable;
