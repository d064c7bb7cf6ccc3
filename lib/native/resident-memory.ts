import { type BindingResult, loadBinding } from './binding.js';

/** What was needed to start has been used by then. */
const firstMs = 30_000;
const everyMs = 600_000;

/**
 * Keeps what this process holds and does not use low, as far as the addon can: from time to time freed memory and pages
 * of programs that were only needed to start are given back. For commands: a program that has a hive in it decides this
 * for itself.
 */
export function keepMemoryLow(load: () => BindingResult = loadBinding): void {
  const { binding } = load();
  if (binding === undefined) return;
  const release = () => {
    binding.releaseUnusedPages();
    setTimeout(release, everyMs).unref();
  };
  setTimeout(release, firstMs).unref();
}
