import { Webhook } from '../http/webhook.js';
import { readUntrusted } from '../io/untrusted.js';
import { AttentionMonitor, newsMessage } from '../queen/attention-monitor.js';
import type { Registry } from '../queen/registry.js';
import { HivepulseError, systemCode } from '../util/errors.js';
import { shownPath } from '../util/shown-url.js';

const lookEveryMs = 2000;

export interface NotifierOptions {
  readonly webhook?: string;
  readonly webhookSecret?: string;
  readonly webhookSecretFile?: string;
  /** Of several queens one sends. */
  readonly isLeader: () => boolean;
  readonly warn: (message: string) => void;
}

/** Null: messages are not signed. @throws HivepulseError CONFIG_UNREADABLE */
async function readSecret({ webhookSecret, webhookSecretFile }: NotifierOptions): Promise<string | null> {
  if (webhookSecret !== undefined || webhookSecretFile === undefined) return webhookSecret ?? null;
  let secret: string;
  try {
    secret = (await readUntrusted(webhookSecretFile, { maxBytes: 4096 })).trim();
  } catch (error) {
    const shown = shownPath(webhookSecretFile);
    throw new HivepulseError('CONFIG_UNREADABLE', shown, `${shown} cannot be read: ${systemCode(error)}.`, {
      cause: error,
    });
  }
  if (secret !== '') return secret;
  const shown = shownPath(webhookSecretFile);
  throw new HivepulseError('CONFIG_UNREADABLE', shown, `${shown} holds no secret.`);
}

/**
 * Looks at what needs attention every two seconds: ends what was acknowledged and is over, and posts news to the webhook. Gives
 * what ends that. @throws HivepulseError CONFIG_UNREADABLE where the secret cannot be read
 */
export async function startNotifier(registry: Registry, options: NotifierOptions): Promise<() => void> {
  const { webhook: url, isLeader, warn } = options;
  const webhook = url === undefined ? null : new Webhook({ url, secret: await readSecret(options), warn });
  const monitor = new AttentionMonitor(registry);
  const timer = setTimeout(() => {
    if (webhook !== null || registry.silences.list().length > 0) {
      const news = monitor.look();
      if (news !== null && isLeader()) webhook?.send(newsMessage(news, registry.queenId, Date.now()));
    }
    timer.refresh();
  }, lookEveryMs).unref();
  return () => {
    clearTimeout(timer);
    webhook?.close();
  };
}
