import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '../../../test/support/manual-clock.js';
import { RecordingLogger } from '../../../test/support/recording-logger.js';
import type { AdminClient, KafkaClient } from './kafka.client.js';
import { resolveOptions } from './kafka.options.js';
import { KafkaTopics } from './kafka.topics.js';
import { KafkaTopology } from './kafka.topology.js';

const notYet = (): Error =>
  Object.assign(new Error('This server does not host this topic-partition'), { type: 'UNKNOWN_TOPIC_OR_PARTITION' });

/** A cluster that says so many times that it does not know the topics it has just created. */
function given(refusals: number) {
  const existing: string[] = [];
  const clock = new ManualClock();
  let left = refusals;
  const admin = {
    listTopics: async () => (left > 0 ? [] : existing),
    createTopics: async (topics: readonly { topic: string }[]) => {
      if (left-- > 0) throw notYet();
      existing.push(...topics.map(({ topic }) => topic));
    },
  } as Partial<AdminClient> as AdminClient;
  const client = { withAdmin: (work: (admin: AdminClient) => unknown) => work(admin) } as Partial<KafkaClient>;
  const topology = new KafkaTopology({
    client: client as KafkaClient,
    clock,
    topics: new KafkaTopics(undefined),
    options: resolveOptions({ brokers: ['localhost:9092'] }),
    logger: new RecordingLogger(),
    maxPayloadBytes: 1_000_000,
  });
  return { topology, clock, existing };
}

describe('topics that were just created', () => {
  it('are waited for while the broker says that it does not have them yet', async () => {
    const { topology, clock, existing } = given(5);
    const ensured = topology.ensure(['orders.order']);
    await clock.advanceAsync(1_000);
    await ensured;
    expect(existing).toEqual(['orders.order']);
    expect(topology.isKnown('orders.order')).toBe(true);
  });

  it('are given up after ten seconds, with what the broker says', async () => {
    const { topology, clock } = given(1_000);
    const ensured = topology.ensure(['orders.order']);
    const failure = expect(ensured).rejects.toThrow('does not host');
    await clock.advanceAsync(11_000);
    await failure;
    expect(topology.isKnown('orders.order')).toBe(false);
  });
});
