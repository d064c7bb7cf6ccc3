import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { HiveView, Liveness } from '../../lib/contract/api.js';
import type { Missing } from '../../lib/contract/missing.js';
import type { Silence } from '../../lib/contract/silence.js';
import { newlyCritical } from '../../lib/dashboard/data/newly-critical.js';
import { sortHives } from '../../lib/dashboard/data/query.js';
import {
  attentionOf,
  attentionWithin,
  groupAttention,
  maxOfHive,
  missingAttention,
  severityText,
} from '../../lib/present/attention.js';
import { type Cause, causes, faultSeverity } from '../../lib/present/severity.js';
import { attentionLines, silenceText, sortedAttention } from '../../lib/present/silence.js';
import { sampleViews } from '../harness/sample-views.js';

const attentionIn = (views: readonly HiveView[]) => attentionOf(views.map((view) => ({ view, workers: [] })));

/** A host all of whose GPUs have this health, as its reader reports it. */
function sickHost(id: string, health: HiveView['gpus'][number]['health'], message = 'No answer for 2 s.'): HiveView {
  const { view } = sampleViews(id);
  const faults = [{ source: 'gpu' as const, code: 'NVML_STALLED', message, field: 'gpus' }];
  return { ...view, gpus: view.gpus.map((gpu) => ({ ...gpu, health })), faults };
}

describe('attention', () => {
  it('what needs attention: the worst first; of an offline host only that it is offline', () => {
    const { hive } = sampleViews('b');
    hive.stallGpu(0);
    hive.loseGpu(1);
    const { view } = sampleViews('b', hive);
    const all = attentionIn([
      view,
      { ...view, id: 'gone', liveness: 'offline' },
      { ...sampleViews('slow').view, liveness: 'late' },
    ]);
    expect(all.map(({ title, tone }) => [title, tone])).toEqual([
      ['b GPU 1', 'bad'],
      ['gone is offline', 'bad'],
      ['b GPU 0', 'unknown'],
      ['slow is late', 'warning'],
    ]);
    expect(all[0]?.show).toBe(`gpu:b/${view.gpus[1]?.uuid}`);
    const well = sampleViews('b').view;
    const order = sortHives([
      { ...well, id: 'n10' },
      { ...well, id: 'n9' },
      { ...view, liveness: 'offline' },
    ]);
    expect(order.map(({ id }) => id)).toEqual(['b', 'n9', 'n10']);
    const sick = (id: string, health: 'lost' | 'stalled' | 'degraded') => ({
      ...well,
      id,
      faults: [],
      gpus: well.gpus.map((gpu) => ({ ...gpu, health })),
    });
    // As urgent as in the list above it, whatever they are called.
    const byHealth = sortHives([{ ...well, id: 'a' }, sick('b', 'degraded'), sick('c', 'stalled'), sick('d', 'lost')]);
    expect(byHealth.map(({ id }) => id)).toEqual(['d', 'c', 'b', 'a']);
  });

  it.each([
    ['stalled', 'unknown', 'driver does not answer'],
    ['lost', 'bad', 'fell off the bus'],
    ['resetRequired', 'bad', '--gpu-reset'],
    ['degraded', 'warning', 'plan a reset'],
    ['noPermission', 'warning', 'group video'],
    ['ofANewerVersion', 'unknown', ''],
  ])('a GPU whose health is %s needs attention though no fault names it', (health, tone, fix) => {
    const { view } = sampleViews('b');
    const gpus = view.gpus.map((gpu, index) => (index === 1 ? { ...gpu, health: health as typeof gpu.health } : gpu));
    const sick: HiveView = { ...view, gpus, faults: [] };
    const all = attentionIn([sick]);
    expect(all).toMatchObject([{ title: 'b GPU 1', tone, show: `gpu:b/${gpus[1]?.uuid}` }]);
    expect(all[0]?.text).toContain(fix);
    expect(sortHives([sampleViews('a').view, sick]).map(({ id }) => id)).toEqual(['b', 'a']);
    // A fault of a single value stands beside the fix for the health; one of the whole GPU instead of it.
    const fault = { source: 'gpu', code: 'TIMEOUT', message: 'Power: no answer.', gpuUuid: gpus[1]!.uuid };
    const texts = (faults: readonly (typeof fault & { field?: string })[]) =>
      attentionIn([{ ...sick, faults: [...faults] }]).map(({ text }) => text);
    expect(texts([{ ...fault, field: 'powerWatts' }])).toEqual([
      [all[0]?.text, fault.message].filter(Boolean).join(' '),
    ]);
    expect(texts([fault, fault])).toEqual([fault.message]);
    expect(
      texts([fault, { ...fault, message: 'one' }, { ...fault, message: 'two' }, { ...fault, message: 'x' }]),
    ).toEqual(['Power: no answer. One. Two. And 1 more.']);
  });

  it('a driver that stalls is said once, by the reader, and as not known', () => {
    const { view } = sampleViews('b');
    const gpus = view.gpus.map((gpu) => ({ ...gpu, health: 'stalled' as const }));
    const faults = [{ source: 'gpu', code: 'NVML_STALLED', message: 'No answer for 2 s.', field: 'gpus' }];
    const of = (liveness: Liveness, rest: Partial<HiveView>) =>
      attentionIn([{ ...view, ...rest, liveness }]).map(({ title, tone }) => [title, tone]);
    expect(of('online', { gpus, faults })).toEqual([['b: 2 GPUs', 'unknown']]);
    expect(of('online', { gpus, faults: [] })).toEqual([
      ['b GPU 0', 'unknown'],
      ['b GPU 1', 'unknown'],
    ]);
    // Of one GPU of several it is said once as well, at that GPU; another one's trouble stays its own.
    expect(of('online', { gpus: [view.gpus[0]!, gpus[1]!], faults })).toEqual([['b GPU 1', 'unknown']]);
    expect(of('online', { gpus: [{ ...gpus[0]!, health: 'lost' }, gpus[1]!], faults })).toEqual([
      ['b GPU 0', 'bad'],
      ['b GPU 1', 'unknown'],
    ]);
    // A fault that says something else of the reader stands beside them.
    const crashed = [{ source: 'gpu', code: 'GPU_READER_CRASHED', message: 'It ended.' }];
    expect(of('online', { gpus: [view.gpus[0]!, gpus[1]!], faults: crashed })).toEqual([
      ['b gpu', 'bad'],
      ['b GPU 1', 'unknown'],
    ]);
    expect(of('online', { faults: [] })).toEqual([]);
    expect(
      of('online', { gpus: gpus.map((gpu) => ({ ...gpu, health: 'initializing' as const })), faults: [] }),
    ).toEqual([]);
  });

  it('equal things are one line that counts GPUs, and what is critical comes before what is about more', () => {
    const hosts = ['h10', 'h9', 'h1', 'h2'].map((id) => sickHost(id, 'stalled'));
    const dead = { ...sampleViews('dead').view, liveness: 'offline' as const, ageMs: 12_000 };
    const groups = groupAttention(attentionIn([...hosts, dead]));
    expect(groups.map(({ title, severity, count }) => [title, severity, count])).toEqual([
      ['dead is offline', 'critical', 1],
      ['8 GPUs stalled', 'warning', 8],
    ]);
    expect(groups[1]).toMatchObject({ hives: ['h1', 'h2', 'h9', 'h10'] });
    expect(groups[1]?.text).toBe('On h1, h2, h9 and 1 more. No answer for 2 s.');
    expect(severityText(groups)).toBe('1 critical, 1 warning');
    // A host with several of them is counted by GPU too.
    expect(groupAttention(attentionIn([hosts[0]!]))[0]?.title).toBe('2 GPUs stalled on h10');
  });

  it('GPUs that two readers cannot read count once', () => {
    const host = sickHost('h', 'stalled');
    const [fault] = host.faults;
    const faults = [fault!, { ...fault!, code: 'NVIDIA_SMI_TIMEOUT', message: 'nvidia-smi did not end within 10 s.' }];
    const [group, ...others] = groupAttention(attentionIn([{ ...host, faults }]));
    expect(group).toMatchObject({ title: `${host.gpus.length} GPUs stalled`, count: host.gpus.length });
    expect(others).toEqual([]);
  });

  it('stalled workers need attention, by their fault or by their state, once each', () => {
    const { view, workers } = sampleViews('a');
    const [one, two] = workers;
    const stalled = workers.slice(0, 2).map((worker) => ({ ...worker, state: 'stalled' as const }));
    const faults = [
      { source: 'worker' as const, code: 'ENGINE_STALLED', message: 'It computes nothing.', workerId: one!.id },
    ];
    const all = attentionOf([{ view: { ...view, faults: faults as never }, workers: stalled }]);
    expect(all.map(({ cause, severity, show }) => [cause, severity, show])).toEqual(
      [one!, two!].map(({ key }) => ['workerStalled', 'critical', `worker:${key}`]).sort(),
    );
    expect(groupAttention(all)[0]?.title).toBe('2 workers stalled');
  });

  it('a host with faults without end has its worst named, and hides nothing that is wrong with another', () => {
    const { view } = sampleViews('a');
    const noisy = Array.from({ length: 400 }, (_, host) => ({
      ...view,
      id: `noisy-${host}`,
      faults: Array.from({ length: 1000 }, (_each, at) => ({
        source: 'gpu' as const,
        code: at === 999 ? 'GPU_READER_CRASHED' : `MADE_UP_${at}`,
        message: 'x',
      })),
    }));
    const sick = sickHost('honest', 'lost');
    const all = attentionWithin(
      [...noisy, sick, { ...view, id: 'silent', liveness: 'offline' as const }].map((each) => ({
        view: each,
        workers: [],
      })),
    );
    expect(all.items.length).toBeLessThanOrEqual(4000);
    const titles = new Set(all.items.map(({ title }) => title));
    for (const title of ['honest: 2 GPUs', 'silent is offline', 'noisy-0 gpu', 'noisy-399 gpu'])
      expect(titles).toContain(title);
    expect(all.items.filter(({ cause }) => cause === 'fault:gpu:GPU_READER_CRASHED')).toHaveLength(400);
    expect([all.cut.has('noisy-7'), all.cut.has('honest'), all.cut.has('silent')]).toEqual([true, false, false]);
    const alone = attentionWithin([{ view: noisy[0]!, workers: [] }]);
    expect(alone.items).toHaveLength(maxOfHive);
  });

  it('limits of hosts are notes: said once for all hosts, and nothing that somebody must look at', () => {
    const limited = ['a', 'b'].map((id) => ({
      ...sampleViews(id).view,
      faults: [
        { source: 'cgroup' as const, code: 'PRESSURE_UNAVAILABLE', message: 'No pressure files: boot with psi=1.' },
      ],
    }));
    const { open, notes, silenced } = sortedAttention(attentionIn(limited), []);
    expect([open, silenced]).toEqual([[], []]);
    expect(notes).toMatchObject([
      { title: '2 hosts: cgroup PRESSURE_UNAVAILABLE', text: 'On a, b. No pressure files: boot with psi=1.' },
    ]);
    expect(faultSeverity('A_CODE_OF_TOMORROW')).toBe('warning');
  });

  it('what is missing: a host that was stopped is no outage; workers that ended are nothing at all', () => {
    const { view, workers } = sampleViews('a');
    const gone = (kind: Missing['kind'], reason: Missing['reason'], last: unknown): Missing =>
      ({
        kind,
        key: `${kind}-${reason}`,
        hive: 'a',
        since: '2026-03-01T00:00:00Z',
        missingMs: 60_000,
        reason,
        last,
      }) as Missing;
    const all = missingAttention([
      gone('hive', 'silent', view),
      gone('hive', 'stopped', view),
      gone('gpu', 'notReported', { ...view.gpus[0], index: 2 }),
      gone('gpu', 'silent', view.gpus[0]),
      gone('worker', 'notReported', workers[0]),
    ]);
    expect(all.map(({ cause }) => cause)).toEqual(['hiveMissing', 'hiveStopped', 'gpuMissing']);
    expect(all[2]).toMatchObject({
      title: 'GPU 2 of a is missing',
      severity: 'critical',
      show: 'gpu:a/gpu-notReported',
    });
  });

  it('what is acknowledged stands apart, by its host or for the fleet, and the rest of a group stays', () => {
    const all = attentionIn(['a', 'b', 'c'].map((id) => sickHost(id, 'lost')));
    const silence = (hive: string | null): Silence => ({
      kind: 'acknowledged',
      cause: 'gpuLost',
      hive,
      reason: 'cards ordered',
      by: 'kim',
      since: '2026-03-01T00:00:00Z',
      expiresAt: '2026-03-02T00:00:00Z',
    });
    const part = sortedAttention(all, [silence('a'), silence('b')]);
    expect(part.open.map(({ title }) => title)).toEqual(['2 GPUs lost on c']);
    expect(part.silenced).toMatchObject([{ count: 4, hives: ['a', 'b'], silence: { by: 'kim' } }]);
    expect(sortedAttention(all, [silence(null)])).toMatchObject({ open: [], silenced: [{ count: 6 }] });
    expect(sortedAttention(all, [{ ...silence(null), cause: 'gpuStalled' }]).silenced).toEqual([]);
    const lines = attentionLines(all, [silence('a')]);
    expect(lines.map((line) => [line.count, line.silence?.by ?? null])).toEqual([
      [4, null],
      [2, 'kim'],
    ]);
    expect(silenceText(silence('a'), (at) => at.toISOString())).toBe(
      'acknowledged by kim until 2026-03-02T00:00:00.000Z: cards ordered',
    );
  });

  it('a notification comes for what turns critical, and once', () => {
    const known = new Set<string>();
    const groupsOf = (ids: readonly string[]) => groupAttention(attentionIn(ids.map((id) => sickHost(id, 'lost'))));
    const titles = (ids: readonly string[]) => newlyCritical(known, groupsOf(ids)).map(({ title }) => title);
    expect(titles(['a'])).toEqual(['2 GPUs lost on a']);
    expect(titles(['a'])).toEqual([]);
    expect(titles(['a', 'b'])).toEqual(['4 GPUs lost']);
    expect(titles([])).toEqual([]);
    expect(titles(['b'])).toEqual(['2 GPUs lost on b']);
    expect(newlyCritical(new Set(), groupAttention(attentionIn([sickHost('a', 'stalled')])))).toEqual([]);
  });
});

describe('severities', () => {
  const rules = ['alerts-fleet.yml', 'alerts-hive.yml'].flatMap((file) => {
    const path = fileURLToPath(new URL(`../../deploy/prometheus/${file}`, import.meta.url));
    const { groups } = parse(readFileSync(path, 'utf8')) as {
      groups: { rules: { alert: string; labels: { severity: string } }[] }[];
    };
    return groups.flatMap((group) => group.rules);
  });

  it('every cause has alert rules of its severity, but those that no metric of a fleet shows', () => {
    const all: readonly (readonly [string, Cause])[] = Object.entries(causes);
    for (const [name, { severity, alerts }] of all)
      for (const alert of alerts) {
        const rule = rules.find((each) => each.alert === alert);
        expect(rule?.labels.severity, `${name}: ${alert}`).toBe(severity);
      }
    const without = all.filter(([, { alerts }]) => alerts.length === 0).map(([name]) => name);
    expect(without.sort()).toEqual(['gpuReadings', 'gpuUnknown', 'hiveStopped']);
  });
});
