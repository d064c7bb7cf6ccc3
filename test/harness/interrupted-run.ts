/** What a test makes of the machine, all kinds of it, until this process is interrupted: for interruption.test.ts. */
import { spawn, spawnSync } from 'node:child_process';
import { createCgroupTree, joinCgroup } from './cgroups.js';
import { Harness } from './harness.js';
import { createOtherHost } from './network.js';

const harness = new Harness();
const directory = harness.directory();
const managed = harness.start('sleeper', 'sleep', ['600']);
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'hivepulse-test', directory], {
  encoding: 'utf8',
});
if (mounted.status !== 0) throw new Error(mounted.stderr);
harness.defer(() => void spawnSync('umount', ['-l', directory]));
const tree = await createCgroupTree();
harness.defer(() => tree.dispose());
const inside = spawn('sleep', ['600'], { stdio: 'ignore' });
await joinCgroup(await tree.cgroup('a/b'), inside.pid as number);
const other = createOtherHost(harness);
process.stdout.write(
  `${JSON.stringify({
    pids: [managed.pid, inside.pid],
    paths: [directory, tree.root, `/run/netns/${other.under.at(-1)}`],
  })}\n`,
);
setInterval(() => undefined, 1 << 30);
