import { type BindingResult, loadBinding } from '../native/binding.js';
import { NativeFileReader } from './open-file-reader.js';

/** A server, and the request whose status is wanted. It has to ask for the end of the connection. */
export interface StatusQuestion {
  /** An IP address. */
  readonly host: string;
  readonly port: number;
  readonly request: string;
}

/**
 * The statuses of answers without TLS, by a thread of the addon: a connection there costs a fraction of one in JavaScript, and
 * many are one call. The thread starts with the first question.
 */
export class StatusThread {
  readonly #load: () => BindingResult;
  /** null: there is no addon. */
  #reader: NativeFileReader | null | undefined;

  constructor(load: () => BindingResult = loadBinding) {
    this.#load = load;
  }

  get isThere(): boolean {
    return this.#opened() !== null;
  }

  /** In the order of the questions; 0 where no answer came in time, or what came is no HTTP. Rejects once it is closed. */
  async ask(questions: readonly StatusQuestion[], timeoutMs: number): Promise<readonly number[]> {
    const texts = questions.map(({ host, port, request }) => `${host} ${port} ${request}`);
    return (await this.#opened()?.statuses(texts, timeoutMs)) ?? questions.map(() => 0);
  }

  close(): void {
    this.#reader?.close();
  }

  #opened(): NativeFileReader | null {
    if (this.#reader === undefined) {
      const { binding } = this.#load();
      this.#reader = binding === undefined ? null : new NativeFileReader(binding);
    }
    return this.#reader;
  }
}
