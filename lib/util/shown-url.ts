import { HivepulseError } from './errors.js';

/** A URL as errors and logs show it: `http://…@host/path` where it holds a user or password, and never its query. */
export function shownUrl(text: string): string {
  const [, scheme = '', rest = ''] = /^([A-Za-z][A-Za-z0-9+.-]*:\/\/)?(.*)$/s.exec(text) ?? [];
  // A password may hold any character, so whatever stands before the last `@` is hidden.
  const at = rest.lastIndexOf('@');
  const place = rest.slice(at + 1).replace(/[?#].*$/s, '');
  return `${scheme}${at < 0 ? '' : '…@'}${place}`;
}

/** Refuses addresses that hold more than the place of a server. Throws INVALID_OPTION, which does not repeat them. */
export function requirePlainUrls(option: string, urls: readonly string[], instead: string): void {
  const at = urls.findIndex((url) => /[@?#]/.test(url));
  if (at < 0) return;
  const which = urls.length > 1 ? ` ${at + 1}` : '';
  const message = `${option}: address${which} must not hold a user, password, query or fragment; ${instead}.`;
  throw new HivepulseError('INVALID_OPTION', option, message);
}

/** A path that a setting names: shown where it looks like one, since a secret may stand there by mistake. */
export const shownPath = (path: string): string =>
  /^(?:\.{0,2}\/|~\/)|\.(?:ya?ml|json|pem|crt|key|creds|conf|txt)$/.test(path) ? path : '…';
