// In a worker thread, ended by itself once and by terminate() in the midst of its work once; the program lives on.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { createSampler } from 'hivepulse';

const expected = process.argv[2] ?? 'native';

if (isMainThread) {
  const start = (how) => new Worker(new URL(import.meta.url), { argv: [expected], workerData: how });
  const first = start('once');
  // Asked for first: the last message and the end of a thread may come in one turn.
  const ended = once(first, 'exit');
  const [reader] = await once(first, 'message');
  assert.equal(reader, expected);
  assert.equal((await ended)[0], 0);
  const second = start('on and on');
  await once(second, 'message');
  await second.terminate();
  const sampler = await createSampler({ gpu: 'none', auto: false });
  assert.equal((await sampler.sample()).collection.cgroupReader, expected);
  await sampler.close();
} else {
  const sampler = await createSampler({ gpu: 'none', auto: false });
  do {
    parentPort.postMessage((await sampler.sample()).collection.cgroupReader);
  } while (workerData !== 'once');
  await sampler.close();
}
