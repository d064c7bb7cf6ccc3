import { spawn } from 'node:child_process';
import { accessSync, constants, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { defaults } from '../../contract/defaults.js';
import { toolEnvironment } from '../../util/child-environment.js';
import { type GpuIdentities, sameBusId } from '../identities.js';
import type { GpuReport, ReportedProcess } from '../report.js';
import { nvmlCode, reasonOf } from './codes.js';
import {
  computeAppsFields,
  GpuQuery,
  type GpuRows,
  hostProblem,
  type LostGpu,
  listFailure,
  parseComputeApps,
  parseFailure,
  parseGpuRows,
  saysNoDevices,
} from './nvidia-smi-csv.js';
import { addUtilization, larger, readPmon } from './pmon.js';
import { type OpenGpu, toReport } from './report.js';

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
  readonly report: GpuReport | null;
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

/** Where nvidia-smi is not there, it is looked for that much less often than it would be run. */
const absentFactor = 10;
/** Children stuck in the driver, after which no more are started. */
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
  #report: GpuReport | null = null;
  #reportAt = 0;
  #failure: NvidiaSmiFailure | null = null;
  #abandoned = 0;
  #passes = 0;
  #answered = false;
  #timer: NodeJS.Timeout | undefined;
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
      timeoutMs: 10_000,
      firstTimeoutMs: 60_000,
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
    clearTimeout(this.#timer);
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

  async #collect(): Promise<GpuReport> {
    const binary = this.#find();
    if (this.#abandoned >= maxAbandoned) {
      throw new Failure({
        kind: 'stalled',
        code: 'NVIDIA_SMI_STUCK',
        message: `nvidia-smi: ${this.#abandoned} runs are stuck in the driver and can't be killed; the host needs a reboot`,
      });
    }
    this.#passes++;
    const { rows, only, problem } = await this.#gpus(binary);
    const listed = await this.#run(binary, [
      `--query-compute-apps=${computeAppsFields}`,
      '--format=csv,noheader,nounits',
      ...only,
    ]);
    const { apps, refused } = parseComputeApps(listed.text);
    // No processes is empty text, and so is a run that failed.
    const devices = this.#withLost(rows);
    const named = (uuid: string) => devices.filter((gpu) => gpu.uuid !== '' && sameUuid(gpu.uuid, uuid));
    const of = (uuid: string) => (named(uuid).length === 1 ? devices.findIndex((gpu) => gpu === named(uuid)[0]) : -1);
    // A process of a GPU that has no row, or of one of several with the same name, may be of any of them.
    const isUnplaced = rows.lost.length === 0 && apps.some(({ uuid }) => named(uuid).length !== 1);
    const unlisted = listFailure(listed.text, listed.exitCode, rows.lost) ?? (isUnplaced ? nvmlCode.notFound : null);
    let processes: ReportedProcess[] = [];
    for (const { uuid, pid, bytes } of apps) {
      const device = of(uuid);
      if (device < 0) continue;
      // Under MIG a process may be listed once for each instance, each with memory of its own; else it is the same twice.
      const known = processes.find((process) => process.device === device && process.pid === pid);
      const join = devices[device]?.values.migEnabled === 1 ? add : larger;
      processes = processes.filter((process) => process !== known);
      processes.push({ device, pid, bytes: known ? join(known.bytes, bytes) : bytes, utilization: null });
    }
    if (processes.length > 0 || this.#passes % pmonEvery === 1) {
      const answer = await readPmon((args) => this.#run(binary, args), devices, only);
      addUtilization(answer, devices, processes);
    }
    devices.forEach((gpu, device) => {
      if (gpu.handleCode !== nvmlCode.success) return;
      const code = refused.find(({ uuid }) => sameUuid(uuid, gpu.uuid))?.code ?? unlisted;
      if (code !== null) gpu.codes.processes = code;
      else gpu.values.processes = processes.filter((process) => process.device === device).length;
    });
    return toReport({
      driverVersion: rows.driverVersion,
      ...(problem === null ? {} : { problems: [problem] }),
      devices,
      processes: processes.sort((a, b) => a.device - b.device || a.pid - b.pid),
    });
  }

  /** The GPUs' rows, and the arguments that leave out what can't be asked in this pass. */
  async #gpus(binary: string): Promise<{
    readonly rows: GpuRows;
    readonly only: readonly string[];
    readonly problem: ReturnType<typeof hostProblem>;
  }> {
    let only: readonly string[] = [];
    let lost: readonly LostGpu[] = [];
    for (;;) {
      const query = [`--query-gpu=${this.#query.argument}`, '--format=csv,noheader,nounits', ...only];
      const { text, exitCode } = await this.#run(binary, query);
      const rows = parseGpuRows(text, this.#query);
      const next = rows.invalidField === null ? null : this.#query.without(rows.invalidField);
      if (next) {
        this.#query = next;
        continue;
      }
      const isNew = ({ busId }: LostGpu) => !lost.some((gpu) => sameBusId(gpu.busId, busId));
      lost = [...lost, ...rows.lost.filter(isNew)];
      if (rows.rows.length === 0 && rows.lost.length > 0) {
        // It stops at the first GPU that it can't open: the others are asked for by name.
        const others = this.#busIds().filter((busId) => !lost.some((gpu) => sameBusId(gpu.busId, busId)));
        const argument = others.join(',');
        if (others.length > 0 && only[1] !== argument) {
          only = ['-i', argument];
          continue;
        }
      }
      if (rows.rows.length === 0 && lost.length === 0 && !saysNoDevices(text)) throw noRows(text, exitCode);
      const all = { ...rows, lost };
      return { rows: all, only, problem: saysNoDevices(text) ? null : hostProblem(all, exitCode) };
    }
  }

  #busIds(): readonly string[] {
    try {
      return readdirSync(join(this.#options.procDriver, 'gpus'));
    } catch {
      return this.#identities.busIds();
    }
  }

  /** The GPUs that gave a row and those that are lost, by index. */
  #withLost({ rows, lost }: GpuRows): OpenGpu[] {
    const devices: OpenGpu[] = rows.map((row) => ({ ...row, values: { ...row.values }, codes: { ...row.codes } }));
    const taken = new Set(rows.map(({ index }) => index));
    for (const { busId, code } of lost) {
      if (rows.some((gpu) => sameBusId(gpu.busId, busId))) continue;
      let index = this.#identities.indexAt(busId) ?? 0;
      while (taken.has(index)) index++;
      taken.add(index);
      const unnamed = { uuid: '', parentUuid: '', name: '', computeCapability: '' };
      devices.push({ ...unnamed, index, handleCode: code, busId, values: {}, codes: {} });
    }
    return devices.sort((a, b) => a.index - b.index);
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
      message: `nvidia-smi did not answer within ${limit / 1000} s and was killed; the driver may be stuck (see dmesg)`,
    });
  }

  #spawn(binary: string, args: readonly string[], limit: number): Promise<RunResult> {
    return new Promise((resolve, reject) => {
      const script = `ulimit -S -n ${descriptorLimit} 2>/dev/null; exec "$0" "$@"`;
      const child = this.#options.spawn('/bin/sh', ['-c', script, binary, ...args], {
        detached: true, // a group of its own, so that what it starts is killed with it
        env: toolEnvironment(this.#options.env),
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      let text = '';
      let timedOut = false;
      let given: NodeJS.Timeout | undefined;
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
        clearTimeout(given);
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

/** Why nvidia-smi gave no rows at all. */
function noRows(text: string, exitCode: number | null): Failure {
  const code = parseFailure(text, exitCode);
  if (code !== null) {
    const reason = reasonOf(code);
    return new Failure({ kind: 'failed', code: reason.code, message: `nvidia-smi: ${reason.text}` });
  }
  const said = text.trim().split('\n')[0]?.slice(0, 200) ?? '';
  const ended = `nvidia-smi ended with ${exitCode ?? 'a signal'} and no rows${said === '' ? '' : `: ${said}`}`;
  return new Failure({ kind: 'failed', code: 'NVIDIA_SMI_FAILED', message: ended });
}

const sameUuid = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();
