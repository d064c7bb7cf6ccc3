import { basename } from 'node:path';
import { defaults } from '../contract/defaults.js';
import { withoutTrailing } from '../util/trim.js';

/** Stands where a secret stood. */
export const redacted = '[redacted]';

/** Names whose value is a secret: whole words of an option, a variable, a header or a query key. */
const secretWord =
  /(?:^|[-_.])(?:api[-_]?keys?|access[-_]?keys?|private[-_]?keys?|secret(?:s|[-_]?keys?)?|tokens?|hf[-_]?token|auth(?:orization)?|bearer|passwords?|passwd|passphrase|pwd|pass|credentials?|creds?|cookies?|session[-_]?(?:id|key)|signature|sig|jwt|t?otp|pin|mfa|pat|hmac|salt|psk|key|license[-_]?key|dsn|connection[-_]?string)$/i;
/** camelCase and run-together forms (`apiKey`, `HFTOKEN`). */
const secretTail =
  /(?:apikey|secretkey|accesskey|privatekey|authkey|authtoken|accesstoken|token|password|passwd|pass|pwd|secret|credentials?)$/i;
/** Names that end in a secret word and are none: counts, special tokens of a vocabulary, keys that only order things. */
const countWord = /(?:^|[-_.])(?:max|min|num|total|batched|new|draft|prefill)[-_.]/i;
const tokenWord = /(?:^|[-_.])tokens?$/i;
const harmless =
  /(?:^|[-_])(?:eos|bos|pad|unk|stop|special|image|audio|video|skip|sep|mask|cls)[-_]?tokens?$|(?:routing|partition|sort|public)[-_]?key$|(?:by|com|over|under|tres|sur|one|two|single|multi|band|low|high)[-_]?pass$/i;

/** True where the value of an option or variable of this name must not leave the host. */
export function isSecretName(name: string): boolean {
  if (harmless.test(name) || (tokenWord.test(name) && countWord.test(name))) return false;
  return secretWord.test(name) || secretTail.test(name);
}

/** Whether a label holds what looks like a secret: labels are public. */
export const isSecretLabel = (key: string, value: string): boolean => isSecretName(key) || redactText(value) !== value;

/** Shapes that issuers give to their keys: how one begins, and how many characters follow at least. Looked for anywhere. */
const issued: readonly (readonly [shape: RegExp, minLength: number])[] = [
  [/\b((?:sk|pk|rk|ak)-)([A-Za-z0-9_-]+)/g, 8], // OpenAI, Anthropic, Stripe-like
  [/\b((?:sk|pk|rk)_(?:live|test)_)([A-Za-z0-9]+)/g, 8],
  [/\b((?:hf|api_org|gsk|r8|npm|shpat|lsv2_[a-z]{2})_)([A-Za-z0-9_]+)/g, 12], // Hugging Face, Groq, Replicate, npm...
  [/\b((?:nvapi|xai|glpat|pypi|tvly|pplx)-)([A-Za-z0-9_-]+)/g, 12], // NVIDIA, xAI, GitLab...
  [/\b(gh[opsur]_)([A-Za-z0-9]+)/g, 16],
  [/\b(github_pat_)([A-Za-z0-9_]+)/g, 16],
  [/\b(xox[a-z]-)([A-Za-z0-9-]+)/g, 8], // Slack
  [/\b(AKIA|ASIA|AGPA|AROA|AIDA)([A-Z0-9]+)/g, 12], // AWS
  [/\b(AIza)([A-Za-z0-9_-]+)/g, 20], // Google
  [/\b(ya29\.)([A-Za-z0-9_-]+)/g, 16],
  [/\b(hv[sbr]\.|vault:v[0-9]{1,3}:|SG\.)([A-Za-z0-9+/=._-]+)/g, 12], // Vault, SendGrid
  [/\b(do[a-z]_v1_|wandb_v1_|tgp_v1_)([A-Za-z0-9]+)/g, 12], // DigitalOcean, Weights & Biases, Together
  [/\b(hooks\.slack\.com\/services\/|discord(?:app)?\.com\/api\/webhooks\/)([A-Za-z0-9_/-]+)/g, 8], // who has the URL may post
];
const privateKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g;
/** What may hold a JWT. */
const dotted = /[A-Za-z0-9_.-]+/g;

/** Hides a JWT, `eyJ<6 or more>.<6 or more>`, with all behind it. */
function hideJwt(word: string): string {
  const parts = word.split('.');
  for (const [i, part] of parts.entries()) {
    const at = part.indexOf('eyJ');
    if (at < 0 || part.length < at + 9 || (parts[i + 1]?.length ?? 0) < 6) continue;
    return [...parts.slice(0, i), part.slice(0, at) + redacted].join('.');
  }
  return word;
}

/** `Authorization: Bearer x`, `Bearer x`, `Basic x`. */
const scheme = /\b(Bearer|Basic|Token|ApiKey|Digest)(\s+|%20)[^\s'",;=:][^\s'",;]*/gi;
/** What may hold an address. */
const address = /[^\s'"]+/g;

/** Hides `user:password` of `scheme://user:password@host`, up to the last `@`: a password may hold any character raw. */
function hideUsers(token: string): string {
  const lastAt = token.lastIndexOf('@');
  let result = '';
  let done = 0;
  for (let at = token.indexOf('://'); at >= 0 && at < lastAt; at = token.indexOf('://', at + 1)) {
    if (at < done || !/[A-Za-z0-9+.-]/.test(token[at - 1] ?? '')) continue;
    const start = at + 3;
    let end = start;
    while (end < lastAt && !'/?#:'.includes(token[end] as string)) end += 1;
    // With a password everything up to the last `@` may belong to it; without one the host ends the name.
    const until = token[end] === ':' || end === lastAt ? lastAt : start + token.slice(start, end).lastIndexOf('@');
    if (until < start) continue;
    result += `${token.slice(done, start)}${redacted}`;
    done = until;
  }
  return result + token.slice(done);
}

/** The value behind a head: quoted, or with an authorization scheme, or up to a blank or separator. */
const value =
  /"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|(?:(?:Bearer|Basic|Token|ApiKey|Digest)(?:\s+|%20))?[^\s&;,'"}]+/iy;
/** `--option value` inside a script given as one argument (`sh -c '...'`). */
const inlineOption = /(^|\s)(--?[A-Za-z][A-Za-z0-9_-]*)(\s+)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s-][^\s]*)/g;
/** A long run of the characters of base64, base64url or hex. */
const run = /[A-Za-z0-9+_=-]+/g;
const minRun = 24;

/**
 * True for a run that looks drawn at random: long hex, or a mix of digits and of both cases with no word in it.
 * Names of models, paths and options (`Meta-Llama-3.1-70B-Instruct-AWQ-INT4`) have separators, and words between them.
 */
function looksRandom(word: string): boolean {
  if (/^[0-9a-f]{32,}$/i.test(word) && /[0-9]/.test(word) && /[a-f]/i.test(word)) return true;
  const bare = withoutTrailing(word, '=');
  if (/^sha256-[0-9a-f]{64}$/.test(bare)) return false; // the digest of a blob
  // The parts of a UUID, which names a thing (GPU, pod), are shorter.
  return bare.split(/[-_+]/).some((part) => {
    if (part.length < 20 || !/[0-9]/.test(part)) return false;
    // Random text changes between digit, upper and lower case at more than every third character; words do not.
    let changes = 0;
    for (let i = 1; i < part.length; i += 1) if (kindOf(part, i) !== kindOf(part, i - 1)) changes += 1;
    return changes * 3 > part.length;
  });
}

function kindOf(word: string, at: number): number {
  const code = word.charCodeAt(at);
  return code <= 57 ? 0 : code <= 90 ? 1 : 2;
}

/** Redacts what looks like a secret inside one text, whatever stands around it. Its cost is linear in the text. */
export function redactText(value: string): string {
  let result = value;
  for (const [shape, minLength] of issued)
    result = result.replace(shape, (all, _begin, key: string) => (key.length < minLength ? all : redacted));
  result = result
    .replace(dotted, hideJwt)
    .replace(privateKey, redacted)
    .replace(address, hideUsers)
    .replace(inlineOption, (all, lead: string, name: string, gap: string) =>
      isSecretName(name) ? `${lead}${name}${gap}${redacted}` : all,
    )
    .replace(scheme, (_all, name: string, gap: string) => `${name}${gap}${redacted}`);
  result = redactNamed(result);
  return result.replace(run, (word, at: number) =>
    word.length >= minRun && !result.startsWith('/snapshots/', at - 11) && looksRandom(word) ? redacted : word,
  );
}

const isNamePart = (character: string | undefined): boolean => /^[A-Za-z0-9_.-]$/.test(character ?? '');
const isBlank = (character: string | undefined): boolean => /^\s$/.test(character ?? '');

/**
 * The name whose value `=` or `:` at `at` sets (`NAME=`, `X-Api-Key: `, `"api_key": `), and where the value begins; null where
 * it sets none. The name ends here, so that a harmless one in front (`--env=DB_PASSWORD=...`) does not swallow the one that counts.
 */
function nameBefore(text: string, at: number): { readonly name: string; readonly valueAt: number } | null {
  let end = at;
  let valueAt = at + 1;
  // Blanks stand behind a colon, and around the `=` of a program: `token = "x"`.
  if (text[at] === ':' || isBlank(text[at - 1])) {
    while (isBlank(text[end - 1])) end -= 1;
    while (isBlank(text[valueAt])) valueAt += 1;
  }
  if (text[at] === ':' && text.startsWith('//', valueAt)) return null;
  if (text[end - 1] === ']') end -= 1; // `os.environ["HF_TOKEN"] = "x"`
  if (text[end - 1] === '"' || text[end - 1] === "'") end -= 1;
  let start = end;
  while (isNamePart(text[start - 1])) start -= 1;
  return { name: text.slice(start, end), valueAt };
}

/** Replaces each value that stands behind the name of a secret. */
function redactNamed(text: string): string {
  let result = '';
  let done = 0;
  for (const { index: at } of text.matchAll(/[=:]/g)) {
    // It is of a value that is hidden.
    if (at < done) continue;
    const found = nameBefore(text, at);
    if (found === null || !isSecretName(found.name)) continue;
    value.lastIndex = found.valueAt;
    const length = value.exec(text)?.[0].length ?? 0;
    if (length === 0) continue;
    result += `${text.slice(done, found.valueAt)}${redacted}`;
    done = found.valueAt + length;
  }
  return result + text.slice(done);
}

/** Letters of options that carry a secret, in the next word or glued to them, by program: `-p` of mysql, `-u` of curl. */
const shortSecrets: Readonly<Record<string, string>> = {
  curl: 'uUb',
  mysql: 'p',
  mysqldump: 'p',
  mysqladmin: 'p',
  mariadb: 'p',
  sshpass: 'p',
  '7z': 'p',
  '7za': 'p',
  zip: 'P',
  unzip: 'P',
  influx: 't',
  'redis-server': 'a',
  'redis-cli': 'a',
};

/** An option whose value is a secret by its name, or a name and its password: `--proxy-user bob:x`. */
const isSecretOption = (option: string, value = ''): boolean =>
  /^--?[A-Za-z]/.test(option) &&
  (isSecretName(option) || (/^--(?:[a-z-]+-)?user$/i.test(option) && value.includes(':')));

/** How an argument carries a secret: in itself behind so many characters, or in those that follow. */
function secretOf(
  argv: readonly string[],
  i: number,
  letters: string,
): { readonly kept: number } | 'next' | 'all' | null {
  const argument = argv[i] as string;
  const equals = argument.indexOf('=');
  const isLetter = /^-[A-Za-z]/.test(argument) && letters.includes(argument[1] as string);
  if (isLetter && argument.length > 2 && !isSecretName(argument)) return { kept: 2 };
  const name = argument.slice(0, Math.max(0, equals));
  if (/^-{0,2}[A-Za-z][A-Za-z0-9_.-]*$/.test(name) && isSecretName(name)) return { kept: equals + 1 };
  // A header given as several arguments: `Authorization: Bearer x`.
  if (/^[A-Za-z-]+:$/.test(argument) && isSecretName(argument.slice(0, -1))) return 'all';
  return equals < 0 && (isLetter || isSecretOption(argument, argv[i + 1])) ? 'next' : null;
}

/**
 * The command line as it may leave the host: each secret replaced, then cut to `length` characters. Arguments are joined
 * by one blank. Cut last, so that no half of a secret slips under a shape.
 */
export function redactCommand(argv: readonly string[], length: number = defaults.commandLength): string {
  const letters = shortSecrets[basename(argv[0] ?? '')] ?? '';
  const shown: string[] = [];
  for (let i = 0; i < argv.length; i += 1) {
    const argument = argv[i] as string;
    const secret = secretOf(argv, i, letters);
    if (secret === null) shown.push(redactText(argument));
    else if (typeof secret === 'object') shown.push(argument.slice(0, secret.kept) + redacted);
    else {
      shown.push(argument);
      if (i + 1 === argv.length) break;
      shown.push(redacted);
      // The secret itself may begin with `-`. Keys of an API may be several (vLLM: `--api-key A B`): all up to the next.
      if (secret === 'all') i = endOfValues(argv, i + 1) - 1;
      else i = /keys?$/i.test(argument) ? endOfValues(argv, i + 2) - 1 : i + 1;
    }
  }
  return cut(shown.join(' ').replace(controls, ' '), length);
}

/** Where the next option begins. */
function endOfValues(argv: readonly string[], from: number): number {
  const next = argv.findIndex((argument, i) => i >= from && argument.startsWith('-'));
  return next < 0 ? argv.length : next;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: a process may put any byte into its title
const controls = /[\u0000-\u001f\u007f-\u009f]+/g;

/** At most `length` UTF-16 units, never half a character; a cut shows as an ellipsis. */
export function cut(value: string, length: number): string {
  if (value.length <= length) return value;
  const kept = value.slice(0, length - 1);
  const last = kept.charCodeAt(kept.length - 1);
  return `${last >= 0xd800 && last <= 0xdbff ? kept.slice(0, -1) : kept}…`;
}
