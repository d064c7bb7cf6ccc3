import { type BindingResult, loadBinding } from '../native/binding.js';
import type { BlockingFiles } from './file-reader.js';
import { NativeFiles } from './native-file-reader.js';
import { WorkerFiles } from './worker-file-reader.js';

/** A thread that reads files which may block: the addon's where it loads, else a worker thread. */
export function openBlockingFiles(load: () => BindingResult = loadBinding): BlockingFiles {
  const { binding } = load();
  return binding ? new NativeFiles(binding) : new WorkerFiles();
}
