import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Discovery } from '../../lib/workers/discovery.js';
import { portion } from '../harness/draws.js';
import { container, Machine, noRecords } from './discovery-machine.js';

const paths = ['/a', '/b', '/b/c', '/hivepulse.slice/w/one', container];

const path = fc.constantFrom(...paths, '/own');
const pid = fc.integer({ min: 10, max: 14 });
const engine = ['llama-server', '-m', 'x.gguf'];
const change = fc.oneof(
  fc.record({ kind: fc.constant('make' as const), path: fc.constantFrom(...paths) }),
  fc.record({ kind: fc.constant('remove' as const), path: fc.constantFrom(...paths) }),
  fc.record({ kind: fc.constantFrom('engine' as const, 'plain' as const), pid, path }),
  fc.record({ kind: fc.constant('child' as const), pid, of: pid, path }),
  fc.record({ kind: fc.constant('end' as const), pid }),
  fc.record({ kind: fc.constant('gpu' as const), pid, path: fc.option(path) }),
  fc.record({ kind: fc.constant('name' as const), name: fc.constantFrom('x', 'y') }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(500, 5000, 31_000) }),
);

function apply(
  machine: Machine,
  both: readonly Discovery[],
  step: typeof change extends fc.Arbitrary<infer T> ? T : never,
) {
  if (step.kind === 'make') machine.make(step.path);
  else if (step.kind === 'remove') machine.remove(step.path);
  else if (step.kind === 'engine') machine.process(step.pid, engine, step.path);
  else if (step.kind === 'plain') machine.process(step.pid, ['sleep', '9'], step.path);
  else if (step.kind === 'child') machine.process(step.pid, ['sleep', '9'], step.path, step.of);
  else if (step.kind === 'end') machine.end(step.pid);
  else if (step.kind === 'gpu') for (const each of both) each.holdsGpu(step.path, step.pid);
  else if (step.kind === 'name') machine.name(step.name);
}

it('finds what a discovery finds that looks at everything anew each time', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 10, maxLength: 40 }), async (steps) => {
      const machine = new Machine();
      // Other records, though the same, have everything looked at.
      const both = [
        machine.discovery(async () => noRecords),
        machine.discovery(async () => ({ ...noRecords })),
      ] as const;
      const pass = async () => {
        for (const each of both) void each.scan();
        await machine.clock.advance(500);
        const [one, other] = both.map((each) => each.current());
        expect({ ...one, recordsReadAtMs: 0 }).toEqual({ ...other, recordsReadAtMs: 0 });
      };
      await pass();
      for (const step of steps) {
        apply(machine, both, step);
        for (let left = step.kind === 'wait' ? step.ms : 500; left > 0; left -= 500) await pass();
      }
    }),
    { numRuns: portion(50) },
  );
}, 30_000);

it('gives the same list of workers while only processes come and go that are of no engine', async () => {
  const machine = new Machine();
  machine.make('/b');
  machine.process(10, engine, '/b');
  const discovery = machine.discovery(async () => noRecords);
  await discovery.scan();
  const { watched } = discovery.current();
  expect(watched.map(({ path: at }) => at)).toEqual(['/b']);
  for (let i = 0; i < 10; i += 1) {
    machine.process(20 + i, ['sleep', '9'], '/c');
    await machine.clock.advance(500);
    await discovery.scan();
    expect(discovery.current().watched).toBe(watched);
  }
});

it('sees a process that has long been there begin to hold a GPU, where another tree is there', async () => {
  const machine = new Machine();
  for (const each of [10, 11]) machine.process(each, ['python3', 'train.py'], '/own');
  const discovery = machine.discovery(async () => noRecords);
  const trees = async () => {
    for (let i = 0; i < 3; i += 1) {
      await machine.clock.advance(500);
      await discovery.scan();
    }
    return discovery.current().watched.map(({ instance }) => instance);
  };
  await discovery.scan();
  expect(await trees()).toEqual([]);
  discovery.holdsGpu('/own', 10);
  expect(await trees()).toEqual(['x-10']);
  discovery.holdsGpu('/own', 11);
  expect(await trees()).toEqual(['x-10', 'x-11']);
});
