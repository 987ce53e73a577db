import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { withBroker } from '../support/brokers.js';
import { eventually } from '../support/eventually.js';
import { createDatabase, type TestDatabase } from '../support/databases.js';
import { SampleAppProcess } from '../support/sample-app-process.js';

const SERVICES = ['inventory', 'payment', 'email', 'analytics'] as const;
const CHECKOUT = { userId: 'ada', items: [{ sku: 'tea', quantity: 2, price: 4.5 }] };

interface StepView {
  readonly state: string;
  readonly startedAt?: string;
  readonly doneAt?: string;
  readonly tookMs?: number;
}

interface OrderView {
  readonly orderId: string;
  readonly status: string;
  readonly steps: Record<(typeof SERVICES)[number], StepView>;
}

withBroker('postgres', 'DATABASE_URL', (server) => {
  describe('the sample app', () => {
    let database: TestDatabase;
    let app: SampleAppProcess;

    beforeAll(async () => {
      database = await createDatabase(server, 'sample');
      // A twentieth of the latencies: 7, 40, 15 and 100 ms.
      app = new SampleAppProcess({
        TRANSPORT: 'memory',
        DATABASE_URL: database.url,
        SIMULATED_LATENCY_SCALE: '0.05',
      });
      await app.start();
    });

    afterAll(async () => {
      await app.stop();
      await database.drop();
    });

    beforeEach(async () => {
      for (const service of SERVICES) await app.post('/simulate', { service, failing: false, down: false });
    });

    const order = async (id: string): Promise<OrderView> => (await app.get(`/orders/${id}`)).body as OrderView;
    const states = async (id: string): Promise<string[]> =>
      Object.values((await order(id)).steps).map(({ state }) => state);

    test('answers the checkout by events before any service is done, and all are done in the end', async () => {
      await app.post('/simulate', { service: 'inventory', down: true });
      const { status, body } = await app.post('/checkout', CHECKOUT);
      expect(status).toBe(202);
      const { orderId, tookMs } = body as { orderId: string; tookMs: number };
      expect(tookMs).toBeGreaterThanOrEqual(0);
      const { inventory, payment, analytics } = (await order(orderId)).steps;
      expect([inventory.state, payment.state, analytics.state]).toEqual(['pending', 'pending', 'pending']);
      await app.post('/simulate', { service: 'inventory', down: false });
      await eventually(async () => (await states(orderId)).every((state) => state === 'done'));
      const done = await order(orderId);
      expect(done).toMatchObject({ orderId, status: 'completed' });
      for (const { startedAt, doneAt, tookMs: took } of Object.values(done.steps)) {
        expect(Date.parse(doneAt ?? '') - Date.parse(startedAt ?? '')).toBe(took);
      }
    });

    test('makes the customer wait for the sum of all services when they are called', async () => {
      const { status, body } = await app.post('/checkout/sync', CHECKOUT);
      expect(status).toBe(200);
      const { orderId, tookMs } = body as { orderId: string; tookMs: number };
      expect(tookMs).toBeGreaterThanOrEqual(7 + 40 + 15 + 100);
      expect(await order(orderId)).toMatchObject({ status: 'completed' });
      expect(await states(orderId)).toEqual(['done', 'done', 'done', 'done']);
    });

    test('completes orders while analytics fails, whose events become dead letters after four attempts', async () => {
      await app.post('/simulate', { service: 'analytics', failing: true });
      const { orderId } = (await app.post('/checkout', CHECKOUT)).body as { orderId: string };
      await eventually(async () => (await order(orderId)).steps.analytics.state === 'failed');
      expect(await order(orderId)).toMatchObject({ status: 'completed' });
      const letters = (await app.get('/dead-letters')).body as { handler: string; attempts: number; event: string }[];
      expect(letters).toContainEqual(
        expect.objectContaining({ handler: 'track-order', event: 'orders.order.completed', attempts: 4 }),
      );
    });

    test('lets an operator discard dead letters, and redrive others when analytics is mended', async () => {
      interface Letter {
        readonly id: string;
      }
      const open = async (): Promise<Letter[]> => (await app.get('/dead-letters')).body as Letter[];
      for (const { id } of await open()) {
        expect((await app.post(`/dead-letters/${id}/discard`, { by: 'ann' })).body).toEqual({ discarded: 1 });
      }
      expect(await open()).toEqual([]);
      await app.post('/simulate', { service: 'analytics', failing: true });
      const placed = [await app.post('/checkout', CHECKOUT), await app.post('/checkout', CHECKOUT)];
      const [first] = placed.map(({ body }) => (body as { orderId: string }).orderId) as [string, string];
      await eventually(async () => (await open()).length === 2);
      await app.post('/simulate', { service: 'analytics', failing: false });
      for (const { id } of await open()) {
        expect((await app.get(`/dead-letters/${id}`)).body).toMatchObject({ id, state: 'waiting' });
        const { status, body } = await app.post(`/dead-letters/${id}/redrive`, { by: 'ann', note: 'mended' });
        expect([status, body]).toMatchObject([202, { by: 'ann', total: 1 }]);
        const progress = async (): Promise<unknown> =>
          (await app.get(`/dead-letters/redrives/${(body as { id: string }).id}`)).body;
        await eventually(async () => expect(await progress()).toMatchObject({ state: 'done', handled: 1 }) ?? true);
      }
      expect(await open()).toEqual([]);
      await eventually(async () => (await order(first)).steps.analytics.state === 'done');
      expect((await app.post('/dead-letters/nobody/redrive', { by: 'ann' })).status).toBe(404);
      expect((await app.post('/dead-letters/nobody/redrive', {})).status).toBe(400);
    });

    test('fails the checkout by calls when analytics fails, and names it', async () => {
      await app.post('/simulate', { service: 'analytics', failing: true });
      const { status, body } = await app.post('/checkout/sync', CHECKOUT);
      expect(status).toBe(502);
      expect(body).toMatchObject({ service: 'analytics' });
    });

    test('fails an order whose payment is given up, and says which service it was when called', async () => {
      await app.post('/simulate', { service: 'payment', failing: true });
      const { orderId } = (await app.post('/checkout', CHECKOUT)).body as { orderId: string };
      await eventually(async () => (await order(orderId)).status === 'failed');
      expect(await states(orderId)).toEqual(['done', 'failed', 'done', 'pending']);
      await app.post('/simulate', { service: 'payment', failing: false, down: true });
      const { status, body } = await app.post('/checkout/sync', CHECKOUT);
      expect(status).toBe(503);
      expect(body).toMatchObject({ service: 'payment' });
      expect(await states((body as { orderId: string }).orderId)).toEqual(['done', 'failed', 'pending', 'pending']);
    });

    test('lets the events of a service that is down wait, without dead letters, until it is back', async () => {
      const before = ((await app.get('/dead-letters')).body as unknown[]).length;
      await app.post('/simulate', { service: 'analytics', down: true });
      const { orderId } = (await app.post('/checkout', CHECKOUT)).body as { orderId: string };
      await eventually(async () => (await order(orderId)).status === 'completed');
      expect((await order(orderId)).steps.analytics.state).toBe('pending');
      await app.post('/simulate', { service: 'analytics', down: false });
      await eventually(async () => (await order(orderId)).steps.analytics.state === 'done');
      expect((await app.get('/dead-letters')).body).toHaveLength(before);
    });

    test.each([
      ['/checkout', {}, ['userId', 'items']],
      ['/checkout', { userId: 'ada', items: [] }, ['items']],
      ['/checkout', { userId: 'ada', items: [{ sku: 'tea', quantity: 0, price: 1 }] }, ['items.0.quantity']],
      ['/checkout/sync', { ...CHECKOUT, userId: 7 }, ['userId']],
      ['/simulate', { service: 'weather' }, ['service']],
    ])('answers a bad body for %s with 400 and the fields: %j', async (path, body, fields) => {
      const answer = await app.post(path, body);
      expect(answer.status).toBe(400);
      expect((answer.body as { fields: { field: string }[] }).fields.map(({ field }) => field)).toEqual(fields);
    });

    test('says 404 for an order that does not exist', async () => {
      expect((await app.get(`/orders/${randomUUID()}`)).status).toBe(404);
    });

    test('shows both ways on one page that needs nothing from elsewhere', async () => {
      const page = await app.page();
      expect(page).toContain('One checkout, two ways');
      expect(page).not.toMatch(/(src|href)\s*=\s*["']?https?:/);
    });
  });

  test.each([
    ['TRANSPORT', 'pigeon', /TRANSPORT must be memory, kafka or rabbitmq, but is "pigeon"/],
    ['PORT', '99999', /PORT must be a port/],
    ['KAFKA_BROKERS', 'no-port', /KAFKA_BROKERS must be host:port/],
    ['DATABASE_URL', 'mysql://root:geheim@host', /DATABASE_URL must be a URL like postgres:/],
  ])('the sample app refuses a bad %s with one clear message', async (name, value, message) => {
    const { code, output } = await SampleAppProcess.fails({ [name]: value });
    expect(code).toBe(1);
    expect(output).toMatch(message);
    expect(output).not.toContain('geheim');
    expect(output).not.toMatch(/^\s+at /m);
  });
});
