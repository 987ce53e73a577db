/**
 * Consumes and publishes with the built library until it is killed; see other-process.ts, which starts it.
 * Plain JavaScript on `dist/lib`, so that no test runner stands between it and the signal.
 */
import { systemClock } from '../../dist/lib/core/clock.js';
import { createEnvelope } from '../../dist/lib/core/envelope.js';
import { outcome } from '../../dist/lib/core/outcome.js';
import { HandlingScope } from '../../dist/lib/core/scope.js';
import { jsonSerializer } from '../../dist/lib/core/serializer.js';
import { TransportRegistry } from '../../dist/lib/core/transport-registry.js';
import { consumerPipeline } from '../../dist/lib/consuming/consumer.pipeline.js';
import { Consumers } from '../../dist/lib/consuming/consumers.js';
import { CircuitBreakers } from '../../dist/lib/retry/circuit-breakers.js';
import { DEFAULT_RETRY, RetryPolicy } from '../../dist/lib/retry/retry-policy.js';

const task = JSON.parse(process.argv[2] ?? '{}');
// n.b. a write to a pipe may wait in memory, and SIGKILL takes it along: a report too few is fine, one too many is not.
const say = (step, id) => process.stdout.write(`${JSON.stringify({ step, id })}\n`);
const toStderr = (message) => console.error(message);
const logger = { debug: () => undefined, log: () => undefined, warn: toStderr, error: toStderr };

const made = await import(new URL(`../../${task.transport.module}`, import.meta.url).href);
const transport = made[task.transport.factory](task.transport.options).create({
  service: 'other-process',
  clock: systemClock,
  logger,
  serializer: jsonSerializer,
  report: () => undefined,
  publishTimeoutMs: 30_000,
  maxPayloadBytes: 1_000_000,
  window: { maxDeliveries: 1_000, maxBytes: 16 * 1_024 * 1_024 },
  production: false,
});
await transport.connect();

if (task.consume) {
  const { group, patterns, batch } = task.consume;
  const handler = {
    handler: 'handler',
    aliases: [],
    group,
    patterns,
    concurrency: 10,
    ordering: 'key',
    afterDeadLetter: 'continue',
  };
  const subscription = { ...handler, ...(batch && { batch }), idempotent: false, transportOptions: {} };
  const handle = async ({ envelope, envelopes = [envelope] }) => {
    for (const { id } of envelopes) say('started', id);
    if (envelopes.some(({ data }) => data?.hang === true)) await new Promise(() => undefined);
    for (const { id } of envelopes) say('handled', id);
    return outcome.ack();
  };
  const consumers = new Consumers(new TransportRegistry([transport]), {
    clock: systemClock,
    logger,
    report: () => undefined,
    pipeline: consumerPipeline(handle, new HandlingScope()),
    policy: new RetryPolicy(() => DEFAULT_RETRY),
    breakers: new CircuitBreakers({
      clock: systemClock,
      logger,
      report: () => undefined,
      optionsOf: () => DEFAULT_RETRY,
    }),
  });
  const placed = [{ subscription, transport: undefined }];
  await consumers.declare(placed);
  await consumers.start(placed);
}
say('ready');

if (task.publish) {
  for (let n = 0; ; n++) {
    const envelope = createEnvelope({
      name: task.publish.name,
      source: 'other-process',
      data: { n },
      key: `key-${n % 5}`,
    });
    await transport.publish(envelope);
    say('published', envelope.id);
  }
}
