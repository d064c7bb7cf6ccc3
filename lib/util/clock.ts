/** CLOCK_MONOTONIC, ms: one clock for all processes of a host. */
export const monotonicMs = (): number => {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
};
