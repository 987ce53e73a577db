import type { Admin } from 'kafkajs';
import type { AdminClient, NewTopic, PartitionOffset } from './kafka.client.js';

/** kafkajs has it as an enum, which only loading it would give. */
const TOPIC_RESOURCE = 2;
const RETENTION = 'retention.ms';
const CLEANUP = 'cleanup.policy';
const EMPTY_STATES = new Set(['Empty', 'Dead']);

export class KafkajsAdmin implements AdminClient {
  constructor(private readonly admin: Admin) {}

  listTopics(): Promise<string[]> {
    return this.admin.listTopics();
  }

  async createTopics(topics: readonly NewTopic[]): Promise<void> {
    await this.admin.createTopics({
      waitForLeaders: true,
      topics: topics.map(({ topic, partitions, replication, config }) => ({
        topic,
        numPartitions: partitions,
        replicationFactor: replication,
        configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
      })),
    });
  }

  offsets(topic: string): Promise<{ partition: number; low: string; high: string }[]> {
    return this.admin.fetchTopicOffsets(topic);
  }

  async committed(group: string, topics: readonly string[]): Promise<PartitionOffset[]> {
    const fetched = await this.admin.fetchOffsets({ groupId: group, topics: [...topics] });
    return fetched.flatMap(({ topic, partitions }) =>
      partitions
        .filter(({ offset }) => BigInt(offset) >= 0n)
        .map(({ partition, offset }) => ({ topic, partition, offset })),
    );
  }

  async setCommitted(group: string, offsets: readonly PartitionOffset[]): Promise<void> {
    for (const topic of new Set(offsets.map((each) => each.topic))) {
      const partitions = offsets.filter((each) => each.topic === topic);
      await this.admin.setOffsets({ groupId: group, topic, partitions });
    }
  }

  async groupIsEmpty(group: string): Promise<boolean> {
    const { groups } = await this.admin.describeGroups([group]);
    return groups.every(({ state }) => EMPTY_STATES.has(state));
  }

  async retention(topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const configNames = [RETENTION, CLEANUP];
    const { resources } = await this.admin.describeConfigs({
      includeSynonyms: false,
      resources: topics.map((name) => ({ type: TOPIC_RESOURCE, name, configNames })),
    });
    return new Map(
      resources.map(({ resourceName, configEntries }) => {
        const config = new Map(configEntries.map(({ configName, configValue }) => [configName, configValue]));
        const ms = Number(config.get(RETENTION) ?? -1);
        // A topic that is only compacted keeps the last record of each key for ever.
        const deletes = (config.get(CLEANUP) ?? 'delete').includes('delete');
        return [resourceName, deletes && ms >= 0 ? ms : Infinity];
      }),
    );
  }

  async deleteGroup(group: string): Promise<void> {
    await this.admin.deleteGroups([group]);
  }
}
