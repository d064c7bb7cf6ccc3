import { EventEmitter } from 'node:events';
import { createParser } from 'eventsource-parser';

export interface Message {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: unknown;
}

/** What a browser would make of the bytes. */
export function messagesOf(text: string): Message[] {
  const messages: Message[] = [];
  const parser = createParser({
    onEvent: ({ event, id, data }) => messages.push({ event: event ?? 'message', id, data: JSON.parse(data) }),
  });
  parser.feed(text);
  return messages;
}

/** A response whose reader can be stopped: what it is given then waits, as in a socket that is full. */
export class FakeResponse extends EventEmitter {
  text = '';
  waiting: Buffer[] = [];
  reading = true;
  ended = false;
  destroyed = false;

  get writableLength(): number {
    return this.waiting.reduce((sum, chunk) => sum + chunk.length, 0);
  }
  writeHead(): this {
    return this;
  }
  write(chunk: Buffer): boolean {
    if (this.reading) this.text += chunk.toString();
    else this.waiting.push(chunk);
    return this.reading;
  }
  end(): void {
    this.ended = true;
  }
  destroy(): void {
    this.destroyed = true;
    this.emit('close');
  }
  read(): void {
    this.reading = true;
    for (const chunk of this.waiting.splice(0)) this.text += chunk.toString();
    this.emit('drain');
  }
  get messages(): Message[] {
    return messagesOf(this.text);
  }
}
