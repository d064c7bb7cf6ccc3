// What the guest boots from: Debian's kernel, unpacked, or Debian's user-mode kernel, which is a program; an initramfs with the
// modules it needs, and an empty disk. Made once and kept in a cache folder; made again when this file or the guest's init changes.
//
// Kinds: `machine` and `user-mode` have the kernels of this machine's release. `newer-user-mode` has that of Debian testing with its
// C library beside it, so it runs where that library is older: since 6.16 such a kernel sees system calls and page faults by
// seccomp, not by ptrace, and a guest that starts processes all the time takes less than half of the CPU time.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
/** Not the cloud flavour: that one lacks 9p. */
const kernelPackage = 'linux-image-amd64';
const testing =
  'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian testing main\n';
const userModeModules = ['overlay', 'fuse', 'veth'];
/** In load order: later ones need earlier ones. fuse and veth are for tests that want them. */
const modules = {
  machine: [
    ...['virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci', 'virtio_console'],
    ...[
      'virtio_blk',
      'netfs',
      'fscache',
      '9pnet',
      '9pnet_virtio',
      '9p',
      'overlay',
      'crc32c_generic',
      'crc16',
      'mbcache',
    ],
    ...['jbd2', 'ext4', 'fuse', 'veth'],
  ],
  'user-mode': userModeModules,
  'newer-user-mode': userModeModules,
};

export const cacheFolder = () =>
  process.env.HIVEPULSE_VM_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'hivepulse-vm');

function run(command, args, options = {}) {
  const environment = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, LC_ALL: 'C', ...options.env };
  const result = spawnSync(command, args, { maxBuffer: 256 * 1024 * 1024, ...options, env: environment });
  if (result.error || (result.status !== 0 && !options.mayFail)) {
    throw new Error(`${command} ${args.join(' ')}: ${result.error?.message ?? result.stderr?.toString().slice(-2000)}`);
  }
  return result;
}

/** Installs Debian packages that are missing. */
function need(tool, packageName) {
  const path = `${process.env.PATH}:/usr/sbin:/sbin`;
  if (path.split(':').some((dir) => existsSync(join(dir, tool)))) return;
  console.error(`vm: installing ${packageName}`);
  const install = ['install', '-y', '--no-install-recommends', packageName];
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  if (run('apt-get', install, { env, mayFail: true }).status === 0) return;
  run('apt-get', ['update'], { env });
  run('apt-get', install, { env });
}

/** The package that the meta package stands for now. */
function kernelName() {
  const depends = () => run('apt-cache', ['depends', kernelPackage], { mayFail: true }).stdout.toString();
  const find = () => /^\s*Depends: (linux-image-[0-9]\S*)/m.exec(depends())?.[1];
  const known = find();
  if (known) return known;
  run('apt-get', ['update']);
  const name = find();
  if (!name) throw new Error(`apt knows no kernel for ${kernelPackage}`);
  return name;
}

function download(folder, names) {
  if (run('apt-get', ['download', ...names], { cwd: folder, mayFail: true }).status === 0) return;
  run('apt-get', ['update']);
  run('apt-get', ['download', ...names], { cwd: folder });
}

/** The same from Debian testing: by an apt with lists of its own, so that nothing else of this machine knows of that release. */
function downloadFromTesting(folder, work, names) {
  const sources = join(work, 'testing.list');
  for (const dir of ['lists/partial', 'cache/archives/partial']) mkdirSync(join(work, dir), { recursive: true });
  writeFileSync(sources, testing);
  const settings = [
    ...[`Dir::Etc::sourcelist=${sources}`, 'Dir::Etc::sourceparts=/dev/null'],
    ...['Dir::Etc::preferences=/dev/null', 'Dir::Etc::preferencesparts=/dev/null', 'APT::Default-Release='],
    ...[`Dir::State::lists=${join(work, 'lists')}`, `Dir::Cache=${join(work, 'cache')}`],
    ...['Acquire::Languages=none', 'APT::Sandbox::User='],
  ].flatMap((setting) => ['-o', setting]);
  // Without it an index that could not be fetched is no error.
  run('apt-get', [...settings, '-o', 'APT::Update::Error-Mode=any', 'update']);
  run('apt-get', [...settings, 'download', ...names], { cwd: folder });
}

function findFile(folder, name) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      const found = findFile(path, name);
      if (found) return found;
    } else if (entry.name === name) return path;
  }
  return null;
}

/** An uncompressed kernel boots at once; unpacking a bzImage costs an emulated CPU seconds. */
function unpackKernel(packed, target) {
  const image = readFileSync(packed);
  const start = image.indexOf(Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]));
  if (start < 0) throw new Error('the kernel is not packed with xz');
  // xz complains of what follows its stream, after having unpacked it.
  const unpacked = run('xz', ['-dc'], { input: image.subarray(start), mayFail: true }).stdout;
  if (unpacked.subarray(0, 4).toString('latin1') !== '\x7fELF') throw new Error('the kernel could not be unpacked');
  writeFileSync(target, unpacked);
}

/** Names another path in a program; both stand in it with a zero at their end. */
function renamePath(program, from, to) {
  const at = program.indexOf(`${from}\0`);
  if (at < 0) throw new Error(`the user-mode kernel names no ${from}`);
  program.fill(0, at, at + from.length);
  program.write(to, at);
}

/** The program or the unpacked kernel, as `vmlinux`. */
function takeKernel(kind, unpacked, target) {
  if (kind !== 'machine') {
    const program = readFileSync(join(unpacked, 'usr/bin/linux.uml'));
    if (kind === 'newer-user-mode') {
      // Its C library and loader lie beside it, and it is started in their folder.
      renamePath(program, '/lib64/ld-linux-x86-64.so.2', './ld.so');
      renamePath(program, '/lib64:/lib', '.');
      const beside = dirname(target);
      copyFileSync(findFile(unpacked, 'libc.so.6'), join(beside, 'libc.so.6'));
      copyFileSync(findFile(unpacked, 'ld-linux-x86-64.so.2'), join(beside, 'ld.so'));
      chmodSync(join(beside, 'ld.so'), 0o755);
    }
    writeFileSync(target, program, { mode: 0o755 });
    return;
  }
  const boot = readdirSync(join(unpacked, 'boot')).find((name) => name.startsWith('vmlinuz-'));
  unpackKernel(join(unpacked, 'boot', boot), target);
}

function build(kind, folder) {
  const debs = join(folder, 'debs');
  const unpacked = join(folder, 'unpacked');
  const root = join(folder, 'initramfs');
  const apt = join(folder, 'apt');
  for (const dir of [debs, unpacked, join(root, 'modules'), join(root, 'bin')]) mkdirSync(dir, { recursive: true });
  const kernel = kind === 'machine' ? kernelName() : 'user-mode-linux';
  console.error(`vm: fetching ${kernel}`);
  if (kind === 'newer-user-mode') {
    downloadFromTesting(debs, apt, [kernel, 'libc6']);
    download(debs, ['busybox-static']);
  } else download(debs, [kernel, 'busybox-static']);
  for (const name of readdirSync(debs)) run('dpkg', ['-x', join(debs, name), unpacked]);
  takeKernel(kind, unpacked, join(folder, 'vmlinux'));

  modules[kind].forEach((name, i) => {
    const found = findFile(unpacked, `${name}.ko`);
    if (!found) throw new Error(`${kernel} has no ${name}.ko`);
    copyFileSync(found, join(root, 'modules', `${String(i).padStart(2, '0')}-${name}.ko`));
  });
  copyFileSync(join(unpacked, 'bin/busybox'), join(root, 'bin/busybox'));
  copyFileSync(join(here, 'guest-init.sh'), join(root, 'init'));
  chmodSync(join(root, 'init'), 0o755);
  const names = run('find', ['.'], { cwd: root }).stdout;
  const archive = run(join(root, 'bin/busybox'), ['cpio', '-o', '-H', 'newc'], { cwd: root, input: names }).stdout;
  writeFileSync(join(folder, 'initrd'), archive);
  run('truncate', ['-s', '512M', join(folder, 'scratch.img')]);
  run('mkfs.ext4', ['-q', '-F', join(folder, 'scratch.img')]);
  for (const dir of [debs, unpacked, root, apt]) rmSync(dir, { recursive: true, force: true });
}

/** systemd itself, for guests that have it as PID 1: they run it from this machine's root. */
export function ensureSystemd() {
  need('systemd-run', 'systemd');
}

/** The folder with `vmlinux`, `initrd` and `scratch.img`, made where it is missing. Call it under the cache's lock. */
export function ensureImage(kind) {
  if (kind === 'machine') need('qemu-system-x86_64', 'qemu-system-x86');
  need('mkfs.ext4', 'e2fsprogs');
  need('xz', 'xz-utils');
  const key = createHash('sha256')
    .update(readFileSync(fileURLToPath(import.meta.url)))
    .update(readFileSync(join(here, 'guest-init.sh')))
    .digest('hex')
    .slice(0, 12);
  const image = join(cacheFolder(), `image-${kind}-${key}`);
  if (existsSync(image)) return image;
  for (const name of existsSync(cacheFolder()) ? readdirSync(cacheFolder()) : []) {
    if (name.startsWith('image-') && !name.endsWith(key))
      rmSync(join(cacheFolder(), name), { recursive: true, force: true });
  }
  const fresh = join(cacheFolder(), `image-${kind}-new`);
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  try {
    build(kind, fresh);
    renameSync(fresh, image);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return image;
}
