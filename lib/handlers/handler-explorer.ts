import { isDeepStrictEqual } from 'node:util';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper.js';
import { EventsError } from '../core/errors.js';
import type { EventsLogger } from '../core/logger.js';
import { isWholeNumber } from '../core/ranges.js';
import { retryProblems } from '../core/retry-options.check.js';
import type { RetryOverrides } from '../core/retry-options.js';
import type { BatchOptions, Subscription } from '../core/subscription.js';
import { exploreDeadLetterHandlers, type DeadLetterHandler } from './dead-letter-handlers.js';
import type { HandlerRegistry, RegisteredHandler } from './handler-registry.js';
import { onEventMetadata, type OnEventMetadata, type OnEventsOptions } from './on-event.decorator.js';
import { checkPattern, featureGroup, HANDLER_ID, providerMethods, type DiscoveryTools } from './provider-methods.js';

export interface ExplorerDefaults {
  readonly group: string;
  readonly concurrency: number;
}

export interface ExplorerTools extends DiscoveryTools {
  readonly registry: HandlerRegistry;
  /** Where the `@OnDeadLetter` methods go. */
  readonly listeners: DeadLetterHandler[];
  readonly logger: EventsLogger;
}

const DEFAULT_BATCH: BatchOptions = { size: 100, waitMs: 20 };
/** A batch has many events: fewer of them at once than of single deliveries. */
const DEFAULT_BATCHES = 4;
const MAX_BATCH_SIZE = 10_000;
const MAX_BATCH_WAIT_MS = 60_000;

/** Finds the methods with `@OnEvent`, `@OnEvents` and `@OnDeadLetter` on all providers and controllers and registers them. */
export class HandlerExplorer {
  constructor(
    private readonly tools: ExplorerTools,
    private readonly defaults: ExplorerDefaults,
  ) {}

  explore(): void {
    for (const { wrapper, method, callback, label } of providerMethods(this.tools)) {
      for (const uses of byId(onEventMetadata(callback), label).values()) this.#register(wrapper, method, uses);
    }
    for (const found of exploreDeadLetterHandlers(this.tools, this.defaults)) this.tools.listeners.push(found);
  }

  #register(wrapper: InstanceWrapper<object>, method: string, uses: HandlerUses): void {
    const { id, label, decorator, patterns, options } = uses;
    const batched = decorator === '@OnEvents';
    const concurrency = options.concurrency ?? (batched ? DEFAULT_BATCHES : this.defaults.concurrency);
    if (!HANDLER_ID.test(id)) throw invalid(id, label, 'its id is not made of letters, digits, "_", "-" and "."');
    for (const pattern of patterns) checkPattern(pattern, id);
    const subscription: Subscription = {
      handler: id,
      aliases: options.aliases ?? [],
      group: checkGroup(options.group ?? featureGroup(wrapper.host) ?? this.defaults.group, id, label),
      patterns,
      concurrency: checkConcurrency(concurrency, id, label),
      ...(batched ? { batch: checkBatch(options.batch, id, label) } : {}),
      ordering: options.ordering ?? 'key',
      afterDeadLetter: options.afterDeadLetter ?? 'continue',
      idempotent: options.idempotent ?? true,
      transportOptions: { kafka: options.kafka, rabbitmq: options.rabbitmq },
    };
    const handler: RegisteredHandler = {
      subscription,
      wrapper,
      method,
      label,
      transport: options.transport,
      retry: checkRetry(options.retry, id, label),
    };
    this.tools.registry.add(handler);
    if (wrapper.isNotMetatype) {
      this.tools.logger.warn(
        `${label} is a handler on a provider made by a factory or value: Nest does not resolve its class's ` +
          'guards, interceptors and filters from the module. Provide the class itself to have them.',
      );
    }
  }
}

interface HandlerUses {
  readonly id: string;
  readonly label: string;
  readonly decorator: OnEventMetadata['decorator'];
  readonly patterns: readonly string[];
  readonly options: OnEventsOptions;
}

/** Decorators with one id are one handler with several patterns; what they say besides must not differ. */
function byId(metadata: readonly OnEventMetadata[], label: string): Map<string, HandlerUses> {
  const found = new Map<string, HandlerUses>();
  for (const { decorator, patterns: added, options } of metadata) {
    const id = options.id ?? label;
    const before = found.get(id) ?? { id, label, decorator, patterns: [], options: {} };
    if (before.decorator !== decorator)
      throw invalid(id, label, '@OnEvent and @OnEvents with one id exclude each other');
    const patterns = [...new Set([...before.patterns, ...added])];
    found.set(id, { ...before, patterns, options: mergeOptions(before, options) });
  }
  return found;
}

function mergeOptions(before: HandlerUses, options: OnEventsOptions): OnEventsOptions {
  const merged: Record<string, unknown> = { ...before.options };
  for (const [name, value] of Object.entries(options)) {
    if (name in merged && !isDeepStrictEqual(merged[name], value)) {
      throw invalid(before.id, before.label, `its decorators disagree about "${name}"`);
    }
    merged[name] = value;
  }
  return merged;
}

function checkGroup(group: string, id: string, label: string): string {
  if (HANDLER_ID.test(group)) return group;
  throw invalid(id, label, `its group ${JSON.stringify(group)} is not made of letters, digits, "_", "-" and "."`);
}

function checkConcurrency(concurrency: number, id: string, label: string): number {
  if (Number.isInteger(concurrency) && concurrency > 0) return concurrency;
  throw invalid(id, label, 'its concurrency is not a whole number above 0');
}

function checkRetry(retry: RetryOverrides = {}, id: string, label: string): RetryOverrides {
  const problems = retryProblems('retry', retry);
  if (problems.length > 0) throw invalid(id, label, problems.join('; '));
  return retry;
}

function checkBatch(batch: unknown, id: string, label: string): BatchOptions {
  if (batch === undefined) return DEFAULT_BATCH;
  if (typeof batch !== 'object' || batch === null) throw invalid(id, label, 'its batch is not { size, waitMs }');
  const unknown = Object.keys(batch).find((name) => !Object.hasOwn(DEFAULT_BATCH, name));
  if (unknown !== undefined) throw invalid(id, label, `its batch has no option ${JSON.stringify(unknown)}`);
  const { size = DEFAULT_BATCH.size, waitMs = DEFAULT_BATCH.waitMs } = batch as Partial<BatchOptions>;
  if (!isWholeNumber(size, 1, MAX_BATCH_SIZE)) {
    throw invalid(id, label, `its batch.size is not a whole number from 1 to ${MAX_BATCH_SIZE}`);
  }
  if (!isWholeNumber(waitMs, 0, MAX_BATCH_WAIT_MS)) {
    throw invalid(id, label, `its batch.waitMs is not a whole number from 0 to ${MAX_BATCH_WAIT_MS}`);
  }
  return { size, waitMs };
}

function invalid(handler: string, label: string, problem: string): EventsError {
  return new EventsError('EVENTS_HANDLER_INVALID', `${label} cannot be a handler: ${problem}`, {
    handler,
    remedy: 'Correct the options of its @OnEvent or @OnEvents.',
  });
}
