/** CLOCK_MONOTONIC, ms: one clock for all processes of a host. */
export const monotonicMs = (): number => {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
};

export interface Clock {
  /** CLOCK_MONOTONIC in ms. */
  now(): number;
  /** Calls once after `ms`; gives what takes it back. */
  after(ms: number, call: () => void): () => void;
}

export const systemClock: Clock = {
  now: monotonicMs,
  after(ms, call) {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};
