// What a program does with the package: sample, start, query, stop. Argument: the reader of cgroup files that is expected.
// Prints one line of JSON; ends by itself, or something of it stayed open.
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { createSampler, HivepulseClient, startHive, startQueen } from 'hivepulse';

const expected = process.argv[2] ?? 'native';

const sampler = await createSampler({ gpu: 'none', auto: false });
const snapshot = await sampler.sample();
await sampler.close();
assert.equal(snapshot.collection.cgroupReader, expected, snapshot.collection.cgroupReaderReason ?? '');
assert.ok(snapshot.host.memoryTotalBytes > 0);

const queen = await startQueen({ port: 0, warmingMs: 0 });
const hive = await startHive({ id: 'consumer', queens: [queen.url], port: 0, gpu: 'none', auto: false });
const client = new HivepulseClient(queen.url);
const deadline = Date.now() + 60_000;
let found;
while (found === undefined) {
  assert.ok(Date.now() < deadline, 'the hive is not known to the queen');
  found = (await client.hives()).items.find(({ id }) => id === 'consumer');
  if (found === undefined) await pause(20);
}
assert.equal(found.liveness, 'online');
assert.equal(found.collection.cgroupReader, expected);
const page = await fetch(`${queen.url}/`);
assert.equal(page.status, 200);
assert.match(await page.text(), /<script type="module"/);
await hive.close();
await queen.close();
console.log(JSON.stringify({ node: process.version, arch: process.arch, reader: found.collection.cgroupReader }));
