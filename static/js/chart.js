/* The chart of the overview: bars a day, in the colours of the theme. The table below it has the same numbers. */
(() => {
  "use strict";

  const box = document.getElementById("chart");
  const data = JSON.parse(document.getElementById(box.dataset.source).textContent);
  const seconds = data.days.map((day) => Date.parse(`${day}T12:00:00Z`) / 1000);
  const day = new Intl.DateTimeFormat(document.documentElement.lang, { month: "short", day: "numeric", timeZone: "UTC" });
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let chart = null;

  function draw() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const every = Math.ceil((seconds.length * 64) / box.clientWidth); // a label needs 64 px; the last day always has one
    const labelled = seconds.filter((_at, index) => (seconds.length - 1 - index) % every === 0);
    const bars = (align) => window.uPlot.paths.bars({ size: [0.38, 14], align, radius: 0.15 });
    const axis = { font, stroke: colour("--ink-soft"), ticks: { show: false } };
    if (chart) {
      chart.destroy();
    }
    chart = new window.uPlot(
      {
        width: box.clientWidth,
        height: box.clientHeight,
        legend: { show: false },
        cursor: { show: false },
        padding: [8, 24, 0, 0],
        scales: { x: { range: (_plot, from, to) => [from - 43200, to + 43200] }, y: { range: (_plot, _low, high) => [0, Math.max(4, high)] } },
        axes: [
          { ...axis, grid: { show: false }, size: 28, splits: () => labelled, values: (_plot, days) => days.map((at) => day.format(at * 1000)) },
          { ...axis, grid: { stroke: colour("--line"), width: 1 }, size: 36, incrs: [1, 2, 5, 10, 20, 50, 100, 500, 1000, 5000] },
        ],
        series: [
          {},
          { fill: colour("--accent"), width: 0, paths: bars(-1), points: { show: false } },
          { fill: colour("--success"), width: 0, paths: bars(1), points: { show: false } },
        ],
      },
      [seconds, data.sent, data.accepted],
      box,
    );
  }

  draw();
  dark.addEventListener("change", draw);
  new ResizeObserver(() => {
    if (chart.width !== box.clientWidth) {
      draw();
    }
  }).observe(box);
})();
