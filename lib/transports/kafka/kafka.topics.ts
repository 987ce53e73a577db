import { EventsError } from '../../core/errors.js';
import { hasWildcard, matchesPattern } from '../../core/event-name.js';
import { patternsOverlap } from '../../core/transport-registry.js';

/**
 * Which topic carries an event: one for all, a function of its name, or patterns (`orders.#`) → topic, first match wins.
 * A function cannot be read backwards, so patterns with wildcards are refused with it.
 */
export type KafkaTopicChoice = string | ((eventName: string) => string) | Readonly<Record<string, string>>;

/** What Kafka takes as a topic's name, less the places of our own and Kafka's internal topics. */
export function isTopicName(name: unknown): name is string {
  return isLegalTopic(name) && !isReservedTopic(name);
}

/** @see https://kafka.apache.org/documentation/#topicconfigs: letters, digits, `.`, `_`, `-`, at most 249 of them. */
export function isLegalTopic(name: unknown): name is string {
  return typeof name === 'string' && /^[A-Za-z0-9._-]{1,249}$/.test(name) && name !== '.' && name !== '..';
}

/** Dead letters, retries, replies and Kafka's own: no pattern reads them. */
export function isReservedTopic(topic: string): boolean {
  return topic.startsWith('__') || /(^|\.)(dlq|retry|reply)$/.test(topic);
}

/** Where a group's dead letters lie. Throws EVENTS_OPTIONS_INVALID for a group that no topic can be named after. */
export function deadLetterTopic(group: string): string {
  const topic = `${group}.dlq`;
  if (isLegalTopic(topic)) return topic;
  throw new EventsError('EVENTS_OPTIONS_INVALID', `the group ${JSON.stringify(group)} gives no name for a topic`, {
    remedy: 'Use letters, digits, ".", "_" and "-" in names of groups: their dead letters lie in "<group>.dlq".',
  });
}

/** Which topic carries a name, and which topics can carry what a pattern matches. Pure. */
export class KafkaTopics {
  readonly #rules: readonly (readonly [pattern: string, topic: string])[];

  constructor(private readonly choice: KafkaTopicChoice | undefined) {
    this.#rules =
      typeof choice === 'string' ? [['#', choice]] : typeof choice === 'object' ? Object.entries(choice) : [];
  }

  /** Throws EVENTS_OPTIONS_INVALID when the user's function names no legal topic. */
  of(event: string): string {
    if (typeof this.choice === 'function') return this.#chosen(this.choice, event);
    return this.#rules.find(([pattern]) => matchesPattern(pattern, event))?.[1] ?? byEntity(event);
  }

  /** The topics that are known to carry a pattern's events, whether they exist or not. */
  fixed(pattern: string): string[] {
    if (!hasWildcard(pattern)) return [this.of(pattern)];
    if (typeof this.choice === 'function') throw notInvertible(pattern);
    const topics = this.#rulesFor(pattern).map(([, topic]) => topic);
    const entity = byEntity(pattern);
    // n.b. `a.#` also matches the name `a`, and any entity of `a`: only two plain words fix the topic.
    if (this.#leavesRest() && !hasWildcard(entity) && entity.includes('.')) topics.push(entity);
    return [...new Set(topics)];
  }

  /** Whether topics that do not exist yet may come to carry the pattern's events. */
  isOpen(pattern: string): boolean {
    return hasWildcard(pattern) && this.#leavesRest() && hasWildcard(byEntity(pattern));
  }

  /** Whether a record of that topic can match. */
  canCarry(topic: string, pattern: string): boolean {
    if (isReservedTopic(topic)) return false;
    if (!hasWildcard(pattern)) return this.of(pattern) === topic;
    if (this.fixed(pattern).includes(topic)) return true;
    return this.isOpen(pattern) && namesByDefault(topic).some((names) => patternsOverlap(names, pattern));
  }

  /** First match wins: what stands behind a rule that takes every name is never reached. */
  #rulesFor(pattern: string): (readonly [string, string])[] {
    return this.#rules.filter(([rule]) => patternsOverlap(rule, pattern));
  }

  #leavesRest(): boolean {
    return !this.#rules.some(([rule]) => rule === '#');
  }

  #chosen(choose: (event: string) => string, event: string): string {
    const topic: unknown = choose(event);
    if (isTopicName(topic)) return topic;
    throw new EventsError('EVENTS_OPTIONS_INVALID', `topic() of kafka() gave ${JSON.stringify(topic)}, no topic`, {
      event,
      remedy: 'Let it return letters, digits, ".", "_" and "-", not ending in ".dlq", ".retry" or ".reply".',
    });
  }
}

/** `<domain>.<entity>`: events of one entity share a topic, and with it their order. */
function byEntity(event: string): string {
  return event.split('.', 2).join('.');
}

/** The names that a topic carries by default, as patterns. */
function namesByDefault(topic: string): string[] {
  const words = topic.split('.').length;
  return words === 1 ? [topic] : words === 2 ? [`${topic}.#`] : [];
}

function notInvertible(pattern: string): EventsError {
  return new EventsError(
    'EVENTS_TRANSPORT_UNSUPPORTED',
    `the pattern "${pattern}" has wildcards, and topic() of kafka() cannot tell which topics they reach`,
    { remedy: 'Give `topic` as a map of patterns to topics, or subscribe to names.' },
  );
}
