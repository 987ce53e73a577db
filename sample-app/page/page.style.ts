export const STYLE = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #667085; --line: #e3e7ee; --card: #fff; --ground: #f5f7fa;
  --accent: #4456d8; --done: #1f9d6b; --failed: #d64545; --wait: #c9d0dc; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf3; --soft: #98a2b3; --line: #2b3342; --card: #1a2130;
  --ground: #11161f; --accent: #8190ff; --done: #3cc48c; --failed: #f07171; --wait: #3a4457; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 48px; }
h1 { margin: 0; font-size: 28px; letter-spacing: -.02em; } h2 { margin: 0; font-size: 17px; }
p { margin: 4px 0 0; color: var(--soft); }
.top { display: flex; flex-wrap: wrap; gap: 16px 32px; justify-content: space-between; align-items: end; }
.top > div:first-child { flex: 1 1 420px; }
.buttons { display: flex; flex-wrap: wrap; gap: 8px; }
button { border: 1px solid var(--line); border-radius: 9px; padding: 9px 16px; background: var(--card); color: inherit;
  font: inherit; font-weight: 600; cursor: pointer; }
button:hover { border-color: var(--accent); } button:disabled { opacity: .5; cursor: default; }
button.main { background: var(--accent); border-color: var(--accent); color: var(--card); }
.ways, .below { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); gap: 20px; margin-top: 24px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 20px 22px; min-width: 0; }
.way header { min-height: 74px; }
.answer { display: flex; align-items: baseline; gap: 12px; margin: 14px 0 16px; }
.took { white-space: nowrap; font-size: 40px; line-height: 1; font-weight: 700; letter-spacing: -.03em; font-variant-numeric: tabular-nums; }
.said { color: var(--soft); } .way.bad .took, .bad .said { color: var(--failed); }
.chart { position: relative; display: grid; gap: 9px; }
.step { display: grid; grid-template-columns: 78px 1fr 84px; gap: 10px; align-items: center; }
.track { position: relative; height: 22px; border-radius: 6px; background: var(--ground); overflow: hidden; }
.bar { position: absolute; top: 0; bottom: 0; min-width: 4px; border-radius: 6px; }
.done .bar { background: var(--done); } .failed .bar { background: var(--failed); }
.running .bar { background: repeating-linear-gradient(110deg, var(--wait) 0 10px, transparent 10px 20px); inset: 0;
  opacity: .6; animation: move 1s linear infinite; background-size: 200% 100%; }
@keyframes move { to { background-position: 42px 0; } }
@media (prefers-reduced-motion: reduce) { .running .bar { animation: none; } }
.mark { position: absolute; top: 0; bottom: 0; width: 2px; background: var(--accent); }
.state { color: var(--soft); text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.failed .state { color: var(--failed); font-weight: 600; }
.axis { display: flex; justify-content: space-between; margin: 0 94px 0 88px; color: var(--soft); font-size: 12px; }
footer { display: flex; justify-content: space-between; gap: 12px; margin-top: 12px; color: var(--soft); font-size: 13px; }
.status b { color: var(--ink); } .order { font-family: ui-monospace, monospace; overflow: hidden; text-overflow: ellipsis; }
table { width: 100%; border-collapse: collapse; margin-top: 12px; }
th { text-align: left; font-weight: 500; color: var(--soft); font-size: 13px; } td, th { padding: 5px 8px 5px 0; }
input[type=number] { width: 84px; padding: 4px 8px; border: 1px solid var(--line); border-radius: 7px; background: var(--ground);
  color: inherit; font: inherit; } input[type=checkbox] { width: 18px; height: 18px; accent-color: var(--failed); }
ul { list-style: none; margin: 12px 0 0; padding: 0; max-height: 190px; overflow: auto; }
li { padding: 7px 0; border-top: 1px solid var(--line); font-size: 13px; overflow-wrap: anywhere; } li b { font-size: 14px; }
li.none { border: 0; color: var(--soft); }
#offline { margin-top: 20px; color: var(--failed); font-weight: 600; }
`;
