import { Webhook } from '../http/webhook.js';
import { AttentionMonitor, newsMessage } from '../queen/attention-monitor.js';
import type { Registry } from '../queen/registry.js';
import { HivepulseError } from '../util/errors.js';
import { readNamedText } from '../util/named-file.js';
import { shownPath } from '../util/shown-url.js';
import { keepNotices } from './notices-file.js';

const lookEveryMs = 2000;
/** Of the event loop, looks take a twentieth at most, however much is wrong. */
const restFactor = 20;
const settledByMs = 5000;
/** After news: what comes meanwhile is in the next message, so that a host whose trouble comes and goes fills no chat. */
const afterNewsMs = 10_000;

export interface NotifierOptions {
  readonly webhook?: string;
  readonly webhookSecret?: string;
  readonly webhookSecretFile?: string;
  /** Directory in which it is kept what was sent; absent: it is sent again after a restart. */
  readonly state?: string;
  /** So long after the start what is wrong with a host that is not heard is not over. */
  readonly staleAfterMs: number;
  /** Of several queens one sends. */
  readonly isLeader: () => boolean;
  readonly warn: (message: string) => void;
  /** Monotonic, ms. */
  readonly now?: () => number;
}

/** Null: messages are not signed. @throws HivepulseError CONFIG_UNREADABLE */
function readSecret({ webhookSecret, webhookSecretFile }: NotifierOptions): string | null {
  if (webhookSecret !== undefined || webhookSecretFile === undefined) return webhookSecret ?? null;
  const secret = readNamedText(webhookSecretFile, { fix: 'It was named as webhookSecretFile', maxBytes: 4096 }).trim();
  if (secret !== '') return secret;
  const shown = shownPath(webhookSecretFile);
  throw new HivepulseError('CONFIG_UNREADABLE', shown, `${shown} holds no secret.`);
}

/**
 * Looks at what needs attention every two seconds, less often where that takes long: ends what was acknowledged and is over, and
 * posts news to the webhook. Gives what ends that. @throws HivepulseError CONFIG_UNREADABLE where the secret cannot be read,
 * STATE_UNWRITABLE
 */
export async function startNotifier(registry: Registry, options: NotifierOptions): Promise<() => Promise<void>> {
  const { webhook: url, isLeader, warn, now = () => performance.now() } = options;
  const monitor = new AttentionMonitor(registry);
  let changed = (): void => undefined;
  const webhook =
    url === undefined ? null : new Webhook({ url, secret: readSecret(options), warn, onChange: () => changed() });
  const kept = webhook === null ? null : await keep(monitor, webhook, options);
  changed = () => kept?.mark();
  let timer: NodeJS.Timeout;
  const look = () => {
    const beganMs = now();
    let restMs = lookEveryMs;
    if (webhook !== null || registry.silences.list().length > 0) {
      const news = monitor.look();
      if (news !== null) {
        if (isLeader()) webhook?.send(newsMessage(news, registry.queenId, Date.now()));
        changed();
        restMs = afterNewsMs;
      }
    }
    arm(Math.max(restMs, restFactor * (now() - beganMs)));
  };
  const arm = (ms: number) => {
    timer = setTimeout(look, ms).unref();
  };
  arm(lookEveryMs);
  return async () => {
    clearTimeout(timer);
    webhook?.close();
    await kept?.close();
  };
}

const keep = async (monitor: AttentionMonitor, webhook: Webhook, { state, staleAfterMs, warn }: NotifierOptions) =>
  state === undefined
    ? null
    : keepNotices(
        () => ({ reported: monitor.reported(), waiting: webhook.waiting }),
        ({ reported, waiting }) => {
          // A little later than what becomes missing then.
          monitor.adopt(reported, staleAfterMs + settledByMs);
          webhook.adopt(waiting);
        },
        state,
        warn,
      );
