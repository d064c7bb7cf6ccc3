import { describe, expect, it } from 'vitest';
import { NvmlSession } from '../../../lib/gpu/nvidia/nvml.js';
import { FakeChannel, started } from './nvml-session.js';

describe('NVML session', () => {
  it('is initializing for a minute at most', () => {
    const { session, newest, pass } = started();
    newest().say({ type: 'init' });
    pass(59_000, () => newest().say({ type: 'alive' }));
    expect(session.state.kind).toBe('initializing');
    pass(2_000, () => newest().say({ type: 'alive' }));
    expect(session.state.kind).toBe('stalled');
  });

  it('is stalled after two seconds without a word, and not by a pass that takes its time', () => {
    const { session, newest, pass } = started();
    newest().report();
    pass(250);
    expect(session.state.kind).toBe('working');
    pass(6_000, () => newest().say({ type: 'alive' }));
    expect(session.state.kind).toBe('working');
    pass(2_250);
    expect(session.state).toMatchObject({ kind: 'stalled', code: 'NVML_STALLED' });
    newest().report();
    pass(250);
    expect(session.state.kind).toBe('working');
  });

  it('is stalled after more than two seconds, and after more than ten the reader is killed', () => {
    const { session, newest, pass } = started(undefined, { intervalMs: 500 });
    newest().report();
    pass(50);
    const silent = (ms: number) => pass(ms, undefined, 50);
    silent(2000);
    expect(session.state.kind).toBe('working');
    silent(50);
    expect(session.state.kind).toBe('stalled');
    const reader = newest();
    silent(7950);
    expect(reader.killed).toBe(0);
    silent(50);
    expect(reader.killed).toBe(1);
  });

  it('with long intervals it is stalled after two of them', () => {
    const { session, newest, pass } = started(undefined, { intervalMs: 3000 });
    newest().report();
    pass(250);
    pass(6000);
    expect(session.state.kind).toBe('working');
    pass(250);
    expect(session.state.kind).toBe('stalled');
  });

  it.each([
    [
      'that cannot be loaded',
      () => {
        throw new Error('no addon');
      },
      'no addon',
    ],
    ['that is nowhere', (channel: FakeChannel) => channel.say({ type: 'unavailable', reason: 'nowhere' }), 'nowhere'],
  ])('a library %s is looked for again after a minute', (_what, configure, message) => {
    let opened = 0;
    const { session, channels, pass } = started((channel) => {
      opened += 1;
      configure(channel);
    });
    pass(250);
    if (channels[0] !== undefined) channels[0].ended = '';
    expect(session.state).toEqual({ kind: 'unavailable', message });
    const before = channels.length === 0 ? 250 : 0;
    pass(59_750 - before);
    expect(opened).toBe(1);
    pass(500);
    expect(opened).toBe(2);
  });

  it('what it knew stands while another reader begins, as long as it is fresh', () => {
    const { session, newest, pass } = started();
    newest().report();
    pass(250);
    newest().ended = 'SIGSEGV';
    pass(250);
    const reportAt = 1250;
    expect(session.state).toMatchObject({ kind: 'initializing', report: { devices: [] }, reportAt });
    pass(2750);
    expect(session.state).toMatchObject({ kind: 'initializing', report: { devices: [] }, reportAt });
    pass(250);
    expect(session.state).toEqual({ kind: 'initializing', report: null, reportAt });
  });

  it('Xid events are given once', () => {
    const { session, newest, pass } = started();
    newest().say({ type: 'xid', uuid: 'GPU-7', xid: 79 });
    pass(250);
    expect(session.takeEvents()).toEqual([
      { kind: 'xid', gpuUuid: 'GPU-7', at: expect.any(String), detail: { xid: 79 } },
    ]);
    expect(session.takeEvents()).toEqual([]);
  });

  it('close lets go and ends the reader, and no other is opened', () => {
    const { session, channels, newest, pass } = started((channel) => {
      channel.killable = false;
    });
    session.close();
    expect([newest().closed, newest().killed]).toEqual([true, 1]);
    pass(120_000);
    expect(channels).toHaveLength(1);
  });

  it('does not take a pause of its own event loop for silence of the driver', () => {
    const { session, newest, pass, jump } = started();
    newest().report();
    pass(250);
    jump(8_000);
    expect(session.state.kind).toBe('working');
    newest().report();
    pass(500);
    expect(session.state.kind).toBe('working');
  });

  it('replaces a reader that is stuck', () => {
    const { session, channels, newest, pass } = started();
    newest().report();
    pass(12_000);
    expect(channels).toHaveLength(2);
    expect(channels[0]!.killed).toBe(1);
    expect(session.state.kind).toBe('stalled'); // until the new one has an answer
    newest().say({ type: 'init' });
    newest().report();
    pass(250);
    expect(session.state.kind).toBe('working');
  });

  it('leaves behind at most three readers that the kernel holds', () => {
    const { session, channels, newest, pass } = started((channel) => {
      channel.killable = false;
    });
    pass(20 * 60_000, () => {
      if (newest().killed === 0) newest().report(); // each works once, then is stuck
    });
    for (let i = 0; i < 6; i++) pass(60_000);
    expect(channels.length).toBe(3);
    expect(session.abandoned).toBe(3);
    expect(session.state).toMatchObject({
      kind: 'stalled',
      message: expect.stringContaining("3 readers can't be killed"),
    });
    channels[0]!.ended = 'SIGKILL';
    pass(500);
    expect(channels.length).toBe(4);
    expect(session.abandoned).toBe(2);
  });

  it('a crash costs one restart; three within a minute are a failure, tried again later', () => {
    const { session, channels, newest, pass } = started();
    newest().report();
    pass(250);
    newest().ended = 'SIGSEGV';
    pass(250);
    expect(channels).toHaveLength(2);
    expect(session.state.kind).toBe('initializing');
    newest().report();
    pass(250);
    expect(session.state.kind).toBe('working');
    for (const _ of [2, 3]) {
      newest().ended = 'SIGSEGV';
      pass(250);
    }
    expect(session.state).toMatchObject({ kind: 'failed', code: 'GPU_READER_CRASHED' });
    expect(session.state).toMatchObject({ message: expect.stringContaining('SIGSEGV') });
    expect(channels).toHaveLength(3);
    pass(29_750);
    expect(channels).toHaveLength(3);
    pass(250);
    expect(channels).toHaveLength(4);
    expect(session.state.kind).toBe('failed'); // until it has answered
    newest().report();
    pass(250);
    expect(session.state.kind).toBe('working');
  });

  it('a driver that was upgraded: the reader is replaced at once, then after pauses that double, until one works', () => {
    const { session, channels, newest, pass } = started();
    newest().report();
    pass(250);
    newest().say({ type: 'failed', call: 'nvmlInit_v2', code: 9, replaced: true });
    pass(250);
    expect(channels).toHaveLength(2);
    const mismatch = () => newest().say({ type: 'failed', call: 'nvmlInit_v2', code: 18, replaced: false });
    const finely = (ms: number) => pass(ms, undefined, 50);
    mismatch();
    finely(50); // it is heard and ended
    finely(950);
    expect(channels).toHaveLength(2);
    finely(50);
    expect(channels).toHaveLength(3);
    mismatch();
    finely(50);
    finely(1950);
    expect(channels).toHaveLength(3);
    finely(50);
    expect(channels).toHaveLength(4);
    expect(session.state).toMatchObject({ kind: 'failed', code: 'VERSION_MISMATCH' });
    newest().report();
    pass(250);
    expect(session.state.kind).toBe('working');
    mismatch();
    pass(500);
    expect(channels).toHaveLength(5);
  });

  it.each([
    ['within a minute', 59_000, 'failed'],
    ['over a longer time', 60_500, 'initializing'],
  ] as const)('three crashes %s', (_what, ms, kind) => {
    const { session, newest, pass } = started();
    for (const pauseMs of [0, 250, ms - 250]) {
      pass(pauseMs, () => newest().report());
      newest().ended = 'SIGSEGV';
      pass(250);
    }
    expect(session.state.kind).toBe(kind);
  });

  it('a driver that stays another: the reader is replaced each half minute at last', () => {
    const { channels, newest, pass } = started();
    const mismatch = () => {
      if (newest().ended === null) newest().say({ type: 'failed', call: 'nvmlInit_v2', code: 18, replaced: false });
    };
    const untilReplaced = () => {
      const before = channels.length;
      let waitedMs = 0;
      for (; channels.length === before; waitedMs += 250) pass(250, mismatch);
      return waitedMs;
    };
    pass(200_000, mismatch);
    untilReplaced();
    const waitedMs = untilReplaced();
    expect(waitedMs).toBeGreaterThanOrEqual(30_000);
    expect(waitedMs).toBeLessThan(31_500);
  });

  it('a driver that was upgraded under a thread: it goes on trying, and says what it needs', () => {
    const { session, channels, newest, pass } = started((channel) => {
      channel.opensAnew = false;
    });
    newest().say({ type: 'failed', call: 'nvmlInit_v2', code: 18, replaced: true });
    pass(60_000);
    expect(channels).toHaveLength(1);
    expect(session.state).toMatchObject({ kind: 'failed', message: expect.stringContaining('restart the hive') });
  });

  it('a failure stands until an attempt to open the driver succeeds', () => {
    const { session, newest, pass } = started();
    newest().say({ type: 'failed', call: 'nvmlInit_v2', code: 9 });
    newest().say({ type: 'init' });
    pass(500);
    expect(session.state).toMatchObject({ kind: 'failed', code: 'DRIVER_NOT_LOADED' });
    newest().report();
    pass(250);
    expect(session.state.kind).toBe('working');
  });

  it('what libraries print is not taken for a report', () => {
    const { session, newest, pass } = started();
    newest().lines.push(
      'WARNING: You should always run with libnvidia-ml.so',
      '{"type":"report"',
      '{"type":"other"}',
      '{}',
    );
    pass(250);
    expect(session.state.kind).toBe('initializing');
  });

  it('stop rejects while readers left behind earlier are inside the driver, whatever the one of now does', async () => {
    const { session, channels, newest, pass, clock } = started((channel) => {
      channel.killable = false;
    });
    newest().report();
    pass(13_000); // it is stuck, killed in vain, left behind and replaced
    expect(session.abandoned).toBe(1);
    const stopping = (seconds: number) => {
      const stopped = session.stop(seconds * 1000);
      const timer = setInterval(() => {
        clock.now += 250;
      }, 5);
      return stopped.finally(() => clearInterval(timer));
    };
    channels[1]!.ended = '';
    await expect(stopping(5)).rejects.toMatchObject({
      code: 'REQUEST_TIMEOUT',
      subject: 'gpu',
      message: expect.stringContaining('1 reader is stuck'),
    });
    channels[0]!.ended = 'SIGKILL';
    await stopping(5);
    expect(session.abandoned).toBe(0);
  });

  it('stop rejects where the driver does not let go', async () => {
    let now = 0;
    const channel = new FakeChannel();
    channel.killable = false;
    const session = new NvmlSession({ now: () => (now += 400), open: () => channel });
    session.start();
    session.tick();
    await expect(session.stop()).rejects.toMatchObject({ code: 'REQUEST_TIMEOUT' });
    expect(channel.closed).toBe(true);
  });
});
