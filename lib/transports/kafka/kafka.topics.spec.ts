import { describe, expect, it } from '@jest/globals';
import { isEventsError } from '../../core/errors.js';
import { deadLetterTopic, isTopicName, KafkaTopics } from './kafka.topics.js';

describe('KafkaTopics', () => {
  it('carries events of one entity on one topic by default', () => {
    const topics = new KafkaTopics(undefined);
    expect(
      ['orders.order.placed', 'orders.order.placed.v2', 'orders.order', 'orders'].map((name) => topics.of(name)),
    ).toEqual(['orders.order', 'orders.order', 'orders.order', 'orders']);
  });

  it.each([
    ['orders.order.placed', ['orders.order'], false],
    ['orders.order.*', ['orders.order'], false],
    ['orders.order.#', ['orders.order'], false],
    ['orders.*', [], true],
    ['orders.#', [], true],
    ['#', [], true],
    ['*.order.placed', [], true],
  ])('%s names the topics %j; topics to come may carry it: %s', (pattern, fixed, open) => {
    const topics = new KafkaTopics(undefined);
    expect(topics.fixed(pattern)).toEqual(fixed);
    expect(topics.isOpen(pattern)).toBe(open);
  });

  it.each([
    ['orders.order', 'orders.#', true],
    ['orders', 'orders.#', true],
    ['orders.order', 'orders.*', true],
    ['orders.order', '*.invoice.*', false],
    ['orders.order', '#.placed', true],
    ['order-events', '#', true],
    ['order-events', 'orders.#', false],
    ['a.b.c', '#', false],
    ['shop.dlq', '#', false],
    ['orders.retry', '#', false],
    ['__consumer_offsets', '#', false],
    ['orders.order', 'orders.order.placed', true],
    ['orders.order', 'orders.invoice.sent', false],
  ])('whether %s can carry %s: %s', (topic, pattern, can) => {
    expect(new KafkaTopics(undefined).canCarry(topic, pattern)).toBe(can);
  });

  it('takes a map, first match wins, the rest as by default', () => {
    const topics = new KafkaTopics({ 'orders.order.placed': 'hot', 'orders.#': 'cold' });
    expect(['orders.order.placed', 'orders.order.paid', 'mail.mail.sent'].map((name) => topics.of(name))).toEqual([
      'hot',
      'cold',
      'mail.mail',
    ]);
    expect(topics.fixed('orders.*.placed')).toEqual(['hot', 'cold']);
    expect(topics.canCarry('hot', '#')).toBe(true);
    expect(topics.isOpen('#')).toBe(true);
  });

  it('takes one topic for all: nothing is left to find', () => {
    const topics = new KafkaTopics('events');
    expect(topics.of('orders.order.placed')).toBe('events');
    expect(topics.fixed('#')).toEqual(['events']);
    expect(topics.isOpen('#')).toBe(false);
  });

  it('takes a function for names, and refuses wildcards with it', () => {
    const topics = new KafkaTopics((name) => `prod.${name.split('.', 1)[0]}`);
    expect(topics.of('orders.order.placed')).toBe('prod.orders');
    expect(topics.fixed('orders.order.placed')).toEqual(['prod.orders']);
    expect(() => topics.fixed('orders.*.placed')).toThrow('map of patterns');
    expect(() => new KafkaTopics(() => 'no topic!').of('a.b.c')).toThrow('no topic');
  });

  it('knows what Kafka takes as a name', () => {
    expect(['a', 'a.b-c_d', 'a'.repeat(249)].every(isTopicName)).toBe(true);
    expect(['', '.', '..', 'a b', 'ü', 'a'.repeat(250), 'a.dlq', '__x', 7].some(isTopicName)).toBe(false);
    expect(deadLetterTopic('shop')).toBe('shop.dlq');
    try {
      deadLetterTopic('my shop');
    } catch (error) {
      expect(isEventsError(error, 'EVENTS_OPTIONS_INVALID')).toBe(true);
    }
  });
});
