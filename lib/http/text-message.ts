const finalText = 0x81;

const byte = String.fromCharCode;

/** A text message of a WebSocket server (RFC 6455), header and all, as Latin-1: one string, which is written at once. `text`: ASCII. */
export function serverMessage(text: string): string {
  const { length } = text;
  if (length <= 125) return byte(finalText, length) + text;
  if (length <= 0xffff) return byte(finalText, 126, length >> 8, length & 0xff) + text;
  const bytes = [length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff];
  return byte(finalText, 127, 0, 0, 0, 0, ...bytes) + text;
}
