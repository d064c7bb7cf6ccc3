// Runs one command in a throw-away virtual machine whose cgroup v2 hierarchy has every controller.
//
//   node test/vm/vm.js [--systemd] [--user-mode] [--dir DIR] [--out DIR] -- COMMAND [ARG...]
//
// The guest sees this machine's root read-only under the same paths; what it writes is lost, except for files below
// $VM_OUT, which are copied to --out. It has loopback only and an empty ext4 disk at /scratch. The command runs as root
// in DIR (default: here), its output streams back apart, its exit code is ours; 125: the machine itself failed.
// With --systemd, systemd is PID 1 of the guest and the command a service of its own (SYSTEMD_GUEST=1 in its environment).
//
// With --user-mode, where there is no KVM, the guest's kernel is Debian's user-mode one: a process of this machine whose guest
// code runs on the CPU itself, where QEMU translates it. A command then takes a sixth of the CPU time, and with the kernel of Debian
// testing, which is taken where it can be had, a fifteenth. Such a kernel has one CPU, the controllers cpu, io, memory and
// pids, no pressure and no ns_last_pid. Where none comes up, QEMU emulates a machine after all.
// A process of such a guest stands still, at full CPU, once its pages take more mappings than vm.max_map_count of this machine (65,530
// of 4 KiB, 256 MiB where they lie scattered): all of `npm test` runs there in parts (units.js).
//
// HIVEPULSE_VM_CACHE (folder), HIVEPULSE_VM_ACCEL=kvm|tcg|user-mode (default: KVM, tried once per boot of the host), HIVEPULSE_VM_MEMORY
// (MiB, default 2048), HIVEPULSE_VM_TIMEOUT (seconds, default 3600), HIVEPULSE_VM_ENV (names of variables handed on).
import { spawn } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder, ensureImage, ensureSystemd } from './image.js';

/** The machine failed, not the command. */
export const vmFailed = 125;
/** By then a guest is up, or it never comes up. */
const bootMs = 180_000;
/** A word of a shell. */
export const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** The script that the guest runs: the command with its output on the two ports, then its exit code, then power off. */
function jobScript({ command, dir, env, systemd }) {
  const exports = Object.entries({ ...env, VM_OUT: '/run/vm/out', ...(systemd ? { SYSTEMD_GUEST: '1' } : {}) })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `export ${name}=${quote(value)}`);
  return [
    'echo >/run/vm/started; cd /',
    ...exports,
    // The command writes to pipes, not to the ports themselves. What it leaves running may hold them open: it gets 2 s.
    'mkfifo /run/vm-out /run/vm-err',
    // Ports of virtio, or two terminals of a user-mode kernel, which then must not add to what passes.
    'set -- /dev/vport*p1 /dev/vport*p2',
    'if ! [ -e "$1" ]; then set -- /dev/tty1 /dev/tty2; stty -F $1 raw -echo; stty -F $2 raw -echo; fi',
    'cat /run/vm-out >"$1" & out=$!',
    'cat /run/vm-err >"$2" & err=$!',
    `(cd ${quote(dir)} && exec ${command.map(quote).join(' ')}) </dev/null >/run/vm-out 2>/run/vm-err; status=$?`,
    '(sleep 2; kill $out $err) 2>/dev/null & wait $out $err',
    'echo $status >/run/vm/status; sync',
    // A user-mode kernel that is asked to reboot does so.
    'if [ -e /dev/ubda ]; then echo o; else echo b; fi >/proc/sysrq-trigger; sleep 60',
    '',
  ].join('\n');
}

const units = {
  'job.target': '[Unit]\nDescription=The command\nWants=job.service\nDefaultDependencies=no\n',
  'job.service':
    '[Unit]\nDescription=The command\nDefaultDependencies=no\n[Service]\nType=oneshot\nDelegate=yes\n' +
    'ExecStart=/bin/bash /run/vm/job\nStandardOutput=file:/dev/console\nStandardError=file:/dev/console\n',
};

/** A server on a Unix socket that copies what comes to `sink`; `done` when the sender has closed. */
function port(path, sink) {
  rmSync(path, { force: true });
  let finish;
  const done = new Promise((resolve) => {
    finish = resolve;
  });
  const server = createServer((socket) => {
    socket.on('data', (chunk) => sink(chunk));
    socket.on('error', () => undefined);
    socket.on('close', finish);
  });
  return {
    listening: new Promise((resolve, reject) => server.once('error', reject).listen(path, resolve)),
    done,
    close: () => {
      server.close();
      finish();
    },
  };
}

/** QEMU, with KVM or emulating the CPU. */
async function machine(image, accel, run, options) {
  const out = port(join(run, 'out.sock'), options.stdout);
  const err = port(join(run, 'err.sock'), options.stderr);
  await Promise.all([out.listening, err.listening]);
  const parameters = [
    'console=ttyS0 quiet panic=-1 nokaslr mitigations=off psi=1 cgroup_no_v1=all',
    'systemd.unified_cgroup_hierarchy=1 swapaccount=1 random.trust_cpu=on audit=0 tsc=reliable no_timer_check',
  ];
  const share = (tag, path, more) => ['-virtfs', `local,path=${path},mount_tag=${tag},security_model=none${more}`];
  const stream = (name, nr) => [
    ...['-chardev', `socket,id=${name},path=${join(run, `${name}.sock`)}`],
    ...['-device', `virtserialport,nr=${nr},chardev=${name}`],
  ];
  const args = [
    ...['-accel', accel === 'kvm' ? 'kvm' : 'tcg,thread=multi,tb-size=512'],
    // KVM may refuse some model-specific registers.
    ...['-cpu', accel === 'kvm' ? 'max,-arch-capabilities' : 'max', '-M', 'pc'],
    ...['-smp', String(availableParallelism()), '-m', String(options.memoryMiB)],
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', `file:${join(run, 'console')}`],
    ...['-kernel', join(image, 'vmlinux'), '-initrd', join(image, 'initrd'), '-append', parameters.join(' ')],
    ...['-drive', `file=${join(image, 'scratch.img')},if=virtio,format=raw,snapshot=on,cache=unsafe`],
    ...share('host', '/', ',readonly=on,multidevs=remap'),
    ...share('control', join(run, 'control'), ''),
    ...['-device', 'virtio-serial', ...stream('out', 1), ...stream('err', 2)],
  ];
  // It ends with us, however we end.
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', 'qemu-system-x86_64', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: run },
  });
  const close = () => [out, err].forEach((each) => void each.close());
  return { child, written: Promise.all([out.done, err.done]), close };
}

/** The guest's memory is a file: on a tmpfs where one is large enough, so that no disk is written for it. */
function memoryFolder(run, bytes) {
  const { bavail, bsize } = existsSync('/dev/shm') ? statfsSync('/dev/shm') : { bavail: 0, bsize: 0 };
  return bavail * bsize > 1.25 * bytes && !/^\S+ \/dev\/shm .*\bnoexec\b/m.test(readFileSync('/proc/mounts', 'utf8'))
    ? '/dev/shm'
    : run;
}

/** A kernel that is a process of this machine. */
function userMode(image, run, options) {
  const console_ = openSync(join(run, 'console'), 'a');
  const args = [
    ...[`mem=${options.memoryMiB}M`, `initrd=${join(image, 'initrd')}`, `uml_dir=${join(run, 'uml')}`, 'umid=guest'],
    `ubd0=${join(run, 'scratch.cow')},${join(image, 'scratch.img')}`,
    // Unknown to kernels before 6.16, which see system calls by ptrace.
    'seccomp=auto',
    ...['con=null', 'con0=null,fd:1', 'con1=null,fd:3', 'con2=null,fd:4', 'ssl=null', 'quiet', 'panic=-1'],
    'cgroup_no_v1=all systemd.unified_cgroup_hierarchy=1 swapaccount=1 random.trust_cpu=on audit=0 selinux=0',
    `hivepulse_control=${join(run, 'control')}`,
  ];
  // Processes of the guest are processes here, which the kernel that runs them holds by seccomp or ptrace: in a PID namespace of
  // their own none outlives it, however it or we end.
  const isolate = ['unshare', ...(process.getuid() === 0 ? [] : ['--user', '--map-root-user'])];
  // Kernel and process take turns at each system call, of which one waits for the other: on one CPU that needs no interrupt.
  const cpu = /^Cpus_allowed_list:.*?(\d+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const child = spawn(
    'setpriv',
    [
      '--pdeathsig',
      'KILL',
      'taskset',
      '--cpu-list',
      cpu,
      ...isolate,
      '--pid',
      '--fork',
      '--kill-child=KILL',
      join(image, 'vmlinux'),
      ...args,
    ],
    {
      // A kernel that brings its C library looks for it here.
      cwd: image,
      stdio: ['ignore', console_, console_, 'pipe', 'pipe'],
      env: { ...process.env, TMPDIR: memoryFolder(run, options.memoryMiB * 2 ** 20) },
    },
  );
  closeSync(console_);
  const written = [options.stdout, options.stderr].map((sink, i) => {
    const stream = child.stdio[3 + i];
    stream.on('data', sink);
    return new Promise((resolve) => stream.once('error', resolve).once('close', resolve));
  });
  return { child, written: Promise.all(written), close: () => undefined };
}

/** Boots once. Gives the exit code of the command, or null where the guest did not come so far. */
async function boot(image, accel, run, options) {
  const { child, written, close } =
    accel === 'user-mode' ? userMode(image, run, options) : await machine(image, accel, run, options);
  let messages = '';
  for (const from of [child.stdout, child.stderr]) from?.setEncoding('utf8').on('data', (text) => (messages += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs);
  // An emulated guest may hang while it boots (some 8 s, on a starved host a minute); its command is not touched by this.
  const up = setTimeout(
    () => existsSync(join(run, 'control/started')) || child.kill('SIGKILL'),
    options.bootMs ?? bootMs,
  );
  const stop = () => child.kill(accel === 'user-mode' ? 'SIGKILL' : 'SIGTERM');
  options.signal?.addEventListener('abort', stop);
  await new Promise((resolve) => child.once('error', resolve).once('close', resolve));
  options.signal?.removeEventListener('abort', stop);
  clearTimeout(timer);
  clearTimeout(up);
  const status = join(run, 'control/status');
  const ended = existsSync(status);
  if (ended) await written;
  close();
  return { status: ended ? Number(readFileSync(status, 'utf8')) : null, messages };
}

function makeRun(job, systemd) {
  const run = mkdtempSync(join(tmpdir(), 'hivepulse-vm-'));
  mkdirSync(join(run, 'control/out'), { recursive: true });
  writeFileSync(join(run, 'control/job'), job);
  if (systemd) {
    mkdirSync(join(run, 'control/units'));
    for (const [name, text] of Object.entries(units)) writeFileSync(join(run, 'control/units', name), text);
  }
  return run;
}

/** Whether KVM boots this kernel; tried once per boot of the host. */
async function kvmWorks() {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    return false;
  }
  const image = ensureImage('machine');
  const known = join(image, `accel-${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}`);
  if (existsSync(known)) return readFileSync(known, 'utf8') === 'kvm';
  const run = makeRun(jobScript({ command: ['true'], dir: '/', env: {} }), false);
  try {
    const quiet = { stdout: () => undefined, stderr: () => undefined, memoryMiB: 512, timeoutMs: 8000 };
    const { status } = await boot(image, 'kvm', run, quiet);
    writeFileSync(known, status === 0 ? 'kvm' : 'tcg');
    return status === 0;
  } finally {
    rmSync(run, { recursive: true, force: true });
  }
}

/**
 * Kernels to boot, each of them where the one before is not to be had or does not come up: an emulated guest on a starved host may
 * miss a timer meanwhile.
 */
async function choose(userModeDoes) {
  const asked = process.env.HIVEPULSE_VM_ACCEL;
  const accel = asked === 'kvm' || (asked === undefined && (await kvmWorks())) ? 'kvm' : 'tcg';
  const machines = Array(3).fill({ kind: 'machine', accel });
  if (!userModeDoes || accel === 'kvm' || asked === 'tcg') return machines;
  return [...['newer-user-mode', 'user-mode'].map((kind) => ({ kind, accel: 'user-mode' })), ...machines.slice(1)];
}

/** One builder at a time: others wait for the lock, or take it over where its owner is gone. */
async function withCacheLock(work) {
  mkdirSync(cacheFolder(), { recursive: true });
  const lock = join(cacheFolder(), 'lock');
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      const owner = Number(readFileSync(lock, { encoding: 'utf8', flag: 'r' }) || 0);
      if (owner > 0 && !existsSync(`/proc/${owner}`)) rmSync(lock, { force: true });
      else await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

/**
 * Runs `command` in a guest. `env` is handed on; `out` is where files below $VM_OUT come to. `userMode`: a user-mode kernel has all
 * that it needs. Gives its exit code, or `vmFailed` with the reason on stderr.
 */
export async function runInVm({
  command,
  dir = process.cwd(),
  env = {},
  systemd = false,
  userMode: userModeDoes = false,
  out,
  stdout,
  stderr,
  signal,
}) {
  const write = {
    stdout: stdout ?? ((chunk) => process.stdout.write(chunk)),
    stderr: stderr ?? ((chunk) => process.stderr.write(chunk)),
  };
  const guests = await withCacheLock(() => {
    if (systemd) ensureSystemd();
    return choose(userModeDoes);
  });
  const run = makeRun(jobScript({ command, dir: resolve(dir), env, systemd }), systemd);
  try {
    const settings = {
      ...write,
      memoryMiB: Number(process.env.HIVEPULSE_VM_MEMORY ?? 2048),
      timeoutMs: 1000 * Number(process.env.HIVEPULSE_VM_TIMEOUT ?? 3600),
      signal,
    };
    let ended = { status: null, messages: '' };
    for (const [i, { kind, accel }] of guests.entries()) {
      const isLast = i === guests.length - 1;
      const image = await withCacheLock(() => ensureImage(kind)).catch((error) => {
        if (isLast) throw error;
        write.stderr(`vm: no ${kind} kernel: ${error.message}\n`);
        return null;
      });
      if (image === null) continue;
      ended = await boot(image, accel, run, settings);
      // The command itself is never run twice.
      if (ended.status !== null || signal?.aborted || existsSync(join(run, 'control/started'))) break;
      if (!isLast) write.stderr(`vm: the guest did not come up (${kind}, ${accel}); trying again\n`);
    }
    const { status, messages } = ended;
    if (out !== undefined) cpSync(join(run, 'control/out'), resolve(out), { recursive: true });
    if (status !== null) return status;
    const console_ = existsSync(join(run, 'console')) ? readFileSync(join(run, 'console'), 'latin1') : '';
    write.stderr(
      `${messages}${console_.split('\n').slice(-40).join('\n')}\nvm: the guest ended without an exit code\n`,
    );
    return vmFailed;
  } finally {
    rmSync(run, { recursive: true, force: true });
  }
}

function parse(argv) {
  const options = { systemd: false };
  for (let i = 0; i < argv.length; i += 1) {
    if (argv[i] === '--') return { ...options, command: argv.slice(i + 1) };
    if (argv[i] === '--systemd') options.systemd = true;
    else if (argv[i] === '--user-mode') options.userMode = true;
    else if (argv[i] === '--dir') options.dir = argv[++i];
    else if (argv[i] === '--out') options.out = argv[++i];
    else break;
  }
  return null;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const options = parse(process.argv.slice(2));
  if (!options?.command.length) {
    console.error('usage: node test/vm/vm.js [--systemd] [--user-mode] [--dir DIR] [--out DIR] -- COMMAND [ARG...]');
    process.exit(vmFailed);
  }
  const names = [
    'PATH',
    'HOME',
    'LANG',
    'TERM',
    'CI',
    ...(process.env.HIVEPULSE_VM_ENV ?? '').split(' ').filter(Boolean),
  ];
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => abort.abort());
  try {
    const env = Object.fromEntries(names.map((name) => [name, process.env[name]]));
    process.exitCode = await runInVm({ ...options, env, signal: abort.signal });
  } catch (error) {
    console.error(`vm: ${error.message}`);
    process.exitCode = vmFailed;
  }
}
