import fc from 'fast-check';
import { engines } from '../../lib/engines/table.js';

/** A command line with a secret in it. */
export interface SecretLine {
  readonly argv: readonly string[];
  readonly secret: string;
  /** The forms in which it stands there. */
  readonly planted: readonly string[];
}

const lower = [...'abcdefghijklmnopqrstuvwxyz'];
const mixed = [...lower, ...'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'];
const word = (least: number, most: number, of = lower) =>
  fc.string({ unit: fc.constantFrom(...of), minLength: least, maxLength: most });

/**
 * Secrets are made of these pieces, which stand in no text by chance: one search for all of them finds each secret in an
 * output, and half of one as well.
 */
export const pieces: readonly string[] = fc.sample(word(7, 7, mixed), { seed: 18, numRuns: 60 });
const lowerPieces = fc.sample(word(7, 7), { seed: 19, numRuns: 60 });
export const anyPiece = new RegExp([...pieces, ...lowerPieces].join('|'));

const some = (of: readonly string[], least: number, most: number) =>
  fc.array(fc.constantFrom(...of), { minLength: least, maxLength: most });
const secrets = fc.oneof(
  some(lowerPieces, 2, 2).map((parts) => `${parts.join('')}xq`), // looks like nothing
  some(pieces, 3, 6).map((parts) => `${parts.join('/')}==`),
  some(pieces, 3, 5).map((parts) => parts.join('+')),
  some(lowerPieces, 2, 4).map((parts) => parts.join('-')),
  some(lowerPieces, 2, 4).map((parts) => parts.join(' ')),
  some(lowerPieces, 2, 3).map((parts) => parts.join('_').toUpperCase()),
  some(pieces, 1, 3).map((parts) => `${parts.join('$!')}"'`),
  some(pieces, 2, 3).map((parts) => `-${parts.join(':')}`),
  some(pieces, 2, 3).map((parts) => `@${parts.join('?')}#`),
);

const encodings = [
  (text: string) => text,
  (text: string) => text,
  encodeURIComponent,
  (text: string) => [...text].map((c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`).join(''),
  (text: string) => Buffer.from(`u:${text}`).toString('base64'),
  (text: string) => Buffer.from(text).toString('base64url'),
  (text: string) => Buffer.from(text).toString('hex'),
  (text: string) => JSON.stringify(text).slice(1, -1),
];

/** Words around a secret; `n` is a name. */
const shapes: readonly ((secret: string, n: string) => readonly string[])[] = [
  (s) => [s],
  (s, n) => [`--${n}`, s],
  (s, n) => [`--${n}=${s}`],
  (s, n) => [`--${n}:${s}`],
  (s, n) => [`--${n}${s}`],
  (s) => [`--${s}`],
  (s, n) => [`-${n}`, s],
  (s, n) => [`-${n[0]}`, s],
  (s, n) => [`-${n[0]}${s}`],
  (s, n) => [`-${n[0]}=${s}`],
  (s, n) => [`${n}=${s}`],
  (s, n) => [`${n.toUpperCase()}=${s}`],
  (s, n) => [`${n}: ${s}`],
  (s, n) => [`${n}='${s}'`],
  (s, n) => ['-H', `${n}: Key ${s}`],
  (s, n) => [`Cookie: a=1; ${n}=${s}`],
  (s, n) => [`{"${n}":["A","${s}"]}`],
  (s, n) => [`--${n}`, `{\\"${n}\\": \\"${s}\\"}`],
  (s, n) => [`os.environ["${n}"] = "${s}"`],
  (s) => [`http://u:${s}@h/`],
  (s) => [`http://${s}@h:80/x`],
  (s, n) => [`https://h/a?${n}=${s}&b=1`],
  (s, n) => [`--${n}`, `s3://b/m?${n}=${s}#${s}`],
  (s, n) => [`/models/m?${n}=${s}`],
  (s) => [`user:${s}@host/m`],
  (s, n) => [`--${n}`, 'a', s],
  (s, n) => ['--', `--${n}`, s],
  (s, n) => [`/etc/${n}/${s}.key`],
  (s, n) => [`+${n}`, `@${s}`],
];

/** Letters that take a model or host in some engine: what stands behind them is shown by design. */
const shownLetters = new Set(
  engines.flatMap(({ shown }) => [...shown].filter(([name]) => /^-[a-z]$/.test(name)).map(([name]) => name[1])),
);
const names = fc
  .array(word(2, 9), { minLength: 2, maxLength: 4 })
  .map((parts) => parts.join('-'))
  .filter((name) => !shownLetters.has(name[0]));

const quoted = (argv: readonly string[]): string =>
  argv.map((each) => (/^[\w/.-]+$/.test(each) ? each : `'${each}'`)).join(' ');

/** How a program is started. */
const starts: readonly ((argv: readonly string[], secret: string) => readonly string[])[] = [
  (argv) => argv,
  (argv) => argv,
  (argv) => argv,
  (argv) => ['bash', '-c', quoted(argv)],
  (argv) => ['sh', '-lc', `exec ${quoted(argv)}`],
  (argv, secret) => ['/bin/bash', '-c', `export T=${secret}; ${quoted(argv)}`],
  (argv, secret) => ['env', `T=${secret}`, ...argv],
  (argv) => ['sudo', '-u', 'x', ...argv],
  (argv) => ['timeout', '5', ...argv],
  (argv) => ['nohup', ...argv],
  (argv) => [argv.join(' ')], // a title over the command line
  (argv) => ['python3', '-m', ...argv],
  (argv) => ['/usr/bin/python3', `/srv/${argv[0]}.py`, ...argv.slice(1)],
];

const engineStarts = [
  ['vllm', 'serve', 'acme/m', '--port', '8000'],
  ['python3', '-m', 'vllm.entrypoints.openai.api_server', '--model', 'acme/m'],
  ['sglang', 'serve', 'acme/m'],
  ['llama-server', '-m', '/m/x.gguf', '-c', '8192'],
  ['ollama', 'serve'],
  ['text-generation-launcher', '--model-id', 'acme/m'],
  ['tritonserver', '--model-repository', '/m'],
  ['trtllm-serve', 'acme/m'],
];
const programs = fc.oneof(
  word(3, 10).map((name) => [name]),
  word(3, 10).map((name) => [`/opt/${name}/bin/${name}`]),
  fc.constantFrom(...engineStarts),
);
const filler = fc.array(
  fc.oneof(
    names.map((name) => `--${name}`),
    word(1, 12),
    fc.nat(70_000).map(String),
  ),
  { maxLength: 4 },
);

export const secretLines: fc.Arbitrary<SecretLine> = fc
  .record({
    secret: secrets,
    encode: fc.constantFrom(...encodings),
    program: programs,
    before: filler,
    shape: fc.constantFrom(...shapes),
    name: names,
    after: filler,
    start: fc.constantFrom(...starts),
  })
  .map(({ secret, encode, program, before, shape, name, after, start }) => {
    const planted = encode(secret);
    return {
      argv: start([...program, ...before, ...shape(planted, name), ...after], secret),
      secret,
      planted: [...new Set([secret, planted])],
    };
  });
