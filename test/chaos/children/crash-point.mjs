import pg from 'pg';
import { say } from './nest-app.mjs';

/** Ends this process with SIGKILL when it comes to a step for the nth time. */
export class CrashPoint {
  #times = 0;

  /** @param {{ step: string, at: number } | undefined} plan none: nothing happens */
  constructor(plan) {
    this.plan = plan;
  }

  reach(step) {
    if (step !== this.plan?.step || ++this.#times < this.plan.at) return;
    say({ step: 'crash', point: step });
    process.kill(process.pid, 'SIGKILL');
    // Nothing more leaves this process, however long the signal takes.
    for (;;);
  }
}

/**
 * Crashes around the statements of a delivery's transaction, seen where they enter the client of PostgreSQL. A statement
 * is told by its text, loosely: it is the library's own, and a step that is never reached fails the test.
 */
export function crashInDatabase(crash) {
  const query = pg.Client.prototype.query;
  /** Clients whose open transaction holds an effect: other transactions commit, too. */
  const withEffect = new WeakSet();
  pg.Client.prototype.query = function (config, ...rest) {
    const text = typeof config === 'string' ? config : String(config?.text);
    // Called, that is: migrations name the functions, too.
    const remembers = /^\s*select\b.*\bremember_\w+\(/i.test(text);
    if (remembers) crash.reach('before the insert of the id');
    if (/^\s*insert into effects/i.test(text)) withEffect.add(this);
    if (/^\s*(commit|rollback)\s*;?\s*$/i.test(text) && withEffect.delete(this) && /commit/i.test(text)) {
      crash.reach('before COMMIT');
    }
    const result = query.call(this, config, ...rest);
    if (!remembers) return result;
    return result.then((rows) => {
      crash.reach('after the insert of the id');
      return rows;
    });
  };
}

/** A transport that crashes around the calls that count; everything else is the inner one's. n.b. only a relay publishes here. */
export function crashInTransport(definition, crash) {
  const create = (environment) => {
    const inner = definition.create(environment);
    return delegate(inner, {
      publish: async (envelope) => {
        crash.reach('in the relay, before the send');
        await inner.publish(envelope);
        crash.reach('in the relay, after the send, before the delete');
      },
      consume: (request) => inner.consume(watchingRequest(request, crash)),
    });
  };
  return delegate(definition, { create });
}

/** What a batch gives back goes through `process` as it came. */
function watchingRequest(request, crash) {
  const originals = new WeakMap();
  const watch = (delivery) => {
    const watched = watchedDelivery(delivery, crash);
    originals.set(watched, delivery);
    return watched;
  };
  return {
    ...request,
    process: (delivery, slot) => request.process(watch(delivery), slot),
    processBatch: async (deliveries, slot) => {
      const left = await request.processBatch(deliveries.map(watch), slot);
      return left.map((watched) => originals.get(watched));
    },
  };
}

function watchedDelivery(delivery, crash) {
  say({ step: 'delivered', id: delivery.content.envelope?.id });
  return delegate(delivery, {
    acknowledge: () => {
      crash.reach('after COMMIT, before the acknowledgement');
      delivery.acknowledge();
    },
  });
}

/** An object like another, but for some methods. */
function delegate(inner, methods) {
  return new Proxy(inner, {
    get: (target, name) => {
      if (Object.hasOwn(methods, name)) return methods[name];
      // Private fields want the object itself.
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
