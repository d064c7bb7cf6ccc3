import { describe, expect, it } from 'vitest';
import { faultOf } from '../suites/faults/matrix-reporter.js';

describe('the fault matrix', () => {
  it.each([
    ['hive_killed: -9, then started again: out of scheduling', 'hive_killed'],
    ['queen_unreachable: refused', 'queen_unreachable refused'],
    ['queen_unreachable: TLS broken, a certificate of another authority', 'queen_unreachable TLS broken'],
    ['queen_unreachable: black-holed, packets dropped without a word', 'queen_unreachable black-holed'],
    ['cgroup_churn: native reader: a thousand workers', 'cgroup_churn'],
  ])('%s: a line for %s', (title, fault) => {
    expect(faultOf(title)).toBe(fault);
  });
});
