import { type BindingResult, loadBinding } from '../native/binding.js';
import type { FileReader } from './file-reader.js';
import { NativeFileReader } from './native-file-reader.js';
import { WorkerFileReader } from './worker-file-reader.js';

/** A thread that reads files which may block: the addon's where it loads, else a worker thread. */
export function openFileReader(load: () => BindingResult = loadBinding): FileReader {
  const { binding } = load();
  return binding ? new NativeFileReader(binding) : new WorkerFileReader();
}
