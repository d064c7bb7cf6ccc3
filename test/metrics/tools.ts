import { spawnSync } from 'node:child_process';

const has = (command: string) => spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined;

/** Whether Debian's `prometheus` package, or its like, is there. */
export const hasPromtool = has('promtool');
export const hasPrometheus = has('prometheus');

/** Behind the title of what cannot run, so that nobody takes it for passed. */
export const withoutPromtool = hasPromtool ? '' : ' (SKIPPED: promtool is not installed; apt-get install prometheus)';
export const withoutPrometheus = hasPrometheus
  ? ''
  : ' (SKIPPED: prometheus is not installed; apt-get install prometheus)';

export function promtool(args: readonly string[], input?: string): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8', ...(input && { input }) });
  return { status, output: `${stdout}${stderr}` };
}
