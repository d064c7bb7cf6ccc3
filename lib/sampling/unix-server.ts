import { engineNamed } from '../engines/table.js';
import type { KnownProcess } from '../workers/process-table.js';

/** Of the engines of a worker: whether one that serves on a Unix socket serves at this path. */
function isServer(processes: readonly KnownProcess[], path: string): boolean {
  return processes.some(
    ({ role }) =>
      role.role === 'engine' && role.engine !== null && engineNamed(role.engine).isUnixServer?.(path) === true,
  );
}

const may = ({ role }: KnownProcess): boolean => role.role === 'engine' || role.isRunner === true;

/** Processes of a worker that may serve on a Unix socket; none where its engine never does. */
export function mayServeOnUnix(processes: readonly KnownProcess[]): readonly KnownProcess[] {
  const can = ({ role: { engine } }: KnownProcess) => engine !== null && engineNamed(engine).isUnixServer !== undefined;
  return processes.some(can) ? processes.filter(may) : [];
}

/** Whether the command line of an engine names a Unix socket, or it holds one, whatever named it: a variable, a file. */
export function servesOnUnix(
  processes: readonly KnownProcess[],
  pathsOf: (process: KnownProcess) => readonly string[],
): boolean {
  if (processes.some(({ role }) => role.unixSocket)) return true;
  return mayServeOnUnix(processes).some((process) => pathsOf(process).some((path) => isServer(processes, path)));
}
