import { useEffect, useRef } from 'preact/hooks';

const keys: readonly (readonly [string, string])[] = [
  ['1 … 6', 'Hives, GPUs, workers, models, events, placement'],
  ['/', 'Filter'],
  ['↑ ↓  j k', 'Move through the rows'],
  ['Page, Home, End', 'Jump through the rows'],
  ['↑ ↓ ← →  Enter', 'Move through the heat map, open a GPU'],
  ['Space', 'Hold the order of the rows, or release it'],
  ['Esc', 'Clear the filter, leave a field, close the details'],
  ['t', 'Theme: automatic, light, dark'],
  ['?', 'This help'],
];

export function Help({ close }: { readonly close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} class="help" aria-labelledby="help-title" onClose={close}>
      <h2 id="help-title">Keys</h2>
      <dl>
        {keys.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog">
        <button type="submit" class="button">
          Close
        </button>
      </form>
    </dialog>
  );
}
