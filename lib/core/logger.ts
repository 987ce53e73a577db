/** Where this library writes its log; the module hands in Nest's logger. */
export interface EventsLogger {
  debug(message: string): void;
  log(message: string): void;
  warn(message: string): void;
  /** `stack` is printed below the message. */
  error(message: string, stack?: string): void;
}

/** Control characters, line separators, and those that turn the direction of what follows. */
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Text from outside cannot start a line of its own, colour the terminal or turn its direction: such characters are shown escaped. */
export function printable(text: string, maxLength = 500): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  return cut.replace(UNPRINTABLE, (character) => {
    // JSON has short forms for some (\n), and leaves those from U+007F on as they are.
    const escaped = JSON.stringify(character).slice(1, -1);
    return escaped === character ? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}` : escaped;
  });
}
