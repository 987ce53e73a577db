import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { TransportDefinition } from '../../lib/core/transport.js';
import { kafka } from '../../lib/kafka.js';
import { memory, MemoryBroker, OnEvent, type Envelope } from '../../lib/index.js';
import { rabbitmq } from '../../lib/rabbitmq.js';
import { typeormIdempotency } from '../../lib/typeorm.js';
import { withBroker } from '../support/brokers.js';
import { useApps } from '../support/nest-app.js';
import { kafkaSender, memorySender, rabbitmqSender, type RawInput, type RawSender } from '../support/raw-senders.js';
import { Effect, TypeormWorld } from '../support/typeorm-world.js';
import { eventually } from '../support/eventually.js';
import { uniqueWord } from '../support/unique.js';

interface StoredInput {
  readonly what: string;
  readonly id?: string;
  readonly key?: string;
  /** Default `fine`. */
  readonly data?: unknown;
  /** The effect's note, or the code of the dead letter and how many attempts it took. */
  readonly effect?: string;
  readonly deadLetter?: readonly [code: string, attempts: number];
}

const LEVELS = 10_000;
const DEEP = Symbol('deep');
const SQL = "'); DROP TABLE effects; DROP TABLE processed_events; --";
/** n.b. a row of the primary key's index holds 2,704 bytes, and a text no U+0000. */
const INPUTS: readonly StoredInput[] = [
  { what: 'an id of 10 KB', id: 'x'.repeat(10_240), deadLetter: ['EVENTS_ENVELOPE_INVALID', 1] },
  { what: 'an id of 2,001 bytes', id: 'x'.repeat(2_001), deadLetter: ['EVENTS_ENVELOPE_INVALID', 1] },
  { what: 'an id of 2,000 bytes', id: 'x'.repeat(2_000), effect: 'fine' },
  { what: 'an id with U+0000', id: 'a\0b', deadLetter: ['EVENTS_ENVELOPE_INVALID', 1] },
  { what: 'an id of control characters', id: 'a\r\n\u001b[31m\u0085\u202eb', effect: 'fine' },
  { what: 'an id that is SQL', id: SQL, effect: 'fine' },
  { what: 'an id that is a script', id: '<script>alert(1)</script>', effect: 'fine' },
  { what: 'the id __proto__', id: '__proto__', effect: 'fine' },
  { what: 'an id of white space', id: ' \t ', effect: 'fine' },
  { what: 'an id that differs from another in its accents only', id: 'e\u0301', effect: 'fine' },
  { what: 'that other', id: '\u00e9', effect: 'fine' },
  { what: 'a key of 10 KB with U+0000', key: `${'k'.repeat(10_240)}\0`, effect: 'fine' },
  { what: 'SQL that the handler writes', data: SQL, effect: SQL },
  { what: 'control characters that the handler writes', data: '\u001b[31m\r\n', effect: '\u001b[31m\r\n' },
  { what: 'U+0000 that the handler writes', data: 'a\0b', deadLetter: ['22021', 4] },
  { what: `arrays ${LEVELS} deep`, data: DEEP, effect: 'an object' },
  { what: 'an object instead of a text', data: { toString: 'no function' }, effect: 'an object' },
];

const start = useApps();

withBroker('postgres', 'DATABASE_URL', (url) => {
  let world: TypeormWorld;
  beforeEach(async () => {
    world = await TypeormWorld.open(url);
  });
  afterEach(() => world.close());

  const effectOnceOver = (kind: string, create: () => { transport: TransportDefinition; send: RawSender }): void => {
    test(`over ${kind} each of ${INPUTS.length} bad inputs has its effect once or is a dead letter, and its neighbours are handled`, async () => {
      const [service, name] = [uniqueWord('store'), `${uniqueWord('bad')}.thing.said`];

      @Injectable()
      class Notes {
        constructor(private readonly dataSource: DataSource) {}

        @OnEvent(name, { id: 'notes' })
        async write(data: unknown, { id }: Envelope): Promise<void> {
          const note = typeof data === 'string' ? data : 'an object';
          await this.dataSource.getRepository(Effect).insert({ id, note });
        }
      }

      const { transport, send } = create();
      const idempotency = typeormIdempotency({ dataSource: world.dataSource, schema: world.schema });
      const app = await start({
        options: { service, transports: [transport], idempotency },
        providers: [Notes, { provide: DataSource, useValue: world.dataSource }],
      });
      const sent = INPUTS.flatMap((input, n) => neighbours(input, n, name));
      // Each comes twice: what has had its effect is a duplicate, what is a dead letter is one again.
      await send([...sent, ...sent]);
      const refused = INPUTS.filter(({ deadLetter }) => deadLetter !== undefined);
      const good = sent.length - refused.length;
      await eventually(() => app.of('handled').length + app.of('duplicate').length === 2 * good, { what: 'the good' });
      await eventually(() => app.of('dead-lettered').length === 2 * refused.length, { what: 'the dead letters' });

      expect(app.of('handled')).toHaveLength(good);
      const rows = await world.rows<{ id: string; note: string }>(`SELECT id, note FROM ${world.schema}.effects`);
      const noted = new Map(rows.map(({ id, note }) => [id, note]));
      expect(rows).toHaveLength(good);
      for (const [n, { what, effect }] of INPUTS.entries()) {
        expect([what, noted.get(`${n} before`), noted.get(`${n} after`)]).toEqual([what, 'fine', 'fine']);
        expect([what, noted.get(idOf(INPUTS[n] as StoredInput, n))]).toEqual([what, effect]);
      }
      expect(await world.count('processed_events')).toBe(good);

      const letters = await app.deadLetters('notes', service);
      const told = letters.map(({ error, attempts }) => `${error.code} ${attempts}`);
      expect(new Set(told)).toEqual(new Set(refused.map(({ deadLetter }) => deadLetter?.join(' '))));
      for (const { error } of letters) expect(error.message.length).toBeLessThan(1_025);
    });
  };

  const broker = new MemoryBroker();
  effectOnceOver('memory', () => ({ transport: memory({ broker }), send: memorySender(broker) }));
  withBroker('kafka', 'KAFKA_BROKERS', (address) => {
    const brokers = address.split(',');
    effectOnceOver('kafka', () => ({
      transport: kafka({ brokers, heartbeatIntervalMs: 500 }),
      send: kafkaSender(brokers),
    }));
  });
  withBroker('rabbitmq', 'RABBITMQ_URL', (server) => {
    const exchange = uniqueWord('bad-inputs');
    effectOnceOver('rabbitmq', () => ({
      transport: rabbitmq({ url: server, exchange }),
      send: rabbitmqSender(server, exchange),
    }));
  });
});

const idOf = ({ id }: StoredInput, n: number): string => id ?? `${n} itself`;

/** The input between two good events of its key. */
function neighbours(input: StoredInput, n: number, name: string): RawInput[] {
  const { key = `key ${n}`, data = 'fine' } = input;
  const raw = (id: string, body: unknown): RawInput => ({
    ...{ name, key, headers: {}, contentType: 'application/json', body: Buffer.from(textOf(body)) },
    attributes: { specversion: '1.0', type: name, source: 'table', id, partitionkey: key },
  });
  return [raw(`${n} before`, 'fine'), raw(idOf(input, n), data), raw(`${n} after`, 'fine')];
}

/** JSON.stringify goes down by calling itself, and would not come back from the deepest. */
function textOf(data: unknown): string {
  return data === DEEP ? '['.repeat(LEVELS) + ']'.repeat(LEVELS) : JSON.stringify(data);
}
