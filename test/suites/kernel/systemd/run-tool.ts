import { execFile } from 'node:child_process';

/** Runs a tool to its end. Never rejects: where it did not start, or was ended, the status is null. */
export const runTool = (
  file: string,
  args: readonly string[],
  timeout: number,
): Promise<{ readonly status: number | null; readonly stdout: string; readonly stderr: string }> =>
  new Promise((resolve) => {
    execFile(file, args, { timeout, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
      resolve({ status, stdout, stderr });
    });
  });
