const finalText = 0x81;

const byte = String.fromCharCode;

/** A text message of a WebSocket server (RFC 6455), header and all, as Latin-1: one string, which is written at once. `text`: ASCII, up to 64 KiB. */
export function textFrame(text: string): string {
  const { length } = text;
  if (length <= 125) return byte(finalText, length) + text;
  if (length > 0xffff) throw new RangeError('the text is too long');
  return byte(finalText, 126, length >> 8, length & 0xff) + text;
}
