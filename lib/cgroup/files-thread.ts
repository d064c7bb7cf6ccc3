// The thread of the TypeScript reader: runs passes and posts each to the reader. Started by files.ts.
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { FilesPass } from './files-pass.js';
import { cells, type FilesCommand, type FilesThreadData } from './files-protocol.js';

const port = parentPort as MessagePort;
const { options, shared } = workerData as FilesThreadData;
const cell = new BigInt64Array(shared);
const reader = new FilesPass(options, (slot) => void Atomics.store(cell, cells.reading, BigInt(slot + 1)));
let intervalMs = 0;
let due = 0;
let timer: NodeJS.Timeout | undefined;
let requested = false;

function pass(): void {
  // Changes that were sent before this pass begins are part of it, although their messages may still be waiting.
  for (let message = receiveMessageOnPort(port); message; message = receiveMessageOnPort(port)) obey(message.message);
  requested = false;
  Atomics.store(cell, cells.runningSince, process.hrtime.bigint());
  const sequence = Number(Atomics.add(cell, cells.begun, 1n)) + 1;
  const result = reader.pass(sequence);
  Atomics.store(cell, cells.reading, 0n);
  Atomics.store(cell, cells.runningSince, 0n);
  const buffers = [result.workers, result.processes, result.errors].map((array) => array.buffer as ArrayBuffer);
  port.postMessage(result, buffers);
}

function tick(): void {
  // Passes keep to the grid of the interval; after one that took longer the grid starts anew.
  const now = performance.now();
  due = now - due < intervalMs ? due + intervalMs : now + intervalMs;
  pass();
  timer = setTimeout(tick, Math.max(0, due - performance.now()));
}

function obey(command: FilesCommand): void {
  if (command.kind === 'add') reader.add(command.slot, command.path);
  else if (command.kind === 'remove') reader.remove(command.slot);
  else if (command.kind === 'blockDevices') reader.setBlockDevices(command.table);
  else if (command.kind === 'request') requested = true;
  else {
    clearTimeout(timer);
    intervalMs = command.intervalMs;
    due = performance.now();
    timer = setTimeout(tick, 0);
  }
}

port.on('message', (command: FilesCommand) => {
  obey(command);
  if (requested) pass();
});
