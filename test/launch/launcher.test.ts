import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { verifyLimits, writesFor } from '../../lib/launch/apply-limits.js';
import { start } from '../../lib/launch/launcher.js';
import { parseLimits } from '../../lib/launch/limits.js';

it('a service manager that never answers is given up and ended', async () => {
  const wrapper = [process.execPath, '-e', 'setInterval(() => {}, 1000)', '--'];
  const started = await start(
    { wrapper, command: ['true'], cgroup: null, launcher: null, nofile: null },
    {},
    undefined,
    300,
  );
  expect(started).toEqual({ step: 'wrapper', reason: `${process.execPath} did not answer within 0.3 s` });
});

it('limits of a cgroup that has ended meanwhile are not said to be refused', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'hivepulse-limits-'));
  const writes = await writesFor(parseLimits({ memory: '1G', pids: 10 }));
  const hint = () => 'not here';
  try {
    writeFileSync(join(dir, 'pids.max'), '10\n');
    expect(await verifyLimits(dir, writes, hint)).toMatchObject([
      { message: expect.stringMatching(/--memory .*not here/) },
    ]);
  } finally {
    rmSync(dir, { recursive: true });
  }
  expect(await verifyLimits(dir, writes, hint)).toEqual([]);
});
