import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Finding } from '../../lib/engines/examine.js';
import { roleOf } from '../../lib/engines/recognize.js';
import { chooseServer, decide, type ListeningProcess, placeOf, probeAddresses } from '../../lib/sampling/endpoint.js';
import type { NamespaceSocket } from '../../lib/workers/listening.js';

const host = 1;
let inodes = 100;

/** `0.0.0.0:8000`, `[::]:8000`, or only a port on all addresses. */
function socket(text: string, namespace = host): NamespaceSocket {
  const [, address = '0.0.0.0', port] = /^(?:\[?(.*?)\]?:)?(\d+)$/.exec(text) as unknown as [string, string?, string?];
  inodes += 1;
  return { inode: inodes, address, port: Number(port), cgroup: null, namespace };
}

type Line = readonly [pid: number, parent: number, command: string, ...listens: (string | NamespaceSocket | null)[]];

/** null among the sockets: they cannot be read. */
const processOf = ([pid, parentPid, command, ...listens]: Line): ListeningProcess => ({
  pid,
  parentPid,
  role: roleOf(command.includes(': ') ? [command] : command.split(' ')),
  sockets: listens.includes(null)
    ? null
    : listens.map((each) => (typeof each === 'string' ? socket(each) : (each as NamespaceSocket))),
});

/** What the answers are: `own`, `other`, or a scheme alone; by port. */
type Answers = Readonly<Record<number, 'own' | 'other' | 'http' | 'https'>>;

const findingOf = (answer: Answers[number]): Finding => ({
  scheme: answer === 'https' ? 'https' : 'http',
  own: answer === 'own' ? true : answer === 'other' ? false : null,
  ready: null,
  reason: null,
  unclear: 'noAnswerYet',
  silent: false,
});

/** The candidates in the order in which they are asked: the port, `!` where it is named, `?` where only its answer counts. */
function candidates(lines: readonly Line[], recordPort: number | null = null): string {
  const choice = chooseServer(lines.map(processOf), recordPort);
  if (choice.reason !== null) return choice.reason;
  return choice.candidates
    .map(
      ({ sockets, named, guessed }) =>
        sockets.map(({ address, port }) => `${address}:${port}`).join('+') + (named ? '!' : '') + (guessed ? '?' : ''),
    )
    .join(' ');
}

/** Where it serves by the answers; without any by what is known beforehand. */
function served(lines: readonly Line[], answers: Answers | null): string {
  const choice = chooseServer(lines.map(processOf), null);
  const findings = new Map(
    choice.candidates.flatMap(({ key, sockets }) => {
      const answer = answers?.[sockets[0]?.port as number];
      return answer === undefined ? [] : [[key, findingOf(answer)] as const];
    }),
  );
  const { server, scheme, reason } = decide(choice, answers === null ? null : findings);
  return reason ?? `${scheme} ${server?.sockets[0]?.port}`;
}

const command = fc.constantFrom(
  'vllm serve a',
  'vllm serve a --port 3',
  'ollama serve',
  'llama-server --port 2',
  'ray::IDLE',
  'VLLM::EngineCore',
  'litellm --port 1',
  'python app.py --port 4',
  'sh',
);
const line = fc.tuple(
  fc.integer({ min: 0, max: 5 }),
  command,
  fc.array(fc.constantFrom('1', '2', '3', '127.0.0.1:3', '4', '8000', '11434'), { maxLength: 3 }),
  fc.boolean(),
);

describe('where a worker may serve', () => {
  it.each([
    ['its default port', [[1, 0, 'vllm serve a', '8000']], '0.0.0.0:8000!'],
    ['no default port without a socket', [[1, 0, 'vllm serve a']], 'notListening'],
    ['an argument without a socket is no port', [[1, 0, 'vllm serve a --port 9', '7000']], '0.0.0.0:7000'],
    [
      'nor is the default where an argument stands',
      [[1, 0, 'vllm serve a --port 9', '8000', '7']],
      '0.0.0.0:8000 0.0.0.0:7',
    ],
    [
      'the argument among several',
      [[1, 0, 'vllm serve a --port 9', '5555', '9', '6000']],
      '0.0.0.0:9! 0.0.0.0:5555 0.0.0.0:6000',
    ],
    ['several without a hint', [[1, 0, 'llama-server', '9', '10']], '0.0.0.0:9 0.0.0.0:10'],
    ['both families of one port', [[1, 0, 'vllm serve a', '8000', '[::]:8000']], '0.0.0.0:8000+:::8000!'],
    ['sockets that cannot be read', [[1, 0, 'vllm serve a', null]], 'socketsUnknown'],
    [
      'a child that listens for its shell',
      [
        [1, 0, 'sh -c x'],
        [2, 1, 'vllm serve a', '8000'],
      ],
      '0.0.0.0:8000!',
    ],
    [
      'a launcher’s port on its router',
      [
        [1, 0, 'text-generation-launcher --port 80'],
        [2, 1, 'text-generation-router', '80'],
        [3, 1, 'python text_generation_server/cli.py'],
      ],
      '0.0.0.0:80!',
    ],
    [
      'a launcher whose child listens elsewhere',
      [
        [1, 0, 'vllm serve a --port 8000'],
        [2, 1, 'python3 /bin/vllm serve a', '9000'],
      ],
      '0.0.0.0:9000',
    ],
    [
      'ollama, not the server that it starts',
      [
        [1, 0, 'ollama serve', '127.0.0.1:11434'],
        [2, 1, 'llama-server --model /blobs/sha256-a --port 41231', '127.0.0.1:41231'],
      ],
      '127.0.0.1:11434!',
    ],
    [
      'ollama on a port of its own',
      [
        [1, 0, 'ollama serve', '127.0.0.1:11435'],
        [2, 1, 'ollama runner --port 41231', '127.0.0.1:41231'],
      ],
      '127.0.0.1:11435',
    ],
    [
      'an unknown router before its child on loopback',
      [
        [1, 0, 'python router.py --port 4000', '4000'],
        [2, 1, 'llama-server --port 43091', '127.0.0.1:43091'],
      ],
      '0.0.0.0:4000!',
    ],
    [
      'a known router',
      [
        [1, 0, 'llama-swap --config c.yaml', '8080'],
        [2, 1, 'llama-server --port 5800', '127.0.0.1:5800'],
        [3, 1, 'llama-server --port 5801', '127.0.0.1:5801'],
      ],
      '0.0.0.0:8080',
    ],
    [
      'a notebook is no router of the engine that it started',
      [
        [1, 0, 'jupyter-lab --port 8888', '8888'],
        [2, 1, 'vllm serve a', '8000'],
      ],
      '0.0.0.0:8000!',
    ],
    [
      'helpers never count',
      [
        [1, 0, 'vllm serve a'],
        [2, 1, 'ray::IDLE', '8000'],
        [3, 1, 'VLLM::EngineCore_0', '29500'],
        [4, 1, 'python -c from multiprocessing.resource_tracker import main', '29501'],
      ],
      'notListening',
    ],
    [
      'what multiprocessing started beside a socket of the engine',
      [
        [1, 0, 'vllm serve a', '8000'],
        [2, 1, 'python -c from multiprocessing.spawn import spawn_main', '29501'],
      ],
      '0.0.0.0:8000!',
    ],
    [
      'what multiprocessing started, where nothing else listens',
      [
        [1, 0, 'vllm serve a'],
        [2, 1, 'python -c from multiprocessing.spawn import spawn_main', '29501', '8000'],
        [3, 1, 'ray::IDLE', '7000'],
      ],
      '0.0.0.0:8000!? 0.0.0.0:29501?',
    ],
    [
      'a child under another name that lost its parent',
      [
        [10, 0, 'vllm serve a --port 81'],
        [11, 1, 'api-worker', '8000'],
      ],
      '0.0.0.0:8000?',
    ],
    [
      'whose child it is cannot be said where engines differ',
      [
        [10, 0, 'vllm serve a'],
        [11, 0, 'ollama serve'],
        [12, 1, 'api-worker', '8000'],
      ],
      'notListening',
    ],
    [
      'two engines side by side',
      [
        [1, 0, 'supervisord'],
        [2, 1, 'vllm serve a', '8000'],
        [3, 1, 'vllm serve b --port 8001', '8001'],
      ],
      '0.0.0.0:8000! 0.0.0.0:8001!',
    ],
    ['a program that names its port', [[1, 0, 'node server.js --port 5000', '5000', '9229']], '0.0.0.0:5000!'],
    ['a program that names none', [[1, 0, 'node server.js', '5000']], '0.0.0.0:5000'],
    [
      'a loop of parents',
      [
        [1, 2, 'vllm serve a', '8000'],
        [2, 1, 'sh'],
      ],
      '0.0.0.0:8000!',
    ],
  ] as [string, Line[], string][])('%s', (_title, lines, expected) => expect(candidates(lines)).toBe(expected));

  it.each([
    ['own', 'http 8000'],
    ['other', 'notListening'],
    ['http', 'notListening'],
    [null, 'notListening'],
  ] as const)('a socket of what may be anything: it answers as %s, so %s', (answer, expected) => {
    const lines: Line[] = [
      [10, 0, 'vllm serve a'],
      [11, 1, 'python -c from multiprocessing.spawn import spawn_main', '8000'],
    ];
    expect(served(lines, answer === null ? null : { 8000: answer })).toBe(expected);
  });

  it('the port of the record wins where it listens', () => {
    const lines: Line[] = [[1, 0, 'vllm serve a --port 9', '9', '10']];
    expect(candidates(lines, 10)).toBe('0.0.0.0:10!');
    expect(candidates(lines, 11)).toBe('0.0.0.0:9! 0.0.0.0:10');
  });

  it('whatever the tree: a socket of its own that no helper alone holds, all of one port; else a reason', () => {
    fc.assert(
      fc.property(fc.array(line, { maxLength: 6 }), fc.option(fc.integer({ min: 1, max: 5 })), (lines, recordPort) => {
        const processes = lines.map(([parent, text, listens, hidden], pid) =>
          processOf([pid, parent, text, ...(hidden ? [null] : listens)]),
        );
        const choice = chooseServer(processes, recordPort);
        expect(choice.reason === null).toBe(choice.candidates.length > 0);
        for (const { sockets: found, process } of choice.candidates) {
          expect(new Set(found.map(({ port }) => port)).size).toBe(1);
          expect(processes).toContain(process);
          for (const each of found)
            expect(processes.some(({ role, sockets }) => role.role !== 'helper' && sockets?.includes(each))).toBe(true);
        }
        expect(new Set(choice.candidates.map(({ key }) => key)).size).toBe(choice.candidates.length);
      }),
    );
  });
});

describe('where it serves, by the answers', () => {
  const vllm: Line = [1, 0, 'vllm serve a', '8000', '9000'];
  const unnamed: Line = [1, 0, 'vllm serve a', '7000'];
  const two: Line[] = [
    [1, 0, 'vllm serve a', '8000'],
    [2, 0, 'vllm serve b --port 8001', '8001'],
  ];
  it.each([
    ['a named port, where nobody asks', [vllm], null, 'http 8000'],
    ['no answer yet', [vllm], {}, 'unidentified'],
    ['its own answer', [vllm], { 8000: 'own' }, 'http 8000'],
    ['its own answer elsewhere', [vllm], { 8000: 'other', 9000: 'own' }, 'http 9000'],
    ['only a stranger’s', [vllm], { 8000: 'other', 9000: 'other' }, 'unidentified'],
    ['its own on two ports, one named', [vllm], { 8000: 'own', 9000: 'own' }, 'http 8000'],
    ['TLS and loading: the named port', [vllm], { 8000: 'https' }, 'https 8000'],
    ['an unnamed port that does not answer', [unnamed], {}, 'unidentified'],
    ['an unnamed port that is loading', [unnamed], { 7000: 'http' }, 'unidentified'],
    ['an unnamed port that answers as it', [unnamed], { 7000: 'own' }, 'http 7000'],
    ['two engines that answer', two, { 8000: 'own', 8001: 'own' }, 'severalCandidates'],
    ['two engines, one of which answers', two, { 8000: 'own', 8001: 'other' }, 'http 8000'],
    ['a router, by its scheme alone', [[1, 0, 'llama-swap', '8080']], { 8080: 'https' }, 'https 8080'],
    ['a program that names its port', [[1, 0, 'node x.js --port 5000', '5000']], { 5000: 'http' }, 'http 5000'],
    ['a program that names none', [[1, 0, 'node x.js', '5000']], { 5000: 'http' }, 'unidentified'],
  ] as [string, Line[], Answers | null, string][])('%s', (_title, lines, answers, expected) =>
    expect(served(lines, answers)).toBe(expected),
  );

  it('whatever the answers: never a port on which another program answers, never an unnamed one without its own answer', () => {
    const answer = fc.constantFrom('own', 'other', 'http', 'https', undefined);
    fc.assert(
      fc.property(fc.array(line, { maxLength: 5 }), fc.array(answer, { minLength: 8, maxLength: 8 }), (lines, all) => {
        const choice = chooseServer(
          lines.map(([parent, text, listens], pid) => processOf([pid, parent, text, ...listens])),
          null,
        );
        const given = new Map(choice.candidates.map(({ key }, i) => [key, all[i]]));
        const findings = new Map([...given].flatMap(([key, each]) => (each ? [[key, findingOf(each)] as const] : [])));
        const { server, reason } = decide(choice, findings);
        if (reason !== null) return;
        expect(given.get(server.key)).not.toBe('other');
        if (!server.named && server.process.role.role !== 'router') expect(given.get(server.key)).toBe('own');
      }),
    );
  });
});

describe('under which address others reach it', () => {
  const place = (own: readonly string[], address: string | null, others: readonly string[] = []) => {
    const sockets = own.map((text) => socket(text));
    const all = [...sockets, ...others.map((text) => socket(text))];
    const found = placeOf(sockets, all, { address, namespace: host });
    return found.host ?? found.reason;
  };

  it.each([
    [['8000'], '10.0.0.7', [], '10.0.0.7'],
    [['8000'], null, [], 'addressUnknown'],
    [['[::]:8000'], '10.0.0.7', [], '10.0.0.7'],
    [['[::]:8000'], 'fd00::2', [], 'fd00::2'],
    [['8000'], 'fd00::2', [], 'addressUnknown'],
    [['192.0.2.2:8000'], null, [], '192.0.2.2'],
    [['192.0.2.2:8000'], '10.0.0.7', ['8001'], '192.0.2.2'],
    [['127.0.0.1:8000'], '10.0.0.7', [], 'loopbackOnly'],
    [['127.0.0.1:8000'], null, [], 'loopbackOnly'],
    [['[::1]:8000'], '127.0.0.1', [], '::1'],
    [['127.0.0.2:8000'], 'localhost', [], '127.0.0.2'],
    [['127.0.0.1:8000', '192.0.2.2:8000'], '10.0.0.7', [], '192.0.2.2'],
    [['[fe80::1]:8000'], '10.0.0.7', [], 'addressUnknown'],
    // Another process on the same port: a specific address beats a wildcard, 0.0.0.0 beats :: for IPv4.
    [['8000'], '10.0.0.7', ['10.0.0.7:8000'], 'addressUnknown'],
    [['8000'], '10.0.0.7', ['127.0.0.1:8000'], '10.0.0.7'],
    [['8000'], '127.0.0.1', ['127.0.0.1:8000'], 'addressUnknown'],
    [['[::]:8000'], '10.0.0.7', ['8000'], 'addressUnknown'],
    [['[::]:8000'], 'fd00::2', ['8000'], 'fd00::2'],
    [['[::]:8000'], 'gpu-7.example', ['8000'], 'addressUnknown'],
    [['8000'], 'gpu-7.example', ['127.0.0.1:8000'], 'gpu-7.example'],
    [['8000'], 'localhost', ['127.0.0.1:8000'], 'addressUnknown'],
    [['8000'], '10.0.0.7', ['8000'], 'severalCandidates'],
  ] as const)('%j at %s beside %j: %s', (own, address, others, expected) =>
    expect(place(own, address, others)).toBe(expected),
  );

  it.each([
    ['127.0.0.1', '10.0.0.7', '10.0.0.7'],
    ['::1', '10.0.0.7', 'addressUnknown'],
    ['::1', 'fd00::2', 'fd00::2'],
    [null, '10.0.0.7', '10.0.0.7'],
  ])(':: that answered at %s is reached at %s: %s', (answeredAt, address, expected) => {
    const own = socket('[::]:8000');
    const found = placeOf([own], [own], { address, namespace: host, answeredAt });
    expect(found.host ?? found.reason).toBe(expected);
  });

  it('one in a network namespace of its own has none', () => {
    const own = socket('8000', 2);
    expect(placeOf([own], [own], { address: '10.0.0.7', namespace: host }).reason).toBe('otherNamespace');
    expect(placeOf([own], [own], { address: '10.0.0.7', namespace: null }).reason).toBe('socketsUnknown');
  });

  it.each([
    [['8000'], [], '127.0.0.1 127.0.0.2'],
    [['8000'], ['127.0.0.1:8000'], '127.0.0.2'],
    [['[::]:8000'], [], '127.0.0.1 127.0.0.2 ::1'],
    [['[::]:8000'], ['8000'], '::1'],
    [['[::]:8000'], ['[::1]:8000'], '127.0.0.1 127.0.0.2'],
    [['192.0.2.2:8000'], ['8000'], '192.0.2.2'],
    [['8000'], ['8000'], ''],
  ] as const)('the hive asks %j beside %j at %s', (own, others, expected) => {
    const sockets = own.map((text) => socket(text));
    const all = [...sockets, ...others.map((text) => socket(text))];
    expect(
      probeAddresses(sockets, all)
        .map((each) => each.host)
        .join(' '),
    ).toBe(expected);
  });
});

describe('an engine on a Unix socket', () => {
  it.each([
    'vllm serve a/b --uds /run/vllm.sock',
    'vllm serve a/b --uds=/run/vllm.sock --port 8000',
    'llama-server -m m.gguf --host /run/llama.sock',
  ])('listens on no port, whatever ports its parts have: %s', (line) => {
    expect(roleOf(line.split(' ')).unixSocket).toBe(true);
    expect(candidates([[1, 0, line, '127.0.0.1:8000']])).toBe('notListening');
    expect(
      candidates([
        [1, 0, line, '127.0.0.1:8000'],
        [2, 0, 'python3 proxy.py --port 9000', '9000'],
      ]),
    ).toBe('0.0.0.0:9000!');
  });

  it.each(['vllm serve a/b --host 0.0.0.0', 'llama-server -m m.sock --host 127.0.0.1'])(
    'is not meant by %s',
    (line) => {
      expect(roleOf(line.split(' ')).unixSocket).toBeUndefined();
      expect(candidates([[1, 0, line, '8000']])).toMatch(/:8000/);
    },
  );
});
