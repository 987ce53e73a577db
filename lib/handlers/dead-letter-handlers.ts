import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper.js';
import { EventsError } from '../core/errors.js';
import { matchesPattern } from '../core/event-name.js';
import type { DeadLetter } from '../core/dead-letter.js';
import type { HandlerPlace } from './handler-context.js';
import { onDeadLetterMetadata, type OnDeadLetterMetadata } from './on-dead-letter.decorator.js';
import { checkPattern, featureGroup, HANDLER_ID, providerMethods, type DiscoveryTools } from './provider-methods.js';

/** A method with `@OnDeadLetter`. */
export interface DeadLetterHandler extends HandlerPlace {
  readonly wrapper: InstanceWrapper<object>;
  readonly id: string;
  readonly group: string;
  readonly patterns: readonly string[];
}

/** Throws EVENTS_HANDLER_INVALID, EVENTS_PATTERN_INVALID. */
export function* exploreDeadLetterHandlers(
  tools: DiscoveryTools,
  defaults: { readonly group: string },
): Iterable<DeadLetterHandler> {
  for (const { wrapper, method, callback, label } of providerMethods(tools)) {
    for (const { patterns, options } of onDeadLetterMetadata(callback)) {
      const id = options.id ?? label;
      const group = options.group ?? featureGroup(wrapper.host) ?? defaults.group;
      check({ patterns, options: { id, group } }, label);
      yield { wrapper, method, id, group, patterns };
    }
  }
}

/** What cannot be decoded has no name. */
export function concerns({ group, patterns }: DeadLetterHandler, { group: of, event }: DeadLetter): boolean {
  if (group !== of) return false;
  return patterns.some((pattern) => pattern === '#' || (event !== undefined && matchesPattern(pattern, event)));
}

function check({ patterns, options: { id = '', group = '' } }: OnDeadLetterMetadata, label: string): void {
  const problem = !HANDLER_ID.test(id) ? 'id' : !HANDLER_ID.test(group) ? 'group' : undefined;
  if (problem !== undefined) {
    throw new EventsError(
      'EVENTS_HANDLER_INVALID',
      `${label} cannot be told of dead letters: its ${problem} is not made of letters, digits, "_", "-" and "."`,
      { handler: id, remedy: 'Correct the options of its @OnDeadLetter.' },
    );
  }
  for (const pattern of patterns) checkPattern(pattern, id);
}
