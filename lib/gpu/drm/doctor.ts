import { plural } from '../../util/plural.js';
import type { GpuReading } from '../reading.js';
import type { GpuCheckHost, GpuFinding } from '../vendor.js';
import { cardIdentity } from './card.js';
import type { DrmDriver } from './driver.js';

const ok = (check: string, message: string): GpuFinding => ({ check, status: 'ok', message, fix: '' });

/** Of Intel's integrated GPUs. */
const integratedAt = '0000:00:02.0';

/** PCI vendor ids, as sysfs has them. */
const pciVendors: Readonly<Record<string, string>> = { AMD: '0x1002', Intel: '0x8086' };

/** Displays and accelerators of the vendor on the bus: class 0x03 and, of Instinct cards, 0x12. */
function onBus(vendor: string, host: GpuCheckHost): readonly string[] {
  return host.list('/sys/bus/pci/devices').filter((slot) => {
    const file = (name: string) => host.text(`/sys/bus/pci/devices/${slot}/${name}`)?.trim() ?? '';
    return file('vendor') === pciVendors[vendor] && /^0x(?:03|1200)/.test(file('class'));
  });
}

/** Cards of the vendor that no driver of its own has, less those that are given to virtual machines. */
function withoutDriver({ vendor }: DrmDriver, driven: readonly string[], host: GpuCheckHost): readonly string[] {
  return onBus(vendor, host).filter((slot) => {
    const bound = host.realPath(`/sys/bus/pci/devices/${slot}/driver`) ?? '';
    // Server boards of any vendor may have an integrated GPU that nobody wants a driver for.
    return !driven.includes(slot) && slot !== integratedAt && !/\/vfio[-_]pci$/.test(bound);
  });
}

/** What the driver has, as far as that is no fault: cards that sleep, and integrated ones that nothing holds. */
function found(driver: string, vendor: string, cards: number, reading: GpuReading | null): string {
  const asleep = reading?.devices.filter(({ health }) => health === 'suspended').length ?? 0;
  const sleeps =
    asleep === 0 ? '' : ` ${asleep} sleep${asleep === 1 ? 's, and is' : ', and are'} not woken to be read.`;
  const isHidden = reading?.status === 'absent';
  const hidden = isHidden
    ? ' It is integrated: shown from the first process on that holds it (--all-gpus: always).'
    : '';
  return `${driver} drives ${plural(cards, `${vendor} GPU`)}.${sleeps}${hidden}`;
}

/** Why the reader has nothing to say of them; null: it has. */
function silence(reading: GpuReading | null, driver: string): string | null {
  if (reading === null || reading.status === 'stalled') return `Files of the ${driver} driver give no answer.`;
  if (reading.status !== 'failed') return null;
  return `Files of the ${driver} driver cannot be read: ${reading.faults[0]?.message ?? 'no reason is known'}.`;
}

/** Cards, their kernel driver, and whether processes of others can be seen. */
export async function checkDrm(own: DrmDriver, host: GpuCheckHost): Promise<readonly GpuFinding[] | null> {
  const { vendor, drivers } = own;
  const check = `gpu${vendor}`;
  const driven = host
    .list('/sys/class/drm')
    .filter((name) => /^card\d+$/.test(name))
    .flatMap((name) => cardIdentity(host.text(`/sys/class/drm/${name}/device/uevent`) ?? '') ?? [])
    .filter(({ driver }) => drivers.includes(driver));
  const places = driven.map(({ pdev }) => pdev);
  const lacking = withoutDriver(own, places, host).length;
  const module = driven[0]?.driver ?? drivers.at(-1);
  const findings: GpuFinding[] = [];
  if (lacking > 0)
    findings.push({
      check: driven.length === 0 ? check : `${check}Driver`,
      status: driven.length === 0 ? 'fail' : 'warn',
      message: `${plural(lacking, `${vendor} GPU`)} on the PCI bus, but no driver (${drivers.join(' or ')}) is bound to ${lacking === 1 ? 'it' : 'them'}.`,
      fix: `modprobe ${module}; dmesg | grep -i ${module} says why it does not start`,
    });
  if (module === undefined || driven.length === 0) return findings.length === 0 ? null : findings;
  const reading = await host.readGpus(10_000);
  const message = found(module, vendor, driven.length, reading);
  findings.unshift({ ...ok(check, message), ...(reading === null ? {} : { reading }) });
  const silent = silence(reading, module);
  if (silent !== null) {
    const fix = `dmesg | grep -i ${module}; a reboot where the driver does not come back`;
    return [...findings, { check: `${check}Files`, status: 'fail', message: silent, fix }];
  }
  if (reading?.devices.some(({ processesKnown, health }) => !processesKnown && health === 'ok'))
    findings.push({
      check: `${check}Processes`,
      status: 'warn',
      message: `User ${host.uid} may not see which processes of others hold ${vendor} GPUs: their VRAM and utilization are unknown.`,
      fix: 'run the hive as root, or with CAP_SYS_PTRACE; in a container, with the pids of the host (--pid=host)',
    });
  return findings;
}
