// A host's GPUs as the kernel shows them below /sys and /proc, written to a directory.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { memoryDirectory, temporaryDirectory } from '../../harness/leftovers.js';

export const MiB = 1024 * 1024;
export const GiB = 1024 * MiB;

/** Content by path below the directory of a card; null removes the file. */
export type Files = Readonly<Record<string, string | number | Buffer | null>>;

export interface FakeCard {
  readonly driver: 'amdgpu' | 'i915' | 'xe' | 'nvidia';
  readonly pdev: string;
  readonly pciId: string;
  readonly files: Files;
  /** Below device/hwmon/hwmonN. */
  readonly hwmon: Files;
  readonly runtimeStatus?: string;
}

/** `gpu_metrics` of a kernel: size, format, content revision. */
export const gpuMetrics = (format: number, revision: number): Buffer => {
  const bytes = Buffer.alloc(120, 0xff);
  bytes.writeUInt16LE(bytes.length, 0);
  bytes[2] = format;
  bytes[3] = revision;
  return bytes;
};

/** A Radeon with memory of its own (RDNA 3). */
export const radeon = (pdev = '0000:03:00.0', files: Files = {}, hwmon: Files = {}): FakeCard => ({
  driver: 'amdgpu',
  pdev,
  pciId: '1002:744C',
  files: {
    'device/gpu_busy_percent': 37,
    'device/mem_busy_percent': 12,
    'device/mem_info_vram_total': 24 * GiB,
    'device/mem_info_vram_used': 9 * GiB,
    'device/mem_info_gtt_total': 32 * GiB,
    'device/mem_info_gtt_used': 100 * MiB,
    'device/gpu_metrics': gpuMetrics(1, 3),
    ...files,
  },
  hwmon: {
    name: 'amdgpu',
    temp1_input: 54_000,
    temp1_label: 'edge',
    temp2_input: 63_000,
    power1_average: 201_000_000,
    power1_cap: 339_000_000,
    freq1_input: 2_304_000_000,
    fan1_input: 1650,
    fan1_max: 3300,
    ...hwmon,
  },
});

/** An Instinct (CDNA 3): no edge sensor, no fan, `power1_input`, cut as `partition` says. */
export const instinct = (pdev = '0000:c1:00.0', partition = 'SPX', files: Files = {}): FakeCard => ({
  driver: 'amdgpu',
  pdev,
  pciId: '1002:74A1',
  files: {
    'device/product_name': 'AMD Instinct MI300X OAM',
    'device/gpu_busy_percent': 91,
    'device/mem_busy_percent': 40,
    'device/mem_info_vram_total': 192 * GiB,
    'device/mem_info_vram_used': 150 * GiB,
    'device/mem_info_gtt_total': 512 * GiB,
    'device/mem_info_gtt_used': 20 * MiB,
    'device/current_compute_partition': partition,
    'device/current_memory_partition': partition === 'CPX' ? 'NPS4' : 'NPS1',
    'device/gpu_metrics': gpuMetrics(1, 6),
    ...files,
  },
  hwmon: {
    name: 'amdgpu',
    temp2_input: 71_000,
    power1_input: 611_000_000,
    power1_cap: 750_000_000,
    freq1_input: 2_100_000_000,
  },
});

/** A processor with graphics: part of the host's memory is its VRAM, the rest is reached through GTT. */
export const apu = (pdev = '0000:c5:00.0', files: Files = {}): FakeCard => ({
  driver: 'amdgpu',
  pdev,
  pciId: '1002:1586',
  files: {
    'device/gpu_busy_percent': 3,
    'device/mem_info_vram_total': 512 * MiB,
    'device/mem_info_vram_used': 400 * MiB,
    'device/mem_info_gtt_total': 60 * GiB,
    'device/mem_info_gtt_used': 20 * GiB,
    'device/gpu_metrics': gpuMetrics(3, 0),
    ...files,
  },
  hwmon: { name: 'amdgpu', temp1_input: 48_000, power1_input: 31_000_000, freq1_input: 800_000_000 },
});

/** An Arc with the xe driver (Battlemage). */
export const arcXe = (pdev = '0000:07:00.0', files: Files = {}, hwmon: Files = {}): FakeCard => ({
  driver: 'xe',
  pdev,
  pciId: '8086:E20B',
  files: { 'device/tile0/gt0/freq0/act_freq': 2450, ...files },
  hwmon: {
    name: 'xe',
    energy1_input: 1_000_000,
    energy2_input: 800_000,
    temp2_input: 51_000,
    power1_max: 190_000_000,
    ...hwmon,
  },
});

/** An Arc with the i915 driver (Alchemist). */
export const arcI915 = (pdev = '0000:08:00.0', files: Files = {}, hwmon: Files = {}): FakeCard => ({
  driver: 'i915',
  pdev,
  pciId: '8086:56A0',
  files: { gt_act_freq_mhz: 2100, 'gt/gt0/rps_act_freq_mhz': 2100, ...files },
  hwmon: { name: 'i915', energy1_input: 5_000_000, power1_max: 225_000_000, ...hwmon },
});

/** What every Intel desktop has. */
export const integrated = (files: Files = {}): FakeCard => ({
  driver: 'i915',
  pdev: '0000:00:02.0',
  pciId: '8086:4680',
  files: { gt_act_freq_mhz: 300, ...files },
  hwmon: {},
});

export interface FakeClient {
  readonly driver: 'amdgpu' | 'i915' | 'xe';
  readonly pdev: string;
  readonly id: number;
  /** Lines beside those that say which client it is. */
  readonly lines?: Readonly<Record<string, string>>;
}

/** A client in the spelling of today's kernels. */
export const fdinfo = ({ driver, pdev, id, lines = {} }: FakeClient): string =>
  [
    'pos:\t0',
    'flags:\t02100002',
    'mnt_id:\t27',
    'ino:\t531',
    `drm-driver:\t${driver}`,
    `drm-client-id:\t${id}`,
    `drm-pdev:\t${pdev}`,
    ...Object.entries(lines).map(([key, value]) => `${key}:\t${value}`),
    '',
  ].join('\n');

/** Pids of the fixtures: below those of any process that a test may start itself. */
export class FakeDrmHost {
  readonly root: string;
  readonly #remove: () => void;
  #cards = 0;
  #hwmons = 0;
  #nodes = 0;

  constructor(cards: readonly FakeCard[] = []) {
    // A read that takes a second is taken to hang, and on a busy disk one may.
    const { path, remove } = temporaryDirectory('drm', memoryDirectory());
    this.root = path;
    this.#remove = remove;
    for (const directory of ['sys/class/drm', 'proc/sys/kernel']) mkdirSync(join(path, directory), { recursive: true });
    this.write('proc/sys/kernel/pid_max', '4194304\n');
    for (const card of cards) this.add(card);
  }

  get roots(): { readonly sys: string; readonly proc: string } {
    return { sys: join(this.root, 'sys'), proc: join(this.root, 'proc') };
  }

  write(path: string, content: string | Buffer): void {
    const at = join(this.root, path);
    mkdirSync(dirname(at), { recursive: true });
    writeFileSync(at, content);
  }

  /** Puts a pipe without a writer in the place of a file. */
  pipe(path: string): void {
    this.remove(path);
    execFileSync('mkfifo', [join(this.root, path)]);
  }

  link(path: string, target: string): void {
    const at = join(this.root, path);
    mkdirSync(dirname(at), { recursive: true });
    symlinkSync(target, at);
  }

  remove(path: string): void {
    rmSync(join(this.root, path), { recursive: true, force: true });
  }

  /** Gives the name of the card below sys/class/drm. */
  add(card: FakeCard): string {
    const name = `card${this.#cards++}`;
    const at = `sys/class/drm/${name}`;
    const [, minor] = ['', String(this.#cards)];
    this.write(
      `${at}/device/uevent`,
      `DRIVER=${card.driver}\nPCI_CLASS=38000\nPCI_ID=${card.pciId}\nPCI_SLOT_NAME=${card.pdev}\nMODALIAS=pci:v0000${minor}\n`,
    );
    this.write(`${at}/device/power/runtime_status`, `${card.runtimeStatus ?? 'active'}\n`);
    // Connectors stand beside the cards.
    mkdirSync(join(this.root, `${at}-DP-1`), { recursive: true });
    this.set(name, card.files);
    this.setHwmon(name, this.#hwmons++, card.hwmon);
    return name;
  }

  set(card: string, files: Files): void {
    this.#setAll(`sys/class/drm/${card}`, files);
  }

  setHwmon(card: string, number: number, files: Files): void {
    if (Object.keys(files).length > 0) this.#setAll(`sys/class/drm/${card}/device/hwmon/hwmon${number}`, files);
  }

  /** As after the driver was bound anew: with files of its own. */
  renumberHwmon(card: string, from: number, to: number): void {
    const at = join(this.root, `sys/class/drm/${card}/device/hwmon`);
    cpSync(join(at, `hwmon${from}`), join(at, `hwmon${to}`), { recursive: true });
    this.remove(`sys/class/drm/${card}/device/hwmon/hwmon${from}`);
  }

  unplug(card: string): void {
    this.remove(`sys/class/drm/${card}`);
  }

  /** A process whose descriptors are these, from number 3 on; those of other files stand before them. */
  process(pid: number, descriptors: readonly (string | FakeClient)[]): void {
    // What was there goes when its successor is there: else the same inode may be given again.
    const before = join(this.root, `before-${pid}`);
    if (existsSync(join(this.root, `proc/${pid}`))) renameSync(join(this.root, `proc/${pid}`), before);
    mkdirSync(join(this.root, `proc/${pid}/fd`), { recursive: true });
    rmSync(before, { recursive: true, force: true });
    this.write(`proc/${pid}/fdinfo/0`, 'pos:\t0\nflags:\t0100000\nmnt_id:\t27\n');
    symlinkSync('/dev/null', join(this.root, `proc/${pid}/fd/0`));
    for (const [i, each] of descriptors.entries()) {
      const text = typeof each === 'string' ? each : fdinfo(each);
      symlinkSync('/dev/dri/renderD128', join(this.root, `proc/${pid}/fd/${i + 3}`));
      this.write(`proc/${pid}/fdinfo/${i + 3}`, text);
    }
  }

  end(pid: number): void {
    this.remove(`proc/${pid}`);
  }

  /** A GPU in the topology of KFD. */
  kfdNode(gpuId: number, properties: Readonly<Record<string, number>>): void {
    const at = `sys/class/kfd/kfd/topology/nodes/${this.#nodes++}`;
    this.write(`${at}/gpu_id`, `${gpuId}\n`);
    const text = Object.entries({ cpu_cores_count: 0, simd_count: 304, ...properties });
    this.write(`${at}/properties`, `${text.map(([key, value]) => `${key} ${value}`).join('\n')}\n`);
  }

  /** A process of ROCm; `pasid` is left out by some kernels. */
  kfdProcess(pid: number, vram: Readonly<Record<number, number>>, pasid: number | null = 32_770): void {
    const at = `sys/class/kfd/kfd/proc/${pid}`;
    this.remove(at);
    if (pasid !== null) this.write(`${at}/pasid`, `${pasid}\n`);
    for (const [gpuId, bytes] of Object.entries(vram)) {
      this.write(`${at}/vram_${gpuId}`, `${bytes}\n`);
      this.write(`${at}/sdma_${gpuId}`, '0\n');
      this.write(`${at}/stats_${gpuId}/cu_occupancy`, '0\n');
    }
    this.write(`${at}/queues/0/gpuid`, `${Object.keys(vram)[0] ?? 0}\n`);
  }

  [Symbol.dispose](): void {
    this.#remove();
  }

  #setAll(at: string, files: Files): void {
    for (const [name, content] of Object.entries(files)) {
      if (content === null) this.remove(`${at}/${name}`);
      else this.write(`${at}/${name}`, Buffer.isBuffer(content) ? content : `${content}\n`);
    }
  }
}
