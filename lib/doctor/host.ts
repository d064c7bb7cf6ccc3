import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { GpuReading } from '../gpu/reading.js';
import type { GpuVendor } from '../gpu/vendor.js';
import { findExecutable } from '../native/prebuilt.js';
import { toolEnvironment } from '../util/child-environment.js';
import { systemCode } from '../util/errors.js';

export interface ToolResult {
  /** null: it did not start, or was ended by us. */
  readonly exitCode: number | null;
  readonly output: string;
  readonly missing: boolean;
  readonly timedOut: boolean;
}

/** What the checks look at. Tests put a broken host in its place. */
export interface Host {
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  readonly uid: number;
  /** Goes before every absolute path; '' on the real machine. */
  readonly root: string;
  readonly run: (file: string, args: readonly string[], timeoutMs: number) => Promise<ToolResult>;
  /** Why the addon is not there; null where it is. */
  readonly addonReason: () => Promise<string | null>;
  /** The first answer of a vendor's driver, without a fallback; null where none came within the time. */
  readonly readGpus: (timeoutMs: number, vendor: GpuVendor) => Promise<GpuReading | null>;
}

/** Content of a file, or the code of the failure (`ENOENT`, `EOPNOTSUPP`...). */
export function read({ root }: Host, path: string): { readonly text: string } | { readonly code: string } {
  try {
    return { text: readFileSync(join(root, path), 'utf8') };
  } catch (error) {
    return { code: systemCode(error) ?? 'UNKNOWN' };
  }
}

export function textOf(host: Host, path: string): string | null {
  const result = read(host, path);
  return 'text' in result ? result.text : null;
}

export const exists = ({ root }: Host, path: string): boolean => existsSync(join(root, path));

export function list({ root }: Host, path: string): string[] {
  try {
    return readdirSync(join(root, path)).sort();
  } catch {
    return [];
  }
}

export function allowed({ root }: Host, path: string, mode: 'read' | 'write'): boolean {
  try {
    accessSync(join(root, path), mode === 'read' ? constants.R_OK : constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Where a link ends, below the root again; null where it leads nowhere. */
export function realPath({ root }: Host, path: string): string | null {
  try {
    const real = realpathSync(join(root, path));
    return root !== '' && real.startsWith(root) ? real.slice(root.length) : real;
  } catch {
    return null;
  }
}

export function linkOf({ root }: Host, path: string): string | null {
  try {
    return readlinkSync(join(root, path));
  } catch {
    return null;
  }
}

/**
 * The machine that this process runs on; `env` for its tools and the reader of its GPUs, `allGpus` as a hive here would
 * have it.
 */
export function thisHost(env: NodeJS.ProcessEnv = process.env, allGpus = false): Host {
  return {
    platform: process.platform,
    arch: process.arch,
    uid: process.getuid?.() ?? 0,
    root: '',
    run: (file, args, timeoutMs) => runTool(file, args, timeoutMs, env),
    addonReason: async () => (await import('../native/binding.js')).loadBinding().reason ?? null,
    readGpus: (timeoutMs, vendor) => readGpus(timeoutMs, vendor, { env, allGpus }),
  };
}

/** Runs a tool with a deadline. One that even SIGKILL does not end (stuck in a driver) is left behind. */
export function runTool(
  file: string,
  args: readonly string[],
  timeoutMs: number,
  env: NodeJS.ProcessEnv = process.env,
): Promise<ToolResult> {
  return new Promise((resolve) => {
    let output = '';
    let timedOut = false;
    const child = spawn(file, args, { env: toolEnvironment(env), stdio: ['ignore', 'pipe', 'pipe'] });
    const settle = (exitCode: number | null, missing = false): void => {
      clearTimeout(timer);
      child.stdout.destroy();
      child.stderr.destroy();
      resolve({ exitCode, output, missing, timedOut });
    };
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
      child.unref();
      settle(null);
    }, timeoutMs);
    const take = (part: string): void => {
      if (output.length < 64 * 1024) output += part;
    };
    child.stdout.setEncoding('utf8').on('data', take);
    child.stderr.setEncoding('utf8').on('data', take);
    child.once('error', (error) => settle(null, systemCode(error) === 'ENOENT'));
    child.once('close', (code) => settle(code));
  });
}

async function readGpus(
  timeoutMs: number,
  vendor: GpuVendor,
  options: { readonly env: NodeJS.ProcessEnv; readonly allGpus: boolean },
): Promise<GpuReading | null> {
  const { createGpuSource } = await import('../gpu/source.js');
  const isolation = findExecutable('hivepulse-gpu') === null ? 'thread' : 'process';
  const source = createGpuSource({ vendors: [vendor], fallback: false, isolation, ...options });
  try {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const reading = source.latest();
      if (reading.status !== 'initializing') return reading;
      if (performance.now() > deadline) return null;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  } finally {
    source.close();
  }
}
