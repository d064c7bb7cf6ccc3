import { useEffect, useState } from 'preact/hooks';
import type { PlacementReply, PlacementRequest } from '../../contract/api.js';
import { plural } from '../../present/sentences.js';
import { formatGib } from '../../present/units.js';
import { client, errorText, isRefused } from '../data/client.js';
import { ended, endedText } from '../data/ended.js';
import { hives, ordered, totals } from '../data/fleet.js';
import { at, go, show } from '../data/location.js';
import { requestOf, strategies } from '../data/placement-request.js';
import { fullness, Meter } from '../parts/meter.js';

const askEveryMs = 5000;
const typingMs = 300;

const reasonWords: Readonly<Record<PlacementReply['refusals'][number]['reason'], string>> = {
  offline: 'Offline',
  notReady: 'Not ready',
  cordoned: 'Cordoned',
  labelMismatch: 'Other labels',
  gpusUnknown: 'GPUs not known',
  noGpu: 'No GPU',
  gpuUnhealthy: 'GPU not healthy',
  notEnoughGpus: 'Too few GPUs',
  notEnoughVram: 'Too little VRAM',
  notEnoughMemory: 'Too little host memory',
};

export function PlacementView() {
  const [reply, setReply] = useState<PlacementReply | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const request = requestOf({
    vram: at.vram.value,
    gpus: at.gpus.value,
    labels: at.labels.value,
    memory: at.memory.value,
    strategy: at.strategy.value,
  });
  const question = JSON.stringify(request);

  useEffect(() => {
    if (typeof request === 'string') {
      setProblem(request);
      return;
    }
    let gone = false;
    let timer = window.setTimeout(ask, reply === null ? 0 : typingMs);
    async function ask() {
      try {
        const answer = await client.place(request as PlacementRequest);
        if (gone) return;
        setReply(answer);
        setProblem(null);
      } catch (error) {
        if (gone) return;
        setProblem(
          isRefused(error)
            ? 'This token may only read. Placement asks for a token with the role schedule.'
            : errorText(error),
        );
      }
      timer = window.setTimeout(ask, askEveryMs);
    }
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [question]);

  return (
    <section aria-label="Placement" class="placement">
      <form class="place-form" onSubmit={(event) => event.preventDefault()}>
        <h2>Where would a new worker fit?</h2>
        <div class="fields">
          <Field label="VRAM on each GPU, GiB" param="vram" mode="decimal" />
          <Field label="GPUs" param="gpus" mode="numeric" />
          <Field label="Host memory, GiB" param="memory" mode="decimal" placeholder="any" />
          <Field label="Labels" param="labels" mode="text" placeholder="zone=a" />
          <label>
            <span>Strategy</span>
            <select value={at.strategy.value} onChange={(event) => go({ strategy: event.currentTarget.value })}>
              {strategies.map(({ value, label }) => (
                <option key={value} value={value}>
                  {label}
                </option>
              ))}
            </select>
          </label>
        </div>
        <p class="hint">
          Dry run: nothing is reserved. A scheduler reserves with POST v1/placements and reserveSeconds.
        </p>
      </form>
      {problem !== null && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      {ended.value && (
        <p class="note old" role="status">
          {endedText} What fits is as it was then.
        </p>
      )}
      {totals.value !== null && totals.value.missing.hives > 0 && (
        <p class="note">
          {plural(totals.value.missing.hives, 'hive is', 'hives are')} missing; nothing is placed there.
        </p>
      )}
      {reply !== null && <Answer reply={reply} />}
    </section>
  );
}

type FieldParam = 'vram' | 'gpus' | 'memory' | 'labels';

function Field({
  label,
  param,
  mode,
  placeholder,
}: {
  label: string;
  param: FieldParam;
  mode: 'decimal' | 'numeric' | 'text';
  placeholder?: string;
}) {
  return (
    <label>
      <span>{label}</span>
      <input
        value={at[param].value}
        inputMode={mode}
        placeholder={placeholder}
        autocomplete="off"
        onInput={(event) => go({ [param]: event.currentTarget.value })}
      />
    </label>
  );
}

function Answer({ reply }: { readonly reply: PlacementReply }) {
  ordered.value;
  const groups = new Map<string, PlacementReply['refusals'][number][]>();
  for (const refusal of reply.refusals) groups.set(refusal.reason, [...(groups.get(refusal.reason) ?? []), refusal]);
  return (
    <div class="answer">
      <div>
        <h3>
          {reply.candidates.length === 0 ? 'It fits nowhere' : `It fits on ${plural(reply.candidates.length, 'hive')}`}
        </h3>
        {reply.warming && <p class="note">Not all hives have reported yet; there may be more.</p>}
        <ol class="candidates">
          {reply.candidates.slice(0, 100).map((candidate, index) => (
            <li key={candidate.hive} class={index === 0 ? 'first' : ''}>
              <button type="button" class="link name" onClick={() => show(`hive:${candidate.hive}`)}>
                {candidate.hive}
              </button>
              {index === 0 && <span class="badge">best</span>}
              <ul>
                {candidate.gpus.map(({ uuid, freeBytes }) => {
                  const gpu = hives.get(candidate.hive)?.view.gpus.find((found) => found.uuid === uuid);
                  const total = gpu?.memoryTotalBytes ?? null;
                  const taken = total === null || freeBytes === null ? null : Math.max(0, total - freeBytes);
                  return (
                    <li key={uuid}>
                      <span>{gpu ? `GPU ${gpu.index}` : uuid}</span>
                      <Meter value={taken} max={total} tone={fullness(taken, total)} />
                      <span class="number">{formatGib(freeBytes)} free</span>
                    </li>
                  );
                })}
              </ul>
            </li>
          ))}
        </ol>
      </div>
      <div>
        <h3>
          {reply.refusals.length === 0 ? 'No hive was refused' : `Why not on ${plural(reply.refusals.length, 'other')}`}
        </h3>
        {[...groups].map(([reason, refusals]) => (
          <details key={reason} open={refusals.length <= 12}>
            <summary>
              {reasonWords[reason as keyof typeof reasonWords] ?? reason} <span class="badge">{refusals.length}</span>
            </summary>
            <ul class="refusals">
              {refusals.slice(0, 100).map((refusal) => (
                <li key={refusal.hive}>
                  <button type="button" class="link" onClick={() => show(`hive:${refusal.hive}`)}>
                    {refusal.hive}
                  </button>
                  <span>{refusal.detail}</span>
                </li>
              ))}
            </ul>
          </details>
        ))}
      </div>
    </div>
  );
}
