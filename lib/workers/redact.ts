import { basename } from 'node:path';
import { defaults } from '../contract/defaults.js';

/** Stands where a secret stood. */
export const redacted = '[redacted]';

/** Names whose value is a secret: whole words of an option, a variable, a header or a query key. */
const secretWord =
  /(?:^|[-_.])(?:api[-_]?keys?|access[-_]?keys?|private[-_]?keys?|secret(?:s|[-_]?keys?)?|tokens?|hf[-_]?token|auth(?:orization)?|bearer|passwords?|passwd|passphrase|pwd|pass|credentials?|creds?|cookies?|signature|sig|key|license[-_]?key|dsn|connection[-_]?string)$/i;
/** camelCase and run-together forms (`apiKey`, `HFTOKEN`). */
const secretTail =
  /(?:apikey|secretkey|accesskey|privatekey|authkey|authtoken|accesstoken|token|password|passwd|secret|credentials?)$/i;
/** Names that end in a secret word and are none: counts, special tokens of a vocabulary, keys that only order things. */
const harmless =
  /^(?:.*[-_.])?(?:max|min|num|total|batched|new|draft|prefill)[-_.](?:.*[-_.])?tokens?$|(?:^|[-_])(?:eos|bos|pad|unk|stop|special|image|audio|video|skip|sep|mask|cls)[-_]?tokens?$|(?:routing|partition|sort|public)[-_]?key$/i;

/** True where the value of an option or variable of this name must not leave the host. */
export function isSecretName(name: string): boolean {
  const bare = name.replace(/^-+/, '');
  if (harmless.test(bare)) return false;
  return secretWord.test(bare) || secretTail.test(bare);
}

/** Whether a label holds what looks like a secret: labels are public. */
export const isSecretLabel = (key: string, value: string): boolean => isSecretName(key) || redactText(value) !== value;

/** Shapes that issuers give to their keys. Each is looked for anywhere in a text. */
const issued: readonly RegExp[] = [
  /\b(?:sk|pk|rk|ak)-[A-Za-z0-9_-]{8,}/g, // OpenAI, Anthropic, Stripe-like
  /\b(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{8,}/g,
  /\b(?:hf|api_org|gsk|r8|npm|shpat|lsv2_[a-z]{2})_[A-Za-z0-9_]{12,}/g, // Hugging Face, Groq, Replicate, npm...
  /\b(?:nvapi|xai|glpat|pypi|tvly|pplx)-[A-Za-z0-9_-]{12,}/g, // NVIDIA, xAI, GitLab...
  /\bgh[opsur]_[A-Za-z0-9]{16,}/g,
  /\bgithub_pat_[A-Za-z0-9_]{16,}/g,
  /\bxox[a-z]-[A-Za-z0-9-]{8,}/g, // Slack
  /\b(?:AKIA|ASIA|AGPA|AROA|AIDA)[A-Z0-9]{12,}/g, // AWS
  /\bAIza[A-Za-z0-9_-]{20,}/g, // Google
  /\bya29\.[A-Za-z0-9_-]{16,}/g,
  /\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)?/g, // JWT
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
];

/** `scheme://user:password@host`, up to the last `@`, since a password may hold any character raw. */
const userinfo = /\b([A-Za-z][A-Za-z0-9+.-]*:\/\/)(?:[^\s/?#'":]*:[^\s'"]*|[^\s/?#'"]*)@/g;
/** `Authorization: Bearer x`, `Bearer x`, `Basic x`. */
const scheme = /\b(Bearer|Basic|Token|ApiKey|Digest)(\s+|%20)[^\s'",;]+/gi;
/**
 * A name and what sets its value: `NAME=`, `X-Api-Key: `, `"api_key": `. Only the head is matched, so that a harmless name
 * in front (`--env=DB_PASSWORD=...`, `headers: X-Api-Key: ...`) does not swallow the one that counts.
 */
const head = /(["']?)([A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?)\1(=|\s*:\s*(?!\/\/))/g;
/** The value behind a head: quoted, or with an authorization scheme, or up to a blank or separator. */
const value =
  /"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|(?:(?:Bearer|Basic|Token|ApiKey|Digest)(?:\s+|%20))?[^\s&;,'"}]+/iy;
/** `--option value` inside a script given as one argument (`sh -c '...'`). */
const inlineOption = /(^|\s)(--?[A-Za-z][A-Za-z0-9_-]*)(\s+)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s-][^\s]*)/g;
/** A long run of the characters of base64, base64url or hex. */
const run = /(?<!\/snapshots\/)[A-Za-z0-9+_=-]{24,}/g;

/**
 * True for a run that looks drawn at random: long hex, or a mix of digits and of both cases with no word in it.
 * Names of models, paths and options (`Meta-Llama-3.1-70B-Instruct-AWQ-INT4`) have separators, and words between them.
 */
function looksRandom(word: string): boolean {
  if (/^[0-9a-f]{32,}$/i.test(word) && /[0-9]/.test(word) && /[a-f]/i.test(word)) return true;
  const bare = word.replace(/=+$/, '');
  if (/^sha256-[0-9a-f]{64}$/.test(bare)) return false; // the digest of a blob
  if (/^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(bare)) return false; // a UUID names a thing (GPU, pod)
  return bare.split(/[-_+]/).some((part) => {
    if (part.length < 20 || !/[0-9]/.test(part) || !/[A-Za-z]/.test(part)) return false;
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

/** Redacts what looks like a secret inside one text, whatever stands around it. */
export function redactText(value: string): string {
  let result = value;
  for (const shape of issued) result = result.replace(shape, redacted);
  result = result
    .replace(userinfo, `$1${redacted}@`)
    .replace(inlineOption, (all, lead: string, name: string, gap: string) =>
      isSecretName(name) ? `${lead}${name}${gap}${redacted}` : all,
    )
    .replace(scheme, (_all, name: string, gap: string) => `${name}${gap}${redacted}`);
  result = redactNamed(result);
  return result.replace(run, (word) => (looksRandom(word) ? redacted : word));
}

/** Replaces each value that stands behind the name of a secret. */
function redactNamed(text: string): string {
  let result = '';
  let done = 0;
  head.lastIndex = 0;
  for (let found = head.exec(text); found !== null; found = head.exec(text)) {
    if (!isSecretName(found[2] as string)) continue;
    value.lastIndex = head.lastIndex;
    const length = value.exec(text)?.[0].length ?? 0;
    if (length === 0) continue;
    result += `${text.slice(done, head.lastIndex)}${redacted}`;
    done = head.lastIndex + length;
    head.lastIndex = done;
  }
  return result + text.slice(done);
}

/** Short options that carry a secret, by program: `-p` of mysql, `-u` of curl. */
const shortSecrets: Readonly<Record<string, ReadonlySet<string>>> = {
  curl: new Set(['-u', '-U', '-b']),
  mysql: new Set(['-p']),
  'redis-server': new Set(['-a']),
  'redis-cli': new Set(['-a']),
  sshpass: new Set(['-p']),
};

/**
 * The command line as it may leave the host: each secret replaced, then cut to `length` characters. Arguments are joined
 * by one blank. Cut last, so that no half of a secret slips under a shape.
 */
export function redactCommand(argv: readonly string[], length: number = defaults.commandLength): string {
  const short = shortSecrets[basename(argv[0] ?? '')];
  const shown: string[] = [];
  for (let i = 0; i < argv.length; i += 1) {
    const argument = argv[i] as string;
    const equals = argument.indexOf('=');
    const name = equals > 0 ? argument.slice(0, equals) : argument;
    const isHeader = /^[A-Za-z-]+:$/.test(argument) && isSecretName(argument.slice(0, -1));
    const isOption = equals < 0 && /^--?[A-Za-z]/.test(argument) && (isSecretName(argument) || short?.has(argument));
    if (equals > 0 && /^-{0,2}[A-Za-z][A-Za-z0-9_.-]*$/.test(name) && isSecretName(name)) {
      shown.push(`${name}=${redacted}`);
    } else if (isHeader) {
      // A header given as several arguments: `Authorization: Bearer x`.
      shown.push(argument, redacted);
      i = endOfValues(argv, i + 1) - 1;
    } else if (isOption) {
      shown.push(argument);
      if (i + 1 === argv.length) break;
      shown.push(redacted);
      // The secret itself may begin with `-`. Keys of an API may be several (vLLM: `--api-key A B`): all up to the next.
      i = /keys?$/i.test(argument) ? endOfValues(argv, i + 2) - 1 : i + 1;
    } else shown.push(redactText(argument));
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
