import { HivepulseError } from '../util/errors.js';
import type { Engine } from './recognize.js';

/** Health paths of known engines: 200 once they can serve. Each from the engine's own documentation. */
export const healthPaths: Readonly<Record<Engine, string>> = {
  vllm: '/health',
  sglang: '/health',
  'llama-server': '/health',
  'text-generation': '/health',
  tritonserver: '/v2/health/ready',
  'tensorrt-llm': '/health',
  ollama: '/api/version',
};

const loopback = (host: string) =>
  host === 'localhost' || host === '[::1]' || /^127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.test(host);

/**
 * A URL that readiness may be asked at: http on a loopback address, so that no worker's options turn the hive into a
 * scanner of the network. Throws INVALID_OPTION.
 */
export function checkReadyUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new HivepulseError('INVALID_OPTION', '--ready-url', `--ready-url ${JSON.stringify(text)} is not a URL.`);
  }
  const why =
    url.protocol !== 'http:'
      ? 'only http: is asked'
      : url.username !== '' || url.password !== ''
        ? 'it must not hold a name or password'
        : !loopback(url.hostname)
          ? 'only loopback is asked: 127.0.0.1, [::1] or localhost'
          : null;
  if (why !== null)
    throw new HivepulseError(
      'INVALID_OPTION',
      '--ready-url',
      `--ready-url ${JSON.stringify(text)} is not allowed: ${why}.`,
    );
  return url;
}

export interface ReadinessTarget {
  readonly id: string;
  /** Changes when another process has taken the name: pid and start time. */
  readonly identity: string;
  readonly readyUrl: string | null;
  readonly engine: Engine | null;
  readonly port: number | null;
}

/** Where a worker's readiness is asked, or null where there is nothing to ask. */
export function probeUrl(target: Pick<ReadinessTarget, 'readyUrl' | 'engine' | 'port'>): string | null {
  if (target.readyUrl !== null) {
    try {
      return checkReadyUrl(target.readyUrl).href;
    } catch {
      return null;
    }
  }
  return target.engine === null || target.port === null
    ? null
    : `http://127.0.0.1:${target.port}${healthPaths[target.engine]}`;
}
