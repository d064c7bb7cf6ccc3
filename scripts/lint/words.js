// Words that were given up for the field's standard terms. The glossary in CONTRIBUTING.md says what each term means.

/** Names that the code had, as whole words. */
const names = (list, instead) => ({ word: new RegExp(`\\b(?:${list.replaceAll(' ', '|')})\\b`), instead });

/** `only` limits a rule to paths; `except` leaves some out: the start of each path, and why. */
export const words = [
  names('ToldStore ExitTeller speaksOf', 'ReportedStore, ExitReporter, matchesExit'),
  names('Occupant Departed Occurrence', 'CgroupStatus, DepartedWorker, EventDraft'),
  names('GpuDoubts casting fellSilent', 'UnobservedGpus, suspected, becameUnobserved'),
  names('relieve', 'replaceStuck'),
  names('FaceKind faceOf toneAnsi', 'StatusStyle, styleOf, ansiOf'),
  names('Standing', 'LivenessState'),
  names('carriers holdersOfRoom', 'workersOfReservation, workersByFreeVram'),
  names('Chronicle concludeOf', 'EventPublisher, publishHiveEvent, publishWorkerEvent'),
  names('SilentConclusions takeOver', 'StandbyEvents, onElected'),
  names('spreadQueens goHome', 'rendezvousOrder, failBack'),
  names('findPlace WatchedPlace', 'findCgroupRoot, CgroupRoot'),
  names('SamplerParts SamplerMachine HiveParts', 'SamplerDeps, HostReaders, HiveDeps'),
  names('oddity keepRight isSound', 'semanticError, partitionItems, isValidFast'),
  names('PartedReader letGoOfVanished', 'SlowConsumer, setTcpUserTimeout'),
  {
    word: /\bgpus\.length\s*(?:[=!]==?\s*0|>\s*0|>=\s*1|<\s*1|\?)|!\w+\.gpus\.length/,
    instead: 'lib/present/knowledge.ts or `gpusKnown`: an empty list may be one that could not be read',
    only: /^lib\/(?!gpu\/|sampling\/|contract\/|present\/)/,
    except: { 'lib/queen/placement.ts': 'asks `gpusKnown` first' },
  },
  {
    word: /is heard again|how is not known|trying again by itself|Nothing is reserved by asking|no GPU read\b|Beats every|found by themselves|wait to be remapped|Not heard for|} to (?:look at|fix)`|has the hive let go of|the driver \(hivepulse release-gpus\) let go|(?:was|is) let go of on request|come back by themselves'|taken away on purpose|does not tell which processes|gave no answer in|NVIDIA driver gives no answer|hold the picture|\(the tree could not be read whole|loads the model\.|is waking it|workers live on[.'`]|workers go on[.'`]|went\$\{word|computes nothing[:'`]|what was seen and is gone'|how many that have been|to see what is understood|all unless (?:told|given)\)|No heartbeat arrives|(?:no|each) heartbeat arrives|say nothing of it for a while|for whoever finds it'|ends by itself after so many|cut off \(\$|one that is free[.,]|below before it is called/,
    instead: 'the plain phrase that took its place: lib/present/sentences.ts and status.ts have those of the screens',
    only: /^(?:lib\/|docs\/|README\.md)/,
  },
  {
    word: /its counter began anew|how to ask it is not known|listens nowhere, so|readiness is not asked for|do not all say it|lists it no longer|reports it no longer|samples are on their way|is hearing from its hives again|(?:Leap|Walk) through|Space lets it go|Nothing of late|Load of its engine|of its workers says it|until it is over'|if it comes again|from its own side|to look closer'|that run and that wait|generated a second'|Work of the fleet|read too slowly for|Nothing has happened yet|how it is now is|Compare nothing|go for all who look|What can be is summed|\(PSI\) cannot be had|may not make cgroups|does not let us in|liveness does not mind|what keeps the time|watched all the same|by what the system tells|log in anew|no firewall is between|take it up again|filter to begin with|ends the worker whole, not|does not tell it'|too old to tell it|no longer tells it|within time'|before it is of use|has told of exits|until it goes on\.|Events told since|is still told|none that the queen keeps|read by nobody|still hearing from its fleet|'Asking…'|<small>(?:run|wait)</,
    instead: 'the plain phrase that took its place',
    only: /^(?:lib\/|docs\/|README\.md)/,
  },
  {
    word: /=== 1 \? '' : 's'/,
    instead: '`plural` of lib/util/plural.ts',
    only: /^lib\//,
  },
  {
    word: /nvml|nvidia/i,
    instead: "words that no GPU vendor owns; a vendor's own stay in its folder, lib/gpu/nvidia/",
    only: /^lib\//,
    except: {
      'lib/gpu/nvidia/': 'the vendor itself',
      'lib/gpu/vendors.ts': 'the list of vendors',
      'lib/contract/enums.ts': 'names of readers on the wire',
      'lib/contract/heartbeat.ts': 'the description of one of these names',
      'lib/config/settings.ts': 'values of the setting `gpu` and their help',
      'lib/cli/sample.ts': 'an example of the setting `gpu`',
      'lib/native/binding.ts': 'the type of what the addon exports',
      'lib/present/status.ts': 'the command that people type to reset a GPU',
      'lib/present/gpu-names.ts': 'the brand is left out of names on the page',
      'lib/workers/redact.ts': 'the prefix of an API key',
    },
  },
  {
    word: /\b(?:amdgpu|rocm|kfd|i915|radeon)\b/i,
    instead: "words that no GPU vendor owns; a vendor's own stay in its folder below lib/gpu/",
    only: /^lib\//,
    except: {
      'lib/gpu/amd/': 'the vendor itself',
      'lib/gpu/intel/': 'the vendor itself',
      'lib/gpu/drm/fdinfo.ts': 'keys of fdinfo by driver',
      'lib/engines/shown-options.ts': 'a value of options of engines',
    },
  },
];

const covered = /^(lib|test|bench|scripts|docs|native|deploy)\/|^(README|CONTRIBUTING)\.md$/;
/** Recorded input, these rules themselves, and titles of tests that are quoted: they count where they stand. */
const excluded = /^(test\/fixtures|docs\/images|scripts\/lint)\/|^test\/project\/lint\.test\.ts$|^docs\/promises\.md$/;

/** What a browser draws are frames, and what a WebSocket sends, by their standard names. */
const screens =
  /^(?:lib\/dashboard\/|test\/suites\/browser\/|(?:lib|test)\/http\/whole-message\.|test\/http\/(?:frames|socket-rounds\.test)\.ts$)/;
const screenWord = /\bframe(?:s\b|\b|(?=[A-Z]))/g;

/** What breaks `rules` in path -> text. */
export function checkWords(files, rules = words) {
  return [...files]
    .filter(([path]) => covered.test(path) && !excluded.test(path))
    .flatMap(([path, text]) => {
      const applying = rules.filter(
        ({ only, except = {} }) =>
          (only?.test(path) ?? true) && !Object.keys(except).some((start) => path.startsWith(start)),
      );
      return text.split('\n').flatMap((line, i) =>
        applying.flatMap(({ word, instead }) => {
          const found = word.exec(line);
          return found === null ? [] : [`${path}:${i + 1}: '${found[0]}': use ${instead}`];
        }),
      );
    });
}

/** Ordinary words that stood for terms: told (reported), mend (fix), beat and frame (heartbeat), and the like. */
const retired =
  'told|tells|mend|mends|mended|patience|parted|conclusion|conclusions|facts|beat|beats|(?<!x-)frame(?!-ancestors)|frames|face|faces|speaks|oddity|unkept';
const parts = retired.replace(/\b[a-z]/g, (letter) => letter.toUpperCase());
/** Alone, or as a part of a name in camelCase. */
const retiredWord = new RegExp(
  `(?<![A-Za-z])(?:${retired}|${parts})(?![a-z])|(?<=[a-z])(?<!Animation)(?:${parts})(?![a-z])`,
  'g',
);

/** Directory (of a room, of a suite) -> how many of them its files have. allowed.json says how many it may have. */
export function retiredWords(files) {
  const counts = {};
  for (const [path, whole] of files) {
    if (!covered.test(path) || excluded.test(path)) continue;
    const text = screens.test(path) ? whole.replace(screenWord, '') : whole;
    const directory = path.split('/').slice(0, -1).slice(0, 2).join('/') || path;
    const count = text.match(retiredWord)?.length ?? 0;
    if (count > 0) counts[directory] = [(counts[directory]?.[0] ?? 0) + count];
  }
  return counts;
}
