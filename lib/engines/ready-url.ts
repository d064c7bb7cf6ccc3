import { HivepulseError } from '../util/errors.js';
import { isLoopbackAddress } from '../util/host-address.js';

/**
 * A URL that readiness may be asked at: http on a loopback address, so that no worker's options turn the hive into a
 * scanner of the network. Throws INVALID_OPTION.
 */
export function checkReadyUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new HivepulseError(
      'INVALID_OPTION',
      '--ready-url',
      '--ready-url: expected a URL such as http://127.0.0.1:8080/health.',
    );
  }
  const why =
    url.protocol !== 'http:'
      ? 'only http: is asked'
      : url.username !== '' || url.password !== ''
        ? 'it must not hold a name or password'
        : !isLoopbackAddress(url.hostname)
          ? 'only loopback is asked: 127.0.0.1, [::1] or localhost'
          : null;
  if (why !== null) throw new HivepulseError('INVALID_OPTION', '--ready-url', `--ready-url is not allowed: ${why}.`);
  return url;
}

/** The same for a URL from a record, which nobody has checked since it was written; null where it is not allowed. */
export function readyUrlOf(text: string): URL | null {
  try {
    return checkReadyUrl(text);
  } catch {
    return null;
  }
}
