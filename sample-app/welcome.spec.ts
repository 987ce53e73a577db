import { describe, expect, test } from '@jest/globals';
import { readConfig } from './config/app.config.js';
import { brokerOf, explain, welcome } from './welcome.js';

describe('what the terminal shows', () => {
  test('is where the app is, at the port it really has, and what to try', () => {
    const text = welcome(readConfig({ PORT: '0' }), 4711);
    expect(text).toContain('http://127.0.0.1:4711 ');
    expect(text).toContain('curl -s -X POST http://127.0.0.1:4711/checkout ');
    expect(text).toContain('an embedded PostgreSQL');
  });

  test.each([
    ['0.0.0.0', 'http://localhost:80'],
    ['::1', 'http://[::1]:80'],
  ])('is an address to open when HOST is %s', (HOST, url) => {
    expect(welcome(readConfig({ HOST }), 80)).toContain(`${url} `);
  });

  test('names the broker without its password', () => {
    const rabbitmq = { TRANSPORT: 'rabbitmq', RABBITMQ_URL: 'amqp://me:secret@host:5672/shop' };
    expect(brokerOf(readConfig(rabbitmq))).toBe('RabbitMQ at host:5672');
    expect(brokerOf(readConfig({ TRANSPORT: 'kafka', KAFKA_BROKERS: 'a:1,b:2' }))).toBe('Kafka at a:1, b:2');
  });

  test('says what to do about a port that is taken', () => {
    const taken = Object.assign(new Error('listen EADDRINUSE'), { code: 'EADDRINUSE' });
    expect(explain(taken)).toMatch(/Set PORT/);
    expect(explain(new Error('other'))).toBe('other');
  });
});
