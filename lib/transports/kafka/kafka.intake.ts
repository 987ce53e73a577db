import type { Delivery, RawEvent } from '../../core/delivery.js';
import { PatternTrie } from '../../core/event-name.js';
import { HandlerLanes } from '../../core/handler-lanes.js';
import type { Subscription } from '../../core/subscription.js';
import type { ConsumeRequest, TransportEnvironment } from '../../core/transport.js';
import type { KafkaAssignment } from './kafka.assignment.js';
import type { IncomingBatch, IncomingRecord } from './kafka.client.js';
import { KafkaDelivery } from './kafka.delivery.js';
import { KafkaRawEvent, nameOf, toContent } from './kafka.mapper.js';
import type { KafkaPartition } from './kafka.partition.js';
import type { KafkaTopics } from './kafka.topics.js';

/**
 * How long a full window is waited for before its partition is paused. While a batch waits, nothing else is fetched from
 * its broker; a pause costs fetching the rest of the batch again.
 */
const HOLD_MS = 200;

const MAX_NAMES = 10_000;

export interface IntakeTools {
  /** The transport's name. */
  readonly transport: string;
  readonly environment: TransportEnvironment;
  readonly request: ConsumeRequest;
  readonly assignment: KafkaAssignment;
  readonly topics: KafkaTopics;
}

interface Addressed {
  readonly content: Delivery['content'];
  readonly subscriptions: readonly Subscription[];
}

/** From fetched batches to deliveries in lanes. Never waits for a handler, except for room in the window. */
export class KafkaIntake {
  readonly #lanes: HandlerLanes;
  readonly #subscriptions = new PatternTrie<Subscription>();
  /** Topic → who gets what cannot be decoded there. */
  readonly #possible = new Map<string, readonly Subscription[]>();
  readonly #byName = new Map<string, readonly Subscription[]>();
  #stopped = false;

  constructor(private readonly tools: IntakeTools) {
    const { request, environment } = tools;
    for (const subscription of request.subscriptions)
      for (const pattern of subscription.patterns) this.#subscriptions.add(pattern, subscription);
    const run = request.process.bind(request);
    this.#lanes = new HandlerLanes({
      process: (delivery, slot) => (delivery as KafkaDelivery).process(run, slot),
      processBatch: request.processBatch.bind(request),
      limitOf: request.limitOf.bind(request),
      clock: environment.clock,
      logger: environment.logger,
    });
  }

  /** Starts nothing more; what has not started is released. */
  stop(): void {
    this.#stopped = true;
    this.#lanes.close();
  }

  /** Resolves when nothing is running. */
  idle(): Promise<void> {
    return this.#lanes.idle();
  }

  async take(batch: IncomingBatch): Promise<void> {
    await this.tools.assignment.settledIn();
    const partition = this.#partitionOf(batch);
    if (partition === undefined) return;
    let last: string | undefined;
    try {
      for (const record of batch.records) {
        if (partition.full && !(await this.#room(partition))) return this.#pause(partition, batch);
        if (this.#stopped || partition.lost.aborted || !batch.isRunning()) return;
        this.#accept(record, partition);
        last = record.offset;
      }
    } finally {
      if (last !== undefined && !partition.lost.aborted) batch.accepted(last);
    }
  }

  #partitionOf(batch: IncomingBatch): KafkaPartition | undefined {
    const partition = this.tools.assignment.get(batch.topic, batch.partition);
    const first = batch.records[0];
    if (partition === undefined || first === undefined) return undefined;
    return partition.isNewLog(Number(first.offset), Number(batch.end))
      ? this.tools.assignment.renew(partition)
      : partition;
  }

  async #room(partition: KafkaPartition): Promise<boolean> {
    const held = new AbortController();
    const cancel = this.tools.environment.clock.after(HOLD_MS, () => held.abort());
    await partition.room(held.signal);
    cancel();
    // Handlers that are done by now make room together: one wait for each would cost more than they do.
    await new Promise((resolve) => setImmediate(resolve));
    return !partition.full;
  }

  #pause(partition: KafkaPartition, batch: IncomingBatch): void {
    if (this.#stopped || partition.lost.aborted || !batch.isRunning()) return;
    const resume = batch.pause();
    this.#report('intake-paused', batch);
    void partition.room(partition.lost).then(() => {
      this.#report('intake-resumed', batch);
      // Resuming one partition would undo the pause of all that a stop has made.
      if (!this.#stopped) resume();
    });
  }

  #report(type: 'intake-paused' | 'intake-resumed', { topic, partition }: IncomingBatch): void {
    const { environment, request, transport } = this.tools;
    environment.report({ type, transport, group: request.group, place: `${topic}[${partition}]` });
  }

  #accept(record: IncomingRecord, partition: KafkaPartition): void {
    const offset = Number(record.offset);
    if (partition.hasAccepted(offset)) return;
    const raw = new KafkaRawEvent(record, partition);
    const { content, subscriptions } = this.#address(record, raw, partition.topic);
    const inFlight = partition.accept(offset, sizeOf(record), subscriptions.length);
    for (const subscription of subscriptions) {
      const earlier = partition.earlier(offset, subscription.handler);
      const delivery = new KafkaDelivery({ subscription, content, raw, record: inFlight, earlier });
      inFlight.deliveries.push(delivery);
      this.#lanes.push(delivery);
    }
  }

  /** Who gets it, decoded once for all of them. */
  #address(record: IncomingRecord, raw: RawEvent, topic: string): Addressed {
    const known = nameOf(record);
    const matching = known === undefined ? undefined : this.#matching(known);
    if (known !== undefined && matching?.length === 0) return this.#unhandled(known, raw);
    const content = toContent(record, raw, this.tools.environment);
    if (!('envelope' in content)) return { content, subscriptions: matching ?? this.#possibleAt(topic) };
    const subscriptions = matching ?? this.#matching(content.envelope.name);
    return subscriptions.length === 0 ? this.#unhandled(content.envelope.name, raw) : { content, subscriptions };
  }

  #unhandled(event: string, raw: RawEvent): Addressed {
    this.tools.request.unhandled(event, raw.place);
    return { content: { undecodable: undefined }, subscriptions: [] };
  }

  #matching(event: string): readonly Subscription[] {
    let matching = this.#byName.get(event);
    if (matching === undefined) {
      matching = this.#subscriptions.match(event);
      // Names come from outside: more of them than anybody uses must not fill the memory.
      if (this.#byName.size >= MAX_NAMES) this.#byName.clear();
      this.#byName.set(event, matching);
    }
    return matching;
  }

  #possibleAt(topic: string): readonly Subscription[] {
    let possible = this.#possible.get(topic);
    if (possible === undefined) {
      const { request, topics } = this.tools;
      possible = request.subscriptions.filter(({ patterns }) =>
        patterns.some((pattern) => topics.canCarry(topic, pattern)),
      );
      this.#possible.set(topic, possible);
    }
    return possible;
  }
}

/** What it holds in memory, about: values and keys weigh, headers are small. */
function sizeOf({ key, value }: IncomingRecord): number {
  return (key?.byteLength ?? 0) + (value?.byteLength ?? 0);
}
