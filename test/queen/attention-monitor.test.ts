import { describe, expect, it } from 'vitest';
import type { Silence } from '../../lib/contract/silence.js';
import type { Attention } from '../../lib/present/attention.js';
import { AttentionMonitor, newsMessage } from '../../lib/queen/attention-monitor.js';
import { ManualClock } from './heartbeats.js';

const trouble = (hive: string, over: Partial<Attention> = {}): Attention => ({
  id: `${hive}:gpu:0`,
  cause: 'gpuLost',
  hive,
  severity: 'critical',
  tone: 'bad',
  count: 1,
  title: `${hive} GPU 0`,
  text: 'It fell off the bus.',
  show: `gpu:${hive}/0`,
  ...over,
});
const silence = (kind: Silence['kind'], hive: string | null, cause = 'gpuLost'): Silence => ({
  ...{ kind, cause, hive, reason: 'ordered', by: 'kim' },
  ...{ since: '2026-03-01T00:00:00.000Z', expiresAt: '2026-03-02T00:00:00.000Z' },
});

/** A monitor of nothing but what the test says is wrong. */
function monitored() {
  const time = new ManualClock(500);
  const state = { items: [] as Attention[], cut: new Set<string>(), warming: false, known: new Set<string>() };
  const silences: Silence[] = [];
  const monitor = new AttentionMonitor(
    {
      get warming() {
        return state.warming;
      },
      attention: () => ({ items: state.items, cut: state.cut }),
      hasHive: (id) => state.known.has(id),
      silences: {
        list: () => silences,
        lift: (cause: string, hive: string | null) => {
          silences.splice(
            silences.findIndex((each) => each.cause === cause && each.hive === hive),
            1,
          );
          return null;
        },
      } as never,
    },
    time.read,
  );
  /** Looks each second so many times; what opened and closed, by title. */
  const look = (times = 1) => {
    const news: string[] = [];
    for (let i = 0; i < times; i++) {
      time.advance(1000);
      const found = monitor.look();
      // No news is null.
      if (found !== null) expect(found.opened.length + found.closed.length).toBeGreaterThan(0);
      for (const { title } of found?.opened ?? []) news.push(`open ${title}`);
      for (const { title } of found?.closed ?? []) news.push(`over ${title}`);
    }
    return news;
  };
  const say = (...items: Attention[]) => {
    state.items = items;
  };
  const reported = () => Array.from(monitor.reported(), ({ title }) => title);
  return { time, state, silences, monitor, look, say, reported };
}

describe('what needs attention', () => {
  it('is news after ten seconds, once, as it is by then, and over after ten without it', () => {
    const { look, say, reported } = monitored();
    say(trouble('a'));
    expect(look(10)).toEqual([]);
    expect(reported()).toEqual([]);
    say(trouble('a', { title: 'a GPU 0, renamed' }));
    expect(look()).toEqual(['open a GPU 0, renamed']);
    expect(reported()).toEqual(['a GPU 0, renamed']);
    expect(look(20)).toEqual([]);
    say();
    expect(look(9)).toEqual([]);
    expect(reported()).toEqual(['a GPU 0, renamed']);
    expect(look()).toEqual(['over a GPU 0, renamed']);
    expect(reported()).toEqual([]);
    expect(look(20)).toEqual([]);
  });

  it('that comes and goes within ten seconds is no news, however often', () => {
    const { look, say } = monitored();
    for (let round = 0; round < 5; round++) {
      say(trouble('a'));
      expect(look(9)).toEqual([]);
      say();
      expect(look()).toEqual([]);
    }
  });

  it('of two things at once: each has its own time', () => {
    const { look, say } = monitored();
    say(trouble('a'));
    look(5);
    say(trouble('a'), trouble('b'));
    expect(look(6)).toEqual(['open a GPU 0']);
    say(trouble('b'));
    expect(look(5)).toEqual(['open b GPU 0']);
    expect(look(5)).toEqual(['over a GPU 0']);
  });

  it('that comes and that is over in one look is said together', () => {
    const { look, say } = monitored();
    say(trouble('a'));
    look(11);
    say(trouble('a'), trouble('b'));
    look();
    say(trouble('b'));
    expect(look(9)).toEqual([]);
    expect(look()).toEqual(['open b GPU 0', 'over a GPU 0']);
  });

  it('is not looked at while the queen is warming', () => {
    const { state, look, say } = monitored();
    state.warming = true;
    say(trouble('a'));
    expect(look(30)).toEqual([]);
    state.warming = false;
    expect(look(10)).toEqual([]);
    expect(look()).toEqual(['open a GPU 0']);
  });

  it('that was reported and is silenced then is neither news again nor over', () => {
    const { silences, look, say, reported } = monitored();
    say(trouble('a'), trouble('b'));
    expect(look(11)).toEqual(['open 2 GPUs lost']);
    silences.push(silence('silenced', 'a'));
    expect(look(20)).toEqual([]);
    expect(reported()).toEqual(['b GPU 0']);
    say();
    expect(look(20)).toEqual(['over b GPU 0']);
  });

  it('of a host of which not all is listed is not over: as many as one host may have', () => {
    const { state, look, say } = monitored();
    const many = Array.from({ length: 130 }, (_, i) => trouble('a', { id: `a${i}`, cause: `c${i}`, title: `t${i}` }));
    say(...many, trouble('b'));
    expect(look(11)).toHaveLength(131);
    state.cut = new Set(['a']);
    say();
    const over = look(30);
    expect(over).toHaveLength(31);
    expect(over).toContain('over b GPU 0');
    // The first hundred are held, for as long as that is so.
    expect(over).not.toContain('over t99');
    expect(over).toContain('over t100');
    // Those that are listed are not among that hundred.
    say(...many.slice(0, 60));
    expect(look(20)).toEqual([]);
    say();
    expect(look(20)).toEqual([]);
    state.cut = new Set();
    expect(look(9)).toEqual([]);
    expect(look(1)).toHaveLength(100);
  });

  it('of a host of which not all is listed that was not reported yet is not known to be there', () => {
    const { state, look, say } = monitored();
    say(trouble('a'));
    look(5);
    state.cut = new Set(['a']);
    say();
    expect(look(20)).toEqual([]);
    say(trouble('a'));
    expect(look(10)).toEqual([]);
    expect(look()).toEqual(['open a GPU 0']);
  });
});

describe('what was reported before a restart', () => {
  it('is no news, and not over while its host may only not have been heard yet', () => {
    const { time, monitor, look, say, reported } = monitored();
    monitor.adopt([trouble('a'), trouble('b')], 60_000);
    expect(reported()).toEqual(['a GPU 0', 'b GPU 0']);
    say(trouble('b'));
    expect(look(59)).toEqual([]);
    // It was waited for until a minute was over, and ten seconds more.
    time.advance(999);
    expect(look(0)).toEqual([]);
    expect(look(8)).toEqual([]);
    expect(look(2)).toEqual(['over a GPU 0']);
    expect(reported()).toEqual(['b GPU 0']);
  });

  it('is over ten seconds after its host was heard without it', () => {
    const { state, monitor, look } = monitored();
    monitor.adopt([trouble('a'), trouble('b')], 3_600_000);
    expect(look(30)).toEqual([]);
    state.known.add('a');
    expect(look(9)).toEqual([]);
    expect(look()).toEqual(['over a GPU 0']);
    expect(look(30)).toEqual([]);
  });
});

describe('what is acknowledged', () => {
  it.each([
    ['of a host', 'a'],
    ['of the whole fleet', null],
  ])('%s ends once its trouble was away for a minute', (_, hive) => {
    const { silences, look, say } = monitored();
    silences.push(silence('acknowledged', hive), silence('silenced', hive, 'gpuStalled'));
    say(trouble('a'));
    look(100);
    expect(silences).toHaveLength(2);
    say();
    look(59);
    expect(silences).toHaveLength(2);
    // Back for a moment: its minute begins anew.
    say(trouble('a'));
    look();
    say();
    look(59);
    expect(silences).toHaveLength(2);
    look();
    expect(silences.map(({ cause }) => cause)).toEqual(['gpuStalled']);
  });

  it('before its trouble was ever seen has a minute too, and the next one of that name as well', () => {
    const { silences, look } = monitored();
    silences.push(silence('acknowledged', 'a'));
    look(60);
    expect(silences).toHaveLength(1);
    look();
    expect(silences).toEqual([]);
    look();
    silences.push(silence('acknowledged', 'a'));
    look(60);
    expect(silences).toHaveLength(1);
    look();
    expect(silences).toEqual([]);
  });

  it('and lifted by somebody is forgotten: another of that name has its own minute', () => {
    const { silences, look } = monitored();
    silences.push(silence('acknowledged', 'a'), silence('acknowledged', 'b'));
    look(40);
    silences.shift();
    look();
    silences.push(silence('acknowledged', 'a'));
    look(30);
    expect(silences.map(({ hive }) => hive)).toEqual(['a']);
    look(31);
    expect(silences).toEqual([]);
  });

  it.each([
    ['of a host of which not all is listed', 'a', 'a', 1],
    ['of another host', 'b', 'a', 0],
    ['of the whole fleet where of some host not all is listed', null, 'a', 1],
  ])('%s does not end while that is so', (_, hive, cut, left) => {
    const { state, silences, look } = monitored();
    silences.push(silence('acknowledged', hive));
    state.cut = new Set([cut]);
    look(100);
    expect(silences).toHaveLength(left);
    state.cut = new Set();
    look(61);
    expect(silences).toEqual([]);
  });

  it('is of its cause and host alone', () => {
    const { silences, look, say } = monitored();
    silences.push(silence('acknowledged', 'a'), silence('acknowledged', 'a', 'gpuStalled'));
    say(trouble('b'), trouble('a', { id: 'x', cause: 'gpuDegraded' }));
    look(61);
    expect(silences).toEqual([]);
  });
});

describe('the message of news', () => {
  const group = (i: number, text = 'x') => ({
    ...{ cause: `c${i}`, severity: 'warning' as const, tone: 'warning' as const, count: i, title: `t${i}`, text },
    hives: Array.from({ length: i }, (_, at) => `h${at}`),
    items: [],
  });
  type Message = {
    text: string;
    timestamp: string;
    data: Record<string, unknown> & Record<'opened' | 'closed', object[]>;
  };
  const messageOf = (opened: number[], closed: number[], text?: string) =>
    newsMessage(
      { opened: opened.map((i) => group(i, text)), closed: closed.map((i) => group(i)) },
      'q1',
      Date.parse('2026-03-01T00:00:00Z'),
    ) as Message;

  it('has a line for each, first what came, then what is over', () => {
    expect(messageOf([2, 1], [3])).toEqual({
      type: 'hivepulse.attention',
      timestamp: '2026-03-01T00:00:00.000Z',
      text: 'warning: t2. x\nwarning: t1. x\nover: t3',
      data: {
        queenId: 'q1',
        text: 'warning: t2. x\nwarning: t1. x\nover: t3',
        opened: [
          { cause: 'c2', severity: 'warning', title: 't2', text: 'x', count: 2, hives: ['h0', 'h1'] },
          { cause: 'c1', severity: 'warning', title: 't1', text: 'x', count: 1, hives: ['h0'] },
        ],
        closed: [{ cause: 'c3', severity: 'warning', title: 't3', text: 'x', count: 3, hives: ['h0', 'h1', 'h2'] }],
      },
    });
  });

  it.each([
    [100, 100, null],
    [101, 100, 'and 1 more'],
    [150, 100, 'and 50 more'],
  ])('of %i things names %i', (count, named, more) => {
    const all = Array.from({ length: count }, (_, i) => i);
    for (const message of [messageOf(all, []), messageOf([], all)]) {
      const lines = message.text.split('\n');
      expect(lines).toHaveLength(named + (more === null ? 0 : 1));
      expect(lines.at(-1)!.startsWith('and ') ? lines.at(-1) : null).toBe(more);
      expect(message.data.opened.length + message.data.closed.length).toBe(named);
    }
    expect((messageOf([count], []).data.opened[0] as { hives: unknown[] }).hives).toHaveLength(100);
  });

  it('cuts a long text, and what could be markup, a mention or a sign to a terminal is none', () => {
    const head = 'warning: t1. '.length;
    expect(messageOf([1], [], 'y'.repeat(500 - head)).text).toHaveLength(500);
    expect(messageOf([1], [], 'y'.repeat(501 - head)).text).toBe(`warning: t1. ${'y'.repeat(500 - head)}…`);
    const { text } = messageOf([1], [], '<a> <b> @c @d \u001b[1m');
    expect(text).toContain('‹a› ‹b› ＠c ＠d ');
    expect(text).not.toContain('\u001b');
  });
});
