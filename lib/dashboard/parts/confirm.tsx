import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { errorText, isRefused } from '../data/client.js';

interface ConfirmProps {
  readonly title: string;
  /** What the button that does it says. */
  readonly action: string;
  readonly run: () => Promise<void>;
  readonly close: () => void;
  readonly children: ComponentChildren;
}

/** Asks before something is done, and says where it failed. Escape leaves; the focus goes back to where it was. */
export function Confirm({ title, action, run, close, children }: ConfirmProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await run();
      close();
    } catch (error) {
      setProblem(isRefused(error) ? 'This needs a token with the role admin.' : errorText(error));
      setBusy(false);
    }
  };
  return (
    <dialog ref={dialog} class="help confirm" aria-labelledby="confirm-title" onClose={close}>
      <h2 id="confirm-title">{title}</h2>
      <form onSubmit={submit}>
        {children}
        <p class="problem" role="alert">
          {problem}
        </p>
        <p class="actions">
          <button type="submit" class="button primary" disabled={busy}>
            {action}
          </button>
          <button type="button" class="button" onClick={close}>
            Cancel
          </button>
        </p>
      </form>
    </dialog>
  );
}
