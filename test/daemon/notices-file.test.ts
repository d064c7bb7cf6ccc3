import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { keepNotices, type Notices, noticesFile, parseNotices } from '../../lib/daemon/notices-file.js';
import { AttentionMonitor } from '../../lib/queen/attention-monitor.js';
import { gpuSample, TestQueen } from '../queen/heartbeats.js';

const staleAfterMs = 90_000;
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'hivepulse-notices-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
});

function monitored() {
  const queen = new TestQueen({ warmingMs: 0, staleAfterMs });
  const monitor = new AttentionMonitor(queen, () => queen.time.nowMs);
  let seq = 0;
  /** Titles that came and that are over, in so many seconds; `health` null: the host is not heard. */
  const look = (seconds: number, health: 'ok' | 'lost' | null) => {
    const titles = { opened: [] as string[], closed: [] as string[] };
    for (let second = 0; second < seconds; second++) {
      queen.time.advance(1000);
      if (health !== null) queen.hear('a', ++seq, { gpus: [{ ...gpuSample('GPU-a'), health }] });
      const news = monitor.look();
      titles.opened.push(...(news?.opened ?? []).map(({ title }) => title));
      titles.closed.push(...(news?.closed ?? []).map(({ title }) => title));
    }
    return titles;
  };
  return { queen, monitor, look };
}

/** Writes what was reported, and gives what a queen that starts then reads. */
async function kept(monitor: AttentionMonitor, waiting: Notices['waiting'] = []) {
  const read: { reported: unknown[]; waiting: unknown[] }[] = [];
  const keep = () =>
    keepNotices(
      () => ({ reported: monitor.reported(), waiting }),
      (notices) => read.push(notices),
      dir,
      expect.unreachable,
    );
  await (await keep()).close();
  await (await keep()).close();
  return read[0] as Parameters<Parameters<typeof keepNotices>[1]>[0];
}

describe('what the webhook was sent', () => {
  it('is not sent again after a restart, and that it is over is', async () => {
    const before = monitored();
    expect(before.look(20, 'lost').opened).toEqual(['a GPU 0']);
    const message = { id: 'm', body: '{}', madeAtMs: 5 };
    const notices = await kept(before.monitor, [message]);
    expect(notices.waiting).toEqual([message]);

    const after = monitored();
    after.monitor.adopt(notices.reported, staleAfterMs);
    expect(after.look(30, 'lost')).toEqual({ opened: [], closed: [] });
    expect(after.look(30, 'ok')).toEqual({ opened: [], closed: ['a GPU 0'] });
  });

  it('is not over because its host was not heard yet', async () => {
    const before = monitored();
    before.look(20, 'lost');
    const { reported } = await kept(before.monitor);
    const after = monitored();
    after.monitor.adopt(reported, staleAfterMs);
    expect(after.look(staleAfterMs / 1000 - 1, null)).toEqual({ opened: [], closed: [] });
    expect(after.look(1, 'lost')).toEqual({ opened: [], closed: [] });
    const never = monitored();
    never.monitor.adopt(reported, staleAfterMs);
    expect(never.look(staleAfterMs / 1000 + 20, null).closed).toEqual(['a GPU 0']);
  });

  it('a file that is none is set aside; entries that are none are left out', async () => {
    const { monitor, look } = monitored();
    look(20, 'lost');
    await kept(monitor);
    const file = JSON.parse(await readFile(join(dir, noticesFile), 'utf8')) as { entries: object[] };
    expect(file.entries).toHaveLength(1);
    expect(parseNotices(JSON.stringify({ ...file, version: 2 }))).toHaveProperty('reason');
    const odd = [null, {}, { reported: {} }, { waiting: { id: '', body: 'x', madeAtMs: 1 } }, { reported: 1 }];
    expect(parseNotices(JSON.stringify({ ...file, entries: [...odd, ...file.entries] }))).toHaveProperty('state');
  });
});
