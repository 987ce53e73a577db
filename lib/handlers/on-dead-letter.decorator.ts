/** How a method wants to be told of dead letters. Everything has a default. */
export interface OnDeadLetterOptions {
  /** In logs and activities. Default `Class.method`. */
  readonly id?: string;
  /** Whose dead letters. Default: that of the Nest module (`EventsModule.forFeature({ group })`), else the service. */
  readonly group?: string;
}

/** One use of the decorator. */
export interface OnDeadLetterMetadata {
  readonly patterns: readonly string[];
  readonly options: OnDeadLetterOptions;
}

const ON_DEAD_LETTER_METADATA = 'nestjs-events:on-dead-letter';

/**
 * Called with each new dead letter of a handler of the same group whose event matches: `(letter, envelope | undefined)`,
 * or what `@Payload()` (the letter) and `@EventEnvelope()` ask for. One whose event cannot be decoded matches `#` alone.
 *
 * It is called when the dead letter is durable, and before its event is acknowledged: at least once. When it throws it is
 * tried four times in all; then that is reported (`dead-letter-handler-failed`), and the event goes its way.
 */
export function OnDeadLetter(patterns: string | readonly string[], options: OnDeadLetterOptions = {}): MethodDecorator {
  const added = { patterns: typeof patterns === 'string' ? [patterns] : patterns, options };
  return (_target, _method, descriptor: PropertyDescriptor) => {
    const method = descriptor.value as object;
    Reflect.defineMetadata(ON_DEAD_LETTER_METADATA, [added, ...onDeadLetterMetadata(method)], method);
  };
}

/** The decorators of a method, top to bottom. */
export function onDeadLetterMetadata(method: object): readonly OnDeadLetterMetadata[] {
  return (Reflect.getMetadata(ON_DEAD_LETTER_METADATA, method) as OnDeadLetterMetadata[] | undefined) ?? [];
}
