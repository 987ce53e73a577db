import type { EventsLogger } from '../../lib/core/logger.js';

export interface LogLine {
  readonly level: 'debug' | 'log' | 'warn' | 'error';
  readonly message: string;
}

/** Keeps what was logged, prints nothing. */
export class RecordingLogger implements EventsLogger {
  readonly lines: LogLine[] = [];

  debug = (message: string): void => this.#add('debug', message);
  log = (message: string): void => this.#add('log', message);
  warn = (message: string): void => this.#add('warn', message);
  error = (message: string): void => this.#add('error', message);

  messages(level: LogLine['level']): string[] {
    return this.lines.filter((line) => line.level === level).map(({ message }) => message);
  }

  #add(level: LogLine['level'], message: string): void {
    this.lines.push({ level, message });
  }
}
