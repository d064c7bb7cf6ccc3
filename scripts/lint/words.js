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
];

const covered = /^(lib|test|bench|scripts|docs|native|deploy)\/|^(README|CONTRIBUTING)\.md$/;
/** Recorded input, and these rules themselves. */
const excluded = /^(test\/fixtures|docs\/images|scripts\/lint)\/|^test\/project\/lint\.test\.ts$/;

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
