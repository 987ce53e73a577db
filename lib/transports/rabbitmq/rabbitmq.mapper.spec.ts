import { describe, expect, it } from '@jest/globals';
import type { Message } from 'amqplib';
import { createEnvelope } from '../../core/envelope.js';
import { jsonSerializer } from '../../core/serializer.js';
import { rawToMessage, toEnvelope, toHeaders, toMessage } from './rabbitmq.mapper.js';

const message = (headers: Record<string, unknown>, content = '{}', properties = {}): Message =>
  ({
    content: Buffer.from(content),
    properties: { headers, contentType: 'application/json', ...properties },
  }) as Message;

const attributes = (prefix: string, rest = {}): Record<string, unknown> => ({
  [`${prefix}specversion`]: '1.0',
  [`${prefix}id`]: 'e-1',
  [`${prefix}type`]: 'orders.order.placed',
  [`${prefix}source`]: 'shop',
  ...rest,
});

describe('the mapper of RabbitMQ', () => {
  it.each(['cloudEvents_', 'cloudEvents:', 'ce-'])('reads attributes with the prefix %s', (prefix) => {
    const read = toEnvelope(message(attributes(prefix, { [`${prefix}partitionkey`]: 'k', own: 'h' })), {
      serializer: jsonSerializer,
    });
    expect(read).toMatchObject({ id: 'e-1', name: 'orders.order.placed', source: 'shop', key: 'k' });
    expect({ ...read.headers }).toEqual({ own: 'h' });
  });

  it.each([
    ['integer milliseconds', 1_700_000_000_123, '2023-11-14T22:13:20.123Z'],
    ['an AMQP timestamp', { '!': 'timestamp', value: 1_700_000_000 }, '2023-11-14T22:13:20.000Z'],
  ])('reads a time given as %s', (_what, time, expected) => {
    expect(toEnvelope(message(attributes('ce-', { 'ce-time': time })), { serializer: jsonSerializer }).time).toBe(
      expected,
    );
  });

  it('keeps what the broker adds out of the headers of the user', () => {
    const death = [{ count: 1, reason: 'expired', queue: 'q' }];
    const read = toEnvelope(message(attributes('ce-', { 'x-death': death, 'x-delivery-count': 2 })), {
      serializer: jsonSerializer,
    });
    expect({ ...read.headers }).toEqual({});
  });

  it('brings every attribute and header back', () => {
    const sent = createEnvelope({
      name: 'orders.order.placed',
      source: 'shop',
      data: { total: 1 },
      key: '🗝',
      subject: 's',
      correlationId: 'c',
      causationId: 'a',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      headers: { text: 'ü', bytes: Buffer.from([0, 255]), list: ['a', Buffer.from([1])], empty: [] },
    });
    const { body, properties } = toMessage(sent, jsonSerializer);
    expect(toEnvelope({ content: body, properties } as unknown as Message, { serializer: jsonSerializer })).toEqual(
      sent,
    );
  });

  it('leaves out properties that AMQP cannot carry, and keeps the attribute', () => {
    const id = 'x'.repeat(300);
    const envelope = createEnvelope({ name: 'a', source: 's', data: 1, id, time: '1969-01-01T00:00:00Z' });
    const { properties } = toMessage(envelope, jsonSerializer);
    expect(properties).not.toHaveProperty('messageId');
    expect(properties).not.toHaveProperty('timestamp');
    expect(properties.headers).toMatchObject({ cloudEvents_id: id });
  });

  it('carries properties through raw headers and back, and drops what the broker wrote', () => {
    const headers = toHeaders(
      message({ own: 'h', number: 7, nothing: null, table: { a: 1 }, 'x-death': [] }, '', {
        messageId: 'm',
        priority: 3,
        timestamp: 1_700_000_000,
        expiration: '60000',
      }),
    );
    expect({ ...headers }).toMatchObject({
      own: 'h',
      number: '7',
      nothing: '',
      table: '{"a":1}',
      'x-amqp-message-id': 'm',
    });
    const { properties } = rawToMessage(null, headers);
    expect(properties).toMatchObject({
      messageId: 'm',
      priority: 3,
      timestamp: 1_700_000_000,
      contentType: 'application/json',
    });
    expect(properties).not.toHaveProperty('expiration');
    expect(Object.keys(properties.headers as object)).toEqual(['own', 'number', 'nothing', 'table']);
  });
});
