// The console's own script. Every page works without it. It does four things:
//   - it shows instants in the browser's zone;
//   - it knows a few keys;
//   - it draws charts from the tables that stand beside them;
//   - it asks again for a stream that could not be opened.
"use strict";

const onDay = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const ofDay = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const inZone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

// localTimes shows the instants below an element in the browser's zone. UTC stays in their titles. A date and clock that has
// no zone stays what it is, and looks the same.
function localTimes(root) {
  for (const t of root.querySelectorAll("time[datetime]:not([data-local])")) {
    t.dataset.local = "";
    t.textContent = inZone.format(new Date(t.dateTime)) + (t.classList.contains("wall") ? " local" : "");
  }
}

// Keys: "/" goes to the search; "g" and then a letter goes to an entry of the menu that names the letter.
let afterG = false;
document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, textarea, select, [contenteditable]")) return;
  if (e.key === "/") {
    e.preventDefault();
    document.getElementById("search").focus();
  } else if (afterG) {
    afterG = false;
    const link = document.querySelector(`.menu a[data-key="${CSS.escape(e.key)}"]`);
    if (link) link.click();
  } else if (e.key === "g") {
    afterG = true;
    setTimeout(() => { afterG = false; }, 1500);
  }
});

// timeOf is the clock at a mark of a chart. Where a day begins, its date stands below.
function timeOf(at, before) {
  const day = ofDay.format(at * 1000);
  return onDay.format(at * 1000) + (before && day === ofDay.format(before * 1000) ? "" : "\n" + day);
}

// drawCharts draws each table.chart-data into the .chart before it: the first column is seconds since 1970, and each other
// column is a line with the colour of its heading's data-colour.
function drawCharts(root) {
  for (const table of root.querySelectorAll("table.chart-data:not([data-drawn])")) {
    table.dataset.drawn = "";
    const box = document.getElementById(table.dataset.chart);
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies[0].rows];
    if (!box || typeof uPlot === "undefined" || rows.length < 2) continue;
    const css = getComputedStyle(document.documentElement);
    const colour = (name) => css.getPropertyValue(name).trim();
    const numbers = (i) => rows.map((r) => Number(r.cells[i].dataset.value));
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    const plot = new uPlot({
      width: box.clientWidth, height: 220, cursor: { y: false },
      series: [{ label: heads[0].textContent, value: (_, t) => (t == null ? "" : inZone.format(t * 1000)) },
        ...heads.slice(1).map((h) => ({ label: h.textContent, value: (_, n) => (n == null ? "" : n.toLocaleString()), stroke: colour(h.dataset.colour), width: 2, points: { show: rows.length < 40 } }))],
      axes: [{ ...axis, space: 90, values: (_, ticks) => ticks.map((t, i) => timeOf(t, ticks[i - 1])) }, { ...axis, size: 60 }],
      scales: { y: { range: (_, min, max) => [0, Math.max(1, max)] } },
    }, heads.map((_, i) => numbers(i)), box);
    new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: 220 })).observe(box);
  }
}

// hx-sse opens a stream again that has ended, but not one that was never open: because the server was away, or had no
// place for the stream. Without the stream the page stands still.
const openAgainAfter = 3000; // ms
const notOpen = ({ sourceElement, response }) => sourceElement?.hasAttribute("hx-sse:connect") && !(response?.status < 500);
document.addEventListener("htmx:after:request", (e) => {
  if (notOpen(e.detail.ctx)) e.preventDefault(); // the page keeps what it shows
});
document.addEventListener("htmx:finally:request", (e) => {
  const box = e.detail.ctx.sourceElement;
  if (!notOpen(e.detail.ctx)) return;
  setTimeout(() => { if (box.isConnected) htmx.ajax("GET", box.getAttribute("hx-sse:connect"), { source: box }); }, openAgainAfter);
});

function enliven(root) {
  localTimes(root);
  drawCharts(root);
}
// A chart is a picture: other colours need another one.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const table of document.querySelectorAll("table.chart-data[data-drawn]")) {
    delete table.dataset.drawn;
    document.getElementById(table.dataset.chart)?.replaceChildren();
  }
  drawCharts(document);
});
document.addEventListener("DOMContentLoaded", () => enliven(document));
document.addEventListener("htmx:after:swap", () => enliven(document));
