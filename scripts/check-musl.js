// `npm run check:musl [-- --docker [--tarball FILE]]`: the addon built for musl loads on musl. Here, without a Node for musl: a
// program of musl-gcc that offers the functions of Node which the addon wants opens it, and musl resolves each symbol at once.
// --docker: under Alpine's own Node, of this machine's architecture, the package is installed and used as test:install does.
import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { read, root } from './run.js';

const { values } = parseArgs({
  options: { docker: { type: 'boolean', default: false }, tarball: { type: 'string' } },
});
const work = mkdtempSync(join(tmpdir(), 'hivepulse-musl-'));

const host = `#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv) {
  void *addon = argc == 2 ? dlopen(argv[1], RTLD_NOW) : 0;
  if (!addon) { puts(argc == 2 ? dlerror() : "usage"); return 1; }
  return dlsym(addon, "napi_register_module_v1") ? 0 : 2;
}
`;

function loads() {
  const addon = join(root, `prebuilds/linux-${process.arch}/hivepulse.musl.node`);
  if (!existsSync(addon))
    throw new Error(`${addon} is not there: npm run build:prebuilds -- linux-${process.arch}-musl`);
  const wanted = [...read('objdump', ['-T', addon]).matchAll(/\*UND\*.*\s(napi_\w+)$/gm)].map(([, name]) => name);
  if (wanted.length < 10) throw new Error(`it asks Node for ${wanted.length} functions only: is that the addon?`);
  writeFileSync(join(work, 'host.c'), host);
  writeFileSync(join(work, 'node.c'), [...new Set(wanted)].map((name) => `void ${name}(void) {}\n`).join(''));
  read('musl-gcc', ['-rdynamic', 'host.c', 'node.c', '-o', 'host'], { cwd: work });
  read(join(work, 'host'), [addon]);
  const helper = join(root, `prebuilds/linux-${process.arch}/hivepulse-gpu.musl`);
  const said = read(helper, ['--library', '/no/such/library.so'], { input: 'close\n' });
  for (const line of said.trim().split('\n').filter(Boolean)) JSON.parse(line);
  console.log(
    `check:musl: linux-${process.arch}: the addon loads with ${new Set(wanted).size} functions of Node, hivepulse-gpu runs`,
  );
}

function underAlpine() {
  let tarball = values.tarball && resolve(values.tarball);
  if (tarball === undefined) {
    const [{ filename }] = JSON.parse(
      read('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', work], { cwd: root }),
    );
    tarball = join(work, filename);
  }
  cpSync(tarball, join(work, 'hivepulse.tgz'));
  cpSync(join(root, 'test/suites/install/consumer'), work, { recursive: true });
  writeFileSync(join(work, 'package.json'), JSON.stringify({ name: 'consumer', private: true }));
  const steps =
    'npm install --ignore-scripts --no-audit --no-fund ./hivepulse.tgz && node service.mjs native && node thread.mjs native';
  // As the caller, so that what npm writes can be removed again.
  const user = ['--user', `${process.getuid()}:${process.getgid()}`, '--env', 'HOME=/tmp'];
  for (const release of ['20', '22', '24']) {
    const args = [
      'run',
      '--rm',
      ...user,
      '--volume',
      `${work}:/consumer`,
      '--workdir',
      '/consumer',
      `node:${release}-alpine`,
    ];
    console.log(read('docker', [...args, 'sh', '-c', steps]).trim());
    rmSync(join(work, 'node_modules'), { recursive: true, force: true });
  }
  console.log(`check:musl: Alpine on ${process.arch}: installed, sampled, started, queried, stopped`);
}

let status = 0;
try {
  if (values.docker) underAlpine();
  else loads();
} catch (error) {
  console.error(`check:musl: ${error.message}`);
  status = 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}
process.exit(status);
