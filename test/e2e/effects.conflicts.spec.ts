import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Injectable, type Type } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { OnEvent } from '../../lib/index.js';
import { typeormIdempotency, type TypeormIdempotencyOptions } from '../../lib/typeorm.js';
import { withBroker } from '../support/brokers.js';
import { Gate } from '../support/eventually.js';
import { useApps, type TestApp } from '../support/nest-app.js';
import { Effect, TypeormWorld } from '../support/typeorm-world.js';

/** Two parties that each say when they are there, and go on when both are. Later comers pass. */
class Meeting {
  readonly #both = new Gate();
  readonly #here = new Set<string>();

  async arrive(who: string): Promise<void> {
    this.#here.add(who);
    if (this.#here.size === 2) this.#both.open();
    await this.#both.passed;
  }
}

withBroker('postgres', 'DATABASE_URL', (url) => {
  describe('handlers that get in each other’s way', () => {
    const start = useApps();
    let world: TypeormWorld;
    let source: DataSource;

    beforeEach(async () => {
      world = await TypeormWorld.open(url);
      // A deadlock is looked for after a second by default: the tests need not wait for that.
      source = await world.connect({ extra: { options: '-c deadlock_timeout=50ms' } });
      await source.getRepository(Effect).insert([
        { id: 'alice', note: '' },
        { id: 'bob', note: '' },
      ]);
    });
    afterEach(() => world.close());

    const app = (handlers: Type, options: TypeormIdempotencyOptions = {}): Promise<TestApp> =>
      start({
        options: { idempotency: typeormIdempotency({ dataSource: source, schema: world.schema, ...options }) },
        providers: [handlers, { provide: DataSource, useValue: source }],
      });
    const notes = (): Promise<{ id: string; note: string }[]> =>
      world.rows(`SELECT id, note FROM ${world.schema}.effects ORDER BY id`);
    /** Both handled in their first attempt, though one of them ran again. */
    const expectOneMore = async (started: TestApp): Promise<void> => {
      const handled = await started.saw('handled', 2);
      expect(handled.map(({ attempt }) => attempt)).toEqual([1, 1]);
      expect(started.of('retried')).toEqual([
        expect.objectContaining({ attempt: 1, counts: false, dependency: false, error: expect.anything() as unknown }),
      ]);
      expect(started.of('dead-lettered')).toEqual([]);
    };

    test('two that deadlock are both handled, with one effect each, and no attempt is used up', async () => {
      const meeting = new Meeting();

      @Injectable()
      class Transfers {
        constructor(private readonly dataSource: DataSource) {}

        @OnEvent('money.transfer.made', { id: 'transfers' })
        async book({ from, to }: { from: string; to: string }): Promise<void> {
          await this.#append(from, `-${from}${to} `);
          await meeting.arrive(from);
          await this.#append(to, `+${from}${to} `);
        }

        async #append(id: string, text: string): Promise<void> {
          await this.dataSource.query(`UPDATE ${world.schema}.effects SET note = note || $2 WHERE id = $1`, [id, text]);
        }
      }

      const started = await app(Transfers);
      await Promise.all([
        started.bus.publish('money.transfer.made', { from: 'alice', to: 'bob' }, { key: 'a' }),
        started.bus.publish('money.transfer.made', { from: 'bob', to: 'alice' }, { key: 'b' }),
      ]);
      await expectOneMore(started);
      expect(started.of('retried')).toMatchObject([{ error: { code: '40P01' } }]);
      const words = (await notes()).map(({ note }) => note.trim().split(' ').toSorted());
      expect(words).toEqual([
        ['+bobalice', '-alicebob'],
        ['+alicebob', '-bobalice'],
      ]);
    });

    test('a write skew, which only COMMIT tells, is run again: somebody stays on call', async () => {
      const [read, written] = [new Meeting(), new Meeting()];

      @Injectable()
      class Shifts {
        constructor(private readonly dataSource: DataSource) {}

        @OnEvent('ward.doctor.tired', { id: 'shifts' })
        async goHome(doctor: string): Promise<void> {
          const effects = this.dataSource.getRepository(Effect);
          const onCall = await effects.countBy({ note: '' });
          await read.arrive(doctor);
          if (onCall > 1) await effects.update({ id: doctor }, { note: 'at home' });
          await written.arrive(doctor);
        }
      }

      const started = await app(Shifts, { isolationLevel: 'SERIALIZABLE' });
      await Promise.all([
        started.bus.publish('ward.doctor.tired', 'alice', { key: 'alice' }),
        started.bus.publish('ward.doctor.tired', 'bob', { key: 'bob' }),
      ]);
      await expectOneMore(started);
      expect(started.of('retried')).toMatchObject([{ error: { code: '40001' } }]);
      expect((await notes()).map(({ note }) => note).toSorted()).toEqual(['', 'at home']);
      expect(await world.count('processed_events')).toBe(2);
    });

    test('a deadlock that the handler has swallowed does not commit half either: it runs again', async () => {
      const meeting = new Meeting();

      @Injectable()
      class Careless {
        constructor(private readonly dataSource: DataSource) {}

        @OnEvent('money.transfer.made', { id: 'careless' })
        async book({ from, to }: { from: string; to: string }): Promise<void> {
          const effects = this.dataSource.getRepository(Effect);
          await effects.update({ id: from }, { note: from });
          await meeting.arrive(from);
          await effects.update({ id: to }, { note: from }).catch(() => undefined);
        }
      }

      const started = await app(Careless);
      await Promise.all([
        started.bus.publish('money.transfer.made', { from: 'alice', to: 'bob' }, { key: 'a' }),
        started.bus.publish('money.transfer.made', { from: 'bob', to: 'alice' }, { key: 'b' }),
      ]);
      await expectOneMore(started);
      expect(started.of('retried')).toMatchObject([{ error: { code: 'EVENTS_TRANSACTION_ABORTED' } }]);
      // Whoever came last has written both.
      expect(new Set((await notes()).map(({ note }) => note)).size).toBe(1);
    });
  });
});
