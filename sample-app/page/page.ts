import { SCRIPT } from './page.script.js';
import { STYLE } from './page.style.js';

const way = (id: string, title: string, explanation: string): string => `
    <section class="way" id="${id}">
      <header>
        <h2>${title}</h2>
        <p>${explanation}</p>
      </header>
      <div class="answer"><output class="took">–</output><span class="said">no checkout yet</span></div>
      <div class="chart" role="img" aria-label="What each service did, on a line of time"></div>
      <footer><span class="status"></span><span class="order"></span></footer>
    </section>`;

export const PAGE = `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>One checkout, two ways</title>
  <link rel="icon" href="data:,">
  <style>${STYLE}</style>
</head>
<body>
  <main>
    <header class="top">
      <div>
        <h1>One checkout, two ways</h1>
        <p>The same four services, told by events or called one after another. Press, watch, break something, press again.</p>
      </div>
      <div class="buttons">
        <button data-checkout="events">By events</button>
        <button data-checkout="sync">By direct calls</button>
        <button class="main" data-checkout="both">Both at once</button>
      </div>
    </header>
    <div class="ways">${way(
      'events',
      'By events',
      'The order is saved and told; the customer has the answer. Everyone else works in their own time.',
    )}${way(
      'sync',
      'By direct calls',
      'The customer waits for inventory, payment, email and analytics, and fails with any of them.',
    )}
    </div>
    <div class="below">
      <section>
        <h2>Break it</h2>
        <p>Failing: the service throws, and after four attempts the event is a dead letter. Down: it cannot be reached; the event waits and no attempt is used up.</p>
        <table><thead><tr><th>Service</th><th>Latency</th><th>Failing</th><th>Down</th></tr></thead><tbody id="simulate"></tbody></table>
      </section>
      <section>
        <h2>Dead letters</h2>
        <p>Events a service has given up on, kept with the reason.</p>
        <ul id="letters"></ul>
      </section>
    </div>
    <p id="offline" hidden>The app does not answer. Is it still running?</p>
  </main>
  <script>${SCRIPT}</script>
</body>
</html>
`;
