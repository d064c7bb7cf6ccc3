import { idPattern } from '../contract/limits.js';
import { HivepulseError } from '../util/errors.js';

const pattern = new RegExp(idPattern);
/** Names that the kernel keeps for its own files in a cgroup directory. */
const kernelNames = /^(cgroup|cpu|cpuset|memory|io|pids|hugetlb|rdma|misc|irq|dmem|perf_event)\./;

function checkPart(flag: '--group' | '--instance', value: string): void {
  const why = !pattern.test(value)
    ? 'use 1 to 128 of A-Z a-z 0-9 _ . : @ + - and begin with a letter or digit'
    : value.includes('..')
      ? 'two dots in a row are not allowed'
      : kernelNames.test(value)
        ? 'the kernel keeps names that begin so for its own files in a cgroup'
        : null;
  if (why !== null) throw new HivepulseError('INVALID_OPTION', flag, `${flag} is not valid: ${why}.`);
}

/** Group and instance become a path and a unit name. Throws INVALID_OPTION with the flag as subject. */
export function checkWorkerId(group: string, instance: string): void {
  checkPart('--group', group);
  checkPart('--instance', instance);
}

/** `group/instance` taken apart and checked. Throws INVALID_OPTION. */
export function parseWorkerId(id: string): { readonly group: string; readonly instance: string } {
  const [group, instance, ...rest] = id.split('/');
  if (!group || !instance || rest.length > 0) {
    throw new HivepulseError(
      'INVALID_OPTION',
      'worker',
      `expected the id of a worker: give group/instance, such as llm/8080.`,
    );
  }
  checkWorkerId(group, instance);
  return { group, instance };
}
