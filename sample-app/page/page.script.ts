/**
 * Plain JavaScript for the browser: no build step and nothing from elsewhere. What comes from the server is only ever
 * set as text, never as HTML.
 */
export const SCRIPT = `
'use strict';
const SERVICES = ['inventory', 'payment', 'email', 'analytics'];
const PENDING_POLL_MS = 200, IDLE_POLL_MS = 2000, SHORTEST_AXIS_MS = 3500, RECENT_MS = 60000;
const shown = { events: {}, sync: {} }; // per way: orderId, tookMs, error, since (a checkout that has no answer yet)

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
const ms = (value) => Math.round(value).toLocaleString('en') + ' ms';

async function call(path, body) {
  const response = await fetch(path, body && {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
  });
  return { ok: response.ok, body: await response.json() };
}

async function checkout(way) {
  const state = shown[way] = { since: performance.now() };
  poll();
  try {
    const { ok, body } = await call(way === 'sync' ? 'checkout/sync' : 'checkout', {
      userId: 'ada', items: [{ sku: 'tea', quantity: 2, price: 4.5 }, { sku: 'cup', quantity: 1, price: 12 }],
    });
    state.orderId = body.orderId;
    state.tookMs = ok ? body.tookMs : performance.now() - state.since;
    if (!ok) state.error = body.message;
  } catch {
    state.error = 'no answer';
  }
  delete state.since;
  poll();
}

function drawWay(way, orders) {
  const state = shown[way], section = document.getElementById(way);
  const mine = orders.filter((order) => order.way === way);
  // A direct call gives its order's id only at the end; until then it is the newest one.
  const order = state.orderId ? mine.find(({ orderId }) => orderId === state.orderId) : mine[0];
  section.classList.toggle('bad', Boolean(state.error));
  section.querySelector('.said').textContent =
    state.error ?? (state.since ? 'the customer is waiting' : state.tookMs === undefined ? 'no checkout yet' : 'until the customer had the answer');
  if (!order || (state.since && way === 'events')) return;
  const begin = Date.parse(order.placedAt);
  const ends = SERVICES.map((name) => Date.parse(order.steps[name].doneAt ?? order.steps[name].failedAt ?? '') - begin);
  const axis = Math.max(SHORTEST_AXIS_MS, ...ends.filter((end) => end > 0));
  const open = order.status !== 'failed' || way === 'events';
  const rows = SERVICES.map((name) => drawStep(name, order.steps[name], { begin, axis, open, answeredMs: state.tookMs }));
  const ruler = element('div', 'axis');
  ruler.append(element('span', '', '0'), element('span', '', (axis / 1000).toFixed(1) + ' s'));
  section.querySelector('.chart').replaceChildren(...rows, ruler);
  const status = section.querySelector('.status');
  status.replaceChildren(element('span', '', 'order '), element('b', '', order.status));
  if (order.completedAt) status.append(' after ' + ms(Date.parse(order.completedAt) - begin));
  section.querySelector('.order').textContent = order.orderId.slice(0, 8);
}

function drawStep(name, step, { begin, axis, open, answeredMs }) {
  const row = element('div', 'step ' + (step.state === 'pending' ? (open ? 'running' : 'skipped') : step.state));
  const track = element('div', 'track'), bar = element('div', 'bar');
  if (step.state !== 'pending') {
    const end = Date.parse(step.doneAt ?? step.failedAt) - begin;
    // Of a step that was given up, only the end is known.
    const from = step.startedAt ? Date.parse(step.startedAt) - begin : end;
    bar.style.left = Math.min(98, Math.max(0, from / axis * 100)) + '%';
    bar.style.width = Math.max(0, (end - from) / axis * 100) + '%';
  }
  if (step.state !== 'pending' || open) track.append(bar);
  if (answeredMs !== undefined) {
    const mark = element('div', 'mark');
    mark.style.left = Math.min(99.5, answeredMs / axis * 100) + '%';
    mark.title = 'the customer has the answer';
    track.append(mark);
  }
  const said = step.state === 'done' ? ms(step.tookMs) : step.state === 'pending' && !open ? 'not called' : step.state;
  const state = element('span', 'state', said);
  if (step.error) row.title = step.error;
  row.append(element('span', '', name), track, state);
  return row;
}

function drawLetters(letters) {
  const items = letters.slice(-20).reverse().map((letter) => {
    const item = element('li');
    item.append(element('b', '', letter.group + '.' + letter.handler), ' ' + (letter.event ?? 'undecodable') +
      ' · ' + letter.attempts + ' attempt(s) · ' + letter.error);
    return item;
  });
  document.getElementById('letters').replaceChildren(...(items.length > 0 ? items : [element('li', 'none', 'None.')]));
}

async function change(service, changes) {
  drawSimulate((await call('simulate', { service, ...changes })).body);
}

function drawSimulate(behaviours) {
  document.getElementById('simulate').replaceChildren(...SERVICES.map((service) => {
    const row = element('tr'), latency = element('input');
    Object.assign(latency, { type: 'number', min: 0, max: 60000, step: 50, value: behaviours[service].latencyMs });
    latency.setAttribute('aria-label', service + ' latency in ms');
    latency.onchange = () => change(service, { latencyMs: Math.min(60000, Math.max(0, Math.round(Number(latency.value)))) });
    const switches = ['failing', 'down'].map((name) => {
      const box = element('input');
      Object.assign(box, { type: 'checkbox', checked: behaviours[service][name] });
      box.setAttribute('aria-label', service + ' ' + name);
      box.onchange = () => change(service, { [name]: box.checked });
      return box;
    });
    for (const content of [service, latency, ...switches]) {
      const cell = element('td');
      cell.append(content);
      row.append(cell);
    }
    return row;
  }));
}

let timer, polling = false, again = false, lettersAt = 0;
async function poll() {
  clearTimeout(timer);
  if (polling) return void (again = true);
  polling = true;
  let wait = IDLE_POLL_MS;
  try {
    const { body: orders } = await call('orders');
    for (const way of ['events', 'sync']) drawWay(way, orders);
    if (performance.now() - lettersAt > IDLE_POLL_MS) {
      drawLetters((await call('dead-letters')).body);
      lettersAt = performance.now();
    }
    const busy = orders.some(({ way, placedAt, steps }) => way === 'events' && Date.now() - Date.parse(placedAt) < RECENT_MS &&
      SERVICES.some((name) => steps[name].state === 'pending'));
    if (busy || shown.sync.since || shown.events.since) wait = PENDING_POLL_MS;
    document.getElementById('offline').hidden = true;
  } catch {
    document.getElementById('offline').hidden = false;
  }
  polling = false;
  if (again) { again = false; return poll(); }
  timer = setTimeout(poll, wait);
}

function tick() {
  for (const way of ['events', 'sync']) {
    const { since, tookMs } = shown[way];
    const value = since ? performance.now() - since : tookMs;
    document.getElementById(way).querySelector('.took').textContent = value === undefined ? '–' : ms(value);
  }
  requestAnimationFrame(tick);
}

for (const button of document.querySelectorAll('[data-checkout]')) {
  button.onclick = () => {
    for (const way of ['events', 'sync']) if ([way, 'both'].includes(button.dataset.checkout)) checkout(way);
  };
}
call('simulate').then(({ body }) => drawSimulate(body));
poll();
tick();
`;
