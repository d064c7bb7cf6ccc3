import { useEffect, useRef, useState } from 'preact/hooks';
import { RequestError } from '../../client/client.js';
import { client, errorText, isRefused } from '../data/client.js';
import { reconnect } from '../data/stream.js';
import { Logo } from '../parts/logo.js';

/** The token goes to the queen once, which keeps it in a cookie that scripts cannot read. */
export function Login() {
  const [token, setToken] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await client.logIn(token.trim());
      setToken('');
      reconnect();
    } catch (error) {
      setProblem(
        isRefused(error)
          ? 'The queen does not know this token, or it is not allowed to read.'
          : error instanceof RequestError
            ? errorText(error)
            : 'The queen cannot be reached. Try again in a moment.',
      );
    } finally {
      setBusy(false);
    }
  };
  return (
    <main class="alone">
      <form class="login" onSubmit={submit}>
        <Logo size={40} />
        <h1>hivepulse</h1>
        <p>This queen asks for a token with the role read, schedule or admin.</p>
        <label>
          <span>Token</span>
          <input
            ref={field}
            type="password"
            name="token"
            autocomplete="current-password"
            required
            value={token}
            aria-invalid={problem !== null}
            aria-describedby="login-problem"
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        <p id="login-problem" class="problem" role="alert">
          {problem}
        </p>
        <button type="submit" class="button primary" disabled={busy || token.trim() === ''}>
          {busy ? 'Signing in…' : 'Sign in'}
        </button>
      </form>
    </main>
  );
}
