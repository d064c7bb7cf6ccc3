// `npm run lint`: biome, the type checker, clang-format, and the checks of workflows, error codes and licences. Every check
// runs, the first failure sets the exit code.
import { spawnSync } from 'node:child_process';

const checks = [
  ['biome', ['check', '--error-on-warnings', '.']],
  ['tsc', ['--noEmit', '-p', 'tsconfig.json']],
  ['node', ['scripts/clang-format.js']],
  ['node', ['scripts/lint-workflows.js']],
  ['node', ['scripts/check-error-codes.js']],
  ['node', ['scripts/check-licenses.js']],
];
let status = 0;
for (const [command, args] of checks) {
  const result = spawnSync(command, args, { stdio: 'inherit' });
  if (result.status !== 0) {
    console.error(`lint: ${command} ${args.join(' ')} failed${result.error ? `: ${result.error.message}` : ''}`);
    status ||= result.status ?? 1;
  }
}
process.exit(status);
