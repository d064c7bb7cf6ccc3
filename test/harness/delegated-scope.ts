import { type ChildProcess, spawn } from 'node:child_process';
import { locateCgroups } from '../../lib/cgroup/locate.js';

/** Moves into a leaf, since a cgroup that hands on controllers holds no process; then says where tests may make theirs. */
const script =
  'cgroup=$1$(sed -n s/^0:://p /proc/self/cgroup) && mkdir "$cgroup/keeper" "$cgroup/tests" && ' +
  'echo $$ >"$cgroup/keeper/cgroup.procs" && for name in $(cat "$cgroup/cgroup.controllers"); do ' +
  'echo "+$name" >"$cgroup/cgroup.subtree_control"; done && echo "$cgroup/tests" && exec cat';

/** By then systemd has made a scope, or does not. */
const limitMs = 60_000;

/**
 * Where systemd owns the tree and this is root, asks it for a part in which tests may make cgroups, and names it in
 * HIVEPULSE_TEST_CGROUP for those who come after. The part goes with this process, or when what it gives is called.
 * Without it the suites that need one are skipped, with the reason in their titles.
 */
export async function delegateScope(): Promise<(() => void) | null> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0 || process.env.HIVEPULSE_TEST_CGROUP) return null;
  const { root, systemd } = locateCgroups();
  if (root === null || systemd !== 'system') return null;
  const args = ['--scope', '--quiet', '--collect', '-p', 'Delegate=yes', '--', 'sh', '-c', script, 'sh', root];
  // Its standard input is held by this process alone: it ends when this one does.
  const keeper = spawn('systemd-run', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const path = await firstLine(keeper);
  if (path === null) {
    keeper.kill();
    console.error('systemd made no scope for tests: what needs cgroups is skipped');
    return null;
  }
  process.env.HIVEPULSE_TEST_CGROUP = path;
  keeper.unref();
  return () => {
    delete process.env.HIVEPULSE_TEST_CGROUP;
    keeper.stdin?.destroy();
  };
}

function firstLine(child: ChildProcess): Promise<string | null> {
  let text = '';
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, limitMs, null);
    const end = (line: string | null) => {
      clearTimeout(timer);
      resolve(line);
    };
    // systemd-run may be missing, or be refused.
    child.once('error', () => end(null)).once('exit', () => end(null));
    child.stdout?.setEncoding('utf8').on('data', (part) => {
      text += part;
      if (text.includes('\n')) end(text.slice(0, text.indexOf('\n')));
    });
  });
}
