import { endpointReasons, servingReasons, workerStates } from '../enums.js';
import { idPattern, maxModelLength, maxModels } from '../limits.js';
import { type FieldTable, recordOf } from './field.js';
import { pressureShape, unmeasuredPressure } from './host.js';
import { bytes, count, cpuPercent, gpuBytes, pid, seconds } from './plausible.js';
import { servingFields } from './serving.js';
import { amount, boolean, integer, labels, list, nullable, oneOf, share, text, time } from './shape.js';

/** What a worker has of one GPU. */
export const workerGpuFields = {
  uuid: { shape: text({ minLength: 1, maxLength: 96 }), identity: true },
  memoryUsedBytes: {
    shape: amount('Held by the worker on this GPU.'),
    plausible: { least: 0, most: gpuBytes.most },
    hive: { name: 'hivepulse_worker_gpu_memory_used_bytes', help: 'GPU memory held on one GPU.' },
  },
  utilizationPercent: {
    shape: amount('Of this GPU by the worker.'),
    plausible: { least: 0, most: 1000 },
    hive: {
      name: 'hivepulse_worker_gpu_utilization_ratio',
      help: 'Utilization of one GPU by the worker.',
      scale: 'ratio',
    },
  },
} as const satisfies FieldTable;

export const workerFields = {
  id: {
    shape: text({ maxLength: 257 }, 'group/instance'),
    identity: true,
    column: { key: 'worker', title: 'WORKER', width: [14, 36], rank: 0, place: 10 },
  },
  group: { shape: text({ pattern: idPattern }, 'First part of the id.'), identity: true },
  instance: { shape: text({ pattern: idPattern }, 'Second part of the id.'), identity: true },
  name: {
    shape: nullable(text({ maxLength: 512 }, 'Container or pod name.')),
    optional: true,
    panel: { section: 'process', label: 'Name', omitNull: true, place: 80 },
  },
  pid: {
    shape: nullable(integer(1)),
    plausible: pid,
    detail: { line: 'process', label: 'pid', format: 'count', place: 10 },
    panel: { section: 'process', label: 'Pid', format: 'count', place: 10 },
  },
  startedAt: {
    shape: nullable(time),
    hive: {
      name: 'hivepulse_worker_start_time_seconds',
      help: 'When its main process started, since the Unix epoch.',
      scale: 'epoch',
      place: 20,
    },
    panel: { section: 'process', label: 'Started', format: 'localTime' },
  },
  uptimeSeconds: {
    shape: amount('Of the main process.'),
    plausible: seconds,
    ticks: true,
    unmeasured: null,
    column: {
      key: 'uptime',
      title: 'UP',
      right: true,
      width: [9, 12],
      rank: 5,
      place: 130,
      descending: true,
      format: 'duration',
    },
    detail: { line: 'process', label: 'up', format: 'duration' },
    panel: { section: 'process', label: 'Up for', format: 'duration', place: 30 },
    sort: 90,
  },
  processCount: {
    shape: nullable(integer(0)),
    plausible: { least: 0, most: pid.most },
    unmeasured: null,
    hive: { name: 'hivepulse_worker_processes', help: 'Processes in its cgroup.', place: 20 },
    detail: { line: 'process', label: 'processes', format: 'count', place: 20 },
    panel: { section: 'process', label: 'Processes', format: 'count', place: 20 },
  },
  model: {
    shape: nullable(text({ maxLength: maxModelLength }, 'First of the names that clients may ask for.')),
    column: { key: 'model', title: 'MODEL', width: [10, 34], rank: 3, place: 30 },
  },
  models: {
    shape: nullable(
      list(
        text({ minLength: 1, maxLength: maxModelLength }),
        maxModels,
        'Every name that clients may ask for, where there are several: served names, aliases, and of a manager the models that run. The first is `model`; null: there is no other.',
      ),
    ),
    optional: true,
  },
  port: { shape: nullable(integer(1, 'Port on which its server listens.', 65535)) },
  endpoint: {
    shape: nullable(text({ maxLength: 512 }, 'URL at which others reach its server.')),
    panel: { section: 'process', label: 'Endpoint' },
  },
  endpointReason: {
    shape: nullable({
      ...oneOf(endpointReasons),
      description:
        'Why `endpoint` is null. notListening: its processes listen on nothing. loopbackOnly: on loopback alone. otherNamespace: in a network namespace of its own. severalCandidates: more than one socket may be meant, or another process listens on the same one. addressUnknown: no address is known under which its port is reached. unidentified: it listens, and nothing shows that its model is served there. socketsUnknown: its sockets cannot be read, or were not yet.',
    }),
    optional: true,
    least: 'socketsUnknown',
    panel: {
      section: 'process',
      label: 'No endpoint',
      omitNull: true,
      words: {
        notListening: 'listens on nothing',
        loopbackOnly: 'listens on loopback alone',
        otherNamespace: 'listens in a network namespace of its own',
        severalCandidates: 'listens on several sockets',
        addressUnknown: 'the address of its host is not known',
        unidentified: 'listens, and has not answered as its engine',
        socketsUnknown: 'its sockets cannot be read',
      },
    },
  },
  command: {
    shape: nullable(
      text(
        { maxLength: 256 },
        'What may be shown of the command line: its program, names of options, and values that are known to be harmless.',
      ),
    ),
  },
  serving: {
    shape: nullable(recordOf(servingFields)),
    optional: true,
    rows: servingFields,
    unmeasured: null,
  },
  servingReason: {
    shape: nullable({
      ...oneOf(servingReasons),
      description:
        'Why `serving` is null, or why it lacks what its engine could tell. noEngine: no process of it is a known engine. unsupported: its engine says nothing of its load. noAddress: the hive does not reach its socket, or has not confirmed it. notAsked: it was not asked yet, or is not to be. refused: it takes no connection. silent: it has not answered in time. loading: it loads its model. keyNeeded: it asks for a key, and none is configured that it takes. metricsOff: its metrics are switched off. unreadable: it answers something else. Null with `serving`: the hive is of an older version.',
    }),
    optional: true,
    unmeasured: 'notAsked',
    least: 'unreadable',
    panel: {
      section: 'serving',
      label: 'Not known',
      omitNull: true,
      place: 90,
      words: {
        noEngine: 'no known engine',
        unsupported: 'its engine says nothing of its load',
        noAddress: 'the hive does not reach its socket',
        notAsked: 'not asked yet',
        refused: 'it takes no connection',
        silent: 'it has not answered',
        loading: 'it loads its model',
        keyNeeded: 'it asks for a key (engineKeys)',
        metricsOff: 'its metrics are switched off',
        unreadable: 'it answers something else',
      },
    },
  },
  labels: { shape: labels, panel: { section: 'process', label: 'Labels', place: 90 } },
  cpuPercent: {
    shape: amount('100 = one whole core.'),
    plausible: cpuPercent,
    unmeasured: null,
    fleet: {
      name: 'hivepulse_fleet_worker_cpu_used_cores',
      help: 'CPU in use; 1 is one whole core.',
      scale: 'ratio',
    },
    column: {
      key: 'cpu',
      title: 'CORES',
      right: true,
      width: [5, 6],
      rank: 2,
      place: 60,
      descending: true,
      format: 'cores',
      share: { of: 'cpuLimitPercent', warn: 0.9, bad: 0.97 },
    },
    sort: 10,
  },
  cpuThrottledPercent: {
    shape: share('Share of periods in which it was throttled.'),
    unmeasured: null,
    fleet: {
      name: 'hivepulse_fleet_worker_cpu_throttled_ratio',
      help: 'Share of periods in which it was throttled.',
      scale: 'ratio',
    },
    column: {
      key: 'throttled',
      title: 'THROTTLED',
      right: true,
      width: [9, 9],
      rank: 9,
      place: 70,
      descending: true,
      format: 'percent',
      share: { of: 100, warn: 0.25, bad: 0.5 },
    },
    detail: {
      line: 'throttled',
      after: ' of periods',
      format: 'percent',
      share: { of: 100, warn: 0.25, bad: 0.5 },
    },
    panel: { section: 'limits', label: 'Throttled', barWarn: 25, place: 20 },
  },
  cpuLimitPercent: {
    shape: amount('100 = one whole core; null = none, or not known.'),
    plausible: { least: 0, most: 1e12 },
    hive: {
      name: 'hivepulse_worker_cpu_limit_cores',
      help: 'CPU limit, least of it and its ancestors; no sample without one.',
      scale: 'ratio',
    },
    panel: {
      section: 'limits',
      label: 'CPU limit',
      format: 'cores',
      after: ' cores',
      ifNull: 'none, or not known',
      place: 10,
    },
  },
  memoryBytes: {
    shape: amount('All memory charged to it, page cache included.'),
    plausible: bytes,
    unmeasured: null,
    hive: { name: 'hivepulse_worker_memory_bytes', help: 'Memory charged to it, page cache included.' },
    fleet: { name: 'hivepulse_fleet_worker_memory_bytes', help: 'Memory charged to it, page cache included.' },
    detail: { line: 'memory', label: 'all', format: 'bytes' },
    sort: 20,
  },
  workingSetBytes: {
    shape: amount('memoryBytes without inactive page cache.'),
    plausible: bytes,
    unmeasured: null,
    hive: { name: 'hivepulse_worker_memory_working_set_bytes', help: 'Memory without inactive page cache.' },
    fleet: { name: 'hivepulse_fleet_worker_memory_working_set_bytes', help: 'Memory without inactive page cache.' },
    column: { key: 'memory', title: 'MEMORY', right: true, width: [16, 18], rank: 2, place: 80, descending: true },
    panel: { section: 'limits', label: 'Working set', format: 'gib', place: 40 },
    sort: 30,
  },
  memoryPeakBytes: {
    shape: amount('Highest memoryBytes.'),
    plausible: bytes,
    unmeasured: null,
    hive: { name: 'hivepulse_worker_memory_peak_bytes', help: 'Highest memory charged.' },
    detail: { line: 'memory', label: 'peak', format: 'bytes' },
    panel: { section: 'limits', label: 'Peak', format: 'gib', place: 40 },
  },
  memoryLimitBytes: {
    shape: amount('Least limit of it and its ancestors; null = none, or not known.'),
    plausible: { least: 0, most: 2 ** 63 },
    hive: {
      name: 'hivepulse_worker_memory_limit_bytes',
      help: 'Memory limit, least of it and its ancestors; no sample without one.',
    },
    fleet: {
      name: 'hivepulse_fleet_worker_memory_limit_bytes',
      help: 'Memory limit, least of it and its ancestors.',
    },
    panel: { section: 'limits', label: 'Memory limit', format: 'gib', ifNull: 'none, or not known', place: 30 },
  },
  memorySource: { shape: oneOf(['cgroup', 'proc']), least: 'cgroup' },
  oomKills: {
    shape: nullable(integer(0)),
    plausible: count,
    unmeasured: null,
    hive: {
      name: 'hivepulse_worker_oom_kills_total',
      type: 'counter',
      help: 'Processes of it that the kernel killed for memory. A worker of one process takes its series along: alert on hivepulse_hive_oom_kills_total.',
    },
    fleet: {
      name: 'hivepulse_fleet_worker_oom_kills',
      help: 'Processes of it that the kernel killed for memory, since its cgroup was made. A worker of one process takes its series along: alert on hivepulse_queen_events_total.',
    },
    detail: { line: 'memory', label: 'OOM kills', format: 'count', badAboveZero: true },
    panel: { section: 'limits', label: 'OOM kills', format: 'count', place: 40 },
  },
  ioReadBytesPerSecond: {
    shape: amount('Summed over devices.'),
    plausible: bytes,
    unmeasured: null,
    column: {
      key: 'io',
      title: 'READ',
      right: true,
      width: [10, 12],
      rank: 8,
      place: 110,
      descending: true,
      format: 'rate',
    },
    detail: { line: 'I/O', label: 'read', format: 'rate' },
    panel: { section: 'limits', label: 'Read', format: 'rate', place: 70 },
  },
  ioWriteBytesPerSecond: {
    shape: amount('Summed over devices.'),
    plausible: bytes,
    unmeasured: null,
    detail: { line: 'I/O', label: 'write', format: 'rate' },
    panel: { section: 'limits', label: 'Write', format: 'rate', place: 70 },
  },
  pressure: {
    shape: pressureShape,
    unmeasured: unmeasuredPressure,
    column: { key: 'pressure', title: 'PRESSURE', width: [9, 10], rank: 7, place: 120, descending: true },
    panel: {
      section: 'limits',
      label: 'Pressure',
      parts: {
        cpu: { label: 'CPU pressure', barWarn: 40 },
        memory: { label: 'Memory pressure', barWarn: 10 },
        io: { label: 'I/O pressure', barWarn: 40 },
      },
      place: 60,
    },
  },
  gpus: { shape: list(recordOf(workerGpuFields), 256), key: 'uuid', unmeasured: [] },
  gpusReason: {
    shape: nullable(
      text({ maxLength: 512 }, 'Why it is not known which GPUs it holds; null: `gpus` lists all of them.'),
    ),
    optional: true,
    unmeasured: 'its cgroup cannot be read now',
  },
  gpuUtilizationPercent: {
    shape: amount('Sum over its GPUs.'),
    plausible: { least: 0, most: 25_600 },
    unmeasured: null,
    fleet: {
      name: 'hivepulse_fleet_worker_gpu_utilization_ratio',
      help: 'Sum over its GPUs; 1 is one whole GPU.',
      scale: 'ratio',
      unlessEmpty: 'gpus',
    },
    column: { key: 'gpu', title: 'GPU', width: [12, 18], rank: 1, place: 90, descending: true },
    sort: 40,
  },
  vramUsedBytes: {
    shape: amount('Sum over its GPUs.'),
    plausible: bytes,
    unmeasured: null,
    fleet: {
      name: 'hivepulse_fleet_worker_vram_used_bytes',
      help: 'GPU memory held, over its GPUs.',
      unlessEmpty: 'gpus',
    },
    column: { key: 'vram', title: 'VRAM', width: [24, 36], rank: 1, place: 100, descending: true },
    sort: 50,
  },
  vramTotalBytes: {
    shape: amount('Sum of the totals of the GPUs on which it holds a context.'),
    plausible: bytes,
    unmeasured: null,
  },
  state: {
    shape: oneOf(workerStates),
    unmeasured: 'unknown',
    least: 'unknown',
    column: { key: 'state', title: 'STATE', width: [10, 10], rank: 0, place: 40 },
  },
  ready: {
    shape: nullable(boolean('null: nothing to probe.')),
    hive: {
      name: 'hivepulse_worker_ready',
      help: '1 where its probe says ready; no sample where there is nothing to probe.',
      scale: 'flag',
      place: 10,
    },
    fleet: {
      name: 'hivepulse_fleet_worker_ready',
      help: '1 where its probe says ready; no sample where there is nothing to probe.',
      scale: 'flag',
      place: 10,
    },
    column: { key: 'ready', title: 'READY', width: [5, 5], rank: 6, place: 50 },
  },
  reservationId: {
    shape: nullable(text({ maxLength: 64 })),
    optional: true,
    panel: { section: 'process', label: 'Reservation', omitNull: true, place: 80 },
  },
  origin: {
    shape: oneOf(['launched', 'adopted']),
    least: 'adopted',
    panel: {
      section: 'process',
      label: 'Origin',
      words: { launched: 'launched by hivepulse run', adopted: 'found running' },
      place: 60,
    },
  },
} as const satisfies FieldTable;
