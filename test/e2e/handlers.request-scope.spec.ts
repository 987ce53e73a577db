import { expect, test } from '@jest/globals';
import { Controller, Inject, Injectable, Scope, UseGuards, type CanActivate } from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { EventEnvelope, OnEvent, type Attempt, type Envelope } from '../../lib/index.js';
import { useApps } from '../support/nest-app.js';

const start = useApps();

@Injectable({ scope: Scope.REQUEST })
class Tenant {
  static made = 0;
  readonly number = ++Tenant.made;
  constructor(@Inject(REQUEST) readonly request: Attempt) {}
  get name(): string {
    return String(this.request.envelope.headers['tenant']);
  }
}

test('REQUEST is the attempt, and everything of one attempt shares the same instances', async () => {
  const seen: unknown[] = [];
  @Injectable()
  class Shared {
    readonly seen = seen;
  }
  @Injectable()
  class Audit {
    constructor(readonly tenant: Tenant) {}
  }
  @Injectable()
  class Emails {
    constructor(
      private readonly tenant: Tenant,
      private readonly audit: Audit,
      private readonly shared: Shared,
    ) {}
    @OnEvent('orders.order.placed')
    send(_: unknown, envelope: Envelope): void {
      const { request } = this.tenant;
      expect(request.envelope).toBe(envelope);
      expect(this.audit.tenant).toBe(this.tenant);
      this.shared.seen.push([this.tenant.name, request.attempt, request.subscription.handler]);
    }
  }
  const app = await start({ providers: [Emails, Tenant, Audit, Shared] });
  await app.bus.publish('orders.order.placed', null, { headers: { tenant: 'a' }, key: 'k' });
  await app.bus.publish('orders.order.placed', null, { headers: { tenant: 'b' }, key: 'k' });
  await app.saw('handled', 2);
  expect(seen).toEqual([
    ['a', 1, 'Emails.send'],
    ['b', 1, 'Emails.send'],
  ]);
});

test('each attempt has a new instance', async () => {
  const numbers: number[] = [];
  @Injectable()
  class Emails {
    constructor(private readonly tenant: Tenant) {}
    @OnEvent('orders.order.placed')
    send(): void {
      numbers.push(this.tenant.number);
      if (this.tenant.request.attempt < 3) throw new Error('again');
    }
  }
  const app = await start({ providers: [Emails, Tenant] });
  await app.bus.publish('orders.order.placed', null);
  await app.saw('handled');
  expect(numbers).toHaveLength(3);
  expect(new Set(numbers).size).toBe(3);
});

test('deliveries side by side do not share instances', async () => {
  const pairs: [string, string][] = [];
  @Injectable({ scope: Scope.REQUEST })
  class Emails {
    constructor(private readonly tenant: Tenant) {}
    @OnEvent('orders.order.placed')
    async send(@EventEnvelope() envelope: Envelope): Promise<void> {
      await new Promise((resolve) => setImmediate(resolve));
      pairs.push([this.tenant.name, String(envelope.headers['tenant'])]);
    }
  }
  const app = await start({ providers: [Emails, Tenant] });
  await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      app.bus.publish('orders.order.placed', null, { headers: { tenant: `t${n}` } }),
    ),
  );
  await app.saw('handled', 20);
  expect(pairs).toHaveLength(20);
  for (const [injected, published] of pairs) expect(injected).toBe(published);
});

test('controllers and guards can be request-scoped, too', async () => {
  const seen: string[] = [];
  @Injectable()
  class Guard implements CanActivate {
    constructor(private readonly tenant: Tenant) {}
    canActivate(): boolean {
      seen.push(`guard ${this.tenant.name}`);
      return this.tenant.name !== 'denied';
    }
  }
  @Controller()
  @UseGuards(Guard)
  class Orders {
    constructor(private readonly tenant: Tenant) {}
    @OnEvent('orders.order.placed')
    placed(): void {
      seen.push(`handler ${this.tenant.name}`);
    }
  }
  const app = await start({ controllers: [Orders], providers: [Tenant] });
  await app.bus.publish('orders.order.placed', null, { headers: { tenant: 'a' }, key: 'k' });
  await app.bus.publish('orders.order.placed', null, { headers: { tenant: 'denied' }, key: 'k' });
  await app.saw('dead-lettered');
  expect(seen).toEqual(['guard a', 'handler a', 'guard denied']);
});

test('a request-scoped dependency that cannot be made is a failure like any other', async () => {
  @Injectable({ scope: Scope.REQUEST })
  class Broken {
    constructor() {
      throw new RangeError('no tenant');
    }
  }
  @Injectable()
  class Emails {
    constructor(private readonly broken: Broken) {}
    @OnEvent('orders.order.placed', { id: 'emails' })
    send(): unknown {
      return this.broken;
    }
  }
  const app = await start({ providers: [Emails, Broken] });
  await app.bus.publish('orders.order.placed', null);
  await app.saw('dead-lettered');
  expect(await app.deadLetters('emails')).toMatchObject([{ attempts: 4, error: { message: 'no tenant' } }]);
});
