import { sleep } from '../../core/clock.js';
import { messageOf } from '../../core/errors.js';
import { printable } from '../../core/logger.js';
import type { TransportConsumer } from '../../core/transport.js';
import { KafkaAssignment } from './kafka.assignment.js';
import type { ConsumerClient, KafkaClient } from './kafka.client.js';
import { failureOf, unauthorized, unreachable } from './kafka.errors.js';
import { KafkaIntake, type IntakeTools } from './kafka.intake.js';
import type { ResolvedKafkaOptions } from './kafka.options.js';
import type { KafkaTopology } from './kafka.topology.js';

/** An idle fetch returns after so long: leaving, and starting anew with more topics, waits for it. */
const MAX_WAIT_MS = 500;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5_000;
const LAST_COMMIT_TRIES = 10;

export interface ConsumerTools extends Omit<IntakeTools, 'assignment' | 'transport'> {
  readonly client: KafkaClient;
  readonly topology: KafkaTopology;
  readonly options: ResolvedKafkaOptions;
}

/** One group on one Kafka: keeps a client joined, commits what is settled, looks for new topics. */
export class KafkaConsumer implements TransportConsumer {
  readonly #assignment: KafkaAssignment;
  readonly #intake: KafkaIntake;
  readonly #patterns: readonly string[];
  readonly #stopping = new AbortController();
  #client: ConsumerClient | undefined;
  #topics: readonly string[] = [];
  #committing: Promise<boolean> | undefined;
  /** What starts, restarts or discovers, one after another. */
  #changes: Promise<void> = Promise.resolve();

  constructor(private readonly tools: ConsumerTools) {
    const { environment, request, client, options } = tools;
    this.#assignment = new KafkaAssignment({
      transport: options.name,
      window: environment.window,
      fetchCommitted: (topics) => client.withAdmin((admin) => admin.committed(request.group, topics)),
    });
    this.#intake = new KafkaIntake({ ...tools, transport: options.name, assignment: this.#assignment });
    this.#patterns = [...new Set(request.subscriptions.flatMap(({ patterns }) => patterns))];
  }

  /** Resolves when the group is joined. Throws like connect(). */
  async start(): Promise<void> {
    const { clock } = this.tools.environment;
    const { name, brokers, connectTimeoutMs } = this.tools.options;
    const giveUpAt = clock.now() + connectTimeoutMs;
    this.#topics = await this.tools.topology.topicsFor(this.#patterns);
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
      try {
        await this.#join();
        break;
      } catch (error) {
        const failure = failureOf(error);
        if (failure === 'unauthorized' || failure === 'refused') throw unauthorized(name, brokers, error);
        if (clock.now() + waitMs >= giveUpAt) throw unreachable(name, brokers, error);
        await sleep(clock, waitMs);
      }
    }
    this.#every(this.tools.options.commitIntervalMs, () => this.#commit());
    if (this.#patterns.some((pattern) => this.tools.topics.isOpen(pattern)))
      this.#every(this.tools.options.discoveryIntervalMs, () => this.#change(() => this.#discover()));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#client?.pause();
    this.#intake.stop();
    await this.#changes;
    this.#client?.pause();
  }

  async drain(): Promise<void> {
    await this.#intake.idle();
    for (let tries = 1; !(await this.#commit()) && tries < LAST_COMMIT_TRIES; tries++)
      await sleep(this.tools.environment.clock, FIRST_WAIT_MS / 2);
  }

  async close(): Promise<void> {
    await this.stop();
    await this.#commit();
    this.#assignment.loseAll();
    const client = this.#client;
    this.#client = undefined;
    if (client === undefined) return;
    await client.stop();
    const { environment, options, request } = this.tools;
    environment.report({ type: 'consumer-stopped', transport: options.name, group: request.group });
  }

  /** A client of its own for each life: kafkajs does not come back from everything, and takes no topics while it runs. */
  async #join(): Promise<void> {
    const { client, request } = this.tools;
    const { signal } = this.#stopping;
    let crashed: (error: unknown) => void = () => undefined;
    // While brokers are away a join takes long; a shutdown does not wait for it.
    const stopped = (): void => crashed(new Error('the consumer is stopping'));
    const joined = new Promise<void>((resolve, reject) => {
      crashed = reject;
      signal.addEventListener('abort', stopped);
      const consumer = client.consumer({
        group: request.group,
        topics: this.#topics,
        maxWaitMs: MAX_WAIT_MS,
        onJoined: (assignment, memberId) => {
          if (this.#client !== consumer) return;
          crashed = (error) => void this.#change(() => this.#recover(error));
          this.#assignment.joined(assignment, memberId);
          resolve();
        },
        // Its offsets still count, and spare whoever gets the partition the duplicates.
        onRebalancing: () => void this.#commit(),
        onBatch: (batch) => this.#intake.take(batch),
        onCrash: (error) => {
          if (this.#client === consumer) crashed(error);
        },
      });
      this.#client = consumer;
      consumer.start().catch(reject);
    });
    try {
      await joined;
      await this.#assignment.settledIn();
    } catch (error) {
      await this.#leave();
      throw error;
    } finally {
      signal.removeEventListener('abort', stopped);
    }
  }

  async #leave(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    this.#assignment.left();
    await client?.stop().catch(() => undefined);
  }

  /** The client has given up. What runs goes on; the next client goes on from there if nobody else has. */
  async #recover(cause: unknown): Promise<void> {
    const { request, environment, options } = this.tools;
    environment.report({ type: 'transport-disconnected', transport: options.name, error: cause });
    environment.logger.warn(
      `${options.name}: the consumer of "${request.group}" gave up and starts anew: ${printable(messageOf(cause))}`,
    );
    await this.#leave();
    await this.#rejoin();
    if (this.#client !== undefined) environment.report({ type: 'transport-connected', transport: options.name });
  }

  async #rejoin(): Promise<void> {
    const { request, environment, options } = this.tools;
    for (let waitMs = FIRST_WAIT_MS; !this.#stopping.signal.aborted; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
      try {
        return await this.#join();
      } catch (error) {
        const group = JSON.stringify(request.group);
        environment.logger.debug(`${options.name}: ${group} cannot join yet: ${printable(messageOf(error))}`);
        if (failureOf(error) === 'topic-missing') await this.#lookAgain();
        await sleep(environment.clock, waitMs, this.#stopping.signal);
      }
    }
  }

  /** A topic has been deleted: without it, or with a new one of its name. */
  async #lookAgain(): Promise<void> {
    const { topology } = this.tools;
    for (const topic of this.#topics) topology.forget(topic);
    this.#topics = await topology.topicsFor(this.#patterns).catch(() => this.#topics);
  }

  /** New topics cost a rebalance: kafkajs takes none while it runs. */
  async #discover(): Promise<void> {
    const found = await this.tools.topology.topicsFor(this.#patterns);
    const fresh = found.filter((topic) => !this.#topics.includes(topic));
    if (fresh.length === 0 || this.#stopping.signal.aborted) return;
    const { environment, request, options } = this.tools;
    environment.logger.log(`${options.name}: "${request.group}" found ${fresh.join(', ')} and joins again`);
    this.#topics = [...this.#topics, ...fresh];
    await this.#commit();
    await this.#leave();
    await this.#rejoin();
  }

  /** Returns whether the broker knows all that it can be told. */
  #commit(): Promise<boolean> {
    // A commit under way may not have what was settled since: whoever asks waits for it, and then for the next.
    const before = this.#committing ?? Promise.resolve(true);
    const commit = before.then(() => this.#commitOnce());
    this.#committing = commit;
    return commit.finally(() => {
      if (this.#committing === commit) this.#committing = undefined;
    });
  }

  async #commitOnce(): Promise<boolean> {
    const { offsets, confirm } = this.#assignment.uncommitted();
    if (offsets.length === 0) return true;
    try {
      await this.#client?.commit(offsets);
      confirm();
      return true;
    } catch (error) {
      // A rebalance, or the broker is away: the next commit has all of this one.
      const { name } = this.tools.options;
      this.tools.environment.logger.debug(`${name}: a commit failed: ${printable(messageOf(error))}`);
      return false;
    }
  }

  /** One change at a time, and none once stopping. It never throws. */
  #change(work: () => Promise<void>): Promise<void> {
    this.#changes = this.#changes
      .then(() => (this.#stopping.signal.aborted ? undefined : work()))
      .catch((error: unknown) => {
        this.tools.environment.logger.warn(`${this.tools.options.name}: ${printable(messageOf(error))}`);
      });
    return this.#changes;
  }

  /** Again and again, each time after the last has ended, until stopping. */
  #every(intervalMs: number, work: () => Promise<unknown>): void {
    const { signal } = this.#stopping;
    void (async () => {
      for (;;) {
        await sleep(this.tools.environment.clock, intervalMs, signal);
        if (signal.aborted) return;
        await work();
      }
    })();
  }
}
