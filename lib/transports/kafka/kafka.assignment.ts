import type { WindowLimits } from '../../core/window.js';
import type { Assignment, PartitionOffset } from './kafka.client.js';
import { KafkaPartition, type Orphans } from './kafka.partition.js';

export interface AssignmentTools {
  readonly transport: string;
  readonly window: WindowLimits;
  /** What the group has committed for these topics. */
  readonly fetchCommitted: (topics: readonly string[]) => Promise<readonly PartitionOffset[]>;
}

/** Which partitions this consumer holds, through rebalances and new lives of its client. */
export class KafkaAssignment {
  readonly #held = new Map<string, KafkaPartition>();
  readonly #orphans = new Map<string, Orphans>();
  #current: Assignment | undefined;
  #memberId: string | undefined;
  /** Whether what is held is ours to commit, as far as we know. */
  #joined = false;
  #settledIn: Promise<void> = Promise.resolve();

  constructor(private readonly tools: AssignmentTools) {}

  /** What a member with another id held may have been with someone else meanwhile; the same id has never left. */
  joined(assignment: Assignment, memberId: string): void {
    for (const partition of this.#held.values()) {
      if (assignment.get(partition.topic)?.includes(partition.partition) !== true) this.#lose(partition);
    }
    const returning = this.#memberId !== undefined && this.#memberId !== memberId ? [...this.#held.values()] : [];
    this.#memberId = memberId;
    this.#current = assignment;
    // Nothing is committed before it is known whose the partitions were meanwhile.
    this.#joined = false;
    for (const partition of this.#held.values()) partition.rejoined();
    this.#settledIn = this.#settledIn
      .then(() => this.#comeBack(returning))
      .then(() => {
        // Another rebalance may have come first.
        if (this.#current !== assignment) return;
        this.#holdAll(assignment);
        this.#joined = true;
      });
  }

  /** The client is gone. Its partitions stay until the next assignment tells whose they are. */
  left(): void {
    this.#joined = false;
  }

  /** Resolves when it is known which partitions are held. */
  settledIn(): Promise<void> {
    return this.#settledIn;
  }

  get(topic: string, partition: number): KafkaPartition | undefined {
    return this.#held.get(keyOf(topic, partition));
  }

  /** The same place, another log: what was accepted of the old one has nothing to do with it. */
  renew(lost: KafkaPartition): KafkaPartition {
    lost.lose();
    const renewed = new KafkaPartition(lost, { window: this.tools.window });
    this.#held.set(keyOf(lost.topic, lost.partition), renewed);
    return renewed;
  }

  /** What can be committed now, and what to do when it is. Nothing while not part of the group. */
  uncommitted(): { readonly offsets: PartitionOffset[]; readonly confirm: () => void } {
    const moved = this.#joined
      ? [...this.#held.values()].flatMap((partition) => {
          const position = partition.uncommitted;
          return position === undefined ? [] : [{ partition, position }];
        })
      : [];
    return {
      offsets: moved.map(({ partition: { topic, partition }, position }) => ({
        topic,
        partition,
        offset: String(position),
      })),
      confirm: () => moved.forEach(({ partition, position }) => partition.committed(position)),
    };
  }

  loseAll(): void {
    this.#joined = false;
    for (const partition of this.#held.values()) this.#lose(partition);
  }

  /** Goes on with a partition as if it had never been away, if nobody else has got further than we have settled. */
  async #comeBack(returning: readonly KafkaPartition[]): Promise<void> {
    if (returning.length === 0) return;
    const topics = [...new Set(returning.map(({ topic }) => topic))];
    // Unknown is as good as lost: better run again than pass over.
    const committed = await this.tools.fetchCommitted(topics).catch(() => undefined);
    if (committed === undefined) return returning.forEach((partition) => this.#lose(partition));
    for (const partition of returning) {
      const theirs = committed.find(
        (each) => keyOf(each.topic, each.partition) === keyOf(partition.topic, partition.partition),
      );
      const { position } = partition;
      if (theirs !== undefined && position !== undefined && Number(theirs.offset) > position) this.#lose(partition);
    }
  }

  #holdAll(assignment: Assignment): void {
    const { transport, window } = this.tools;
    for (const [topic, partitions] of assignment) {
      for (const partition of partitions) {
        const key = keyOf(topic, partition);
        if (this.#held.has(key)) continue;
        const orphans = this.#orphans.get(key);
        this.#held.set(key, new KafkaPartition({ transport, topic, partition }, { window, orphans }));
        this.#orphans.delete(key);
      }
    }
  }

  #lose(partition: KafkaPartition): void {
    const key = keyOf(partition.topic, partition.partition);
    if (this.#held.get(key) !== partition) return;
    this.#held.delete(key);
    const orphans = partition.lose();
    if (orphans.size > 0) this.#orphans.set(key, orphans);
  }
}

/** A topic's name has no colon. */
function keyOf(topic: string, partition: number): string {
  return `${topic}:${partition}`;
}
