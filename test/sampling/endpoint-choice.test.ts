import { describe, expect, it } from 'vitest';
import { roleOf } from '../../lib/engines/recognize.js';
import {
  type Choice,
  chooseServer,
  covers,
  decide,
  isShared,
  type ListeningProcess,
  placeOf,
  probeAddresses,
  strangersOf,
} from '../../lib/sampling/endpoint.js';
import type { NamespaceSocket } from '../../lib/workers/listening.js';
import { finding, own, socket } from './endpoints-world.js';

/** null among the sockets: they cannot be read. */
const process = (
  pid: number,
  parentPid: number,
  command: string,
  ...sockets: readonly (NamespaceSocket | null)[]
): ListeningProcess => ({
  pid,
  parentPid,
  role: roleOf(command.includes(': ') ? [command] : command.split(' ')),
  sockets: sockets.includes(null) ? null : (sockets as readonly NamespaceSocket[]),
});

/** Ports of the candidates: `!` where it is named, `?` where only its answer counts; else why there is none. */
const ports = (choice: Choice): string =>
  choice.reason ??
  choice.candidates
    .map(({ sockets, named, guessed }) => `${sockets[0]?.port}${named ? '!' : ''}${guessed ? '?' : ''}`)
    .join(' ');
const chosen = (processes: readonly ListeningProcess[], recordPort: number | null = null) =>
  ports(chooseServer(processes, recordPort));

describe('whose sockets count as those of an engine', () => {
  it('of its children those that are no other engine and no helper', () => {
    const vllm = process(2, 1, 'vllm serve a');
    expect(chosen([vllm, process(3, 2, 'python tokenize.py', socket(11, 8000))])).toBe('8000!');
    expect(chosen([vllm, process(3, 2, 'ollama serve', socket(12, 11434))])).toBe('notListening');
    expect(chosen([vllm, process(3, 2, 'sh'), process(4, 3, 'python a.py', socket(13, 8000))])).toBe('8000!');
    const helper = process(3, 2, 'ray::IDLE');
    expect(helper.role.role).toBe('helper');
    expect(chosen([vllm, helper, process(4, 3, 'python a.py', socket(14, 8000))])).toBe('8000!?');
    expect(chosen([vllm, process(3, 2, 'ollama serve'), process(4, 3, 'python a.py', socket(15, 8000))])).toBe(
      '8000!?',
    );
  });

  it('not those of processes beside it', () => {
    const beside = process(4, 1, 'python a.py', socket(16, 8000));
    expect(chosen([process(1, 0, 'sh'), process(2, 1, 'vllm serve a'), beside])).toBe('8000!?');
    const below = [process(4, 1, 'sh'), process(5, 4, 'python a.py', socket(17, 8000))];
    expect(chosen([process(1, 0, 'sh'), process(2, 1, 'vllm serve a'), ...below])).toBe('8000!?');
  });

  it('not known where one of them cannot be read, unless the named port is among the others', () => {
    expect(chosen([process(2, 1, 'vllm serve a'), process(3, 2, 'python a.py', null)])).toBe('socketsUnknown');
    const partly = [process(2, 1, 'vllm serve a', socket(18, 8000)), process(3, 2, 'python a.py', null)];
    expect(chosen(partly)).toBe('8000!');
    const other = [process(2, 1, 'vllm serve a', socket(19, 7000)), process(3, 2, 'python a.py', null)];
    expect(chosen(other)).toBe('socketsUnknown');
    expect(chosen([process(2, 1, 'vllm serve a', null), process(3, 2, 'python a.py', socket(20, 8000))])).toBe('8000!');
  });

  it('its own, and of its children that at the named port', () => {
    const top = process(2, 1, 'vllm serve a', socket(21, 5555));
    const child = process(3, 2, 'python a.py', socket(22, 8000), socket(23, 6000));
    expect(chosen([top, child])).toBe('8000! 5555');
  });

  it('of two engines of which one cannot be read nothing is known', () => {
    expect(chosen([process(2, 1, 'vllm serve a', null), process(3, 1, 'llama-server')])).toBe('socketsUnknown');
  });

  it('never those of a helper, whatever the record says', () => {
    const helper = process(3, 2, 'ray::IDLE', socket(24, 9009));
    expect(chosen([process(2, 1, 'vllm serve a', socket(25, 8000)), helper], 9009)).toBe('8000!');
    expect(chosen([helper])).toBe('socketsUnknown');
    expect(chosen([process(2, 1, 'python a.py', socket(26, 4)), helper])).toBe('4');
  });
});

describe('of programs that are no engine', () => {
  it('that names its port counts, also below one that names none', () => {
    const app = process(3, 2, 'python app.py --port 4', socket(31, 4));
    expect(chosen([process(2, 1, 'sh'), app])).toBe('4!');
    expect(chosen([process(2, 1, 'vllm serve a'), process(3, 1, 'python app.py --port 4', socket(32, 4))])).toBe('4!');
  });

  it('is taken before an engine that listens on loopback alone', () => {
    const app = process(3, 1, 'python app.py --port 4', socket(33, 4));
    const engine = (...sockets: readonly NamespaceSocket[]) => process(2, 1, 'vllm serve a', ...sockets);
    expect(chosen([engine(socket(34, 8000, '127.0.0.1')), app])).toBe('4!');
    expect(chosen([engine(socket(35, 8000, '127.0.0.1'), socket(36, 9, '10.9.9.9')), app])).toBe('8000! 9');
    expect(chosen([engine(socket(37, 8000, '127.0.0.1'), socket(38, 8000, '10.9.9.9')), app])).toBe('8000!');
  });

  it('is not known where one of them cannot be read, or there is none', () => {
    const known = process(3, 1, 'python b.py', socket(39, 80));
    expect(chosen([process(2, 1, 'python a.py', null), known])).toBe('socketsUnknown');
    expect(chosen([])).toBe('socketsUnknown');
    expect(chosen([known])).toBe('80');
  });
});

describe('a candidate', () => {
  const only = (...processes: readonly ListeningProcess[]) => chooseServer(processes, null).candidates[0];

  it('is known by its sockets, in whichever order they came', () => {
    const sockets = [socket(109, 8000, '::'), socket(23, 8000), socket(44, 8000, '127.0.0.1')];
    expect(only(process(2, 1, 'vllm serve a', ...sockets))?.key).toBe(`${own}/8000/23,44,109`);
  });

  it('is held where processes that were started as the engine hold all of its sockets', () => {
    const [one, two] = [socket(41, 8000), socket(42, 8000, '::')];
    const held = (...processes: readonly ListeningProcess[]) => only(...processes)?.held;
    expect(held(process(2, 1, 'vllm serve a', one, two))).toBe(true);
    expect(held(process(2, 1, 'vllm serve a'), process(3, 2, 'vllm serve a', one, two))).toBe(true);
    expect(held(process(2, 1, 'vllm serve a', one), process(3, 2, 'python a.py', two))).toBe(false);
    expect(held(process(2, 1, 'vllm serve a'), process(3, 2, 'python a.py', one))).toBe(false);
    expect(held(process(2, 1, 'vllm serve a', null), process(3, 2, 'vllm serve a', one))).toBe(true);
    expect(held(process(2, 1, 'python a.py --port 8000', one))).toBe(false);
    expect(chooseServer([process(2, 1, 'vllm serve a', socket(43, 7777))], 7777).candidates[0]?.held).toBe(true);
  });

  it('that answers as the engine is it, before one that is named', () => {
    const choice = chooseServer([process(2, 1, 'vllm serve a', socket(45, 8000), socket(46, 7000))], null);
    const findings = new Map([[`${own}/7000/46`, finding()]]);
    expect(decide(choice, findings)).toMatchObject({ server: { key: `${own}/7000/46` }, scheme: 'http', reason: null });
  });
});

describe('the place of a server', () => {
  const reach = { address: '10.4.4.4', namespace: own };
  const specific = socket(51, 80, '10.9.9.9');

  it('is the address of the host before that of one socket, and that before loopback', () => {
    expect(placeOf([specific, socket(52, 80)], [], reach)).toEqual({ host: '10.4.4.4', reason: null });
    expect(placeOf([specific, socket(53, 80, '::')], [], { ...reach, address: 'node7' }).host).toBe('node7');
    const local = { ...reach, address: '127.0.0.1' };
    expect(placeOf([socket(54, 80, '127.0.0.1'), specific], [], local).host).toBe('10.9.9.9');
  });

  it('is that of whichever socket has one', () => {
    expect(placeOf([socket(55, 80), specific], [], { ...reach, address: null })).toEqual({
      host: '10.9.9.9',
      reason: null,
    });
    expect(placeOf([socket(56, 80, '127.0.0.1'), socket(57, 80)], [], { ...reach, address: null }).reason).toBe(
      'addressUnknown',
    );
    expect(placeOf([], [], reach)).toEqual({ host: null, reason: 'notListening' });
  });

  it('is asked at in the same order', () => {
    const asked = probeAddresses([socket(58, 80, '127.0.0.5'), specific], []);
    expect(asked.map(({ host }) => host)).toEqual(['10.9.9.9', '127.0.0.5']);
    expect(probeAddresses([], [specific])).toEqual([]);
  });

  it('is shared where another listens at one of its addresses', () => {
    const both = [socket(61, 80), socket(62, 80, '10.9.9.9')];
    expect(isShared(both, [socket(63, 80, '10.9.9.9')])).toBe(true);
    expect(isShared(both, [socket(64, 80, '10.7.7.7')])).toBe(false);
    expect(strangersOf(both, [...both, socket(65, 80), socket(66, 81)]).map(({ inode }) => inode)).toEqual([65]);
  });

  it.each([
    ['0.0.0.0', '10.4.4.4', [], '::1', true],
    ['::', '10.4.4.4', [], '::1', false],
    ['::', '10.4.4.4', [], null, true],
    ['::', '10.4.4.4', ['0.0.0.0'], null, false],
    ['0.0.0.0', '10.4.4.4', ['::'], null, true],
    ['0.0.0.0', '10.4.4.4', ['10.4.4.4'], null, false],
    ['0.0.0.0', 'node7', [], null, true],
    ['0.0.0.0', 'node7', ['127.0.0.1'], null, true],
    ['0.0.0.0', 'localhost', ['127.0.0.1'], null, false],
    ['0.0.0.0', 'node7', ['127.0.0.1', '10.9.9.9'], null, false],
    ['::', '2001:db8::4', ['2001:db8::4'], null, false],
    ['0.0.0.0', '2001:db8::4', [], null, false],
    ['::', '2001:db8::4', [], null, true],
  ] as const)('%s covers %s beside %j where it answered at %j: %s', (wildcard, host, others, answeredAt, expected) => {
    const strangers = others.map((address, i) => socket(70 + i, 80, address));
    expect(covers(wildcard, host, strangers, answeredAt)).toBe(expected);
  });
});
