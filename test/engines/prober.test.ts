import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { checkReadyUrl, probeUrl, ReadinessProber, type ReadinessTarget } from '../../lib/engines/probe.js';
import { waitFor } from '../harness/wait.js';

const opened: { close: () => unknown }[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0)) await thing.close();
});

const target = (over: Partial<ReadinessTarget> = {}): ReadinessTarget => ({
  id: 'llm/8080',
  identity: '1:1',
  readyUrl: 'http://127.0.0.1:1/health',
  engine: null,
  server: null,
  ...over,
});

/** A prober whose clock and answers the test gives. Each probe waits until it is answered. */
function controlled() {
  const asked: { url: string; signal: AbortSignal; answer: (status: number | Error) => void }[] = [];
  const clock = { ms: 0 };
  const prober = new ReadinessProber({
    now: () => clock.ms,
    probe: (url, signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
        asked.push({
          url,
          signal,
          answer: (status) => (typeof status === 'number' ? resolve(status) : reject(status)),
        });
      }),
  });
  opened.push(prober);
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return { asked, clock, prober, settle };
}

const at = (port: number, host = '127.0.0.1') => [{ host, port }];

describe('where readiness is asked', () => {
  it.each([
    [{ readyUrl: 'http://localhost:9/x' }, 'http://localhost:9/x'],
    [{ readyUrl: null, engine: 'vllm', server: at(8000) }, 'http://127.0.0.1:8000/health'],
    [{ readyUrl: null, engine: 'tritonserver', server: at(8000) }, 'http://127.0.0.1:8000/v2/health/ready'],
    [{ readyUrl: null, engine: 'ollama', server: at(11434) }, 'http://127.0.0.1:11434/api/version'],
    [{ readyUrl: null, engine: 'vllm', server: at(8000, '::1') }, 'http://[::1]:8000/health'],
    [{ readyUrl: null, engine: 'vllm', server: null }, null],
    [{ readyUrl: null, engine: 'vllm', server: 'none' }, 'none'],
    [{ readyUrl: null, engine: null, server: at(8000) }, null],
    [{ readyUrl: 'http://10.0.0.1/', engine: 'vllm', server: at(8000) }, null],
  ] as [Partial<ReadinessTarget>, string | null][])('%j: %s', (over, url) => expect(probeUrl(target(over))).toBe(url));

  it.each([
    'http://10.0.0.1/health',
    'http://example.com/',
    'https://127.0.0.1/',
    'ftp://127.0.0.1/',
    'http://user:pw@127.0.0.1/',
    'http://127.0.0.1.example.com/',
    'http://169.254.169.254/latest/meta-data',
    'http://[::ffff:10.0.0.1]/',
    'http://0.0.0.0/',
    'not a url',
  ])('%s is not asked', (url) => {
    expect(() => checkReadyUrl(url)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION', subject: '--ready-url' }),
    );
  });

  it.each(['http://127.0.0.1:1/', 'http://127.1.2.3/', 'http://[::1]:80/', 'http://localhost/x', 'http://0x7f.1/'])(
    '%s is loopback',
    (url) => expect(checkReadyUrl(url)).toBeInstanceOf(URL),
  );
});

describe('ReadinessProber', () => {
  it('asks each second until ready, then each ten', async () => {
    const { asked, clock, prober, settle } = controlled();
    const tick = async (ms: number) => {
      clock.ms = ms;
      prober.update([target()]);
      await settle();
    };
    await tick(0);
    expect(asked).toHaveLength(1);
    expect(prober.readyOf('llm/8080')).toBe(false);
    asked[0]?.answer(503);
    await settle();
    expect(prober.reasonOf('llm/8080')).toBe('status 503');
    await tick(999);
    expect(asked).toHaveLength(1);
    await tick(1000);
    expect(asked).toHaveLength(2);
    asked[1]?.answer(200);
    await settle();
    expect(prober.readyOf('llm/8080')).toBe(true);
    await tick(10_999);
    expect(asked).toHaveLength(2);
    await tick(11_000);
    expect(asked).toHaveLength(3);
    asked[2]?.answer(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));
    await settle();
    expect(prober.readyOf('llm/8080')).toBe(false);
    await tick(12_000);
    expect(asked).toHaveLength(4);
  });

  it('a check that does not end is not joined by another, and no tick waits for it', async () => {
    const { asked, clock, prober } = controlled();
    for (let ms = 0; ms < 5000; ms += 1000) {
      clock.ms = ms;
      prober.update([target()]);
    }
    expect(asked).toHaveLength(1);
    expect(prober.readyOf('llm/8080')).toBe(false);
  });

  it('another process under the name starts anew: the old answer is not its own', async () => {
    const { asked, clock, prober, settle } = controlled();
    prober.update([target()]);
    asked[0]?.answer(200);
    await settle();
    expect(prober.readyOf('llm/8080')).toBe(true);
    clock.ms = 100;
    prober.update([target({ identity: '2:2' })]);
    expect(prober.readyOf('llm/8080')).toBe(false);
    expect(asked).toHaveLength(2);
  });

  it('a late answer of the process before does not make its successor ready', async () => {
    const { asked, prober, settle } = controlled();
    prober.update([target()]);
    prober.update([target({ identity: '2:2' })]);
    asked[0]?.answer(200);
    await settle();
    expect(prober.readyOf('llm/8080')).toBe(false);
    asked[1]?.answer(200);
    await settle();
    expect(prober.readyOf('llm/8080')).toBe(true);
  });

  it('a worker that is gone is forgotten and its check aborted', () => {
    const { asked, prober } = controlled();
    prober.update([target()]);
    prober.update([]);
    expect(prober.readyOf('llm/8080')).toBeNull();
    expect(asked[0]?.signal.aborted).toBe(true);
  });

  it('an engine that listens nowhere is not ready, and nobody is asked', () => {
    const { asked, prober } = controlled();
    prober.update([target({ readyUrl: null, engine: 'vllm', server: 'none' })]);
    expect(prober.readyOf('llm/8080')).toBe(false);
    expect(prober.reasonOf('llm/8080')).toBe('listens nowhere');
    expect(asked).toHaveLength(0);
  });

  it('is null where there is nothing to ask', () => {
    const { asked, prober } = controlled();
    prober.update([target({ readyUrl: null })]);
    expect(prober.readyOf('llm/8080')).toBeNull();
    expect(asked).toHaveLength(0);
  });

  async function serve(handler: Parameters<typeof createServer>[1]): Promise<{ server: Server; url: string }> {
    const server = createServer(handler as never);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    opened.push({
      close: () => {
        server.closeAllConnections();
        server.close();
      },
    });
    return { server, url: `http://localhost:${(server.address() as AddressInfo).port}/ready` };
  }

  it('really asks over HTTP: not ready, then ready, redirects not followed', async () => {
    let status = 503;
    const paths: string[] = [];
    const { url } = await serve((request, response) => {
      paths.push(request.url ?? '');
      response.writeHead(status, { location: '/elsewhere' }).end('x'.repeat(1000));
    });
    const prober = new ReadinessProber({ intervalMs: 10, settledIntervalMs: 10 });
    opened.push(prober);
    const ask = () => {
      prober.update([target({ readyUrl: url })]);
      return prober;
    };
    await waitFor(() => ask().reasonOf('llm/8080') === 'status 503');
    status = 302;
    await waitFor(() => ask().reasonOf('llm/8080') === 'status 302');
    status = 200;
    await waitFor(() => ask().readyOf('llm/8080') === true);
    expect(new Set(paths)).toEqual(new Set(['/ready']));
  });

  it('a server that accepts and never answers is not ready at the deadline; ready before, it is believed through two of them', async () => {
    let silent = true;
    const { url } = await serve((_request, response) => {
      if (!silent) response.end();
    });
    const prober = new ReadinessProber({ intervalMs: 5, settledIntervalMs: 5, timeoutMs: 60 });
    opened.push(prober);
    const ask = () => {
      prober.update([target({ readyUrl: url })]);
      return prober;
    };
    await waitFor(() => ask().reasonOf('llm/8080') === 'timeout');
    silent = false;
    await waitFor(() => ask().readyOf('llm/8080') === true);
    silent = true;
    await waitFor(() => ask().readyOf('llm/8080') === false);
    expect(prober.reasonOf('llm/8080')).toBe('timeout');
  });

  it('closed twice, it asks no more', async () => {
    const { asked, prober } = controlled();
    await prober.close();
    await prober.close();
    prober.update([target()]);
    expect(asked).toHaveLength(0);
  });
});
