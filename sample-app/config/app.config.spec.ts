import { describe, expect, test } from '@jest/globals';
import { ConfigError, readConfig } from './app.config.js';

describe('the configuration', () => {
  test('needs nothing: memory, an embedded database, port 3000 of this machine', () => {
    expect(readConfig({})).toMatchObject({
      transport: 'memory',
      databaseUrl: undefined,
      port: 3000,
      host: '127.0.0.1',
      latencyScale: 1,
    });
  });

  test('takes an empty variable for an absent one', () => {
    expect(readConfig({ TRANSPORT: '', DATABASE_URL: '', PORT: '' })).toEqual(readConfig({}));
  });

  test('reads brokers with spaces between, port 0 and a scale of 0', () => {
    const config = readConfig({ KAFKA_BROKERS: 'a:1, [::1]:9092', PORT: '0', SIMULATED_LATENCY_SCALE: '0' });
    expect(config).toMatchObject({ kafkaBrokers: ['a:1', '[::1]:9092'], port: 0, latencyScale: 0 });
  });

  test.each([
    ['TRANSPORT', 'redis'],
    ['KAFKA_BROKERS', 'localhost'],
    ['KAFKA_BROKERS', 'a:1,,b:2'],
    ['RABBITMQ_URL', 'http://localhost'],
    ['DATABASE_URL', 'localhost:5432'],
    ['PORT', '65536'],
    ['PORT', '3e3'],
    ['PORT', ' '],
    ['SIMULATED_LATENCY_SCALE', '-1'],
  ])('refuses %s=%j and names it', (name, value) => {
    expect(() => readConfig({ [name]: value })).toThrow(new RegExp(`^  ${name} must be `, 'm'));
  });

  test('tells all mistakes at once, and no password', () => {
    const read = (): unknown => readConfig({ PORT: 'x', TRANSPORT: 'y', DATABASE_URL: 'mysql://me:secret@host/db' });
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(/PORT[^]*but is "x"/);
    expect(read).toThrow(/TRANSPORT[^]*but is "y"/);
    expect(read).not.toThrow(/secret/);
  });
});
