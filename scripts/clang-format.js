// Checks (or with --write mends) the layout of every C and C++ file that git knows.
import { execFileSync, spawnSync } from 'node:child_process';

const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.c', '*.cc', '*.h'], { encoding: 'utf8' })
  .split('\n')
  .filter(Boolean);
if (files.length > 0) {
  const mode = process.argv.includes('--write') ? ['-i'] : ['--dry-run', '-Werror'];
  const result = spawnSync('clang-format', [...mode, ...files], { stdio: 'inherit' });
  if (result.error) console.error('clang-format is missing: apt-get install clang-format');
  process.exit(result.status ?? 1);
}
