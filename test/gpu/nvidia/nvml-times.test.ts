import { beforeEach, describe, expect, it } from 'vitest';
import { NvmlSession, openThread, stalledText } from '../../../lib/gpu/nvidia/nvml.js';
import { FakeChannel, started } from './nvml-session.js';

describe('a reader on a thread', () => {
  const calls: unknown[] = [];
  let isOver = false;

  class GpuThread {
    constructor(options: unknown) {
      calls.push(options);
    }
    take(): readonly string[] {
      return ['{"type":"alive"}'];
    }
    ended(): boolean {
      return isOver;
    }
    close(): void {
      calls.push('close');
    }
  }

  beforeEach(() => {
    calls.length = 0;
    isOver = false;
  });

  it('gives what the thread says, and cannot be killed', () => {
    const options = { libraryPaths: ['/none/libnvidia-ml.so.1'], intervalMs: 700 };
    const channel = openThread(options, () => ({ binding: { GpuThread } }) as never);
    expect(channel.take()).toEqual(['{"type":"alive"}']);
    expect([channel.end(), channel.kill(), channel.opensAnew]).toEqual([null, false, false]);
    channel.close();
    expect(calls).toEqual([options, 'close']);
    isOver = true;
    expect(channel.end()).toBe('');
  });

  it('where there is no addon it says why', () => {
    const load = () => ({ binding: undefined, reason: 'no addon for this platform' });
    expect(() => openThread({}, load)).toThrow(new Error('no addon for this platform'));
  });
});

describe('times of an NVML session', () => {
  it('a pause of the event loop of half of what is taken for silence is one, and less is none', () => {
    const paused = started();
    paused.newest().report();
    paused.pass(250);
    paused.jump(1500);
    paused.jump(1000);
    expect(paused.session.state.kind).toBe('working');
    paused.jump(999);
    expect(paused.session.state.kind).toBe('stalled');
  });

  it('says how many readers are stuck, once there are any', () => {
    const { session, newest, pass } = started((channel) => {
      channel.killable = false;
    });
    newest().report();
    pass(2500);
    expect(session.state).toMatchObject({ kind: 'stalled', message: stalledText });
    pass(10_500);
    expect(session.abandoned).toBe(1);
    expect(session.state).toMatchObject({ message: `${stalledText}; 1 reader can't be killed` });
  });

  it('a killed reader has a second to end before it is left behind', () => {
    const { session, channels, newest, pass } = started((channel) => {
      channel.killable = false;
    });
    newest().report();
    pass(50, undefined, 50);
    for (let i = 0; newest().killed === 0 && i < 300; i++) pass(50, undefined, 50);
    expect(newest().killed).toBe(1);
    pass(1000, undefined, 50);
    expect([channels.length, session.abandoned]).toEqual([1, 0]);
    pass(50, undefined, 50);
    expect([channels.length, session.abandoned]).toEqual([2, 1]);
    expect(channels[0]?.killed).toBe(1);
  });

  it('the reader that takes the place of a stuck one has a minute for its first word, and a life of its own', () => {
    const { session, channels, newest, pass } = started();
    newest().report();
    for (let i = 0; channels.length < 2 && i < 60; i++) pass(250);
    expect(channels).toHaveLength(2);
    pass(60_000);
    expect(newest().killed).toBe(0);
    pass(250);
    expect(channels[1]?.killed).toBe(1);
    pass(250);
    newest().report();
    pass(5000, () => newest().say({ type: 'alive' }));
    expect(session.state.kind).toBe('working');
    expect(channels).toHaveLength(3);
    newest().ended = 'SIGSEGV';
    pass(250);
    expect([session.state.kind, channels.length]).toEqual(['initializing', 4]);
  });

  it('a reader that cannot be killed is waited for, and works on when it answers', () => {
    const { session, channels, newest, pass } = started((channel) => {
      channel.kill = () => false;
    });
    newest().report();
    pass(30_000);
    expect(session.state).toMatchObject({ kind: 'stalled', message: stalledText });
    expect([channels.length, session.abandoned]).toEqual([1, 0]);
    newest().report();
    pass(250);
    expect(session.state.kind).toBe('working');
  });

  it('a driver that is opened anew has its minute from then on, and no longer for being opened again', () => {
    const { session, newest, pass } = started();
    newest().report();
    pass(90_000, () => newest().say({ type: 'alive' }));
    newest().say({ type: 'init' });
    pass(250);
    expect(session.state.kind).toBe('initializing');
    pass(59_750, () => newest().say({ type: 'init' }));
    expect(session.state.kind).toBe('initializing');
    pass(500, () => newest().say({ type: 'init' }));
    expect(session.state.kind).toBe('stalled');
  });

  it('a driver that does not work is not called stalled for its silence, nor is its reader killed', () => {
    const { session, newest, pass } = started();
    newest().say({ type: 'failed', call: 'nvmlInit_v2', code: 9 });
    pass(90_000);
    expect([session.state.kind, newest().killed]).toEqual(['failed', 0]);
    newest().say({ type: 'unavailable', reason: 'libnvidia-ml.so.1 was removed' });
    pass(90_000);
    expect([session.state, newest().killed]).toEqual([
      { kind: 'unavailable', message: 'libnvidia-ml.so.1 was removed' },
      0,
    ]);
    newest().say({ type: 'failed', call: 'nvmlInit_v2', code: 9 });
    pass(250);
    expect(session.state).toMatchObject({ kind: 'failed', code: 'DRIVER_NOT_LOADED', message: /^NVML: \S/ });
    newest().report();
    pass(250);
    expect(session.state.kind).toBe('working');
  });

  it('readers that die without a word are said to', () => {
    const { session, newest, pass } = started();
    for (let crash = 0; crash < 3; crash++) {
      newest().ended = '';
      pass(250);
    }
    expect(session.state).toEqual({
      kind: 'failed',
      code: 'GPU_READER_CRASHED',
      message: 'the GPU reader died 3 times (without a word)',
    });
  });
});

describe('the end of an NVML session', () => {
  /** Ends when the clock of the session has moved so far; each look at it takes 500 ms. */
  class SlowChannel extends FakeChannel {
    override killable = false;
    looks = 0;
    readonly #clock: { now: number };
    readonly #endsAfter: number;
    readonly killedAtLook: number[] = [];

    constructor(clock: { now: number }, endsAfter: number) {
      super();
      this.#clock = clock;
      this.#endsAfter = endsAfter;
    }
    override end(): string | null {
      if (!this.closed) return null;
      this.#clock.now += 500;
      this.looks++;
      return this.looks > this.#endsAfter ? '' : null;
    }
    override kill(): boolean {
      this.killedAtLook.push(this.looks);
      return true;
    }
  }

  function closing(endsAfter: number) {
    const clock = { now: 7000 };
    const channel = new SlowChannel(clock, endsAfter);
    let opened = 0;
    const session = new NvmlSession({
      now: () => clock.now,
      open: () => {
        opened++;
        return channel;
      },
    });
    session.start();
    session.tick();
    return { session, channel, opened: () => opened };
  }

  it('is asked for, and after a second it is made', async () => {
    const { session, channel } = closing(3);
    await session.stop();
    expect([channel.closed, channel.killedAtLook]).toEqual([true, [3]]);
  });

  it('a reader that ends within the second is not killed', async () => {
    const { session, channel } = closing(2);
    await session.stop();
    expect([channel.looks, channel.killedAtLook]).toEqual([3, []]);
  });

  it('is waited for as long as was said, and five seconds where nothing was', async () => {
    const late = closing(Number.POSITIVE_INFINITY);
    await expect(late.session.stop()).rejects.toThrow('1 reader is stuck');
    expect(late.channel.looks).toBe(11);
    const soon = closing(Number.POSITIVE_INFINITY);
    await expect(soon.session.stop(2500)).rejects.toThrow('1 reader is stuck');
    expect(soon.channel.looks).toBe(6);
  });

  it('two readers inside the driver are said to be two', async () => {
    const { session, newest, pass, clock } = started((channel) => {
      channel.killable = false;
    });
    newest().report();
    pass(13_000);
    newest().report();
    pass(250);
    expect(session.abandoned).toBe(1);
    const timer = setInterval(() => {
      clock.now += 1000;
    }, 2);
    const stopped = session.stop(2000).finally(() => clearInterval(timer));
    await expect(stopped).rejects.toThrow('2 readers are stuck');
  });

  it('errors of GPUs that came last are kept, and no report is', async () => {
    const { session, newest, pass, channels } = started();
    newest().report();
    pass(250);
    newest().ended = '';
    newest().report();
    newest().say({ type: 'xid', uuid: 'GPU-31', xid: 48 });
    newest().lines.push('bye');
    await session.stop();
    expect(session.takeEvents()).toMatchObject([{ gpuUuid: 'GPU-31', detail: { xid: 48 } }]);
    expect(session.state).toMatchObject({ kind: 'initializing', report: null });
    await session.stop();
    pass(120_000);
    expect(channels).toHaveLength(1);
  });

  it.each([
    ['worked', (channel: FakeChannel) => channel.report()],
    ['did not work', (channel: FakeChannel) => channel.say({ type: 'failed', call: 'nvmlInit_v2', code: 9 })],
    ['had no library', (channel: FakeChannel) => channel.say({ type: 'unavailable', reason: 'nowhere' })],
    ['gave no answer', () => undefined],
  ])('a session that %s begins anew after it', async (_what, say) => {
    const { session, newest, pass, channels, clock } = started();
    say(newest());
    pass(61_000);
    newest().ended = '';
    await session.stop();
    clock.now += 300_000;
    session.start();
    expect(session.state).toMatchObject({ kind: 'initializing', report: null });
    pass(250);
    expect(session.state).toMatchObject({ kind: 'initializing', report: null });
    const before = channels.length;
    pass(59_750, () => newest().say({ type: 'alive' }));
    expect(session.state.kind).toBe('initializing');
    expect(channels).toHaveLength(before);
    pass(500);
    expect(session.state.kind).toBe('stalled');
  });

  it('closing a session that was never opened, or is closed, does nothing', () => {
    const session = new NvmlSession({ open: () => new FakeChannel() });
    session.close();
    session.tick();
    session.close();
    expect(session.state.kind).toBe('initializing');
  });
});
