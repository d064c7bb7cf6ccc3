import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cut, isSecretName, redactCommand, redacted } from '../../lib/workers/redact.js';

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
      { numRuns: 3000 },
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
