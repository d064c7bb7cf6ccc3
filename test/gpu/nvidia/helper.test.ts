import type { SpawnOptions, spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { findHelper, type HelperOptions, openHelper } from '../../../lib/gpu/nvidia/helper.js';
import { findExecutable } from '../../../lib/native/prebuilt.js';
import { Program, settled } from './scripted-programs.js';

function opened(options: HelperOptions = {}, find?: () => string | null) {
  const started: Program[] = [];
  const fake = ((file: string, args: readonly string[], how: SpawnOptions) => {
    started.push(new Program(file, args, how, 4242));
    return started[0];
  }) as unknown as typeof spawn;
  const channel = openHelper({ helper: '/opt/hivepulse-gpu', spawn: fake, ...options }, find);
  return { program: started[0]!, channel };
}

describe('the reader of NVML as a process', () => {
  it('is given what was set, and nothing else', () => {
    expect(opened().program.args).toEqual([]);
    const { program } = opened({
      libraryPaths: ['/usr/lib/a.so', '/opt/b.so'],
      intervalMs: 500,
      slowIntervalMs: 4000,
      retryMs: 250,
      env: { PATH: '/usr/bin', API_TOKEN: 'x' },
    });
    expect(program.file).toBe('/opt/hivepulse-gpu');
    expect(program.args).toEqual([
      ...['--library', '/usr/lib/a.so', '--library', '/opt/b.so'],
      ...['--interval-ms', '500', '--slow-interval-ms', '4000', '--retry-ms', '250'],
    ]);
    expect(program.options).toEqual({
      detached: true,
      env: { PATH: '/usr/bin' },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    expect(program.isHeld).toBe(false);
  });

  it('is looked for beside the addon, and where it is nowhere it says how to get it', () => {
    expect(findHelper()).toBe(findExecutable('hivepulse-gpu'));
    const found = '/lib/hivepulse/hivepulse-gpu';
    expect(opened({ helper: undefined } as never, () => found).program.file).toBe(found);
    expect(opened({}, () => found).program.file).toBe('/opt/hivepulse-gpu');
    expect(() => openHelper({}, () => null)).toThrow('npm rebuild hivepulse');
  });

  it('gives each line once, and none before it is whole', async () => {
    const { program, channel } = opened();
    program.stdout.write('{"type":"init"}\n{"type":"al');
    await settled();
    expect(channel.take()).toEqual(['{"type":"init"}']);
    program.stdout.write('ive"}\n\n');
    await settled();
    expect(channel.take()).toEqual(['{"type":"alive"}', '']);
    expect(channel.take()).toEqual([]);
  });

  it('a letter that two chunks share is not broken', async () => {
    const { program, channel } = opened();
    const bytes = Buffer.from('Grünau\n');
    program.stdout.write(bytes.subarray(0, 3));
    await settled();
    program.stdout.write(bytes.subarray(3));
    await settled();
    expect(channel.take()).toEqual(['Grünau']);
  });

  it('keeps the newest 1024 lines of one that nobody takes from', async () => {
    const { program, channel } = opened();
    program.stdout.write(Array.from({ length: 1024 }, (_, i) => `${i}\n`).join(''));
    await settled();
    expect(channel.take()).toHaveLength(1024);
    program.stdout.write(Array.from({ length: 1025 }, (_, i) => `${i}\n`).join(''));
    await settled();
    const taken = channel.take();
    expect([taken.length, taken[0], taken.at(-1)]).toEqual([1024, '1', '1024']);
  });

  it('keeps 4 MiB of a line without an end, the last', async () => {
    const { program, channel } = opened();
    program.stdout.write(`x${'y'.repeat(4 * 1024 * 1024)}`);
    await settled();
    program.stdout.write('z\n');
    await settled();
    const [line] = channel.take();
    expect([line?.length, line?.[0], line?.at(-1)]).toEqual([4 * 1024 * 1024 + 1, 'y', 'z']);
  });

  it.each([
    ['in good order', 0, null, '', ''],
    ['in good order, after a warning', 0, null, 'deprecated', 'deprecated'],
    ['with a code', 3, null, '', 'exit code 3'],
    ['by a signal', null, 'SIGSEGV', '', 'SIGSEGV'],
    ['with a word of why', 127, null, 'warning\nno symbol nvmlInit_v2 \n', 'exit code 127: no symbol nvmlInit_v2'],
    ['with too many words', null, 'SIGABRT', `${'w'.repeat(199)}xy`, `SIGABRT: ${'w'.repeat(199)}x`],
  ] as const)('its end %s', async (_how, code, signal, said, end) => {
    const { program, channel } = opened();
    expect(channel.end()).toBeNull();
    if (said !== '') program.stderr.write(said);
    await settled();
    program.emit('close', code, signal);
    expect(channel.end()).toBe(end);
  });

  it('one that cannot be started says so, whatever comes after', () => {
    const { program, channel } = opened();
    program.emit('error', new Error('spawn EACCES'));
    program.emit('close', -13, null);
    expect(channel.end()).toBe("/opt/hivepulse-gpu can't be started: spawn EACCES");
  });

  it('an error after its end is not why it ended', () => {
    const { program, channel } = opened();
    program.emit('close', 4, null);
    program.emit('error', new Error('kill ESRCH'));
    expect(channel.end()).toBe('exit code 4');
  });

  it('is asked to close by its input, which may be gone, and ended by force', async () => {
    const { program, channel } = opened();
    channel.close();
    await settled();
    expect(String(program.stdin.read())).toBe('close\n');
    expect(() => program.stdin.emit('error', new Error('EPIPE'))).not.toThrow();
    expect(channel.kill()).toBe(true);
    expect(program.signals).toEqual(['SIGKILL']);
    expect(channel.opensAnew).toBe(true);
  });
});
