import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { familiesOfQueen } from '../../lib/api/metric-families.js';
import { familiesOfHive } from '../../lib/hive/metric-families.js';
import { processProbe } from '../../lib/metrics/process.js';
import { hasPromtool, promtool, withoutPromtool } from './tools.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');

const probe = processProbe();
probe.close();
const names = new Set([...familiesOfHive, ...familiesOfQueen, ...probe.families].map(({ name }) => name));

interface Rules {
  readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[];
}
interface Target {
  readonly expr?: string;
}
interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly targets?: readonly Target[];
  readonly panels?: readonly Panel[];
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
}
interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly query?: unknown }[] };
}

const alertFiles = ['alerts-fleet.yml', 'alerts-hive.yml'];
const alerts = (file: string) =>
  (parse(read(`deploy/prometheus/${file}`)) as Rules).groups.flatMap(({ rules }) => rules);
const dashboard = JSON.parse(read('deploy/grafana/hivepulse.json')) as Dashboard;
const panels = dashboard.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
const metricsIn = (text: string) => text.match(/\b(?:hivepulse|process|nodejs)_[a-z0-9_]+/g) ?? [];

describe('deploy: Prometheus', () => {
  it('every metric that an alert names exists, and every alert has a test', () => {
    for (const file of alertFiles) {
      const tests = read(`test/metrics/${file}`);
      for (const { alert, expr } of alerts(file)) {
        for (const name of metricsIn(expr)) expect(names, `${alert}: ${name}`).toContain(name);
        expect(tests, alert).toContain(`alertname: ${alert}\n`);
      }
    }
  });

  it.skipIf(!hasPromtool)(`promtool: alert rules are right and their unit tests pass${withoutPromtool}`, () => {
    for (const file of alertFiles) {
      expect(promtool(['check', 'rules', join(root, 'deploy/prometheus', file)])).toMatchObject({ status: 0 });
      const tested = promtool(['test', 'rules', join(root, 'test/metrics', file)]);
      expect(tested.status, tested.output).toBe(0);
    }
  });

  it.skipIf(!hasPromtool)(`promtool: a rule that is wrong fails its unit test${withoutPromtool}`, () => {
    const directory = mkdtempSync(join(tmpdir(), 'hivepulse-rules-'));
    onTestFinished(() => void rmSync(directory, { recursive: true, force: true }));
    writeFileSync(join(directory, 'rules.yml'), read('deploy/prometheus/alerts-hive.yml').replace('> 0.25', '> 0.75'));
    writeFileSync(
      join(directory, 'test.yml'),
      read('test/metrics/alerts-hive.yml').replace('../../deploy/prometheus/alerts-hive.yml', 'rules.yml'),
    );
    const { status, output } = promtool(['test', 'rules', join(directory, 'test.yml')]);
    expect(status).not.toBe(0);
    expect(output).toContain('HivepulseHostWorkerThrottled');
  });

  it.skipIf(!hasPromtool)(`promtool: the scrape configuration is right${withoutPromtool}`, () => {
    const directory = mkdtempSync(join(tmpdir(), 'hivepulse-config-'));
    onTestFinished(() => void rmSync(directory, { recursive: true, force: true }));
    for (const file of alertFiles) writeFileSync(join(directory, file), read(`deploy/prometheus/${file}`));
    // promtool wants the token files to be there.
    writeFileSync(join(directory, 'token'), 'x');
    writeFileSync(
      join(directory, 'prometheus.yml'),
      read('deploy/prometheus/prometheus.yml').replace(/credentials_file: .*/g, 'credentials_file: token'),
    );
    const { status, output } = promtool(['check', 'config', join(directory, 'prometheus.yml')]);
    expect(status, output).toBe(0);
    for (const file of alertFiles) expect(output).toContain(`${alerts(file).length} rules found`);
  });
});

describe('deploy: Grafana', () => {
  it('every metric that the dashboard names exists; panels have a title, an id of their own and a place', () => {
    expect(dashboard).toMatchObject({ uid: 'hivepulse', title: 'hivepulse' });
    const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr ?? ''));
    expect(expressions.length).toBeGreaterThan(15);
    for (const expr of [...expressions, JSON.stringify(dashboard.templating)])
      for (const name of metricsIn(expr)) expect(names, expr).toContain(name);
    for (const expr of expressions) expect(metricsIn(expr).length, expr).toBeGreaterThan(0);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const { title, type, targets, gridPos } of panels) {
      expect(title).not.toBe('');
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      if (type !== 'row') expect(targets?.length, title).toBeGreaterThan(0);
    }
    for (const [i, a] of dashboard.panels.entries())
      for (const b of dashboard.panels.slice(i + 1)) {
        const [p, q] = [a.gridPos, b.gridPos];
        const apart = p.x + p.w <= q.x || q.x + q.w <= p.x || p.y + p.h <= q.y || q.y + q.h <= p.y;
        expect(apart, `${a.title} and ${b.title} overlap`).toBe(true);
      }
  });

  it.skipIf(!hasPromtool)(`promtool: every query of the dashboard is PromQL${withoutPromtool}`, () => {
    const directory = mkdtempSync(join(tmpdir(), 'hivepulse-dashboard-'));
    onTestFinished(() => void rmSync(directory, { recursive: true, force: true }));
    const rules = panels
      .flatMap(({ targets = [] }) => targets)
      .map(({ expr = '' }, i) => ({
        record: `query_${i}`,
        expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$hive', '.+').replaceAll('$worker', '.+'),
      }));
    const file = join(directory, 'queries.yml');
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
    const { status, output } = promtool(['check', 'rules', file]);
    expect(status, output).toBe(0);
  });
});
