import { execFile, spawnSync } from 'node:child_process';
import { getEventListeners, setMaxListeners } from 'node:events';
import { fstatSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { get } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Connect, SystemAsker } from '../../lib/engines/ask.js';
import { NamespaceConnector, type NamespaceTarget } from '../../lib/io/namespace-connect.js';
import {
  type Binding,
  loadBinding,
  type NativeConnection,
  type NativeNamespaceConnector,
} from '../../lib/native/binding.js';
import { ManualClock, settle } from '../harness/manual-clock.js';
import { Managed } from '../harness/processes.js';
import { descriptors } from '../harness/resources.js';
import { waitFor } from '../harness/wait.js';

// Programs of the system run without the sanitizer: it would fail them for leaks of their own.
const plain = { ...process.env, LD_PRELOAD: undefined };
const canEnter =
  process.platform === 'linux' &&
  spawnSync('unshare', ['-n', 'ip', 'link', 'set', 'lo', 'up'], { env: plain }).status === 0;
const hasAddon = loadBinding().binding !== undefined;
const built = fileURLToPath(new URL('../../dist/io/namespace-connect.js', import.meta.url));

/** Inside: a server that answers, one that takes connections and says nothing, and a network on which nobody else is. */
const inside = `
  const { createServer } = require('node:http');
  const answering = createServer((request, response) => response.end(JSON.stringify({ inside: request.url })));
  answering.listen(Number(process.argv[1]), '127.0.0.1', () => {
    const silent = require('node:net').createServer(() => undefined);
    silent.listen(0, '::1', () => console.log('silent ' + silent.address().port));
  });
`;
const network =
  'ip link set lo up && ip link add eth0 type veth peer name peer0 && ip addr add 10.9.0.1/24 dev eth0 && ' +
  'ip link set eth0 up && ip link set peer0 up && exec "$@"';
/** A neighbour that never answers: a connection to it stays open for seconds. */
const nobody = '10.9.0.2';

const inode = (pid: number | 'self'): number => statSync(`/proc/${pid}/ns/net`).ino;
const connector = new NamespaceConnector({ procRoot: '/proc' });
const connectInNamespace = (to: NamespaceTarget): Promise<Socket> => connector.connect(to);
const threads = (): number => readdirSync('/proc/self/task').length;

function textOf(socket: Socket, path: string, limitMs = 10_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = get({ path, createConnection: () => socket, signal: AbortSignal.timeout(limitMs) }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.once('end', () => resolve(text));
    });
    asked.once('error', reject);
  });
}

describe.runIf(canEnter && hasAddon)('a connection in another network namespace (needs the addon and rights)', () => {
  let host: Server;
  let other: Managed;
  let port = 0;
  let silentPort = 0;
  let target: NamespaceTarget;

  beforeAll(async () => {
    host = createServer((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhost'));
    await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
    port = (host.address() as AddressInfo).port;
    const args = ['-n', 'sh', '-c', network, 'sh', process.execPath, '-e', inside, String(port)];
    other = new Managed('inside', 'unshare', args, { env: { LD_PRELOAD: undefined } });
    silentPort = Number((await other.line(/^silent (\d+)$/))[1]);
    target = { pid: other.pid, namespace: inode(other.pid), host: '127.0.0.1', port, timeoutMs: 10_000 };
  });

  afterAll(async () => {
    other.child.kill('SIGKILL');
    await new Promise((resolve) => host.close(resolve));
  });

  it('reaches the server inside, and never the one of the host with the same address and port', async () => {
    const before = inode('self');
    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_unused, i) => textOf(await connectInNamespace(target), `/${i}`)),
    );
    expect(answers).toEqual(Array.from({ length: 20 }, (_unused, i) => `{"inside":"/${i}"}`));
    expect(inode('self')).toBe(before);
    for (const task of readdirSync('/proc/self/task'))
      expect(statSync(`/proc/self/task/${task}/ns/net`).ino).toBe(before);
  });

  it('is what servers are asked by', async () => {
    const connect: Connect = ({ host: to, port: at }, signal, onread) =>
      connectInNamespace({ ...target, host: to, port: at, signal, onread });
    const { signal } = new AbortController();
    const asker = new SystemAsker();
    expect(await asker.get('http', target, '/asked', signal, { connect })).toMatchObject({
      json: { inside: '/asked' },
    });
    expect(await asker.offersTls(target, signal, connect)).toBe(false);
    const before = descriptors(process.pid);
    for (let i = 0; i < 50; i += 1) {
      await asker.get('http', target, '/again', signal, { connect });
      await asker.offersTls(target, signal, connect);
      await expect(asker.get('https', target, '/tls', signal, { connect })).rejects.toThrow();
    }
    await waitFor(() => descriptors(process.pid) <= before);
  });

  it('serves undici as well', async () => {
    const agent = new Agent({
      connect: (_options, done) => {
        connectInNamespace(target).then(
          (socket) => done(null, socket),
          (error) => done(error, null),
        );
      },
    });
    const { body } = await request(`http://127.0.0.1:${port}/undici`, { dispatcher: agent });
    expect(await body.text()).toBe('{"inside":"/undici"}');
    await agent.close();
  });

  it('fails as a connection of our own fails', async () => {
    const wrong = (more: Partial<NamespaceTarget>) => connectInNamespace({ ...target, ...more });
    await expect(wrong({ port: 1 })).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await expect(wrong({ host: 'localhost' })).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(wrong({ pid: 2 ** 22 + 1 })).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(wrong({ host: nobody, timeoutMs: 200 })).rejects.toMatchObject({ code: 'ETIMEDOUT' });
  });

  it('is refused where the pid is in another namespace than it was: another process has it', async () => {
    const reused = connectInNamespace({ ...target, pid: process.pid });
    await expect(reused).rejects.toMatchObject({ code: 'ESTALE' });
    await expect(connectInNamespace({ ...target, namespace: inode('self') })).rejects.toMatchObject({
      code: 'ESTALE',
    });
  });

  it('connects to a server that never answers, and ends with its socket', async () => {
    const socket = await connectInNamespace({ ...target, host: '::1', port: silentPort });
    expect(socket.remotePort).toBe(silentPort);
    await expect(textOf(socket, '/', 200)).rejects.toMatchObject({ name: 'AbortError' });
    expect(socket.destroyed).toBe(true);
  });

  it('ends with its signal, and more than eight at once wait for their turn', async () => {
    const abort = new AbortController();
    setMaxListeners(0, abort.signal);
    const started = Array.from({ length: 20 }, () =>
      connectInNamespace({ ...target, host: nobody, signal: abort.signal }),
    );
    const ended = Promise.allSettled(started);
    await waitFor(() => threads() > 4);
    abort.abort(new Error('enough'));
    for (const each of await ended) expect(each).toMatchObject({ status: 'rejected', reason: { message: 'enough' } });
    await expect(connectInNamespace({ ...target, signal: abort.signal })).rejects.toThrow('enough');
    expect(await textOf(await connectInNamespace(target), '/after')).toBe('{"inside":"/after"}');
  });

  it('leaves no descriptor and no thread behind', async () => {
    const connect = async (): Promise<void> => {
      const socket = await connectInNamespace(target);
      await new Promise((resolve) => socket.once('close', resolve).destroy());
    };
    await connect();
    await waitFor(() => !taskNames().includes('hive-netns'));
    const [openBefore, threadsBefore] = [descriptors(process.pid), threads()];
    for (let i = 0; i < 1000; i += 20) await Promise.all(Array.from({ length: 20 }, connect));
    await waitFor(() => !taskNames().includes('hive-netns'));
    expect(descriptors(process.pid)).toBeLessThanOrEqual(openBefore);
    expect(threads()).toBeLessThanOrEqual(threadsBefore);
  });

  it('in flight when its thread of Node ends harms nothing', async () => {
    for (let i = 0; i < 5; i += 1) {
      const code = `
        const { parentPort, workerData } = require('node:worker_threads');
        import(workerData.built).then(({ NamespaceConnector }) => {
          const connector = new NamespaceConnector({ procRoot: '/proc' });
          for (const host of workerData.hosts) connector.connect({ ...workerData.target, host }).catch(() => undefined);
          parentPort.postMessage('started');
        });
      `;
      const hosts = [nobody, nobody, '127.0.0.1', '127.0.0.1'];
      const worker = new Worker(code, { eval: true, workerData: { built, target, hosts } });
      await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
      await worker.terminate();
    }
    await waitFor(() => !taskNames().includes('hive-netns'));
  });

  it.each(['sys_admin', 'sys_ptrace'])('without CAP_%s fails with EPERM and is a fault', async (capability) => {
    const script = `
      const { NamespaceConnector } = await import(process.argv[1]);
      const connector = new NamespaceConnector({ procRoot: '/proc' });
      const target = JSON.parse(process.argv[2]);
      for (const each of [target, target])
        await connector.connect(each).then(() => console.log('connected'), ({ code }) => console.log(code));
      console.log(connector.faults().map(({ code }) => code).join());
    `;
    const node = [process.execPath, '--input-type=module', '-e', script, built, JSON.stringify(target)];
    const env = { ...process.env, ASAN_OPTIONS: 'detect_leaks=0' };
    const { stdout } = await promisify(execFile)('setpriv', [`--bounding-set=-${capability}`, ...node], { env });
    expect(stdout.trim().split('\n')).toEqual(['EPERM', 'EPERM', 'NAMESPACE_REFUSED']);
  });
});

const taskNames = (): readonly string[] =>
  readdirSync('/proc/self/task').flatMap((task) => {
    try {
      return readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim();
    } catch {
      return []; // it has just ended
    }
  });

const someTarget: NamespaceTarget = { pid: 7, namespace: 1, host: '127.0.0.1', port: 1, timeoutMs: 100 };

it('without the addon no namespace can be entered', async () => {
  const without = new NamespaceConnector({ procRoot: '/proc', load: () => ({ reason: 'left out' }) });
  await expect(without.connect(someTarget)).rejects.toMatchObject({ code: 'ENOTSUP' });
  expect(without.faults()).toEqual([]);
});

/** An addon whose threads end when the test says so. */
class FakeThreads implements NativeNamespaceConnector {
  static readonly places = 2;
  readonly paths: string[] = [];
  readonly running = new Set<number>();
  readonly canceled: number[] = [];
  alive = false;
  closed = false;
  #done: NativeConnection[] = [];
  constructor(readonly onDone: () => void) {}
  connect(path: string): number {
    if (this.running.size === FakeThreads.places) return 0;
    this.paths.push(path);
    this.running.add(this.paths.length);
    return this.paths.length;
  }
  end(id: number, error: number, fd = -1): void {
    this.running.delete(id);
    this.#done.push({ id, fd, error });
    this.onDone();
  }
  cancel(id: number): void {
    this.canceled.push(id);
  }
  take(): readonly NativeConnection[] {
    return this.#done.splice(0);
  }
  keepAlive(yes: boolean): void {
    this.alive = yes;
  }
  close(): void {
    this.closed = true;
  }
}

describe('threads that enter namespaces', () => {
  function prepared() {
    const clock = new ManualClock();
    const native: FakeThreads[] = [];
    class Connector extends FakeThreads {
      constructor(onDone: () => void) {
        super(onDone);
        native.push(this);
      }
    }
    const binding = { NamespaceConnector: Connector } as unknown as Binding;
    const made = new NamespaceConnector({ procRoot: '/host/proc', clock, load: () => ({ binding }) });
    const codes: string[] = [];
    const start = (more: Partial<NamespaceTarget> = {}): void =>
      void made.connect({ ...someTarget, ...more }).catch(({ code }) => codes.push(code));
    return { clock, made, codes, start, threads: () => native[0] as FakeThreads };
  }
  const faultsOf = (made: NamespaceConnector) => made.faults().map(({ code }) => code);

  it('that hang cost nobody more than the deadline, and are a fault until they return', async () => {
    const { clock, made, codes, start, threads: native } = prepared();
    for (let i = 0; i < 3; i += 1) start();
    expect(native().paths).toEqual(['/host/proc/7/ns/net', '/host/proc/7/ns/net']);
    await clock.advance(349);
    expect([codes, faultsOf(made), native().alive]).toEqual([[], [], true]);
    await clock.advance(1);
    expect([codes, faultsOf(made)]).toEqual([['EBUSY', 'EBUSY', 'EBUSY'], ['NAMESPACE_STALLED']]);
    expect([native().canceled, native().alive]).toEqual([[1, 2], false]);
    start();
    await clock.advance(350);
    expect([codes.length, faultsOf(made)]).toEqual([4, ['NAMESPACE_STALLED']]);
    native().end(1, constants.errno.ECANCELED);
    start();
    expect(native().paths.length).toBe(3);
    native().end(2, constants.errno.ECANCELED);
    expect(faultsOf(made)).toEqual([]);
    native().end(3, constants.errno.ECONNREFUSED);
    await settle();
    expect(codes.at(-1)).toBe('ECONNREFUSED');
  });

  it('that hang are named with the process of the first, and how many more', async () => {
    const { clock, made, start } = prepared();
    const messages = () => made.faults();
    start({ timeoutMs: 50 });
    start({ pid: 8, timeoutMs: 5000 });
    const named = (who: string) => ({
      source: 'proc',
      code: 'NAMESPACE_STALLED',
      message: `Entering the network namespace of process ${who} does not return: whether some workers are ready is not known.`,
      field: 'ready',
    });
    await clock.advance(5249);
    expect(messages()).toEqual([named('7')]);
    await clock.advance(1);
    expect(messages()).toEqual([named('7 and 1 more')]);
    expect(() => made.close()).not.toThrow();
  });

  it('keep the process alive as long as one of their callers waits, and leave nothing on its signal', async () => {
    const { made, threads: native } = prepared();
    const [first, second] = [new AbortController(), new AbortController()];
    const both = [first, second].map(({ signal }) => made.connect({ ...someTarget, signal }));
    first.abort(new Error('enough'));
    await expect(both[0]).rejects.toThrow('enough');
    expect([native().canceled, native().alive]).toEqual([[1], true]);
    native().end(2, constants.errno.ECONNREFUSED);
    await expect(both[1]).rejects.toMatchObject({
      ...{ code: 'ECONNREFUSED', syscall: 'connect', address: '127.0.0.1', port: 1 },
      message: expect.stringMatching(/^connect: (?!the process is in another)/),
    });
    expect(native().alive).toBe(false);
    expect(getEventListeners(second.signal, 'abort')).toEqual([]);
  });

  it('whose connection nobody waits for any more close it, before and after the end', async () => {
    const { clock, made, start, threads: native } = prepared();
    const [late, later] = [openSync('/dev/null', 'r'), openSync('/dev/null', 'r')];
    start();
    start();
    await clock.advance(350);
    native().end(1, 0, late);
    made.close();
    native().end(2, 0, later);
    for (const fd of [late, later]) expect(() => fstatSync(fd)).toThrow('EBADF');
  });

  it('say by what code a namespace refuses, and that the process is in another one', async () => {
    const { made, threads: native } = prepared();
    const failure = (errno: number) => {
      const connecting = made.connect(someTarget).catch((error) => error);
      native().end(native().paths.length, errno);
      return connecting;
    };
    expect(await failure(constants.errno.ESTALE)).toMatchObject({
      code: 'ESTALE',
      message: 'connect: the process is in another network namespace.',
    });
    expect(await failure(constants.errno.EACCES)).toMatchObject({ code: 'EACCES' });
    expect(faultsOf(made)).toEqual(['NAMESPACE_REFUSED']);
  });

  it('that may not enter are one fault, which counts the namespaces', async () => {
    const { clock, made, start, threads: native } = prepared();
    const refused = (what: string, it: string) => ({
      source: 'proc',
      code: 'NAMESPACE_REFUSED',
      message: `${what} of workers may not be entered: whether the servers in ${it} are ready, and their endpoints, are not known. Give the hive CAP_SYS_ADMIN and CAP_SYS_PTRACE, or start the workers in the host's network.`,
      field: 'ready',
    });
    start();
    native().end(1, constants.errno.EPERM);
    expect(made.faults()).toEqual([refused('A network namespace', 'it')]);
    await clock.advance(1);
    start({ namespace: 2 });
    native().end(2, constants.errno.EPERM);
    await clock.advance(29_998);
    expect(made.faults()).toEqual([refused('2 network namespaces', 'them')]);
    await clock.advance(1);
    expect(made.faults()).toEqual([refused('A network namespace', 'it')]);
  });

  it('are not started again for ten seconds where a namespace may not be entered', async () => {
    const { clock, made, codes, start, threads: native } = prepared();
    start();
    native().end(1, constants.errno.EPERM);
    start();
    start({ namespace: 2 });
    await settle();
    expect([codes, native().paths.length, faultsOf(made)]).toEqual([['EPERM', 'EPERM'], 2, ['NAMESPACE_REFUSED']]);
    native().end(2, constants.errno.ECONNREFUSED);
    await clock.advance(10_000);
    start();
    native().end(3, constants.errno.ECONNREFUSED);
    await settle();
    expect([codes.at(-1), faultsOf(made)]).toEqual(['ECONNREFUSED', []]);
    start();
    native().end(4, constants.errno.EPERM);
    await clock.advance(30_000);
    expect(faultsOf(made)).toEqual([]);
  });

  it('are left behind when it is closed', async () => {
    const { made, codes, start, threads: native } = prepared();
    for (let i = 0; i < 3; i += 1) start();
    made.close();
    start();
    await settle();
    expect([codes, native().closed]).toEqual([Array(4).fill('CLOSED'), true]);
    expect(() => new NamespaceConnector({ procRoot: '/proc' }).close()).not.toThrow();
  });
});
