import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { OnEvent, Payload, type TransportDefinition } from '../../lib/index.js';
import { kafka } from '../../lib/kafka.js';
import { rabbitmq } from '../../lib/rabbitmq.js';
import { typeormDeadLetters, typeormIdempotency } from '../../lib/typeorm.js';
import { withBroker } from '../support/brokers.js';
import { eventually } from '../support/eventually.js';
import { useApps } from '../support/nest-app.js';
import { TypeormWorld } from '../support/typeorm-world.js';
import { uniqueWord } from '../support/unique.js';

interface Entry {
  readonly account: string;
  readonly n: number;
}

function parkingOver(transport: () => TransportDefinition): void {
  withBroker('postgres', 'DATABASE_URL', (url) => {
    let world: TypeormWorld;
    beforeEach(async () => (world = await TypeormWorld.open(url)));
    const start = useApps();
    afterEach(() => world.close());

    test('the order of a key holds across its dead letter, what follows it, and the redrive', async () => {
      const service = uniqueWord('bank');
      const posted: Entry[] = [];
      let broken = true;
      @Injectable()
      class Accounts {
        @OnEvent(`${service}.entry.made`, { id: 'post', afterDeadLetter: 'park-key', retry: { attempts: 2 } })
        post(@Payload() entry: Entry) {
          if (broken && entry.account === 'ann' && entry.n === 3) throw new Error('no such account');
          posted.push(entry);
        }
      }
      const { dataSource, schema } = world;
      const app = await start({
        providers: [Accounts],
        options: {
          ...{ service, transports: [transport()] },
          idempotency: typeormIdempotency({ dataSource, schema }),
          deadLetters: { store: typeormDeadLetters({ dataSource, schema }), pollMs: 20 },
        },
      });
      const publish = async (from: number, to: number): Promise<void> => {
        for (let n = from; n <= to; n++) {
          for (const account of ['ann', 'bob'])
            await app.bus.publish(`${service}.entry.made`, { account, n }, { key: account });
        }
      };
      const of = (account: string): number[] => posted.filter((each) => each.account === account).map(({ n }) => n);
      await publish(1, 20);
      await eventually(() => of('bob').length === 20 && app.of('parked').length === 17);
      expect(of('ann')).toEqual([1, 2]);
      expect(await app.operators.count({ state: 'waiting' })).toBe(1);
      expect(await app.operators.count({ state: 'following' })).toBe(17);

      broken = false;
      const [head] = (await app.operators.list({ state: 'waiting' })).items;
      await app.operators.redrive(head?.id as string, { by: 'ann' });
      // While the redrive is under way more of them come.
      await publish(21, 40);
      await eventually(() => of('ann').length === 40, { what: 'all entries of the parked key' });
      const all = Array.from({ length: 40 }, (_, index) => index + 1);
      expect(of('ann')).toEqual(all);
      expect(of('bob')).toEqual(all);
      await eventually(async () => (await app.operators.count()) === 0);
    });
  });
}

describe("afterDeadLetter: 'park-key' over kafka", () => {
  withBroker('kafka', 'KAFKA_BROKERS', (brokers) => parkingOver(() => kafka({ brokers: brokers.split(',') })));
});

describe("afterDeadLetter: 'park-key' over rabbitmq", () => {
  withBroker('rabbitmq', 'RABBITMQ_URL', (url) => parkingOver(() => rabbitmq({ url })));
});
