import { RecordingLogger } from '../../../test/support/recording-logger.js';
import { describe, expect, it } from '@jest/globals';
import { systemClock } from '../../core/clock.js';
import { isEventsError } from '../../core/errors.js';
import type { KafkaClient, OutgoingRecord, ProducerClient } from './kafka.client.js';
import { KafkaConnection } from './kafka.connection.js';
import { topicsMissing } from './kafka.errors.js';
import { KafkaProducer } from './kafka.producer.js';

type Send = (records: readonly OutgoingRecord[], client: number) => Promise<void>;

/** A producer over clients that do as the test says; `written` is what the broker would have. */
function given(send: Send, { publishTimeoutMs = 5_000, missing = '' } = {}) {
  const sends: { readonly client: number; readonly values: string[] }[] = [];
  const abandoned: number[] = [];
  let clients = 0;
  const create = (): ProducerClient => {
    const number = ++clients;
    return {
      connect: async () => undefined,
      send: async (records) => {
        sends.push({ client: number, values: records.map(({ value }) => String(value)) });
        await send(records, number);
      },
      abandon: () => void abandoned.push(number),
      disconnect: async () => undefined,
    };
  };
  const client = { producer: create } as unknown as KafkaClient;
  const connection = new KafkaConnection({
    name: 'kafka',
    brokers: [],
    client,
    clock: systemClock,
    logger: new RecordingLogger(),
    report: () => undefined,
  });
  const producer = new KafkaProducer({
    connection,
    clock: systemClock,
    publishTimeoutMs,
    prepare: (topic) => (topic === missing ? Promise.reject(topicsMissing([topic])) : Promise.resolve()),
    isPrepared: (topic) => topic !== missing,
    forget: () => undefined,
  });
  const publish = (value: string, topic = 'topic'): Promise<void> =>
    producer.send({ topic, key: null, value: Buffer.from(value), headers: {} }, 'a.b.c');
  return { producer, publish, sends, abandoned };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const tooLarge = Object.assign(new Error('too large'), { type: 'MESSAGE_TOO_LARGE' });

describe('KafkaProducer', () => {
  it('sends what is asked for in one turn together, and what comes meanwhile next, in order', async () => {
    let release = (): void => undefined;
    const { publish, sends } = given(() => new Promise((resolve) => (release = resolve)));
    const first = ['1', '2', '3'].map((value) => publish(value));
    await turn();
    await turn();
    const second = ['4', '5'].map((value) => publish(value));
    release();
    await Promise.all(first);
    await turn();
    await turn();
    release();
    await Promise.all(second);
    expect(sends.map(({ values }) => values)).toEqual([
      ['1', '2', '3'],
      ['4', '5'],
    ]);
  });

  it('starts anew when the next call comes in the very turn in which the last was confirmed', async () => {
    const { publish, sends } = given(async () => undefined);
    for (let n = 0; n < 200; n++) await publish(String(n));
    expect(sends).toHaveLength(200);
  });

  it('bounds a send in records and bytes; a large record goes alone', async () => {
    const { publish, sends } = given(async () => undefined);
    await Promise.all(Array.from({ length: 1_200 }, (_, n) => publish(String(n))));
    expect(sends.map(({ values }) => values.length)).toEqual([500, 500, 200]);
    await Promise.all([publish('a'.repeat(600_000)), publish('b'.repeat(600_000)), publish('c'.repeat(950_000))]);
    expect(sends.slice(3).map(({ values }) => values.map((value) => value[0]))).toEqual([['a'], ['b'], ['c']]);
  });

  it('refuses a record that is too large to its own publisher only, and keeps the order of the others', async () => {
    const written: string[] = [];
    const { publish } = given(async (records) => {
      if (records.some(({ value }) => String(value) === 'large')) throw tooLarge;
      written.push(...records.map(({ value }) => String(value)));
    });
    const values = ['1', '2', 'large', '3', '4', '5', '6'];
    const outcomes = await Promise.allSettled(values.map((value) => publish(value)));
    expect(outcomes.map(({ status }) => status === 'rejected')).toEqual(values.map((value) => value === 'large'));
    expect(written).toEqual(['1', '2', '3', '4', '5', '6']);
  });

  it('replaces the client after a failure that leaves open whether it was written, and sends again', async () => {
    const { publish, sends, abandoned } = given(async (_records, client) => {
      if (client < 3) throw new Error('connection closed');
    });
    await Promise.all([publish('1'), publish('2')]);
    expect(sends.map(({ client, values }) => [client, values])).toEqual([
      [1, ['1', '2']],
      [2, ['1', '2']],
      [3, ['1', '2']],
    ]);
    expect(abandoned).toEqual([1, 2]);
  });

  it('gives up a send that does not end, cuts its client, and goes on with the next', async () => {
    const { publish, sends, abandoned } = given(
      (_records, client) => (client === 1 ? new Promise(() => undefined) : Promise.resolve()),
      { publishTimeoutMs: 100 },
    );
    const lost = publish('1').catch((error: unknown) => error);
    await turn();
    await turn();
    expect(isEventsError(await lost, 'EVENTS_PUBLISH_TIMEOUT')).toBe(true);
    await publish('2');
    expect(sends.map(({ client, values }) => [client, values])).toEqual([
      [1, ['1']],
      [2, ['2']],
    ]);
    expect(abandoned).toEqual([1]);
  });

  it('fails the records of a missing topic only', async () => {
    const { publish, sends } = given(async () => undefined, { missing: 'nowhere' });
    const outcomes = await Promise.allSettled([publish('1'), publish('2', 'nowhere'), publish('3')]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(sends.map(({ values }) => values)).toEqual([['1', '3']]);
  });

  it('flush() waits for everything asked for before', async () => {
    const { producer, publish, sends } = given(turn);
    const all = Promise.all(Array.from({ length: 700 }, (_, n) => publish(String(n))));
    await producer.flush();
    expect(sends.flatMap(({ values }) => values)).toHaveLength(700);
    await all;
  });
});
