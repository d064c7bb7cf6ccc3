import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PlacementRequest } from '../../lib/contract/api.js';
import { type PlacementGpu, type PlacementHost, placementCandidates } from '../../lib/queen/placement.js';
import { gib, gpuSample, TestQueen } from './heartbeats.js';

const gpu = (uuid: string, freeGib: number | null, fields: Partial<PlacementGpu> = {}): PlacementGpu => ({
  uuid,
  health: 'ok',
  isParent: false,
  memoryKind: 'device',
  freeBytes: freeGib === null ? null : gib(freeGib),
  workerCount: 0,
  ...fields,
});

const host = (hive: string, gpus: readonly PlacementGpu[], fields: Partial<PlacementHost> = {}): PlacementHost => ({
  hive,
  liveness: 'online',
  state: 'ready',
  cordonReason: null,
  labels: {},
  memoryAvailableBytes: gib(64),
  workerCount: 0,
  gpusKnown: 'known',
  gpusReason: null,
  gpus,
  ...fields,
});

const ask = (vramGib: number, fields: Partial<PlacementRequest> = {}): PlacementRequest => ({
  vramBytes: gib(vramGib),
  ...fields,
});

const refusals: readonly [
  what: string,
  host: PlacementHost,
  request: PlacementRequest,
  reason: string,
  detail: string,
][] = [
  ['offline', host('a', [gpu('0', 24)], { liveness: 'offline' }), ask(1), 'offline', 'the hive is offline'],
  ['late', host('a', [gpu('0', 24)], { liveness: 'late' }), ask(1), 'offline', 'the hive is late'],
  ['draining', host('a', [gpu('0', 24)], { state: 'draining' }), ask(1), 'notReady', 'the hive is draining'],
  [
    'another zone',
    host('a', [gpu('0', 24)], { labels: { zone: 'b' } }),
    ask(1, { labels: { zone: 'a' } }),
    'labelMismatch',
    'zone is b, asked: a',
  ],
  [
    'no such label',
    host('a', [gpu('0', 24)]),
    ask(1, { labels: { zone: 'a' } }),
    'labelMismatch',
    'zone is not set, asked: a',
  ],
  ['no GPU', host('a', [], { gpusKnown: 'none' }), ask(0), 'noGpu', 'the hive reports no GPU'],
  [
    'another vendor',
    host('a', [gpu('0', 24, { vendor: 'NVIDIA' }), gpu('1', 24)]),
    ask(1, { gpuVendor: 'AMD' }),
    'noGpu',
    'none of its GPUs is of AMD',
  ],
  [
    'another vendor, where not all GPUs are known',
    host('a', [gpu('0', 24, { vendor: 'NVIDIA' })], { gpusKnown: 'unknown', gpusReason: 'the driver does not answer' }),
    ask(1, { gpuVendor: 'AMD' }),
    'gpusUnknown',
    'its GPUs are not known: the driver does not answer',
  ],
  [
    'two GPUs, each of another vendor',
    host('a', [gpu('0', 24, { vendor: 'NVIDIA' }), gpu('1', 24, { vendor: 'AMD' })]),
    ask(1, { gpuCount: 2 }),
    'notEnoughGpus',
    '1 usable, asked: 2',
  ],
  [
    'a list of GPUs of which nothing could be read',
    host('a', []),
    ask(0),
    'gpusUnknown',
    'its GPUs are not known: no entry of its list could be read',
  ],
  [
    'only a stalled GPU and one cut into MIG devices',
    host('a', [gpu('0', 24, { health: 'stalled' }), gpu('1', 24, { isParent: true })]),
    ask(1),
    'gpuUnhealthy',
    'of 2 GPUs none is usable: stalled, cut into MIG devices',
  ],
  [
    'one of two lost',
    host('a', [gpu('0', 24, { health: 'lost' }), gpu('1', 24)]),
    ask(1, { gpuCount: 2 }),
    'notEnoughGpus',
    '1 usable, asked: 2',
  ],
  ['too little room', host('a', [gpu('0', 11.2), gpu('1', 3)]), ask(16), 'notEnoughVram', 'largest 11.2 GiB'],
  ['room not known', host('a', [gpu('0', null)]), ask(16), 'notEnoughVram', 'largest not known'],
  [
    'room on one of two',
    host('a', [gpu('0', 24), gpu('1', 3)]),
    ask(16, { gpuCount: 2 }),
    'notEnoughVram',
    '1 of 2 GPUs have room; largest 24.0 GiB',
  ],
  [
    'too little memory',
    host('a', [gpu('0', 24)], { memoryAvailableBytes: gib(4) }),
    ask(1, { memoryBytes: gib(8) }),
    'notEnoughMemory',
    'available 4.0 GiB, asked: 8.0 GiB',
  ],
  [
    'memory not known',
    host('a', [gpu('0', 24)], { memoryAvailableBytes: null }),
    ask(1, { memoryBytes: gib(8) }),
    'notEnoughMemory',
    'available memory is not known',
  ],
  [
    'unified memory that would have to hold both',
    host('a', [gpu('0', 60, { memoryKind: 'unified' })], { memoryAvailableBytes: gib(60) }),
    ask(40, { memoryBytes: gib(30) }),
    'notEnoughMemory',
    'available 60.0 GiB, asked: 70.0 GiB',
  ],
];

describe('placement', () => {
  it.each(refusals)('says why a host is refused: %s', (_, one, request, reason, detail) => {
    expect(placementCandidates([one], request)).toEqual({ candidates: [], refusals: [{ hive: 'a', reason, detail }] });
  });

  const fleet = [
    host('a', [gpu('a0', 10, { workerCount: 2 }), gpu('a1', 24)], { workerCount: 2 }),
    host('b', [gpu('b0', 9, { workerCount: 1 })], { workerCount: 1 }),
    host('c', [gpu('c0', 80, { workerCount: 3 })], { workerCount: 3 }),
  ];
  const chosen = (request: PlacementRequest) =>
    placementCandidates(fleet, request).candidates.map((candidate) => candidate.gpus.map((one) => one.uuid).join('+'));

  it('GPUs of the vendor that is asked for, and of one where several are', () => {
    const mixed = host('a', [
      gpu('n0', 80, { vendor: 'NVIDIA' }),
      gpu('a0', 20, { vendor: 'AMD' }),
      gpu('a1', 24, { vendor: 'AMD' }),
    ]);
    const chosen = (fields: Partial<PlacementRequest>) =>
      placementCandidates([mixed], ask(16, { strategy: 'mostFree', ...fields })).candidates[0]?.gpus.map(
        ({ uuid }) => uuid,
      );
    expect(chosen({})).toEqual(['n0']);
    expect(chosen({ gpuVendor: 'amd' })).toEqual(['a1']);
    expect(chosen({ gpuCount: 2 })).toEqual(['a1', 'a0']);
  });

  /** The GPUs of the first candidate, or why there is none. */
  const chosenOn = (on: PlacementHost, request: PlacementRequest) => {
    const { candidates, refusals } = placementCandidates([on], request);
    return candidates[0]?.gpus.map(({ uuid }) => uuid) ?? [refusals[0]?.reason, refusals[0]?.detail];
  };

  it.each([
    ['binPack', ['small']],
    ['mostFree', ['large']],
    ['spread', ['middle']],
  ] as const)('%s chooses between the GPUs of a host, whatever their order', (strategy, expected) => {
    const gpus = [gpu('small', 8), gpu('large', 24, { workerCount: 2 }), gpu('middle', 16)];
    for (const order of [gpus, [...gpus].reverse(), [gpus[1]!, gpus[2]!, gpus[0]!]])
      expect(chosenOn(host('a', order), ask(5, { strategy }))).toEqual(expected);
  });

  it('a GPU that is not wholly well comes last by any strategy, whatever its order', () => {
    const gpus = [gpu('worn', 8, { health: 'degraded' }), gpu('b', 12), gpu('c', 10, { health: 'degraded' })];
    for (const strategy of ['binPack', 'mostFree', 'spread'] as const)
      for (const order of [gpus, [...gpus].reverse()])
        expect(chosenOn(host('a', order), ask(5, { strategy }))).toEqual(['b']);
  });

  it('of several GPUs the scarcest counts by mostFree, and what is left on all of them by binPack', () => {
    const uneven = host('uneven', [gpu('0', 20), gpu('1', 60)]);
    const even = host('even', [gpu('2', 42), gpu('3', 43)]);
    const first = (strategy: 'mostFree' | 'binPack') =>
      placementCandidates([uneven, even], ask(5, { strategy, gpuCount: 2 })).candidates[0]?.hive;
    expect([first('mostFree'), first('binPack')]).toEqual(['even', 'uneven']);
  });

  it('spread counts workers on the GPUs, then on the host, then the room', () => {
    const hosts = [
      host('busyGpu', [gpu('0', 90, { workerCount: 1 })]),
      host('busyHost', [gpu('1', 80)], { workerCount: 3 }),
      host('small', [gpu('2', 20)], { workerCount: 2 }),
      host('large', [gpu('3', 70)], { workerCount: 2 }),
    ];
    const { candidates } = placementCandidates(hosts, ask(5, { strategy: 'spread' }));
    expect(candidates.map(({ hive }) => hive)).toEqual(['large', 'small', 'busyHost', 'busyGpu']);
  });

  it('a GPU whose room is not known is no room, not even for nothing', () => {
    const unknown = host('a', [gpu('0', null)]);
    expect(chosenOn(unknown, ask(0))).toEqual(['notEnoughVram', 'largest not known']);
    expect(chosenOn(host('a', [gpu('0', null), gpu('1', 0)]), ask(0))).toEqual(['1']);
    const notAll = { gpusKnown: 'unknown', gpusReason: 'one does not answer' } as const;
    expect(chosenOn(host('a', [gpu('0', null)], notAll), ask(1))[0]).toBe('gpusUnknown');
    expect(chosenOn(host('a', [gpu('0', null), gpu('1', 9)], notAll), ask(1))).toEqual(['1']);
  });

  it('a host that an admin took out says so', () => {
    const cordoned = host('a', [gpu('0', 24)], { cordonReason: 'a fan' });
    expect(chosenOn(cordoned, ask(1))).toEqual(['cordoned', 'an admin cordoned it: a fan']);
  });

  it('of several vendors the one is chosen that fits better, and the largest room of any of them is named', () => {
    const of = (uuid: string, freeGib: number, vendor: string) => gpu(uuid, freeGib, { vendor });
    const gpus = [of('n0', 40, 'NVIDIA'), of('n1', 41, 'NVIDIA'), of('a0', 12, 'AMD'), of('a1', 13, 'AMD')];
    expect(chosenOn(host('a', gpus), ask(5, { gpuCount: 2 }))).toEqual(['a0', 'a1']);
    expect(chosenOn(host('a', gpus), ask(20, { gpuCount: 2 }))).toEqual(['n0', 'n1']);
    expect(chosenOn(host('a', [...gpus].reverse()), ask(50))).toEqual(['notEnoughVram', 'largest 41.0 GiB']);
    expect(chosenOn(host('a', []), ask(0, { gpuCount: 2 }))[0]).toBe('gpusUnknown');
  });

  it.each([
    ['nothing of it', 'device', 1, {}, null, 'fits'],
    ['nothing of it, in so many words', 'device', 1, { memoryBytes: 0 }, null, 'fits'],
    ['a GPU that shares it, whose free room is it already', 'unified', 1, {}, null, 'fits'],
    ['two that share it', 'unified', 2, {}, null, 'available memory is not known'],
    ['two that share it, a byte too much', 'unified', 2, {}, gib(80) - 1, 'available 80.0 GiB, asked: 80.0 GiB'],
    ['two that share it, all of it', 'unified', 2, {}, gib(80), 'fits'],
    ['some of it beside a GPU', 'device', 1, { memoryBytes: gib(3) }, null, 'available memory is not known'],
    ['more than there is', 'device', 1, { memoryBytes: gib(3) }, gib(2), 'available 2.0 GiB, asked: 3.0 GiB'],
    ['all of it', 'device', 1, { memoryBytes: gib(3) }, gib(3), 'fits'],
    [
      'a GPU that shares it and more',
      'unified',
      1,
      { memoryBytes: gib(3) },
      gib(42),
      'available 42.0 GiB, asked: 43.0 GiB',
    ],
  ] as const)('memory of the host: %s', (_what, memoryKind, gpuCount, fields, memoryAvailableBytes, expected) => {
    const on = host('a', [gpu('0', 90, { memoryKind }), gpu('1', 91, { memoryKind })], { memoryAvailableBytes });
    const found = chosenOn(on, ask(40, { gpuCount, ...fields }));
    expect(found).toEqual(expected === 'fits' ? ['0', '1'].slice(0, gpuCount) : ['notEnoughMemory', expected]);
  });

  it('binPack leaves the least room over', () => {
    expect(chosen(ask(8))).toEqual(['b0', 'a0', 'c0']);
    expect(chosen(ask(10, { strategy: 'binPack' }))).toEqual(['a0', 'c0']);
  });

  it('spread goes where the fewest workers are', () => {
    expect(chosen(ask(8, { strategy: 'spread' }))).toEqual(['a1', 'b0', 'c0']);
  });

  it('mostFree goes where the most room is', () => {
    expect(chosen(ask(8, { strategy: 'mostFree' }))).toEqual(['c0', 'a1', 'b0']);
  });

  it.each([
    ['that says so, with nothing cut from it', [gpuSample('0', { migMode: true })]],
    [
      'of an older hive, known by its part alone',
      [gpuSample('0'), gpuSample('MIG-1', { parentUuid: '0', health: 'lost', memoryTotalBytes: gib(10) })],
    ],
  ])('nothing is placed on a GPU in MIG mode %s', (_, gpus) => {
    const queen = new TestQueen({ queenId: 'q' });
    queen.hear('a', 1, { gpus });
    const { candidates, refusals } = queen.place({ vramBytes: gib(1) });
    expect(candidates).toEqual([]);
    expect(refusals).toMatchObject([{ detail: expect.stringContaining('cut into MIG devices') }]);
  });

  it('places on several GPUs of one host, never across hosts', () => {
    expect(chosen(ask(8, { gpuCount: 2 }))).toEqual(['a0+a1']);
    expect(chosen(ask(12, { gpuCount: 2 }))).toEqual([]);
  });

  it('takes a degraded GPU only where no sound one will do', () => {
    const hosts = [
      host('a', [gpu('a0', 8, { health: 'degraded' })]),
      host('b', [gpu('b0', 80), gpu('b1', 9, { health: 'degraded' })]),
    ];
    const uuids = placementCandidates(hosts, ask(8)).candidates.map((candidate) => candidate.gpus[0]?.uuid);
    expect(uuids).toEqual(['b0', 'a0']);
  });

  const anyGpu = fc.record({
    health: fc.constantFrom('ok', 'ok', 'degraded', 'lost', 'stalled', 'initializing', 'resetRequired', 'noPermission'),
    isParent: fc.boolean(),
    memoryKind: fc.constantFrom('device' as const, 'unified' as const),
    freeBytes: fc.option(fc.integer({ min: 0, max: gib(80) })),
    workerCount: fc.nat(4),
  });
  const anyHost = fc.record({
    liveness: fc.constantFrom('online', 'online', 'late', 'offline'),
    state: fc.constantFrom('ready', 'ready', 'draining'),
    labels: fc.constantFrom({}, { zone: 'a' }, { zone: 'b' }),
    memoryAvailableBytes: fc.option(fc.integer({ min: 0, max: gib(128) })),
    workerCount: fc.nat(9),
    gpus: fc.array(anyGpu, { maxLength: 8 }),
  });
  const anyRequest = fc.record(
    {
      vramBytes: fc.integer({ min: 0, max: gib(80) }),
      gpuCount: fc.integer({ min: 1, max: 4 }),
      labels: fc.constantFrom({}, { zone: 'a' }),
      memoryBytes: fc.integer({ min: 0, max: gib(64) }),
      strategy: fc.constantFrom('binPack' as const, 'spread' as const, 'mostFree' as const),
    },
    { requiredKeys: ['vramBytes'] },
  );

  it('answers for every host exactly once, and every candidate truly fits, whatever the order of the hosts', () => {
    fc.assert(
      fc.property(fc.array(anyHost, { maxLength: 12 }), anyRequest, (parts, request) => {
        const hosts = parts.map((part, i) =>
          host(
            `h${i}`,
            part.gpus.map((one, k) => ({ uuid: `g${i}.${k}`, ...one })),
            {
              liveness: part.liveness,
              state: part.state,
              labels: part.labels as Record<string, string>,
              memoryAvailableBytes: part.memoryAvailableBytes,
              workerCount: part.workerCount,
            },
          ),
        );
        const answer = placementCandidates(hosts, request as PlacementRequest);
        const named = [...answer.candidates, ...answer.refusals].map((one) => one.hive).sort();
        expect(named).toEqual(hosts.map((one) => one.hive).sort());
        expect(placementCandidates([...hosts].reverse(), request as PlacementRequest).candidates).toEqual(
          answer.candidates,
        );
        for (const candidate of answer.candidates) {
          const its = hosts.find((one) => one.hive === candidate.hive)!;
          expect(its).toMatchObject({ liveness: 'online', state: 'ready' });
          expect(new Set(candidate.gpus.map((one) => one.uuid)).size).toBe(request.gpuCount ?? 1);
          for (const one of candidate.gpus) {
            const there = its.gpus.find((other) => other.uuid === one.uuid)!;
            expect(there.freeBytes).toBeGreaterThanOrEqual(request.vramBytes);
            expect(there.isParent).toBe(false);
            expect(['ok', 'degraded']).toContain(there.health);
          }
          if (request.memoryBytes) expect(its.memoryAvailableBytes).toBeGreaterThanOrEqual(request.memoryBytes);
        }
      }),
    );
  });
});
