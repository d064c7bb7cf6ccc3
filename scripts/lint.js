// `npm run lint`: every check at the same time; each is reported as it ends, and any failure sets the exit code.
// `--lower` lowers the ceilings of scripts/lint/allowed.json to what the code has.
import { spawn } from 'node:child_process';

process.env.PATH = `node_modules/.bin:${process.env.PATH}`;

const checks = {
  types: 'tsc --noEmit -p tsconfig.json',
  biome: 'biome check --error-on-warnings --diagnostic-level=warn .',
  house: `node scripts/lint/house.js ${process.argv.slice(2).join(' ')}`,
  'regular expressions': 'node scripts/lint/regexps.js',
  workflows: 'node scripts/lint/workflows.js',
  unused: 'knip --no-progress',
  'unused by the product': 'knip --no-progress --production --exclude dependencies',
  'C++ layout': `git ls-files -co --exclude-standard '*.c' '*.cc' '*.h' | xargs clang-format --dry-run -Werror`,
  licences: 'node scripts/lint/licences.js',
};

const check = ([name, command]) =>
  new Promise((resolve) => {
    const child = spawn(command, { shell: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const output = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => output.push(chunk));
    child.once('close', (code) => {
      if (code !== 0) console.error(`== ${name}: ${command}\n${Buffer.concat(output)}`);
      console.log(`${code === 0 ? 'ok  ' : 'FAIL'} ${name}`);
      resolve(code === 0);
    });
  });

const passed = await Promise.all(Object.entries(checks).map(check));
process.exit(passed.every(Boolean) ? 0 : 1);
