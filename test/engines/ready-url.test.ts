import { describe, expect, it } from 'vitest';
import { checkReadyUrl, readyUrlOf } from '../../lib/engines/ready-url.js';

describe('a URL that readiness may be asked at', () => {
  it.each([
    'http://10.0.0.1/health',
    'http://example.com/',
    'https://127.0.0.1/',
    'ftp://127.0.0.1/',
    'http://user:pw@127.0.0.1/',
    'http://user@127.0.0.1/',
    'http://:pw@127.0.0.1/',
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

  it('from a record that nobody checked is none where it is not allowed', () => {
    expect(readyUrlOf('http://10.0.0.1/')).toBeNull();
    expect(readyUrlOf('http://localhost:9/x')?.port).toBe('9');
  });
});
