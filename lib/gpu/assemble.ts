import type { Fault, GpuSample } from '../contract/heartbeat.js';
import { isUnsupported, nvmlCode, reasonOf, throttleReasons } from './codes.js';
import { causesOf, goneCode, healthOf } from './health.js';
import type { RawField, RawGpu, RawReport } from './raw.js';
import type { GpuDevice, GpuProcess } from './reading.js';

export interface Assembled {
  readonly devices: readonly GpuDevice[];
  readonly processes: readonly GpuProcess[];
  readonly faults: readonly Fault[];
}

interface Identity {
  readonly uuid: string;
  readonly name: string;
  readonly busId: string;
  readonly computeCapability: string;
}

/** Who stood at which index, so that a GPU which fell off the bus is still called by its name. */
export class GpuIdentities {
  readonly #byIndex = new Map<number, Identity>();

  remember(devices: readonly RawGpu[]): void {
    for (const gpu of devices) {
      if (gpu.handleCode === nvmlCode.success && gpu.parentUuid === '' && gpu.uuid !== '') {
        this.#byIndex.set(gpu.index, gpu);
      }
    }
  }

  /** Of a GPU never seen healthy, its place stands for its name. */
  of(gpu: RawGpu): Identity {
    if (gpu.uuid !== '') return gpu;
    return this.#byIndex.get(gpu.index) ?? { ...gpu, uuid: `unidentified-${gpu.index}` };
  }

  /** Index of the GPU on a bus id (in any spelling), or null. */
  indexAt(busId: string): number | null {
    for (const [index, identity] of this.#byIndex) {
      if (sameBusId(identity.busId, busId)) return index;
    }
    return null;
  }

  /** Bus ids of all GPUs ever seen. */
  busIds(): readonly string[] {
    return [...this.#byIndex.values()].map((identity) => identity.busId);
  }
}

/** `0000:1B:00.0` and `00000000:1b:00.0` are one place. */
export function sameBusId(one: string, other: string): boolean {
  const plain = (text: string) => text.toLowerCase().replace(/^0*/, '');
  return plain(one) === plain(other);
}

/** Chips whose memory is the host's as well (GB10), or a NUMA node of it (GH200, whose `used` contains page cache). */
const unifiedChips = /\b(GB10|GH200)\b/;

/** How raw fields are called in the contract; those missing here are for the reader's own use. */
const contractNames: Partial<Readonly<Record<RawField, string>>> = {
  memoryTotalBytes: 'memoryTotalBytes',
  memoryUsedBytes: 'memoryUsedBytes',
  memoryReservedBytes: 'memoryReservedBytes',
  utilizationPercent: 'utilizationPercent',
  memoryBusPercent: 'memoryBusPercent',
  temperatureCelsius: 'temperatureCelsius',
  powerWatts: 'powerWatts',
  powerLimitWatts: 'powerLimitWatts',
  smClockMhz: 'smClockMhz',
  fanPercent: 'fanPercent',
  throttleBits: 'throttleReasons',
  eccUncorrected: 'eccUncorrected',
  remapPending: 'remappedRows',
  nvlinksTotal: 'nvlinks',
  migEnabled: 'migMode',
  processes: 'processCount',
  processUtilization: 'workers.gpus.utilizationPercent',
};

/** Whether only its MIG devices can be used; null where it can't be told. */
function migMode(gpu: RawGpu): boolean | null {
  if (gpu.values.migEnabled !== undefined) return gpu.values.migEnabled === 1;
  const { migEnabled: code } = gpu.codes;
  // A card, or a driver, that knows of no MIG; and MIG devices, of which nobody asks.
  return gpu.parentUuid !== '' || (code !== undefined && isUnsupported(code)) ? false : null;
}

/** A device of which nothing is known now but who it is. */
export function blankDevice(
  identity: Pick<GpuDevice, 'uuid' | 'index' | 'name' | 'pciBusId' | 'parentUuid' | 'memoryKind' | 'computeCapability'>,
  health: GpuSample['health'],
): GpuDevice {
  return {
    uuid: identity.uuid,
    index: identity.index,
    name: identity.name,
    pciBusId: identity.pciBusId,
    parentUuid: identity.parentUuid,
    migMode: null,
    memoryTotalBytes: null,
    memoryUsedBytes: null,
    memoryReservedBytes: null,
    memoryKind: identity.memoryKind,
    utilizationPercent: null,
    memoryBusPercent: null,
    temperatureCelsius: null,
    powerWatts: null,
    powerLimitWatts: null,
    smClockMhz: null,
    fanPercent: null,
    throttleReasons: [],
    eccUncorrected: null,
    remappedRows: null,
    nvlinks: null,
    lastXid: null,
    computeCapability: identity.computeCapability,
    unsupported: [],
    health,
    processesKnown: false,
  };
}

const orNull = (text: string): string | null => (text === '' ? null : text);

/** `lastXid` is not here: it outlives readers, and `source.ts` keeps it. */
export function assemble(report: RawReport, identities: GpuIdentities): Assembled {
  identities.remember(report.devices);
  const faults: Fault[] = [];
  const processes: GpuProcess[] = [];
  if (report.countCode !== undefined) {
    const { code, text } = reasonOf(report.countCode);
    const message = `the driver does not list its GPUs, only those known before are asked: ${text}`;
    faults.push({ source: 'gpu', code, message, field: 'gpus' });
  }
  const devices = report.devices.map((gpu, position) => {
    const identity = identities.of(gpu);
    const own = report.processes.filter((process) => process.device === position);
    const gone = goneCode(gpu);
    const causes = causesOf(gpu.values);
    const unified =
      gpu.parentUuid === '' &&
      (gpu.codes.memoryTotalBytes === nvmlCode.notSupported || unifiedChips.test(identity.name));
    const blank = blankDevice(
      {
        uuid: identity.uuid,
        index: gpu.index,
        name: orNull(identity.name),
        pciBusId: orNull(identity.busId),
        parentUuid: orNull(gpu.parentUuid),
        memoryKind: unified ? 'unified' : 'device',
        computeCapability: orNull(identity.computeCapability),
      },
      healthOf(gpu, gone, causes),
    );
    const fault = (code: string, message: string, field?: string) => {
      const about = field === undefined ? {} : { field };
      faults.push({ source: 'gpu', code, message, gpuUuid: identity.uuid, ...about });
    };
    if (gone !== nvmlCode.success) {
      const reason = reasonOf(gone);
      fault(reason.code, `GPU ${gpu.index}: ${reason.text}`);
      return blank;
    }
    for (const { code, text } of causes) fault(code, `GPU ${gpu.index}: ${text}`);
    for (const process of own) {
      processes.push({
        gpuUuid: identity.uuid,
        pid: process.pid,
        memoryUsedBytes: process.bytes,
        utilizationPercent: process.utilization,
      });
    }

    const unsupported = new Set<string>();
    for (const [field, code] of Object.entries(gpu.codes) as [RawField, number][]) {
      const name = contractNames[field];
      if (name === undefined || (field === 'migEnabled' && isUnsupported(code))) continue; // to have no MIG is an answer
      if (isUnsupported(code)) unsupported.add(name);
      else fault(reasonOf(code).code, `GPU ${gpu.index}: ${name}: ${reasonOf(code).text}`, name);
    }
    const value = (field: RawField): number | null => gpu.values[field] ?? null;
    const percent = (field: RawField): number | null => {
      const found = value(field);
      if (found === null || (found >= 0 && found <= 100)) return found;
      fault('IMPLAUSIBLE', `GPU ${gpu.index}: ${field}: the driver says ${found}`, field);
      return null;
    };

    let used = value('memoryUsedBytes');
    if (gpu.codes.memoryTotalBytes === nvmlCode.notSupported && gpu.values.processes !== undefined) {
      // No memory of its own to tell about; what processes hold is still told. The host's memory is not the GPU's.
      used = own.reduce<number | null>((sum, { bytes }) => (sum === null || bytes === null ? null : sum + bytes), 0);
      if (used !== null) unsupported.delete('memoryUsedBytes');
    }
    const utilization = percent('utilizationPercent');
    if (utilization === 100 && gpu.values.processes === 0 && used === 0) {
      fault(
        'UTILIZATION_SUSPECT',
        `GPU ${gpu.index}: 100 % busy with no process and no memory in use; some drivers latch there until a reset`,
        'utilizationPercent',
      );
    }
    if (own.some((process) => process.bytes === null)) unsupported.add('workers.gpus.memoryUsedBytes');
    if (gpu.inforomCorrupted) {
      const reason = reasonOf(nvmlCode.corruptedInforom);
      fault(reason.code, `GPU ${gpu.index}: ${reason.text}`);
    }
    const pending = value('remapPending');
    const links = value('nvlinksTotal');
    return {
      ...blank,
      migMode: migMode(gpu),
      memoryTotalBytes: value('memoryTotalBytes'),
      memoryUsedBytes: used,
      memoryReservedBytes: value('memoryReservedBytes'),
      utilizationPercent: utilization,
      memoryBusPercent: percent('memoryBusPercent'),
      temperatureCelsius: value('temperatureCelsius'),
      powerWatts: value('powerWatts'),
      powerLimitWatts: value('powerLimitWatts'),
      smClockMhz: value('smClockMhz'),
      fanPercent: value('fanPercent'),
      throttleReasons: throttleReasons(gpu.values.throttleBits ?? 0),
      eccUncorrected: value('eccUncorrected'),
      remappedRows: pending === null ? null : { pending: pending === 1, failed: gpu.values.remapFailed === 1 },
      nvlinks: links === null ? null : { up: gpu.values.nvlinksUp ?? 0, total: links },
      unsupported: [...unsupported],
      processesKnown: gpu.values.processes !== undefined,
    };
  });
  return { devices, processes, faults };
}
