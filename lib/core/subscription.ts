/** How a batch handler wants its events. */
export interface BatchOptions {
  /** How many events a batch has at most. */
  readonly size: number;
  /** How long the first event of a batch waits for others, in milliseconds. */
  readonly waitMs: number;
}

/** A handler's declared interest: which events, as part of which group, and how they are handed over. */
export interface Subscription {
  /** The handler's id, `Class.method` unless given. It names queues, dedup rows and dead letters: keep it stable. */
  readonly handler: string;
  /** Former ids, whose queues are drained and whose dedup rows are honoured. */
  readonly aliases: readonly string[];
  /** The set of instances that share the work. Each handler gets each event once per group. */
  readonly group: string;
  readonly patterns: readonly string[];
  /** How many deliveries of this handler run at the same time in this process; of a batch handler, how many batches. */
  readonly concurrency: number;
  /** Its deliveries are handed over in batches. Absent: one by one. */
  readonly batch?: BatchOptions;
  /** `key`: events of one key one after another, in order. `none`: no order. */
  readonly ordering: 'key' | 'none';
  /**
   * What becomes of the events of a key one of which is a dead letter. `continue`: they are handled. `park-key`: they are
   * kept behind it, in order, until it is redriven or discarded.
   */
  readonly afterDeadLetter: 'continue' | 'park-key';
  /** `false`: the idempotency interceptor leaves its deliveries alone. */
  readonly idempotent: boolean;
  /** The handler's own block for each kind of transport (`{ rabbitmq: {…} }`), which only that transport reads. */
  readonly transportOptions: Readonly<Record<string, unknown>>;
}

/** `<group>.<handler id>`: who consumed an event, in queues, dedup rows and dead letters. */
export function consumerName(subscription: Pick<Subscription, 'group' | 'handler'>): string {
  return `${subscription.group}.${subscription.handler}`;
}
