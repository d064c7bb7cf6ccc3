import { useEffect, useState } from 'preact/hooks';
import { client, errorText } from '../data/client.js';
import { connection } from '../data/fleet.js';
import { signedOut } from '../data/stream.js';

/** Only where the queen asks for tokens: elsewhere nobody is signed in. */
export function SignOut() {
  const [required, setRequired] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const isLive = connection.value.kind === 'live';
  useEffect(() => {
    if (!isLive) return;
    client.session().then(
      (session) => setRequired(session.required),
      () => undefined, // The next connection asks again.
    );
  }, [isLive]);
  if (!required) return null;
  const signOut = async () => {
    setProblem(null);
    try {
      await client.logOut();
      signedOut();
    } catch (error) {
      setProblem(`Not signed out: ${errorText(error)}`);
    }
  };
  return (
    <>
      {problem !== null && (
        <span class="problem" role="alert">
          {problem}
        </span>
      )}
      <button type="button" class="link quiet sign-out" onClick={signOut}>
        Sign out
      </button>
    </>
  );
}
