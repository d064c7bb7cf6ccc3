import { spawn } from 'node:child_process';
import { accessSync, constants, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { defaults } from '../contract/defaults.js';
import { type GpuIdentities, sameBusId } from './assemble.js';
import { nvmlCode, reasonOf } from './codes.js';
import {
  GpuQuery,
  type GpuRows,
  listFailure,
  parseComputeApps,
  parseFailure,
  parseGpuRows,
  parsePmon,
  saysNoDevices,
} from './nvidia-smi-csv.js';
import type { RawGpu, RawProcess, RawReport } from './raw.js';

export interface NvidiaSmiOptions {
  /** Searched in PATH of `env`, then where WSL puts it. */
  readonly binary?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Where the driver lists its GPUs, for when nvidia-smi shows none because of a lost one. */
  readonly procDriver?: string;
  /** Pause between the begins of two passes, in ms. Never less than twice what the last pass took. */
  readonly intervalMs?: number;
  /** Longest that one run may take, in ms; of the first pass, which may have to wake every GPU, `firstTimeoutMs`. */
  readonly timeoutMs?: number;
  readonly firstTimeoutMs?: number;
  readonly now?: () => number;
  readonly spawn?: typeof spawn;
}

/** Why there is no report. */
export interface NvidiaSmiFailure {
  readonly kind: 'absent' | 'stalled' | 'failed';
  readonly code: string;
  readonly message: string;
}

export interface NvidiaSmiState {
  readonly report: RawReport | null;
  /** When the pass that gave `report` ended; of the clock of `now`. */
  readonly reportAt: number;
  /** Of the newest pass; null when it gave `report`, or none has ended. */
  readonly failure: NvidiaSmiFailure | null;
  /** Children that did not end after SIGKILL (the kernel holds them in the driver). */
  readonly abandoned: number;
}

interface RunResult {
  readonly text: string;
  readonly exitCode: number | null;
  readonly timedOut: boolean;
}

/** With so many children stuck in the driver, another would only be one more. */
/** Where nvidia-smi is not there, it is looked for that much less often than it would be run. */
const absentFactor = 10;
const maxAbandoned = 3;
/** pmon shows graphics processes too; without known processes it runs only so often. */
const pmonEvery = 5;
/** A child with a million descriptors to close takes half a minute to start (nvidia-container-toolkit#1053). */
const descriptorLimit = 1024;
const maxOutputBytes = 4 * 1024 * 1024;

class Failure extends Error {
  readonly failure: NvidiaSmiFailure;
  constructor(failure: NvidiaSmiFailure) {
    super(failure.message);
    this.failure = failure;
  }
}

/** Runs nvidia-smi for the whole host, one run at a time, and keeps what the last pass said. */
export class NvidiaSmi {
  readonly #options: Required<Omit<NvidiaSmiOptions, 'binary'>> & Pick<NvidiaSmiOptions, 'binary'>;
  readonly #identities: GpuIdentities;
  #query = new GpuQuery();
  #report: RawReport | null = null;
  #reportAt = 0;
  #failure: NvidiaSmiFailure | null = null;
  #abandoned = 0;
  #passes = 0;
  #answered = false;
  #timer: NodeJS.Timeout | null = null;
  #running: { readonly kill: () => void } | null = null;
  #pass: Promise<void> | null = null;
  #stopped = true;
  #generation = 0;

  constructor(identities: GpuIdentities, options: NvidiaSmiOptions = {}) {
    this.#identities = identities;
    this.#options = {
      env: process.env,
      procDriver: '/proc/driver/nvidia',
      intervalMs: defaults.intervalMs,
      timeoutMs: defaults.nvidiaSmiTimeoutMs,
      firstTimeoutMs: defaults.nvidiaSmiFirstTimeoutMs,
      now: () => performance.now(),
      spawn,
      ...options,
    };
  }

  get state(): NvidiaSmiState {
    return {
      report: this.#report,
      reportAt: this.#reportAt,
      failure: this.#failure,
      abandoned: this.#abandoned,
    };
  }

  /** Begins at once and goes on until `stop`. May be called when it runs already. */
  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    const generation = ++this.#generation;
    // A run of before the last `stop` may still be ending.
    if (this.#pass) void this.#pass.then(() => this.#begin(generation));
    else this.#begin(generation);
  }

  /** Kills a run in progress. Resolves when it has ended, or can't be ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#report = null;
    this.#failure = null;
    this.#running?.kill();
    await this.#pass;
  }

  #begin(generation: number): void {
    if (this.#stopped || generation !== this.#generation) return;
    const start = this.#options.now();
    this.#pass = this.#runPass().then(() => {
      this.#pass = null;
      if (this.#stopped || generation !== this.#generation) return;
      const took = this.#options.now() - start;
      // A driver is not installed between two ticks; to look for its program takes a tenth of what a tick may.
      const every = this.#options.intervalMs * (this.#failure?.kind === 'absent' ? absentFactor : 1);
      const wait = Math.max(every - took, took, 10);
      this.#timer = setTimeout(() => this.#begin(generation), wait);
      this.#timer.unref();
    });
  }

  async #runPass(): Promise<void> {
    try {
      const report = await this.#collect();
      if (this.#stopped) return;
      this.#report = report;
      this.#reportAt = this.#options.now();
      this.#failure = null;
      this.#answered = true;
    } catch (error) {
      if (this.#stopped) return;
      this.#report = null;
      this.#failure =
        error instanceof Failure
          ? error.failure
          : { kind: 'failed', code: 'NVIDIA_SMI_FAILED', message: `nvidia-smi: ${String(error)}` };
    }
  }

  async #collect(): Promise<RawReport> {
    const binary = this.#find();
    if (this.#abandoned >= maxAbandoned) {
      throw new Failure({
        kind: 'stalled',
        code: 'NVIDIA_SMI_STUCK',
        message: `nvidia-smi: ${this.#abandoned} runs are stuck in the driver and can't be killed; the host needs a reboot`,
      });
    }
    this.#passes++;
    const { rows, only } = await this.#gpus(binary);
    const listed = await this.#run(binary, [
      '--query-compute-apps=gpu_uuid,pid,process_name,used_gpu_memory',
      '--format=csv,noheader,nounits',
      ...only,
    ]);
    const apps = parseComputeApps(listed.text);
    // No processes is empty text, and so is a run that failed.
    const unlisted = listFailure(listed.text, listed.exitCode, rows.lost);
    const devices: RawGpu[] = rows.rows.map((row) => ({ ...row, values: { ...row.values }, codes: { ...row.codes } }));
    const processes: RawProcess[] = [];
    for (const app of apps.apps) {
      const device = devices.findIndex((gpu) => gpu.uuid.toLowerCase() === app.uuid.toLowerCase());
      if (device < 0) continue;
      // Under MIG a process may stand once for each instance: one pid counts once for each GPU, with all its memory.
      const known = processes.findIndex((process) => process.device === device && process.pid === app.pid);
      const bytes = known < 0 ? app.bytes : add(processes[known]!.bytes, app.bytes);
      if (known >= 0) processes.splice(known, 1);
      processes.push({ device, pid: app.pid, bytes, utilization: null });
    }
    if (processes.length > 0 || this.#passes % pmonEvery === 1) {
      await this.#addUtilization(binary, only, devices, processes);
    }
    devices.forEach((gpu, device) => {
      const values = gpu.values as Record<string, number>;
      const codes = gpu.codes as Record<string, number>;
      const refused = apps.refused.find(({ uuid }) => uuid.toLowerCase() === gpu.uuid.toLowerCase())?.code ?? unlisted;
      if (refused !== null) codes.processes = refused;
      else values.processes = processes.filter((process) => process.device === device).length;
    });
    return {
      driverVersion: rows.driverVersion,
      devices: [...devices, ...this.#lostDevices(rows, devices)].sort((a, b) => a.index - b.index),
      processes: this.#renumber(processes, devices, rows),
    };
  }

  /** The GPUs' rows, and the arguments that leave out what can't be asked in this pass. */
  async #gpus(binary: string): Promise<{ rows: GpuRows; only: readonly string[] }> {
    let only: readonly string[] = [];
    const lost: GpuRows['lost'][number][] = [];
    for (;;) {
      const { text, exitCode } = await this.#run(binary, [
        `--query-gpu=${this.#query.argument}`,
        '--format=csv,noheader,nounits',
        ...only,
      ]);
      const rows = parseGpuRows(text, this.#query);
      const next = rows.invalidField === null ? null : this.#query.without(rows.invalidField);
      if (next) {
        this.#query = next;
        continue;
      }
      for (const gpu of rows.lost) if (!lost.some((other) => sameBusId(other.busId, gpu.busId))) lost.push(gpu);
      if (rows.rows.length === 0 && rows.lost.length > 0) {
        // It stops at the first GPU that it can't open: the others are asked for by name.
        const others = this.#busIds().filter((busId) => !lost.some((gpu) => sameBusId(gpu.busId, busId)));
        const argument = others.join(',');
        if (others.length > 0 && only[1] !== argument) {
          only = ['-i', argument];
          continue;
        }
      }
      const whole = { ...rows, lost };
      if (rows.rows.length > 0 || lost.length > 0 || saysNoDevices(text)) return { rows: whole, only };
      const code = parseFailure(text, exitCode);
      const reason = reasonOf(code ?? nvmlCode.unknown);
      const said = text.trim().split('\n')[0]?.slice(0, 200) ?? '';
      throw new Failure({
        kind: 'failed',
        code: code === null ? 'NVIDIA_SMI_FAILED' : reason.code,
        message:
          code === null
            ? `nvidia-smi ended with ${exitCode ?? 'a signal'} and no rows${said === '' ? '' : `: ${said}`}`
            : `nvidia-smi: ${reason.text}`,
      });
    }
  }

  #busIds(): readonly string[] {
    try {
      return readdirSync(join(this.#options.procDriver, 'gpus'));
    } catch {
      return this.#identities.busIds();
    }
  }

  async #addUtilization(
    binary: string,
    only: readonly string[],
    devices: readonly RawGpu[],
    processes: RawProcess[],
  ): Promise<void> {
    const rows = parsePmon((await this.#run(binary, ['pmon', '-c', '1', '-s', 'um', ...only])).text);
    devices.forEach((gpu, device) => {
      const values = gpu.values as Record<string, number>;
      const codes = gpu.codes as Record<string, number>;
      if (rows === null || values.migEnabled === 1) {
        if (processes.some((process) => process.device === device)) codes.processUtilization = nvmlCode.notSupported;
        return;
      }
      const own = rows.filter((row) => row.index === gpu.index);
      // "-" is no sample. Idle, where samples are to be had at all: the GPU did nothing, or others have some.
      const sampled = values.utilizationPercent === 0 || own.some((row) => row.utilization !== null);
      for (const row of own) {
        const utilization = row.utilization ?? (sampled ? 0 : null);
        const known = processes.findIndex((process) => process.device === device && process.pid === row.pid);
        if (known >= 0) processes[known] = { ...processes[known]!, utilization };
        else processes.push({ device, pid: row.pid, bytes: row.bytes, utilization });
      }
      if (own.length > 0) values.processUtilization = 0;
    });
  }

  #lostDevices(rows: GpuRows, found: readonly RawGpu[]): RawGpu[] {
    const taken = new Set(found.map((gpu) => gpu.index));
    return rows.lost
      .filter((lost) => !found.some((gpu) => sameBusId(gpu.busId, lost.busId)))
      .map((lost) => {
        let index = this.#identities.indexAt(lost.busId) ?? 0;
        while (taken.has(index)) index++;
        taken.add(index);
        return {
          index,
          handleCode: lost.code,
          uuid: '',
          parentUuid: '',
          name: '',
          busId: lost.busId,
          computeCapability: '',
          values: {},
          codes: {},
        };
      });
  }

  /** Processes point at places in the list of devices; lost ones have come in between. */
  #renumber(processes: readonly RawProcess[], devices: readonly RawGpu[], rows: GpuRows): RawProcess[] {
    const all = [...devices, ...this.#lostDevices(rows, devices)].sort((a, b) => a.index - b.index);
    return processes
      .map((process) => ({
        ...process,
        device: all.findIndex((gpu) => gpu.index === devices[process.device]!.index),
      }))
      .sort((a, b) => a.device - b.device || a.pid - b.pid);
  }

  #find(): string {
    const { binary, env } = this.#options;
    const path = [...(env.PATH ?? '').split(':').filter(Boolean), '/usr/bin', '/usr/lib/wsl/lib'];
    const candidates = binary ? [binary] : path.map((directory) => join(directory, 'nvidia-smi'));
    const found = candidates.find((candidate) => {
      try {
        accessSync(candidate, constants.X_OK);
        return true;
      } catch {
        return false; // not there, or not ours to run: the next one may be
      }
    });
    if (found !== undefined) return found;
    throw new Failure({
      kind: 'absent',
      code: 'NVIDIA_SMI_MISSING',
      message: `${binary || 'nvidia-smi'} is not there or can't be run; it comes with the NVIDIA driver`,
    });
  }

  /** One run. Output counts whatever the exit code; only a run that does not end in time is a failure. */
  async #run(binary: string, args: readonly string[]): Promise<RunResult> {
    if (this.#stopped) throw new Failure({ kind: 'failed', code: 'NVIDIA_SMI_FAILED', message: 'stopped' });
    const limit = this.#answered ? this.#options.timeoutMs : this.#options.firstTimeoutMs;
    const result = await this.#spawn(binary, args, limit);
    if (!result.timedOut) return result;
    throw new Failure({
      kind: 'stalled',
      code: 'NVIDIA_SMI_TIMEOUT',
      message: `nvidia-smi gave no answer in ${limit / 1000} s and was killed; the driver may be stuck (see dmesg)`,
    });
  }

  #spawn(binary: string, args: readonly string[], limit: number): Promise<RunResult> {
    return new Promise((resolve, reject) => {
      const script = `ulimit -S -n ${descriptorLimit} 2>/dev/null; exec "$0" "$@"`;
      const child = this.#options.spawn('/bin/sh', ['-c', script, binary, ...args], {
        detached: true, // a group of its own, so that what it starts is killed with it
        env: this.#options.env,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      let text = '';
      let timedOut = false;
      let given: NodeJS.Timeout | null = null;
      const kill = () => {
        if (timedOut) return;
        timedOut = true;
        try {
          if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
        } catch {
          // it has ended in this moment
        }
        // SIGKILL does not reach a child that the kernel holds in the driver. It is left behind, and counted.
        given = setTimeout(() => {
          this.#abandoned++;
          child.once('exit', () => this.#abandoned--);
          child.unref();
          child.stdout?.destroy();
          settle(null);
        }, 1000);
      };
      const deadline = setTimeout(kill, limit);
      const settle = (exitCode: number | null) => {
        clearTimeout(deadline);
        if (given) clearTimeout(given);
        this.#running = null;
        resolve({ text, exitCode, timedOut });
      };
      this.#running = { kill };
      child.stdout?.setEncoding('utf8');
      child.stdout?.on('data', (chunk: string) => {
        if (text.length < maxOutputBytes) text += chunk;
      });
      child.once('error', (error) => {
        clearTimeout(deadline);
        this.#running = null;
        reject(error);
      });
      child.once('close', settle);
    });
  }
}

function add(one: number | null, other: number | null): number | null {
  return one === null || other === null ? null : one + other;
}
