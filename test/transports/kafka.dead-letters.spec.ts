import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { DeadLetter } from '../../lib/core/dead-letter.js';
import { eventually } from '../support/eventually.js';
import { withBroker } from '../support/brokers.js';
import { KafkaWorld } from './kafka.support.js';

const AT = '2026-01-01T00:00:00.000Z';

withBroker('kafka', 'KAFKA_BROKERS', (address) => {
  let world: KafkaWorld;
  beforeEach(() => {
    world = new KafkaWorld(address.split(','));
  });
  afterEach(() => world.close());

  const letter = (id: string, body: Uint8Array, headers: DeadLetter['original']['headers'] = {}): DeadLetter => ({
    id,
    group: world.group,
    handler: 'h',
    reason: 'failed',
    error: { class: 'E', code: 'E', message: 'm', stack: 'x'.repeat(8_000) },
    attempts: 1,
    firstFailureAt: AT,
    lastFailureAt: AT,
    original: {
      place: { transport: 'kafka', address: 't', partition: 0, position: '1', timestamp: 5 },
      body,
      headers,
    },
  });
  const about = (): { group: string; handler: string } => ({ group: world.group, handler: 'h' });

  describe('a dead-letter topic that somebody has made', () => {
    it('with four partitions: what is taken stays taken, also without keys', async () => {
      await world.createTopic(`${world.group}.dlq`, 4);
      const { transport } = await world.open();
      for (let n = 0; n < 30; n++) await transport.writeDeadLetter(letter(`id-${n}`, Buffer.from('{}')));
      const { signal } = new AbortController();
      await transport.takeDeadLetters({
        ...about(),
        signal,
        visit: async ({ id }) => (id === 'id-7' ? 'keep' : 'remove'),
      });
      expect((await transport.readDeadLetters(about())).map(({ id }) => id)).toEqual(['id-7']);
    });

    it('with the default limit: a dead letter loses stack and headers, and keeps its bytes', async () => {
      await world.createTopic(`${world.group}.dlq`, 1);
      const { transport } = await world.open();
      const body = randomBytes(1_000_000);
      await transport.writeDeadLetter(letter('large', body, { h: randomBytes(60_000) }));
      const [read, ...more] = await transport.readDeadLetters(about());
      expect(more).toEqual([]);
      expect(read).toMatchObject({ id: 'large', error: { message: 'm' }, original: { headers: {} } });
      expect(Buffer.from(read?.original.body ?? []).equals(body)).toBe(true);
      expect(read?.error).not.toHaveProperty('stack');
    });

    it('with records of others in it: they are left out with a warning, and what was settled before is not collected', async () => {
      const { transport, logger } = await world.open();
      await transport.writeDeadLetter(letter('settled', Buffer.from('{}')));
      const { signal } = new AbortController();
      await transport.takeDeadLetters({ ...about(), signal, visit: async () => 'remove' });
      await world.publishRaw(`${world.group}.dlq`, [{ value: 'no dead letter' }]);
      for (let n = 0; n < 250; n++) await transport.writeDeadLetter(letter(`id-${n}`, Buffer.from('{}')));

      const collected: string[] = [];
      const sizes: number[] = [];
      const collection = await transport.collectDeadLetters({
        group: world.group,
        handlers: ['h'],
        collect: async (letters) => {
          sizes.push(letters.length);
          collected.push(...letters.map(({ id }) => id));
        },
      });
      await eventually(() => collected.length === 250, { what: '250 collected' });
      await collection.close();
      expect(collected).toEqual(Array.from({ length: 250 }, (_, n) => `id-${n}`));
      expect(Math.max(...sizes)).toBeLessThanOrEqual(100);
      expect(logger.messages('warn').join()).toContain('1 records that are no dead letters are left out');
    });
  });
});
