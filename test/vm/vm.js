// Runs one command in a throw-away virtual machine whose cgroup v2 hierarchy has every controller.
//
//   node test/vm/vm.js [--systemd] [--dir DIR] [--out DIR] -- COMMAND [ARG...]
//
// The guest sees this machine's root read-only under the same paths; what it writes is lost, except for files below
// $VM_OUT, which are copied to --out. It has loopback only and an empty ext4 disk at /scratch. The command runs as root
// in DIR (default: here), its output streams back apart, its exit code is ours; 125: the machine itself failed.
// With --systemd, systemd is PID 1 of the guest and the command a service of its own (SYSTEMD_GUEST=1 in its environment).
//
// HIVEPULSE_VM_CACHE (folder), HIVEPULSE_VM_ACCEL=kvm|tcg (default: tried once per boot of the host), HIVEPULSE_VM_MEMORY
// (MiB, default 2048), HIVEPULSE_VM_TIMEOUT (seconds, default 3600), HIVEPULSE_VM_ENV (names of variables handed on).
import { spawn } from 'node:child_process';
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
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
const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

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
    'cat /run/vm-out >/dev/vport*p1 & out=$!',
    'cat /run/vm-err >/dev/vport*p2 & err=$!',
    `(cd ${quote(dir)} && exec ${command.map(quote).join(' ')}) </dev/null >/run/vm-out 2>/run/vm-err; status=$?`,
    '(sleep 2; kill $out $err) 2>/dev/null & wait $out $err',
    'echo $status >/run/vm/status; sync',
    'echo b >/proc/sysrq-trigger; sleep 60',
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

/** Boots once. Gives the exit code of the command, or null where the guest did not come so far. */
async function boot(image, accel, run, options) {
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
  const qemu = spawn('setpriv', ['--pdeathsig', 'TERM', 'qemu-system-x86_64', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: run },
  });
  let messages = '';
  for (const from of [qemu.stdout, qemu.stderr]) from.setEncoding('utf8').on('data', (text) => (messages += text));
  const timer = setTimeout(() => qemu.kill('SIGKILL'), options.timeoutMs);
  // An emulated guest may hang while it boots (some 8 s, on a starved host a minute); its command is not touched by this.
  const up = setTimeout(
    () => existsSync(join(run, 'control/started')) || qemu.kill('SIGKILL'),
    options.bootMs ?? bootMs,
  );
  const stop = () => qemu.kill('SIGTERM');
  options.signal?.addEventListener('abort', stop);
  await new Promise((resolve) => qemu.once('error', resolve).once('close', resolve));
  options.signal?.removeEventListener('abort', stop);
  clearTimeout(timer);
  clearTimeout(up);
  const status = join(run, 'control/status');
  const ended = existsSync(status);
  if (ended) await Promise.all([out.done, err.done]);
  out.close();
  err.close();
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
async function acceleration(image) {
  const asked = process.env.HIVEPULSE_VM_ACCEL;
  if (asked) return asked;
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    return 'tcg';
  }
  const known = join(image, `accel-${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}`);
  if (existsSync(known)) return readFileSync(known, 'utf8');
  const run = makeRun(jobScript({ command: ['true'], dir: '/', env: {} }), false);
  try {
    const quiet = { stdout: () => undefined, stderr: () => undefined, memoryMiB: 512, timeoutMs: 8000 };
    const { status } = await boot(image, 'kvm', run, quiet);
    const accel = status === 0 ? 'kvm' : 'tcg';
    writeFileSync(known, accel);
    return accel;
  } finally {
    rmSync(run, { recursive: true, force: true });
  }
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
 * Runs `command` in a guest. `env` is handed on; `out` is where files below $VM_OUT come to. Gives its exit code, or
 * `vmFailed` with the reason on stderr.
 */
export async function runInVm({
  command,
  dir = process.cwd(),
  env = {},
  systemd = false,
  out,
  stdout,
  stderr,
  signal,
}) {
  const write = {
    stdout: stdout ?? ((chunk) => process.stdout.write(chunk)),
    stderr: stderr ?? ((chunk) => process.stderr.write(chunk)),
  };
  const { image, accel } = await withCacheLock(async () => {
    const made = ensureImage();
    if (systemd) ensureSystemd();
    return { image: made, accel: await acceleration(made) };
  });
  const run = makeRun(jobScript({ command, dir: resolve(dir), env, systemd }), systemd);
  try {
    const settings = {
      ...write,
      memoryMiB: Number(process.env.HIVEPULSE_VM_MEMORY ?? 2048),
      timeoutMs: 1000 * Number(process.env.HIVEPULSE_VM_TIMEOUT ?? 3600),
      signal,
    };
    let { status, messages } = await boot(image, accel, run, settings);
    // An emulated guest on a starved host may miss a timer while it boots; the command itself is never run twice.
    for (let left = 2; left > 0; left -= 1) {
      if (status !== null || signal?.aborted || existsSync(join(run, 'control/started'))) break;
      write.stderr('vm: the guest did not come up; trying again\n');
      ({ status, messages } = await boot(image, accel, run, settings));
    }
    if (out !== undefined) cpSync(join(run, 'control/out'), resolve(out), { recursive: true });
    if (status !== null) return status;
    const console_ = existsSync(join(run, 'console')) ? readFileSync(join(run, 'console'), 'latin1') : '';
    write.stderr(
      `${messages}${console_.split('\n').slice(-40).join('\n')}\nvm: the guest ended without an exit code (${accel})\n`,
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
    else if (argv[i] === '--dir') options.dir = argv[++i];
    else if (argv[i] === '--out') options.out = argv[++i];
    else break;
  }
  return null;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const options = parse(process.argv.slice(2));
  if (!options?.command.length) {
    console.error('usage: node test/vm/vm.js [--systemd] [--dir DIR] [--out DIR] -- COMMAND [ARG...]');
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
