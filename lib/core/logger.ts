/** Where this library writes its log; the module hands in Nest's logger. */
export interface EventsLogger {
  debug(message: string): void;
  log(message: string): void;
  warn(message: string): void;
  /** `stack` is printed below the message. */
  error(message: string, stack?: string): void;
}

/** Text from outside cannot start a line of its own or colour the terminal: control characters are shown escaped. */
export function printable(text: string, maxLength = 500): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  return cut.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    // JSON has short forms for some (\n), and leaves those from U+007F on as they are.
    const escaped = JSON.stringify(character).slice(1, -1);
    return escaped === character ? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}` : escaped;
  });
}
