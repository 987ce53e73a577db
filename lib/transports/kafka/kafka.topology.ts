import { sleep, type Clock } from '../../core/clock.js';
import { EventsError, messageOf } from '../../core/errors.js';
import type { EventsLogger } from '../../core/logger.js';
import type { AdminClient, KafkaClient, NewTopic } from './kafka.client.js';
import { failureOf, topicsMissing } from './kafka.errors.js';
import type { ResolvedKafkaOptions } from './kafka.options.js';
import { deadLetterTopic, isReservedTopic, type KafkaTopics } from './kafka.topics.js';

const NEW_TOPIC_PATIENCE_MS = 10_000;
const LOOK_AGAIN_MS = 200;

export interface TopologyTools {
  readonly client: KafkaClient;
  readonly clock: Clock;
  readonly topics: KafkaTopics;
  readonly options: ResolvedKafkaOptions;
  readonly logger: EventsLogger;
  readonly maxPayloadBytes: number;
}

/** The topics as they are on the cluster: looks them up, creates what is missing, sets where groups start. */
export class KafkaTopology {
  readonly #known = new Set<string>();
  readonly #ensuring = new Map<string, Promise<void>>();

  constructor(private readonly tools: TopologyTools) {}

  isKnown(topic: string): boolean {
    return this.#known.has(topic);
  }

  /** The broker says that it is not there: look again before the next use. */
  forget(topic: string): void {
    this.#known.delete(topic);
  }

  /** Resolves when the topics exist. Throws EVENTS_TOPIC_MISSING where they may not or cannot be created. */
  async ensure(topics: readonly string[]): Promise<void> {
    const unknown = topics.filter((topic) => !this.#known.has(topic));
    const started = unknown.filter((topic) => !this.#ensuring.has(topic));
    if (started.length > 0) {
      const work = this.tools.client
        .withAdmin((admin) => this.#create(admin, started))
        .finally(() => started.forEach((topic) => this.#ensuring.delete(topic)));
      for (const topic of started) this.#ensuring.set(topic, work);
    }
    await Promise.all(unknown.flatMap((topic) => this.#ensuring.get(topic) ?? []));
  }

  /** The topics that carry what these patterns match: those they name, which are created, and those that exist. */
  async topicsFor(patterns: readonly string[]): Promise<string[]> {
    const { topics } = this.tools;
    const fixed = [...new Set(patterns.flatMap((pattern) => topics.fixed(pattern)))];
    await this.ensure(fixed);
    const open = patterns.filter((pattern) => topics.isOpen(pattern));
    if (open.length === 0) return fixed;
    const existing = await this.tools.client.withAdmin((admin) => admin.listTopics());
    const found = existing.filter((topic) => open.some((pattern) => topics.canCarry(topic, pattern)));
    return [...new Set([...fixed, ...found])];
  }

  /** With `autoCreate: false`, a missing place for dead letters is found at the start, not with the first failure. */
  async ensureDeadLetters(group: string): Promise<void> {
    const topic = deadLetterTopic(group);
    if (!this.tools.options.autoCreate) await this.ensure([topic]);
  }

  /** Where a group has no position yet, it starts at the present end: so says `fromBeginning: false`. */
  async startAtEnd(group: string, topics: readonly string[]): Promise<void> {
    await this.tools.client.withAdmin(async (admin) => {
      const committed = await admin.committed(group, topics);
      const has = (topic: string, partition: number): boolean =>
        committed.some((each) => each.topic === topic && each.partition === partition);
      const ends = await Promise.all(
        topics.map(async (topic) =>
          (await admin.offsets(topic))
            .filter(({ partition }) => !has(topic, partition))
            .map(({ partition, high }) => ({ topic, partition, offset: high })),
        ),
      );
      const missing = ends.flat();
      // Members that run have set their positions themselves; Kafka lets nobody else do it meanwhile.
      if (missing.length > 0 && (await admin.groupIsEmpty(group))) await admin.setCommitted(group, missing);
    });
  }

  /** n.b. a broker that has just created a topic says for a moment that it does not have it; a busy one for longer. */
  async #create(admin: AdminClient, topics: readonly string[]): Promise<void> {
    const { clock } = this.tools;
    const giveUpAt = clock.now() + NEW_TOPIC_PATIENCE_MS;
    for (;;) {
      try {
        return await this.#createOnce(admin, topics);
      } catch (error) {
        if (failureOf(error) !== 'topic-missing' || clock.now() >= giveUpAt) throw error;
        await sleep(clock, LOOK_AGAIN_MS);
      }
    }
  }

  async #createOnce(admin: AdminClient, topics: readonly string[]): Promise<void> {
    const existing = new Set(await admin.listTopics());
    const missing = topics.filter((topic) => !existing.has(topic));
    if (missing.length > 0) {
      if (!this.tools.options.autoCreate) throw topicsMissing(missing);
      await this.#createMissing(admin, missing);
    }
    for (const topic of topics) this.#known.add(topic);
  }

  async #createMissing(admin: AdminClient, topics: readonly string[]): Promise<void> {
    try {
      await admin.createTopics(topics.map((topic) => this.#describe(topic)));
    } catch (cause) {
      const refusal = creationRefusal(cause);
      if (refusal === undefined) throw cause;
      throw new EventsError('EVENTS_TOPIC_MISSING', `the topic ${topics.join(', ')} cannot be created: ${refusal}`, {
        cause,
        remedy:
          'Correct `partitions`, `replication` and `topicConfig` of kafka(), or create it and set autoCreate: false.',
      });
    }
    this.tools.logger.log(`${this.tools.options.name}: created the topic ${topics.join(', ')}`);
  }

  #describe(topic: string): NewTopic {
    const { partitions, replication, topicConfig } = this.tools.options;
    if (!isReservedTopic(topic)) return { topic, partitions, replication, config: topicConfig };
    // Dead letters wait for people, and carry more headers than the record that was near the limit: both without end.
    const maxBytes = Math.max(4 * 1_048_576, this.tools.maxPayloadBytes * 2);
    const config = { 'retention.ms': '-1', 'max.message.bytes': String(maxBytes) };
    // One partition: they are few, and are read in the order they came.
    return { topic, partitions: 1, replication, config };
  }
}

/** Why Kafka will not create a topic, now or later; `undefined` for what may pass. */
function creationRefusal(error: unknown): string | undefined {
  const errors: unknown[] = (error as { errors?: unknown[] }).errors ?? [error];
  const lasting = errors.filter(
    (each) => failureOf(each) === 'refused' || (each as { retriable?: boolean }).retriable === false,
  );
  const protocol = lasting.filter((each) => typeof (each as { type?: unknown }).type === 'string');
  return protocol.length === 0 ? undefined : protocol.map(messageOf).join('; ');
}
