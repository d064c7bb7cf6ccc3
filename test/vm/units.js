// `npm run test:vm [-- FILTER...]`: npm test on a host with systemd as PID 1 and cgroup v2 with all controllers: a virtual machine.
// Names what was skipped there. A run that executed no test fails.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../../scripts/run.js';
import { quote, runInVm, vmFailed } from './vm.js';

const filters = process.argv.slice(2);
/** A process that runs a tenth of the files takes less than what one may take of a user-mode kernel (vm.js). */
const parts = filters.length > 0 ? 1 : 10;
const vitest = 'node_modules/vitest/vitest.mjs';

/** What the guest does on a disk that forgets, and does slowly. */
function prepare() {
  for (const [command, ...args] of [
    [process.execPath, 'scripts/build.js', '--if-needed'],
    ['make', '-s', '-C', 'test/fakes'],
    [process.execPath, vitest, 'list', ...filters],
  ]) {
    const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
    if (status !== 0) process.exit(status ?? 1);
  }
}

const shard = (part) =>
  [
    ...[quote(process.execPath), vitest, 'run', '--reporter=default', '--reporter=json'],
    ...[`--outputFile.json="$VM_OUT/${part}.json"`, `--shard=${part}/${parts}`],
    ...filters.map(quote),
  ].join(' ');

prepare();
const out = mkdtempSync(join(tmpdir(), 'hivepulse-vm-units-'));
try {
  const all = Array.from({ length: parts }, (_, i) => `${shard(i + 1)} || status=1`);
  const script = ['status=0', ...all, 'exit $status'].join('\n');
  process.env.HIVEPULSE_VM_MEMORY ??= '6144';
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, LANG: process.env.LANG, CI: process.env.CI };
  const status = await runInVm({ command: ['bash', '-c', script], dir: root, env, systemd: true, userMode: true, out });
  if (status === vmFailed) console.error('test:vm: the virtual machine failed; see above');
  const results = readdirSync(out).map((name) => JSON.parse(readFileSync(join(out, name), 'utf8')));
  const tests = results.flatMap(({ testResults }) => testResults.flatMap(({ assertionResults }) => assertionResults));
  const of = (...states) => tests.filter((each) => states.includes(each.status));
  const skipped = of('pending', 'skipped', 'todo');
  console.log(
    `test:vm: ${of('passed').length} passed, ${of('failed').length} failed, ${skipped.length} skipped, in ${results.length} of ${parts} parts`,
  );
  for (const { fullName } of skipped) console.log(`test:vm: skipped: ${fullName}`);
  const isWhole = results.length === parts && tests.length > skipped.length;
  process.exitCode = status || (isWhole ? 0 : 1);
} finally {
  rmSync(out, { recursive: true, force: true });
}
