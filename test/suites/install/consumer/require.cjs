// The same package for a CommonJS program, by require(esm).
const assert = require('node:assert/strict');
const { createSampler, Registry, contract, errorCodes } = require('hivepulse');
const { HivepulseClient } = require('hivepulse/client');
const { version } = require('hivepulse/package.json');

assert.equal(typeof HivepulseClient, 'function');
assert.equal(typeof Registry, 'function');
assert.equal(typeof contract, 'object');
assert.ok(errorCodes.includes('INVALID_OPTION'));
assert.match(version, /^\d+\.\d+\.\d+/);
createSampler({ gpu: 'none', auto: false }).then(async (sampler) => {
  const { collection } = await sampler.sample();
  await sampler.close();
  assert.equal(collection.cgroupReader, process.argv[2] ?? 'native');
});
