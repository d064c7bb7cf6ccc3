// What only certain files of lib/ may use, by name or by module, so that there is one way in.
import { isTypeScript, lineOf, parse } from './sources.js';

export const callers = [
  {
    symbol: 'readHeartbeat',
    allowed: ['lib/contract/validate.ts', 'lib/index.ts', 'lib/queen/intake.ts'],
    instead: 'call lib/queen/intake.ts, the one way into the queen',
  },
  ...['openFileReader', 'NativeFileReader', 'WorkerFileReader'].map((symbol) => ({
    symbol,
    allowed: ['lib/io/guarded.ts', 'lib/io/open-file-reader.ts', 'lib/io/status-thread.ts'],
    instead: 'read through lib/io/guarded.ts, which gives up a read that hangs',
  })),
  ...['argv', 'parseCmdline'].map((symbol) => ({
    symbol,
    allowed: [
      'lib/procfs/parse.ts',
      'lib/engines/arguments.ts',
      'lib/engines/command.ts',
      'lib/engines/recognize.ts',
      'lib/engines/start.ts',
      'lib/workers/docker-proxy.ts',
      'lib/workers/process-table.ts',
      'lib/workers/shown-command.ts',
      'lib/workers/redact.ts',
      'lib/sampling/worker.ts',
      'lib/sampling/worker-processes.ts',
      'lib/sampling/containers.ts',
      'lib/sampling/deps.ts',
      'lib/cli/main.ts',
    ],
    instead: 'a command line is shown by lib/workers/shown-command.ts alone',
  })),
  {
    symbol: 'redactCommand',
    allowed: ['lib/workers/redact.ts', 'lib/workers/shown-command.ts'],
    instead: 'show command lines by lib/workers/shown-command.ts',
  },
  // Kernel files, files of the package, and those that the operator names: everything else may be another user's.
  ...['readFile', 'readFileSync', 'openSync', 'createReadStream', 'readlinkSync'].map((symbol) => ({
    symbol,
    allowed: [
      'lib/cgroup/kernel-files.ts',
      'lib/util/open-files.ts',
      'lib/cgroup/locate.ts',
      'lib/cgroup/system-values.ts',
      'lib/doctor/host.ts',
      'lib/io/untrusted.ts',
      'lib/io/worker-file-reader-thread.ts',
      'lib/launch/apply-limits.ts',
      'lib/launch/cgroup-tree.ts',
      'lib/launch/launcher.ts',
      'lib/launch/oom-watch.ts',
      'lib/launch/stop.ts',
      'lib/procfs/container.ts',
      'lib/procfs/pids.ts',
      'lib/procfs/process-stat.ts',
      'lib/sampling/create.ts',
      'lib/sampling/open-machine.ts',
      'lib/util/named-file.ts',
      'lib/util/package-root.ts',
      'lib/util/version.ts',
    ],
    instead: 'read what another user may have put there by lib/io/untrusted.ts or lib/io/guarded.ts',
  })),
  {
    inserted: /^(?:(?:\w+U|u)rls?|href|queens?|servers?)$/,
    allowed: ['lib/hive/rendezvous.ts'],
    instead: 'insert shownUrl(…), since an address may hold a password',
  },
  {
    module: 'node-gyp-build',
    allowed: ['lib/native/binding.ts'],
    instead: 'take the addon from lib/native/binding.ts, the only file that loads it',
  },
];

/** What breaks `rules` in path -> text. */
export function checkCallers(files, rules = callers) {
  // An import names a symbol twice, on one line.
  const found = [...files]
    .filter(([path]) => path.startsWith('lib/') && isTypeScript(path))
    .flatMap(([path, text]) => {
      const parsed = parse(path, text);
      return rules
        .filter(({ allowed }) => !allowed.includes(path))
        .flatMap(({ symbol, module, inserted, instead }) => [
          ...parsed.imports
            .filter((each) => each.module === module)
            .map((each) => `${path}:${each.line}: uses the package ${each.module}; ${instead}`),
          ...parsed.inserted
            .filter(({ name }) => inserted?.test(name))
            .map(({ name, start }) => `${path}:${lineOf(text, start)}: writes ${name} into a text; ${instead}`),
          ...parsed.names
            .filter(({ name }) => name === symbol)
            .map(({ start }) => `${path}:${lineOf(text, start)}: uses ${symbol}; ${instead}`),
        ]);
    });
  return [...new Set(found)];
}
