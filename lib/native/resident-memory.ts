import { type BindingResult, loadBinding } from './binding.js';

/** What was needed to start has been used by then. */
const firstMs = 30_000;
/** What comes and goes beside what stays (bodies, connections) leaves gaps: a queen of 10,000 hives has 60 MiB of them after ten minutes. */
const everyMs = 60_000;
/** Of these times one with pages of programs: some are needed again, and come from the page cache. */
const programsEach = 10;

/**
 * Keeps what this process holds and does not use low, as far as the addon can: from time to time freed memory and, less often,
 * pages of programs that were only needed to start are given back. For commands: a program that has a hive in it decides this
 * for itself.
 */
export function keepMemoryLow(load: () => BindingResult = loadBinding): void {
  const { binding } = load();
  if (binding === undefined) return;
  let times = 0;
  const release = () => {
    binding.releaseUnusedPages(times++ % programsEach === 0);
    setTimeout(release, everyMs).unref();
  };
  setTimeout(release, firstMs).unref();
}
