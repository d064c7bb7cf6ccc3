import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from './leftovers.js';

/** A self-signed certificate for localhost and its key, made anew. */
export function selfSigned(): { readonly key: string; readonly cert: string } {
  const directory = temporaryDirectory('certificate');
  const [key, cert] = [join(directory.path, 'key'), join(directory.path, 'cert')];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  try {
    execFileSync('openssl', ['req', '-x509', ...kind, '-subj', '/CN=localhost', '-keyout', key, '-out', cert], {
      stdio: 'pipe',
    });
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  } finally {
    directory.remove();
  }
}
