import type { spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { GpuIdentities } from '../../../lib/gpu/identities.js';
import { NvidiaSmi } from '../../../lib/gpu/nvidia/nvidia-smi.js';

const pid = 4242;

/** A child that says and ends when the test wants. */
class Child extends EventEmitter {
  readonly pid = pid;
  readonly stdout = new PassThrough();
  readonly args: readonly string[];

  constructor(args: readonly string[]) {
    super();
    this.args = args;
  }

  unref(): void {}

  async say(text: string): Promise<void> {
    this.stdout.write(text);
    await vi.advanceTimersByTimeAsync(0);
  }

  async end(exitCode: number | null): Promise<void> {
    this.emit('close', exitCode);
    await vi.advanceTimersByTimeAsync(0);
  }
}

/** One GPU's row for what a query asks. */
function rowOf(child: Child, memoryMib: number): string {
  const fields = child.args.find((each) => each.startsWith('--query-gpu='))?.slice('--query-gpu='.length) ?? '';
  const known: Record<string, string> = {
    uuid: 'GPU-5f1d3f0e-9d7a-4c0e-8c59-1a9f6a2f3c11',
    index: '0',
    name: 'NVIDIA L4',
    'pci.bus_id': '00000000:3B:00.0',
    'memory.total': String(memoryMib),
  };
  return `${fields
    .split(',')
    .map((field) => known[field] ?? '[N/A]')
    .join(', ')}\n`;
}

describe('runs of nvidia-smi', () => {
  const children: Child[] = [];
  const killed: [number, string | number | undefined][] = [];
  let smi: NvidiaSmi;
  const newest = () => children.at(-1) as Child;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    children.length = 0;
    killed.length = 0;
    vi.spyOn(process, 'kill').mockImplementation((id, signal) => {
      killed.push([id, signal]);
      newest().emit('close', null);
      return true;
    });
    const fake = ((_command: string, args: readonly string[]) => {
      const child = new Child(args);
      children.push(child);
      return child;
    }) as unknown as typeof spawn;
    smi = new NvidiaSmi(new GpuIdentities(), { binary: process.execPath, spawn: fake, procDriver: '/none' });
  });
  afterEach(async () => {
    await smi.stop();
    vi.restoreAllMocks();
    vi.useRealTimers();
  });

  /** The first pass, which is answered: one GPU and no process. */
  async function answered(memoryMib = 23_034): Promise<void> {
    smi.start();
    await newest().say(rowOf(newest(), memoryMib));
    for (const count of [1, 2, 3]) {
      expect(children).toHaveLength(count);
      await newest().end(0);
    }
    expect(smi.state.report?.devices).toHaveLength(1);
  }

  it('the deadline of nvidia-smi is 10 s, and what nvidia-smi started ends with it', async () => {
    await answered();
    await vi.advanceTimersByTimeAsync(1000);
    expect(children).toHaveLength(4);
    await vi.advanceTimersByTimeAsync(9500);
    expect(killed).toEqual([]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(killed).toEqual([[-pid, 'SIGKILL']]);
    expect(smi.state.failure).toMatchObject({ code: 'NVIDIA_SMI_TIMEOUT', kind: 'stalled' });
    expect(smi.state.report).toBeNull();
  });

  it('the first run has 60 s: a driver that is not loaded yet takes long to answer', async () => {
    smi.start();
    await vi.advanceTimersByTimeAsync(58_000);
    expect(killed).toEqual([]);
    await vi.advanceTimersByTimeAsync(3000);
    expect(killed).toEqual([[-pid, 'SIGKILL']]);
  });

  it('the next run begins no sooner than twice what the last one took', async () => {
    smi.start();
    await newest().say(rowOf(newest(), 23_034));
    await vi.advanceTimersByTimeAsync(3000);
    for (let run = 0; run < 3; run++) await newest().end(0);
    const before = children.length;
    await vi.advanceTimersByTimeAsync(2999);
    expect(children).toHaveLength(before);
    await vi.advanceTimersByTimeAsync(1);
    expect(children).toHaveLength(before + 1);
  });

  it('the output of nvidia-smi has a bound: what comes after 4 MiB is not read', async () => {
    smi.start();
    await newest().say(`${'x'.repeat(1023)}\n`.repeat(4 * 1024));
    await newest().say(rowOf(newest(), 23_034));
    await newest().end(0);
    expect(smi.state.report).toBeNull();
    expect(smi.state.failure?.message).toContain('no rows');
  });

  it('what comes before that is', async () => {
    smi.start();
    await newest().say(`${'x'.repeat(1023)}\n`.repeat(4 * 1024 - 1));
    await newest().say(rowOf(newest(), 23_034));
    for (let run = 0; run < 3; run++) await newest().end(0);
    expect(smi.state.report?.devices).toHaveLength(1);
  });

  it.each([23_034, 11_264, 81_559, 143_771])('a GPU of %i MiB has that and no other size', async (memoryMib) => {
    await answered(memoryMib);
    expect(smi.state.report?.devices[0]).toMatchObject({ values: { memoryTotalBytes: memoryMib * 2 ** 20 } });
  });
});
