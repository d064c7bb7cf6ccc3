import { type BindingResult, loadBinding } from './binding.js';
import type { BlockingFiles } from './blocking-files.js';
import { NativeFiles } from './blocking-files-native.js';
import { WorkerFiles } from './blocking-files-worker.js';

/** A thread that reads files which may block: the addon's where it loads, else a worker thread. */
export function openBlockingFiles(load: () => BindingResult = loadBinding): BlockingFiles {
  const { binding } = load();
  return binding ? new NativeFiles(binding) : new WorkerFiles();
}
