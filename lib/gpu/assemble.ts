import { unmeasured as unmeasuredOf } from '../contract/fields/field.js';
import { gpuFields } from '../contract/fields/gpu.js';
import { gpuBytes, nullImplausible, plausibleRules, rawText, roundingBytes } from '../contract/fields/plausible.js';
import { workerGpuFields } from '../contract/fields/worker-gpu.js';
import type { Fault, GpuSample } from '../contract/heartbeat.js';
import { type PidCheck, pidsOf } from '../procfs/pids.js';
import { healthOf, healthWithout, memoryProblems } from './health.js';
import type { GpuIdentities, GpuName } from './identities.js';
import type { GpuDevice, GpuProcess } from './reading.js';
import { type GpuReason, isUnsupported } from './reasons.js';
import type { GpuReport, ReportedGpu, ReportedProcess, ReportedValues } from './report.js';

export interface Assembled {
  readonly devices: readonly GpuDevice[];
  readonly processes: readonly GpuProcess[];
  readonly faults: readonly Fault[];
}

/** What a driver may say of a GPU, each as not known. */
const unmeasured = unmeasuredOf(gpuFields) as unknown as ReportedValues;

const givenByDriver = Object.keys(unmeasured) as (keyof ReportedValues)[];

type Identity = Omit<GpuDevice, keyof ReportedValues | 'lastXid' | 'unsupported' | 'health' | 'processesKnown'>;

/** A device of which nothing is known now but which one it is. */
export function blankDevice(identity: Identity, health: GpuSample['health']): GpuDevice {
  return { ...identity, ...unmeasured, lastXid: null, unsupported: [], health, processesKnown: false };
}

/**
 * Makes the contract's GPUs of a vendor's report. `lastXid` is not here: it outlives readers, and `vendor-gpus.ts` keeps it.
 * @param firstIndex index on the host of the vendor's first GPU
 * @param vendor as people call it
 */
export function assemble(
  report: GpuReport,
  identities: GpuIdentities,
  firstIndex = 0,
  isPid: PidCheck = pidsOf(),
  vendor: string | null = null,
): Assembled {
  const faults: Fault[] = [];
  const processes: GpuProcess[] = [];
  if (report.unlisted) {
    const { code, text } = report.unlisted;
    const message = `the driver does not list its GPUs, only those known before are asked: ${text}`;
    faults.push({ source: 'gpu', code, message, field: 'gpus' });
  }
  for (const { code, text } of report.problems ?? []) faults.push({ source: 'gpu', code, message: text });
  const names = identities.identify(report.devices);
  const answers = report.devices.some(({ unreachable }) => unreachable === null);
  const devices = report.devices.map((gpu, position) => {
    const blank = blankOf(gpu, names[position] ?? gpu, firstIndex, answers, vendor);
    const named = new Set<string>();
    const fault: ReportFault = ({ code, text }, field) => {
      if (field !== undefined) named.add(field);
      const about = field === undefined ? {} : { field };
      faults.push({ source: 'gpu', code, message: `GPU ${blank.index}: ${text}`, gpuUuid: blank.uuid, ...about });
    };
    if (gpu.unreachable) {
      fault(gpu.unreachable);
      // One that sleeps runs nothing, which is known; of one that does not answer nothing is.
      return gpu.unreachable.name === 'suspended' ? { ...blank, processesKnown: gpu.processesKnown } : blank;
    }
    const own = plausibleProcesses(
      report.processes.filter(({ device }) => device === position),
      gpu.values,
      isPid,
      fault,
    );
    for (const { pid, bytes, utilization } of own) {
      processes.push({ gpuUuid: blank.uuid, pid, memoryUsedBytes: bytes, utilizationPercent: utilization });
    }
    return measure(gpu, blank, own, fault, named);
  });
  return { devices, processes, faults };
}

const orNull = (text: string): string | null => (text === '' ? null : text);

function blankOf(
  gpu: ReportedGpu,
  known: GpuName,
  firstIndex: number,
  answers: boolean,
  vendor: string | null,
): GpuDevice {
  const { uuid, name, busId, computeCapability, unifiedMemory } = known;
  const identity = {
    uuid,
    index: firstIndex + gpu.index,
    name: orNull(name),
    ...(vendor === null ? {} : { vendor }),
    pciBusId: orNull(busId),
    parentUuid: orNull(gpu.parentUuid),
    memoryKind: unifiedMemory ? ('unified' as const) : ('device' as const),
    computeCapability: orNull(computeCapability),
  };
  return blankDevice(identity, gpu.unreachable ? healthWithout(gpu.unreachable, answers) : 'ok');
}

type ReportFault = (what: Pick<GpuReason, 'code' | 'text'>, field?: string) => void;

const rules = plausibleRules(gpuFields);
/** A worker may have several processes on a GPU; one has no more than all of it. */
const processRules = plausibleRules(workerGpuFields).map((rule) =>
  rule.name === 'utilizationPercent' ? { ...rule, most: 100 } : rule,
);

/** Share of a GPU's memory that may come or go between the reading of what is in use and that of its processes. */
const movedShare = 1 / 8;

/** What all processes of a GPU together can hold, and which figure says so. */
function mostHeld({ memoryTotalBytes, memoryUsedBytes }: ReportedGpu['values']): { bytes: number; text: string } {
  const total = memoryTotalBytes ?? null;
  if (total === null || !(total >= 0 && total <= gpuBytes.most))
    return { bytes: gpuBytes.most, text: `no GPU has more than ${gpuBytes.most}` };
  const used = memoryUsedBytes ?? null;
  const most = used === null || !(used >= 0) ? total : Math.min(total, used + total * movedShare);
  return most < total ? { bytes: most, text: `${used} are in use` } : { bytes: total, text: `it has ${total}` };
}

/** Processes that can be: pids that this kernel gives out, and no more memory than the GPU has in use. */
function plausibleProcesses(
  listed: readonly ReportedProcess[],
  values: ReportedGpu['values'],
  isPid: PidCheck,
  fault: ReportFault,
): readonly ReportedProcess[] {
  const own = listed.filter(({ pid }) => isPid(pid));
  if (own.length < listed.length) {
    const odd = listed.filter((each) => !own.includes(each)).map(({ pid }) => pid);
    fault({ code: 'IMPLAUSIBLE', text: `processes: the driver lists pid ${odd.join(', ')}` }, 'processCount');
  }
  const field = 'workers.gpus.memoryUsedBytes';
  const checked = own.map(({ utilization, ...each }) => {
    const held = { memoryUsedBytes: each.bytes, utilizationPercent: utilization };
    nullImplausible(processRules, held, (name, value) =>
      fault(
        { code: 'IMPLAUSIBLE', text: `${name} of pid ${each.pid}: the driver says ${rawText(value)}` },
        `workers.gpus.${name}`,
      ),
    );
    return { ...each, bytes: held.memoryUsedBytes, utilization: held.utilizationPercent };
  });
  const sum = checked.reduce((total, { bytes }) => total + (bytes ?? 0), 0);
  const most = mostHeld(values);
  if (sum <= most.bytes + roundingBytes * Math.max(1, own.length)) return checked;
  fault({ code: 'IMPLAUSIBLE', text: `its processes hold ${sum} bytes, and ${most.text}` }, field);
  return checked.map((each) => ({ ...each, bytes: null }));
}

/** A GPU which answers, with its values; what is wrong with them goes to `fault`. */
function measure(
  { values: raw, reasons, ...gpu }: ReportedGpu,
  blank: GpuDevice,
  own: readonly ReportedProcess[],
  fault: ReportFault,
  named: ReadonlySet<string>,
): GpuDevice {
  const values = { ...raw };
  nullImplausible(rules, values, (field, value) =>
    fault({ code: 'IMPLAUSIBLE', text: `${field}: the driver says ${rawText(value)}` }, field),
  );
  const problems = [...gpu.problems, ...memoryProblems(values)];
  for (const problem of problems) fault(problem);
  const unsupported = new Set<string>();
  for (const [field, reason] of Object.entries(reasons)) {
    if (isUnsupported(reason)) unsupported.add(field);
    else fault({ code: reason.code, text: `${field}: ${reason.text}` }, field);
  }
  let used = values.memoryUsedBytes ?? null;
  const givesNone = (raw.memoryUsedBytes ?? null) === null;
  const noTotal = reasons.memoryTotalBytes?.name === 'notSupported';
  const noUsed = givesNone && (reasons.memoryUsedBytes === undefined || isUnsupported(reasons.memoryUsedBytes));
  if (blank.memoryKind === 'unified' && noTotal && noUsed && gpu.processesKnown) {
    // It has no memory of its own. What its processes hold is known all the same; the host's memory is not the GPU's.
    used = own.reduce<number | null>((sum, { bytes }) => (sum === null || bytes === null ? null : sum + bytes), 0);
    if (used !== null) unsupported.delete('memoryUsedBytes');
  }
  const utilizationPercent = values.utilizationPercent ?? null;
  if (utilizationPercent === 100 && gpu.processesKnown && own.length === 0 && used === 0) {
    const text = '100 % busy with no process and no memory in use; some drivers latch there until a reset';
    fault({ code: 'UTILIZATION_SUSPECT', text }, 'utilizationPercent');
  }
  const isExplained = (field: string) => named.has(field) || field in reasons;
  if (own.some(({ bytes }) => bytes === null) && !isExplained('workers.gpus.memoryUsedBytes'))
    unsupported.add('workers.gpus.memoryUsedBytes');
  if (!gpu.processesKnown && !isExplained('processCount')) unsupported.add('processCount');
  const device = { ...blank, ...values, memoryUsedBytes: used };
  // What its reader gave neither as a value nor with a reason, it was not asked for: it can't be had from this reader.
  for (const field of givenByDriver) if (device[field] === null && !isExplained(field)) unsupported.add(field);
  return {
    ...device,
    unsupported: [...unsupported],
    health: healthOf(problems, reasons),
    processesKnown: gpu.processesKnown,
  };
}
