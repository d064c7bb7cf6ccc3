import { type NvmlChannel, NvmlSession, type NvmlSessionOptions } from '../../../lib/gpu/nvidia/nvml.js';

/** A reader under the test's control. */
export class FakeChannel implements NvmlChannel {
  lines: string[] = [];
  ended: string | null = null;
  killed = 0;
  closed = false;
  /** Ends when it is killed, unless the kernel holds it. */
  killable = true;
  opensAnew = true;

  take(): readonly string[] {
    return this.lines.splice(0);
  }
  end(): string | null {
    return this.ended;
  }
  close(): void {
    this.closed = true;
  }
  kill(): boolean {
    this.killed++;
    if (this.killable) this.ended = 'SIGKILL';
    return true;
  }
  say(message: object): void {
    this.lines.push(JSON.stringify(message));
  }
  report(): void {
    this.say({ type: 'report', driverVersion: '1', library: '', durationMs: 1, devices: [], processes: [] });
  }
}

export function started(
  configure: (channel: FakeChannel) => void = () => {},
  options: Partial<NvmlSessionOptions> = {},
) {
  const clock = { now: 1000 };
  const channels: FakeChannel[] = [];
  const session = new NvmlSession({
    ...options,
    now: () => clock.now,
    open: () => {
      const channel = new FakeChannel();
      configure(channel);
      channels.push(channel);
      return channel;
    },
  });
  session.start();
  session.tick();
  return {
    session,
    clock,
    channels,
    newest: () => channels.at(-1)!,
    /** Lets time pass, ticking four times a second. */
    pass: (ms: number, each: () => void = () => {}, stepMs = 250) => {
      for (let spent = 0; spent < ms; spent += stepMs) {
        clock.now += stepMs;
        each();
        session.tick();
      }
    },
    jump: (ms: number) => {
      clock.now += ms;
      session.tick();
    },
  };
}
