import type { Consumer, EachBatchPayload } from 'kafkajs';
import type { KafkajsSockets } from './kafkajs.sockets.js';
import type { ConsumerClient, ConsumerClientOptions, PartitionOffset } from './kafka.client.js';

/** More than a member usually has: batches of all its partitions are taken side by side. */
const MAX_PARTITIONS_AT_ONCE = 64;

const STOP_TIMEOUT_MS = 5_000;

type CommitOnce = EachBatchPayload['commitOffsetsIfNecessary'];

export class KafkajsConsumer implements ConsumerClient {
  /** kafkajs's `consumer.commitOffsets` retries, in a later generation too: it would commit partitions lost meanwhile. */
  #commitOnce: CommitOnce | undefined;
  #stopping = false;

  constructor(
    private readonly consumer: Consumer,
    private readonly sockets: KafkajsSockets,
    private readonly options: ConsumerClientOptions,
  ) {}

  async start(): Promise<void> {
    const { consumer, options } = this;
    const { GROUP_JOIN, REBALANCING, CRASH, END_BATCH_PROCESS } = consumer.events;
    consumer.on(GROUP_JOIN, ({ payload }) => {
      options.onJoined(new Map(Object.entries(payload.memberAssignment)), payload.memberId);
    });
    consumer.on(REBALANCING, () => options.onRebalancing());
    consumer.on(CRASH, ({ payload }) => {
      if (!this.#stopping) options.onCrash(payload.error);
    });
    consumer.on(END_BATCH_PROCESS, ({ payload: { topic, partition, lastOffset } }) => {
      options.onPosition?.({ topic, partition, offset: String(BigInt(lastOffset) + 1n) });
    });
    await consumer.connect();
    // Always from the first record: where a group should start at the end, its position was set before.
    await consumer.subscribe({ topics: [...options.topics], fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: MAX_PARTITIONS_AT_ONCE,
      eachBatch: (payload) => this.#take(payload),
    });
  }

  async commit(offsets: readonly PartitionOffset[]): Promise<void> {
    if (this.#commitOnce === undefined) throw new Error('the consumer has not received anything yet');
    const topics = new Map<string, { partition: number; offset: string }[]>();
    for (const { topic, partition, offset } of offsets) {
      const known = topics.get(topic);
      if (known === undefined) topics.set(topic, [{ partition, offset }]);
      else known.push({ partition, offset });
    }
    await this.#commitOnce({ topics: [...topics].map(([topic, partitions]) => ({ topic, partitions })) });
  }

  pause(): void {
    try {
      this.consumer.pause(this.options.topics.map((topic) => ({ topic })));
    } catch {
      // It is not running: there is nothing to pause.
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise((resolve) => (timer = setTimeout(resolve, STOP_TIMEOUT_MS)));
    // While its brokers are away, kafkajs first ends its retries: it may do so alone, and without connections.
    await Promise.race([this.consumer.disconnect(), patience]).finally(() => clearTimeout(timer));
    this.sockets.cut();
  }

  #take({ batch, resolveOffset, pause, isRunning, commitOffsetsIfNecessary }: EachBatchPayload): Promise<void> {
    this.#commitOnce = commitOffsetsIfNecessary;
    return this.options.onBatch({
      topic: batch.topic,
      partition: batch.partition,
      records: batch.messages,
      end: batch.highWatermark,
      accepted: resolveOffset,
      pause,
      isRunning,
    });
  }
}
