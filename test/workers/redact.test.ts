import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cut, isSecretLabel, isSecretName, redactCommand, redacted, redactText } from '../../lib/workers/redact.js';
import { portion } from '../harness/draws.js';

const R = redacted;

describe('redaction of command lines', () => {
  it.each([
    [['vllm', 'serve', 'a/b', '--api-key', 'hunter2'], `vllm serve a/b --api-key ${R}`],
    [['vllm', 'serve', 'a/b', '--api-key=hunter2', '--port', '1'], `vllm serve a/b --api-key=${R} --port 1`],
    [['x', '--api-key', 'one', 'two', '--port', '1'], `x --api-key ${R} --port 1`],
    [['x', '--token', '-starts-with-dash', '--port', '1'], `x --token ${R} --port 1`],
    [['x', '--hf-token', 'abc'], `x --hf-token ${R}`],
    [['x', '--password', 'p w'], `x --password ${R}`],
    [['env', 'HF_TOKEN=abc', 'vllm', 'serve', 'a/b'], `env HF_TOKEN=${R} vllm serve a/b`],
    [['env', 'AWS_SECRET_ACCESS_KEY=abc', 'x'], `env AWS_SECRET_ACCESS_KEY=${R} x`],
    [['curl', '-H', 'Authorization: Bearer abc.def', 'http://h'], `curl -H Authorization: ${R} http://h`],
    [['curl', '-u', 'me:secret', 'http://h'], `curl -u ${R} http://h`],
    [['x', '--db', 'postgres://me:pa/ss@db:5432/x'], `x --db postgres://${R}@db:5432/x`],
    [['x', '--url=https://user:pw@host/'], `x --url=https://${R}@host/`],
    [['x', '--url', 'https://h/?api_key=abc&n=1'], `x --url https://h/?api_key=${R}&n=1`],
    [
      ['sh', '-c', 'exec env HF_TOKEN=abc vllm serve a/b --api-key "x y"'],
      `sh -c exec env HF_TOKEN=${R} vllm serve a/b --api-key ${R}`,
    ],
    [['x', 'sk-proj-abcdefgh12345678'], `x ${R}`],
    [['x', '--opt', 'ghp_abcdefghijklmnop1234'], `x --opt ${R}`],
    [['x', 'AKIAIOSFODNN7EXAMPLE'], `x ${R}`],
    [['x', 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl'], `x ${R}`],
    [['x', '--config', '{"api_key": "abc", "n": 1}'], `x --config {"api_key": ${R}, "n": 1}`],
    // letters of one program, glued to their value or not
    [['mysql', '-phunter2', '-P', '3306'], `mysql -p${R} -P 3306`],
    [['curl', '-ubob:x', 'http://h'], `curl -u${R} http://h`],
    [['7z', 'x', '-phunter2', 'f.7z'], `7z x -p${R} f.7z`],
    [['curl', '--proxy-user', 'bob:hunter2', 'http://h'], `curl --proxy-user ${R} http://h`],
    [['x', '--user', 'bob'], 'x --user bob'],
    // names without a separator, and others that say secret
    [['redis-server', '--requirepass', 'hunter2'], `redis-server --requirepass ${R}`],
    [['x', '--session-id', 'a1', '--otp=123456', '--jwt', 'b'], `x --session-id ${R} --otp=${R} --jwt ${R}`],
    [['x', '--bypass', '3', '--num-passes', '4'], 'x --bypass 3 --num-passes 4'],
    // assignments of a script
    [['python', '-c', 'os.environ["X_TOKEN"]="abc"'], `python -c os.environ["X_TOKEN"]=${R}`],
    [['python', '-c', "token = 'abc'; n = 1"], `python -c token = ${R}; n = 1`],
    // more issuers; a URL by which anybody may post
    [['x', 'vault:v1:AbCd+/12345678=='], `x ${R}`],
    [['x', '--to', 'https://hooks.slack.com/services/T00/B00/abcdEFGH'], `x --to https://${R}`],
  ])('%j', (argv, shown) => expect(redactCommand(argv)).toBe(shown));

  it.each([
    'vllm serve meta-llama/Meta-Llama-3.1-70B-Instruct --max-num-batched-tokens 8192 --max-tokens 4096',
    'python3 -m sglang.launch_server --model-path Qwen/Qwen2.5-Coder-32B-Instruct-AWQ --tokenizer-path x',
    'text-generation-launcher --model-id TheBloke/Mistral-7B-Instruct-v0.2-GPTQ --max-total-tokens 4096 --max-batch-prefill-tokens 16000',
    'llama-server -hf ggml-org/gemma-3-4b-it-GGUF:Q4_K_M --ctx-size 8192 --ssl-key-file /etc/k.pem',
    'ollama runner --model /root/.ollama/models/blobs/sha256-dde5aa3fc5ffc17176b5e8bdc82f587b24b2678c6c66101bf7da77af9f7ccdff',
    'x --gpu GPU-8932f937-d72c-4106-c12f-20bd9faed9f6 --cache /root/.cache/huggingface/hub/models--a--b',
  ])('leaves what is no secret: %s', (line) => expect(redactCommand(line.split(' '), 1000)).toBe(line));

  it('cuts last, so that no half of a secret stays, and never within a character', () => {
    const shown = redactCommand(['x'.repeat(250), '--api-key', 'topsecretvalue']);
    expect(shown.length).toBeLessThanOrEqual(256);
    expect(shown).not.toContain('top');
    expect(cut('ab😀cd', 4)).toBe('ab…');
    expect(cut('abcd', 4)).toBe('abcd');
  });

  it('names of secrets', () => {
    for (const name of [
      '--api-key',
      'HF_TOKEN',
      'apiKey',
      'X-Api-Key',
      'client_secret',
      '--admin-api-key',
      'MY_PASSWORD',
    ])
      expect([name, isSecretName(name)]).toEqual([name, true]);
    for (const name of [
      '--max-tokens',
      '--tokenizer',
      '--model',
      '--port',
      '--keyboard',
      '--num-speculative-tokens',
      '--stop-token',
    ])
      expect([name, isSecretName(name)]).toEqual([name, false]);
  });

  it('a planted secret never survives', () => {
    const alphabet = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'];
    const secret = fc.string({ unit: fc.constantFrom(...alphabet), minLength: 10, maxLength: 40 });
    const harmlessWord = fc.constantFrom(
      'vllm',
      'serve',
      'org/model',
      '--port',
      '8000',
      '--host=0.0.0.0',
      'a b',
      "it's",
      '',
      '-v',
      '{}',
      '"',
    );
    const planted: readonly ((s: string) => string[])[] = [
      (s) => ['--api-key', s],
      (s) => [`--api-key=${s}`],
      (s) => [`--api_key=${s}`],
      (s) => ['--token', s],
      (s) => ['--hf-token', `-${s}`],
      (s) => [`--password=${s}`],
      (s) => [`SOME_TOKEN=${s}`],
      (s) => [`export MY_SECRET=${s}; run`],
      (s) => [`--env=DB_PASSWORD=${s}`],
      (s) => ['-H', `Authorization: Bearer ${s}`],
      (s) => ['-H', `authorization:Basic ${s}`],
      (s) => ['Authorization:', 'Bearer', s],
      (s) => ['-H', `X-Api-Key: ${s}`],
      (s) => [`https://user:${s}@host/path`],
      (s) => [`--url=redis://:${s}@cache:6379/0`],
      (s) => [`https://${s}@github.com/x/y`],
      (s) => [`https://h/p?token=${s}&x=1`],
      (s) => [`sk-${s}`],
      (s) => [`hf_${s}${s}`.slice(0, 40)],
      (s) => [`ghp_${s}${s}`],
      (s) => [`{"password":"${s}"}`],
      (s) => ['sh', '-c', `run --api-key ${s} && true`],
    ];
    fc.assert(
      fc.property(
        fc.array(harmlessWord, { maxLength: 5 }),
        fc.integer({ min: 0, max: planted.length - 1 }),
        secret,
        fc.array(harmlessWord, { maxLength: 5 }),
        (before, which, s, after) => {
          const shown = redactCommand([...before, ...(planted[which] as (s: string) => string[])(s), ...after], 10_000);
          expect(shown).not.toContain(s);
        },
      ),
      { numRuns: portion(3000) },
    );
  });

  it('long random strings are taken for keys, whatever they are called', () => {
    const hex = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 40, maxLength: 64 });
    fc.assert(
      fc.property(hex, (key) => {
        fc.pre(/[0-9]/.test(key) && /[a-f]/.test(key));
        expect(redactCommand(['x', '--thing', key])).not.toContain(key);
      }),
    );
    expect(redactCommand(['x', 'wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY9aB3'])).toBe(`x ${R}`);
  });
});

describe('what is hidden in a text, and the nearest that is not', () => {
  const hex = '0123456789abcdef0123456789abcdef';

  it.each([
    // JWT: six characters at least behind the beginning, and in the next part.
    ['eyJabcdef.ghijkl', R],
    ['a.b.eyJabcdef.ghijkl.mno', `a.b.${R}`],
    ['xeyJabcdef.ghijkl', `x${R}`],
    // Users of addresses.
    ['https://me@host/p', `https://${R}@host/p`],
    ['git+ssh://me:pw@host', `git+ssh://${R}@host`],
    ['a://u:p@h,b://v:q@k', `a://${R}@k`],
    // Options within a script, with the quotes of their values.
    ['run --token abc; x --port 1', `run --token ${R} x --port 1`],
    ['run --token "a b" x', `run --token ${R} x`],
    ["run --token 'a b' x", `run --token ${R} x`],
    ['Bearer abc', `Bearer ${R}`],
    ['Digest%20abc', `Digest%20${R}`],
    ['Basic  abc,def', `Basic  ${R},def`],
    // What looks drawn at random.
    [hex, R],
    [hex.toUpperCase(), R],
    [`models/snapshot/${hex}`, `models/snapshot/${R}`],
    ['aB3dE5gH7jK9mN1pQ3sT5vW7', R],
    ['aB3dE5gH7jK9mN1pQ3sT-word', R],
    ['aaa111BBB222ccc333DD44eF', R],
    // Values behind names.
    ['api_key : abc', `api_key : ${R}`],
    ['set token: now', `set token: ${R}`],
    ['"api_key":"x y"', `"api_key":${R}`],
    ["'api_key'='x'", `'api_key'=${R}`],
    ['token="a b" c', `token=${R} c`],
    ["token='a b' c", `token=${R} c`],
    ['token=Bearer abc d', `token=${R} d`],
    ['token=abc&n=1', `token=${R}&n=1`],
    ['token=abc;n', `token=${R};n`],
    ['token=abc,n', `token=${R},n`],
    ['{token=abc}', `{token=${R}}`],
    ['token=a secret=b', `token=${R} secret=${R}`],
    ['-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY----- x', `${R} x`],
    ['-----BEGIN PRIVATE KEY-----\nabc x', R],
  ])('%j becomes %j', (text, shown) => expect(redactText(text)).toBe(shown));

  it.each([
    ['a JWT whose first part is short', 'eyJabcde.ghijkl'],
    ['a JWT whose second part is short', 'eyJabcdef.ghijk'],
    ['an address of mail', 'mailto:me@host'],
    ['an @ behind the host', 'https://h/p?x=a@b'],
    ['an address without a scheme', '://me@host'],
    ['a word that only begins as a scheme', 'Bearers abc'],
    ['31 digits of hex', hex.slice(1)],
    ['digits alone', '12345678901234567890123456789012'],
    ['letters alone', 'abcdefabcdefabcdefabcdefabcdefab'],
    ['a UUID', '8932F937-D72C-4106-C12F-20BD9FAED9F6'],
    ['the digest of a blob', `sha256-${hex}${hex}`],
    ['the same with what base64 ends in', `sha256-${hex}${hex}=`],
    ['the revision of a model', `models/snapshots/${hex}01234567`],
    ['23 characters that look random', 'aB3dE5gH7jK9mN1pQ3sT5vW'],
    ['19 that do, with a word', 'aB3dE5gH7jK9mN1pQ3s-word'],
    ['a kind for each third character', 'aaa111BBB222ccc333DDD44e'],
    ['words and numbers', 'Abcdefghij1234567890klmnop'],
    ['a name that is a scheme', 'token://abc'],
    ['a value without a name', '=abc'],
    ['a name without a value', 'set token= now'],
    ['names of nothing', 'a=b=c'],
  ])('%s stays: %j', (_what, text) => expect(redactText(text)).toBe(text));

  const keys: readonly (readonly [begin: string, least: number])[] = [
    ...['sk-', 'pk-', 'rk-', 'ak-', 'sk_live_', 'pk_test_', 'xoxb-'].map((begin) => [begin, 8] as const),
    ...['hf_', 'api_org_', 'gsk_', 'r8_', 'npm_', 'shpat_', 'lsv2_pt_'].map((begin) => [begin, 12] as const),
    ...['nvapi-', 'xai-', 'glpat-', 'pypi-', 'tvly-', 'pplx-'].map((begin) => [begin, 12] as const),
    ...['AKIA', 'ASIA', 'AGPA', 'AROA', 'AIDA'].map((begin) => [begin, 12] as const),
    ...['ghp_', 'gho_', 'ghs_', 'ghu_', 'ghr_', 'github_pat_', 'ya29.'].map((begin) => [begin, 16] as const),
    ['AIza', 20],
  ];

  it.each(keys)('a key that begins with %s is one from %i characters on', (begin, least) => {
    expect(redactText(`x ${begin}${'A'.repeat(least)} y`)).toBe(`x ${R} y`);
    const short = `x ${begin}${'A'.repeat(least - 1)} y`;
    expect(redactText(short)).toBe(short);
    const within = `x${begin}${'A'.repeat(least)}`;
    expect(redactText(within)).toBe(within);
  });
});

describe('the least and the most that is hidden', () => {
  it.each([
    // the user of an address, with or without a password
    ['https://tok3n@host', `https://${R}@host`],
    ['https://tok3n@host:80/x', `https://${R}@host:80/x`],
    ['http://@host', `http://${R}@host`],
    ['http:///a@host', 'http:///a@host'],
    ['://a@b', '://a@b'],
    ['mail me@host then see http://host:80/a', 'mail me@host then see http://host:80/a'],
    // a name ends where it ends, whatever stands before it
    ['use key=abc1 and pin: 1234', `use key=${R} and pin: ${R}`],
    ['a=key=abc', `a=key=${R}`],
    ['token=key=abc', `token=${R}`],
    ['key  =  abc', `key  =  ${R}`],
    ['key :abc', `key :${R}`],
    ['model = = key', 'model = = key'],
    ['=abc', '=abc'],
    [': abc', ': abc'],
    ['key=', 'key='],
    ['key: ', 'key: '],
    ['{"a":1,"key" : "v","b":2}', `{"a":1,"key" : ${R},"b":2}`],
    ['os.environ["HF_TOKEN"] = "x"; y = 1', `os.environ["HF_TOKEN"] = ${R}; y = 1`],
    ['key://host/a', 'key://host/a'],
    // what looks drawn at random
    ['4f6b1c2d-8e9a-4b3c-9d7e-0a1b2c3d4e5f', '4f6b1c2d-8e9a-4b3c-9d7e-0a1b2c3d4e5f'],
    [`sha256-${'a1b2c3d4'.repeat(8)}`, `sha256-${'a1b2c3d4'.repeat(8)}`],
    [`sha256-${'a1b2c3d4'.repeat(8)}0`, R],
    [`mysha256-${'a1b2c3d4'.repeat(8)}`, R],
    [`${'0'.repeat(16)}${'a'.repeat(16)}`, R],
    [`${'0'.repeat(16)}${'a'.repeat(16)}xyz`, `${'0'.repeat(16)}${'a'.repeat(16)}xyz`],
    [`${'0'.repeat(31)}a`, R],
    ['0'.repeat(32), '0'.repeat(32)],
    ['a'.repeat(32), 'a'.repeat(32)],
    ['aBcDeFgHiJkLmNoPqRsTuVwX', 'aBcDeFgHiJkLmNoPqRsTuVwX'],
    ['abc-aB3dE6gH9jK2mN5pQ8s=', 'abc-aB3dE6gH9jK2mN5pQ8s='],
    ['abcd-aB3dE6gH9jK2mN5pQ8s4', R],
    // six changes of kind in twenty characters are words, seven are not
    ['name-aaa111aaa111aaa111aa', 'name-aaa111aaa111aaa111aa'],
    ['name-aaa111aaa111aaa11111', 'name-aaa111aaa111aaa11111'],
    ['name-a11aaa111aaa111aaa1a', R],
    ['name-a111aaa111aaa11aa1aa', R],
    ['name-aaa189aaa111aaa111aa', 'name-aaa189aaa111aaa111aa'],
    ['name-aaaAYZaaaAAAaaa111aa', 'name-aaaAYZaaaAAAaaa111aa'],
    ['name-aaa111aaa111aaa11AAA', 'name-aaa111aaa111aaa11AAA'],
    // a JWT has a second part
    ['eyJabcdefghij', 'eyJabcdefghij'],
  ])('%s', (text, shown) => expect(redactText(text)).toBe(shown));

  it('of names the whole words, however they are written', () => {
    expect(['max-token', '--max-tokens', '--eos-token', 'keys-file', 'tokenizer'].map(isSecretName)).toEqual([
      ...[false, false, false, false, false],
    ]);
    expect(['key', '--key', 'a.key', '---api-key', 'KEY'].map(isSecretName)).toEqual(Array(5).fill(true));
  });

  it('a label is one by its key or by what its value looks like', () => {
    const labels = [
      ['token', 'a'],
      ['note', 'sk-proj-abcdefgh12345678'],
      ['team', 'nlp'],
    ] as const;
    expect(labels.map(([key, value]) => isSecretLabel(key, value))).toEqual([true, true, false]);
  });
});

describe('arguments', () => {
  it.each([
    [['mysql', '-p', 'x'], `mysql -p ${R}`],
    [['/usr/bin/mysql', '-p', 'x'], `/usr/bin/mysql -p ${R}`],
    [['redis-cli', '-a', 'pw'], `redis-cli -a ${R}`],
    [['redis-server', '-a', 'pw'], `redis-server -a ${R}`],
    [['sshpass', '-p', 'pw', 'ssh'], `sshpass -p ${R} ssh`],
    [['curl', '-b', 'c=1'], `curl -b ${R}`],
    [['curl', '-U', 'a:b'], `curl -U ${R}`],
    [['other', '-p', 'x'], 'other -p x'],
    [['x', '--token'], 'x --token'],
    [['x', '=y'], 'x =y'],
    [['x', 'token='], `x token=${R}`],
    [['x', '-token=y'], `x -token=${R}`],
    [['x', 'Authorization:', 'Bearer', 'y', '--port', '1'], `x Authorization: ${R} --port 1`],
    [['x', 'Host:', 'y'], 'x Host: y'],
    [['x', '--api-keys', 'a', 'b', '--y'], `x --api-keys ${R} --y`],
    [['x', '--api-key', 'a', 'b'], `x --api-key ${R}`],
    [['x', '--password', 'a', 'b'], `x --password ${R} b`],
    [['x', '-token', 'y', 'z'], `x -token ${R} z`],
    [['x', '--user', 'bob:pw', 'z'], `x --user ${R} z`],
    [['curl', '-H', 'Authorization:', 'Bearer', 'y', '-v'], `curl -H Authorization: ${R} -v`],
    [['x', 'Authorization:', '-v', 'y'], `x Authorization: ${R} -v y`],
    [['x', 'Authorization:'], 'x Authorization:'],
    [['x', '--keyring-password', 'a', 'b'], `x --keyring-password ${R} b`],
    // Not an option, nor a letter, nor a header; and an option whose value only ends like a name.
    [['x', 'my--token', 'y'], 'x my--token y'],
    [['x', 'name-token', 'y'], 'x name-token y'],
    [['x', 'x--user', 'a:b'], 'x x--user a:b'],
    [['x', '--users', 'a:b'], 'x --users a:b'],
    [['mysql', 'xp-abc'], 'mysql xp-abc'],
    [['x', '/x/token:', 'y'], 'x /x/token: y'],
    [['x', 'a:tokens', 'y'], 'x a:tokens y'],
    [['x', '--a=my_token', 'y'], 'x --a=my_token y'],
    [[], ''],
    [['a\u0000b\u001b\u001bc\u009fd'], 'a b c d'],
  ])('%j', (argv, shown) => expect(redactCommand(argv)).toBe(shown));

  it('are cut to so many characters, and no pair of two is halved', () => {
    expect(cut('abcde', 4)).toBe('abc…');
    expect(cut('a😀bcd', 4)).toBe('a😀…');
    expect(cut('ab\u{10000}cd', 4)).toBe('ab…');
    expect(cut('ab\u{10FFFF}cd', 4)).toBe('ab…');
    // Beside the first halves of pairs.
    expect(cut('ab\ud7ffcd', 4)).toBe('ab\ud7ff…');
    expect(cut('ab\udc00cd', 4)).toBe('ab\udc00…');
  });
});
