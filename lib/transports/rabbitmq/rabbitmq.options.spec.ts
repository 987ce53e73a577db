import { describe, expect, it } from '@jest/globals';
import { defaultPrefetch, handlerSettings, transportSettings, type RabbitmqOptions } from './rabbitmq.options.js';

describe('the options of rabbitmq()', () => {
  it('need a url only', () => {
    expect(transportSettings({ url: 'amqp://localhost' })).toEqual({
      name: 'rabbitmq',
      urls: ['amqp://localhost'],
      exchange: 'events',
      queue: { prefetch: undefined, queueTtlMs: 604_800_000, deliveryLimit: 20, singleActiveConsumer: false },
      heartbeatSeconds: 60,
      blockedTimeoutMs: 300_000,
      connectTimeoutMs: 30_000,
      tls: {},
    });
  });

  it('take what is undefined for not given', () => {
    expect(transportSettings({ url: 'amqp://a', prefetch: undefined, name: undefined }).name).toBe('rabbitmq');
  });

  it('are told every mistake at once, with its path', () => {
    const options = {
      url: 'http://a',
      prefetch: 0,
      heartbeatSeconds: 1.5,
      exchange: 'amq.topic',
      tls: 'yes',
      prefech: 1,
    };
    const wrong = (): unknown => transportSettings(options as unknown as RabbitmqOptions);
    for (const path of ['url', 'prefetch', 'heartbeatSeconds', 'exchange', 'tls', 'prefech']) {
      expect(wrong).toThrow(
        expect.objectContaining({ message: expect.stringContaining(`rabbitmq.${path} `) as unknown }),
      );
    }
    expect(wrong).toThrow(expect.objectContaining({ code: 'EVENTS_OPTIONS_INVALID' }));
  });

  it.each([
    ['amqp://user:s3cret@:x/', 'rabbitmq.url is not a url'],
    ['user:s3cret@host', 'rabbitmq.url has the protocol'],
    ['redis://user:s3cret@host', 'rabbitmq.url has the protocol "redis:"'],
  ])('never show the password of %s', (url, problem) => {
    let message = '';
    try {
      transportSettings({ url });
    } catch (error) {
      message = String(error);
    }
    expect(message).toContain(problem);
    expect(message).not.toContain('s3cret');
  });

  it('take url or urls, not both and not neither', () => {
    expect(() => transportSettings({})).toThrow('rabbitmq.url is missing');
    expect(() => transportSettings({ url: 'amqp://a', urls: ['amqp://b'] })).toThrow('exclude each other');
    expect(() => transportSettings({ urls: [] })).toThrow('at least one');
    expect(() => transportSettings({ urls: ['amqp://a', 'b'] })).toThrow('rabbitmq.urls[1]');
  });

  it('can be overridden by a handler, whose mistakes name it', () => {
    const base = transportSettings({ url: 'amqp://a', prefetch: 50 }).queue;
    expect(handlerSettings({ deliveryLimit: 3 }, base, 'Mails.send')).toEqual({ ...base, deliveryLimit: 3 });
    expect(() => handlerSettings({ exchange: 'x' }, base, 'Mails.send')).toThrow('handler "Mails.send"');
  });
});

describe('the default prefetch', () => {
  it.each([
    [100, { concurrency: 3 }],
    [500, { concurrency: 50 }],
    [400, { concurrency: 4, batch: { size: 100, waitMs: 20 } }],
    [100, { concurrency: 1, batch: { size: 5, waitMs: 20 } }],
    [65_535, { concurrency: 10, batch: { size: 10_000, waitMs: 20 } }],
  ])('is %i for %j', (prefetch, subscription) => {
    expect(defaultPrefetch(subscription)).toBe(prefetch);
  });
});
