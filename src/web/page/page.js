// page.js — the admin page: asks the server for samples and lists, and draws them.
//
// Whatever comes from clients (keys, names) reaches the document as text nodes only. Nothing is
// loaded from anywhere but where the page came from.
// SPDX-License-Identifier: BSD-3-Clause
"use strict";
(() => {
  // name -> [severity, action, help], from src/tbl/events.def when the page is made
  const EVENTS = /* events */ {};

  const FINE_S = 1, COARSE_S = 10, LISTS_MS = 3000, ROWS_MAX = 12;
  const get = id => document.getElementById(id);
  let windowS = 600, offlineSince = 0, fields = [], lists = null;

  // ── words ─────────────────────────────────────────────────────────────────────────────────
  const digits = (value, n) => value.toLocaleString("en-US", { maximumFractionDigits: n });
  const scaled = (value, units, base) => {
    let at = 0;
    while (Math.abs(value) >= base && at < units.length - 1) { value /= base; at++; }
    return [digits(value, Math.abs(value) >= 100 || (at === 0 && value % 1 === 0) ? 0 : Math.abs(value) >= 10 ? 1 : 2), units[at]];
  };
  const none = value => value === null || value === undefined || Number.isNaN(value);
  const kinds = {
    count: v => scaled(v, ["", "k", "M", "G"], 1000),
    bytes: v => scaled(v, ["B", "KiB", "MiB", "GiB", "TiB"], 1024),
    rate: v => scaled(v, ["B/s", "KiB/s", "MiB/s", "GiB/s"], 1024),
    time: v => scaled(v, ["ns", "µs", "ms", "s"], 1000),
    percent: v => [digits(v, v > 99 && v < 100 ? 2 : 1), "%"],
  };
  const said = (kind, value) => none(value) ? "–" : kinds[kind](value).join(kind === "percent" || kind === "count" ? "" : " ");
  const clock = (seconds, long) => {
    const date = new Date(seconds * 1000), two = n => String(n).padStart(2, "0");
    return two(date.getHours()) + ":" + two(date.getMinutes()) + (long ? ":" + two(date.getSeconds()) : "");
  };
  const lasting = s => s < 120 ? s + " s" : s < 7200 ? Math.floor(s / 60) + " min"
    : s < 172800 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86400) + " days";
  const make = (tag, name, ...children) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    element.append(...children);
    return element;
  };
  const colour = n => getComputedStyle(document.documentElement).getPropertyValue(n).trim();

  // ── samples ───────────────────────────────────────────────────────────────────────────────
  // Of each step: rows [seconds, values...], and events [seconds, name, count].
  const rings = { [FINE_S]: { rows: [], events: [], keepS: 600 }, [COARSE_S]: { rows: [], events: [], keepS: 4200 } };
  const ringNow = () => rings[windowS > 600 ? COARSE_S : FINE_S];

  async function ask(path) {
    const answer = await fetch(path, { cache: "no-store", credentials: "same-origin" });
    if (!answer.ok) throw new Error(path + ": " + answer.status);
    return answer.json();
  }

  async function samplesAsk(step) {
    const ring = rings[step], last = ring.rows.length ? ring.rows[ring.rows.length - 1][0] : 0;
    const found = await ask("/history.json?step=" + step + "&since=" + Math.round(last * 1000));
    fields = found.fields;
    for (const row of found.samples) { row[0] /= 1000; ring.rows.push(row); }
    for (const row of found.events) { row[0] /= 1000; ring.events.push(row); }
    const oldest = Date.now() / 1000 - ring.keepS - 60;
    ring.rows = ring.rows.filter(row => row[0] > oldest);
    ring.events = ring.events.filter(row => row[0] > oldest);
  }

  // Columns of what is shown; where samples are missing there is a row of nulls, so that no line
  // is drawn across.
  function table(columns) {
    const step = windowS > 600 ? COARSE_S : FINE_S, from = Date.now() / 1000 - windowS - 2 * step;
    const times = [], values = columns.map(() => []);
    let before = 0;
    for (const row of ringNow().rows) {
      if (row[0] < from) continue;
      if (before && row[0] - before > 2.5 * step) {
        times.push(before + step);
        values.forEach(column => column.push(null));
      }
      before = row[0];
      times.push(row[0]);
      const at = name => row[fields.indexOf(name) + 1];
      columns.forEach((column, i) => values[i].push(column(at)));
    }
    return [times, ...values];
  }

  const other = at => at("deletes") + at("ariths") + at("touches");
  const operations = at => at("get_hits") + at("get_misses") + at("sets") + other(at);
  const ratio = at => {
    const gets = at("get_hits") + at("get_misses");
    return gets > 0 ? 100 * at("get_hits") / gets : null;
  };

  // ── charts ────────────────────────────────────────────────────────────────────────────────
  const of = name => at => at(name);
  const CHARTS = [
    { title: "Hit ratio", kind: "percent", range: [0, 100], series: [["hits of gets", ratio]], fill: true },
    { title: "Operations", unit: "per second", kind: "count", stacked: true,
      series: [["get hits", of("get_hits")], ["get misses", of("get_misses")], ["sets", of("sets")], ["others", other]] },
    { title: "Latency in the server", kind: "time", log: true,
      series: [["p50", of("all_p50")], ["p90", of("all_p90")], ["p99", of("all_p99")], ["p99.9", of("all_p999")]] },
    { title: "Memory", kind: "bytes", stacked: true,
      series: [["main queue", of("memory_main")], ["small queue", of("memory_small")], ["index", of("memory_index")],
        ["other", at => Math.max(0, at("memory_limit") - at("memory_main") - at("memory_small") - at("memory_index") - at("memory_free"))],
        ["free", of("memory_free")]] },
    { title: "Items leaving", unit: "per second", kind: "count",
      series: [["expired", of("expired")], ["evicted", of("evicted")], ["flushed", of("flushed")], ["stores refused", of("refused_stores")]] },
    { title: "Connections", kind: "count", series: [["open", of("conns")], ["new per second", of("conns_new")], ["refused per second", of("conns_refused")]] },
    { title: "Network", kind: "rate", series: [["out", of("bytes_out")], ["in", of("bytes_in")]], fill: true },
    { title: "Processor", unit: "100 % is one core", kind: "percent", series: [["server", at => at("cpu_us") / 10000]], fill: true },
    { title: "Security events", kind: "count", bars: true, series: [["look now", 1], ["suspicious", 2], ["for the record", 3]] },
  ];

  const order = ["--c1", "--c2", "--c3", "--c4", "--c5"];
  // Memory and events have colours with a meaning.
  const inks = chart => chart.bars ? ["--bad", "--warn", "--c5"] : order;

  // How many events of each severity fell into each sample, and nothing where there are no samples.
  function eventColumns() {
    const rows = table([() => 0]), counts = new Map(), ring = ringNow();
    for (const [time, name, count] of ring.events) {
      const row = counts.get(time) || [0, 0, 0];
      row[(EVENTS[name] ? EVENTS[name][0] : 3) - 1] += count;
      counts.set(time, row);
    }
    return [rows[0], ...[0, 1, 2].map(i => rows[0].map((time, n) =>
      rows[1][n] === null ? null : (counts.get(time) || [0, 0, 0])[i]))];
  }

  function columnsOf(chart) {
    const raw = chart.bars ? eventColumns() : table(chart.series.map(series => series[1]));
    chart.raw = raw;
    if (!chart.stacked && !chart.bars) return raw;
    const sums = [raw[0]], last = raw[0].map(() => 0);
    for (let i = 1; i < raw.length; i++)
      sums.push(raw[i].map((value, n) => value === null ? null : (last[n] += value)));
    return sums;
  }

  // Areas are calmer than lines: most of the card's colour shows through.
  const mixed = (a, b, part) => "#" + [1, 3, 5].map(at => Math.round(
    parseInt(a.slice(at, at + 2), 16) * part + parseInt(b.slice(at, at + 2), 16) * (1 - part)).toString(16).padStart(2, "0")).join("");

  // Stacked ones are drawn from the top: each covers what belongs to those below it.
  const drawn = (chart, columns) => chart.stacked || chart.bars
    ? [columns[0], ...columns.slice(1).reverse()] : columns;

  function seriesOf(chart) {
    const stacked = chart.stacked || chart.bars;
    const list = chart.series.map((series, i) => {
      const stroke = colour(inks(chart)[i]);
      return {
        label: series[0], stroke, width: stacked ? 1 : 1.75, points: { show: chart.bars ? false : undefined, size: 3 },
        fill: chart.bars ? stroke : stacked ? mixed(stroke, colour("--card"), 0.55) : chart.fill && i === 0 ? stroke + "22" : undefined,
        paths: chart.bars ? uPlot.paths.bars({ size: [1, 40, 3], align: 0 }) : undefined,
      };
    });
    return [{}, ...(stacked ? list.reverse() : list)];
  }

  // A young server fills its chart, too.
  function timesShown() {
    const now = Date.now() / 1000, rows = ringNow().rows, first = rows.length ? rows[0][0] : now;
    return [Math.max(now - windowS, Math.min(first, now - 60)), now];
  }

  function rangeOf(chart) {
    if (chart.range) return () => chart.range;
    if (chart.log) return (u, low, high) => none(low) ? [1000, 1000000]
      : [10 ** Math.floor(Math.log10(low || 1)), 10 ** Math.ceil(Math.log10((high || 1) * 1.01))];
    const least = chart.bars ? 4 : 1;
    return (u, low, high) => [0, Math.max(least, none(high) ? 0 : high * 1.1)];
  }

  // Of bytes at powers of two, of logarithms at powers of ten.
  function ticksOf(chart) {
    if (chart.kind === "bytes" || chart.kind === "rate")
      return { incrs: Array.from({ length: 50 }, (_, i) => 2 ** i) };
    if (chart.bars) return { incrs: Array.from({ length: 21 }, (_, i) => [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3)) };
    if (!chart.log) return {};
    return { splits: (u, axis, low, high) => {
      const found = [];
      for (let power = low; power <= high * 1.0001; power *= 10) found.push(power);
      return found;
    } };
  }

  function draw(chart) {
    const axis = { stroke: colour("--dim"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    if (chart.plot) chart.plot.destroy();
    chart.plot = new uPlot({
      width: Math.max(200, chart.box.clientWidth), height: chart.box.clientHeight,
      padding: [8, 10, 0, 0], legend: { show: false },
      cursor: { sync: { key: "all" }, points: { show: !chart.stacked && !chart.bars, size: 6 }, drag: { x: false, y: false } },
      scales: {
        x: { time: true, range: timesShown },
        y: { range: rangeOf(chart), distr: chart.log ? 3 : 1 },
      },
      axes: [
        { ...axis, space: 70, size: 26, values: (u, splits) => splits.map(s => clock(s, u.scales.x.max - u.scales.x.min <= 200)) },
        { ...axis, size: 66, space: 28, ...ticksOf(chart), values: (u, splits) => splits.map(v => said(chart.kind, v)) },
      ],
      series: seriesOf(chart),
      hooks: { setCursor: [() => legendFill(chart)] },
    }, drawn(chart, columnsOf(chart)), chart.box);
    legendFill(chart);
  }

  // Values under the cursor, or the last ones.
  function legendFill(chart) {
    const cursor = chart.plot ? chart.plot.cursor.idx : null;
    const length = chart.raw[0].length, at = none(cursor) || cursor >= length ? length - 1 : cursor;
    chart.values.forEach((value, i) => { value.textContent = said(chart.kind, at < 0 ? null : chart.raw[i + 1][at]); });
    chart.when.textContent = none(cursor) || at < 0 ? chart.unit || "" : clock(chart.raw[0][at], true);
  }

  function chartsMake() {
    for (const chart of CHARTS) {
      chart.box = make("div", "plot");
      chart.when = make("span", "");
      chart.values = chart.series.map(() => make("b", ""));
      const legend = make("div", "legend", ...chart.series.map((series, i) => {
        const ink = inks(chart)[i], key = make("span", "k" + (order.indexOf(ink) + 1), series[0], chart.values[i]);
        if (ink === "--bad" || ink === "--warn") key.className = ink.slice(2);
        return key;
      }));
      get("charts").append(make("article", "chart", make("h2", "", chart.title, chart.when), chart.box, legend));
    }
    const redraw = () => CHARTS.forEach(draw);
    redraw();
    let width = 0;
    new ResizeObserver(() => {
      if (width !== get("charts").clientWidth) { width = get("charts").clientWidth; redraw(); }
    }).observe(get("charts"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  }

  // ── tiles ─────────────────────────────────────────────────────────────────────────────────
  const tiles = {};
  function tile(name, value, detail, mood) {
    if (!tiles[name]) {
      tiles[name] = { value: make("b", ""), detail: make("i", ""), box: make("article", "tile") };
      tiles[name].box.append(make("i", "", name), tiles[name].value, tiles[name].detail);
      get("tiles").append(tiles[name].box);
    }
    const [number, unit] = value || ["–", ""];
    tiles[name].value.replaceChildren(number, ...(unit ? [make("small", "", unit)] : []));
    tiles[name].detail.textContent = detail;
    tiles[name].box.className = "tile" + (mood ? " " + mood : "");
  }

  function tilesFill() {
    const rows = rings[FINE_S].rows, recent = rows.slice(-10);
    const at = name => recent.length ? recent.reduce((sum, row) => sum + row[fields.indexOf(name) + 1], 0) / recent.length : 0;
    const last = name => rows.length ? rows[rows.length - 1][fields.indexOf(name) + 1] : null;
    const worst = name => Math.max(...recent.map(row => row[fields.indexOf(name) + 1]).filter(v => !none(v)));
    const hits = ratio(at), p99 = worst("all_p99"), used = last("memory_limit") - last("memory_free");
    tile("Hit ratio", none(hits) ? null : kinds.percent(hits), "of gets, 10 s");
    tile("Operations", [...kinds.count(operations(at))].map((part, i) => i ? part + "/s" : part), "sets " + said("count", at("sets")) + "/s");
    tile("p99 latency", Number.isFinite(p99) ? kinds.time(p99) : null, "p50 " + (Number.isFinite(worst("all_p50")) ? said("time", worst("all_p50")) : "–"));
    tile("Memory", rows.length ? kinds.percent(100 * used / last("memory_limit")) : null, said("bytes", used) + " of " + said("bytes", last("memory_limit")));
    tile("Items", rows.length ? kinds.count(last("items")) : null, said("bytes", last("item_bytes")) + " live");
    tile("Evictions", [...kinds.count(at("evicted"))].map((part, i) => i ? part + "/s" : part), "expired " + said("count", at("expired")) + "/s");
    const limit = lists ? lists.general.max_connections : 0, open = last("conns");
    tile("Connections", rows.length ? kinds.count(open) : null, limit ? "of " + digits(limit, 0) : "", limit && open > 0.9 * limit ? "warn" : "");
    const events = rings[COARSE_S].events.concat(rings[FINE_S].events.filter(row => !rings[COARSE_S].rows.length || row[0] > rings[COARSE_S].rows[rings[COARSE_S].rows.length - 1][0]));
    const bad = events.filter(row => EVENTS[row[1]] && EVENTS[row[1]][0] < 3 && EVENTS[row[1]][1] !== "allowed");
    const grave = bad.some(row => EVENTS[row[1]][0] === 1);
    tile("Refused", kinds.count(bad.reduce((sum, row) => sum + row[2], 0)), "security events, 1 h", grave ? "bad" : bad.length ? "warn" : "");
  }

  // ── lists ─────────────────────────────────────────────────────────────────────────────────
  // head: [title, class]; rows: arrays of texts or nodes.
  function listFill(id, head, rows, empty) {
    const box = get(id), title = box.querySelector("h2");
    if (!rows.length) {
      box.replaceChildren(title, make("p", "note", empty));
      return;
    }
    const cells = row => make("tr", "", ...row.map((cell, i) => make("td", head[i][1], cell)));
    box.replaceChildren(title, make("div", "scroll", make("table", "",
      make("thead", "", make("tr", "", ...head.map(h => make("th", h[1].includes("num") ? h[1] : "", h[0])))),
      make("tbody", "", ...rows.map(cells)))));
  }

  // Rows `PREFIX:N:name value` of a group as one object per N.
  function numbered(group, pattern) {
    const found = new Map();
    for (const [name, value] of Object.entries(group || {})) {
      const parts = pattern.exec(name);
      if (!parts) continue;
      if (!found.has(parts[1])) found.set(parts[1], { number: parts[1] });
      found.get(parts[1])[parts[2]] = value;
    }
    return [...found.values()];
  }

  const decoded = text => {
    try { return decodeURIComponent(text); } catch { return text; }
  };

  function share(value) {
    const bar = make("div", "");
    bar.style.width = Math.min(100, 100 * (Number(value) || 0)) + "%";
    return make("div", "share", bar);
  }

  function hotFill(id, pattern, name, what) {
    const rows = numbered(lists.hotkeys, pattern).slice(0, ROWS_MAX);
    listFill(id, [[what, "mono"], ["per second", "num"], ["share", "num"], ["", ""]],
      rows.map(row => [decoded(String(row[name])), said("count", Number(row.ops_per_s)), said("percent", 100 * Number(row.share)), share(row.share)]),
      lists.settings.hotkeys === "no" ? "This server does not look for them." : "None stands out.");
  }

  function securityFill() {
    const now = Date.now() / 1000, seen = new Map();
    for (const ring of [rings[COARSE_S], rings[FINE_S]])
      for (const [time, name] of ring.events) seen.set(name, Math.max(time, seen.get(name) || 0));
    const rows = Object.entries(lists.security).filter(([name, count]) => EVENTS[name] && Number(count) > 0)
      .sort((a, b) => EVENTS[a[0]][0] - EVENTS[b[0]][0] || Number(b[1]) - Number(a[1]));
    listFill("security", [["event", ""], ["done", ""], ["count", "num"], ["last", "num"], ["what it was", "dim"]],
      rows.map(([name, count]) => [make("span", "sev" + EVENTS[name][0], name), EVENTS[name][1], digits(Number(count), 0),
        seen.has(name) ? lasting(Math.max(0, Math.round(now - seen.get(name)))) + " ago" : "over 1 h ago", EVENTS[name][2]]),
      "None since the start.");
  }

  // Lines about events of one kind, as docs/events.md has them; the last one first.
  function recentFill() {
    const at = event => {
      const date = new Date(String(event.timestamp).replace(/\+0000$/, "Z"));
      return Number.isNaN(date.getTime()) ? "" : clock(date.getTime() / 1000, true);
    };
    const from = event => event.mc.sources > 1 ? event.mc.prefix + " (" + event.mc.sources + " addresses)"
      : event.src_ip || (event.mc.local ? "unix socket" : event.mc.prefix || "");
    listFill("recent", [["time", "num left"], ["event", ""], ["done", ""], ["count", "num"], ["from", "mono"], ["rule", ""], ["command", ""], ["user", ""]],
      lists.recent.slice(0, ROWS_MAX).map(event => [at(event), make("span", "sev" + Number(event.alert.severity), String(event.mc.type)),
        String(event.mc.action) + (event.mc.dry_run ? " (dry run)" : ""), digits(Number(event.mc.count), 0), String(from(event)),
        String(event.mc.rule || ""), String(event.mc.verb || ""), String(event.mc.user || "")]),
      "None. What is alike in a few seconds is one line, so a new one takes a moment to appear.");
  }

  function rulesFill() {
    // rows: PLACE -> "HITS RULE"
    const rows = Object.entries(lists.access).map(([place, value]) => [place, /^(\d+) (.+)$/.exec(value)]).filter(row => row[1]);
    get("rules").hidden = !rows.length;
    listFill("rules", [["rule", "mono"], ["hits", "num"], ["where it stands", "dim"]],
      rows.sort((a, b) => b[1][1] - a[1][1]).slice(0, ROWS_MAX).map(([place, rule]) => [rule[2], digits(Number(rule[1]), 0), place]), "");
  }

  function clientsFill() {
    const rows = numbered(lists.clients, /^(\d+):(\w+)$/).filter(row => row.addr);
    get("clients").hidden = !rows.length;
    const stuck = row => Number(row.slow_s || 0);
    listFill("clients", [["address", "mono"], ["requests per second", "num"], ["read", "num"], ["written", "num"], ["does not read", "num"]],
      rows.sort((a, b) => stuck(b) - stuck(a) || Number(b.requests_per_s || 0) - Number(a.requests_per_s || 0)).slice(0, ROWS_MAX)
        .map(row => [String(row.addr), said("count", Number(row.requests_per_s || 0)), said("bytes", Number(row.bytes_read || 0)),
          said("bytes", Number(row.bytes_written || 0)), stuck(row) ? said("bytes", Number(row.pending_bytes || 0)) + " for " + lasting(stuck(row)) : ""]), "");
  }

  function listsFill() {
    const server = lists.server, general = lists.general;
    get("about").textContent = location.host + " · version " + server.version + " · up " + lasting(Number(general.uptime))
      + " · " + general.threads + (general.threads === 1 ? " worker" : " workers");
    hotFill("hotkeys", /^hot_key:(\d+):(\w+)$/, "key", "key");
    hotFill("hotprefixes", /^hot_prefix:(\d+):(\w+)$/, "prefix", "prefix");
    securityFill();
    recentFill();
    rulesFill();
    clientsFill();
    listFill("reachable", [["listener", "mono"], ["protection", ""], ["from", ""], ["who", ""], ["may do", ""]],
      lists.reachable.map(row => [row.address, row.how, make("span", row.where === "everywhere" ? "sev2" : "", row.where), row.who, row.what]),
      "Nothing.");
  }

  // ── the loop ──────────────────────────────────────────────────────────────────────────────
  function stateShow(error) {
    const pill = get("state");
    if (!error) offlineSince = 0;
    else offlineSince = offlineSince || Date.now();
    const draining = lists && lists.server.draining;
    pill.textContent = error ? "no answer since " + clock(offlineSince / 1000, true) : draining ? "draining" : "live";
    pill.className = "pill " + (error ? "off" : draining ? "warn" : "live");
    pill.title = error ? String(error.message || error) : "";
  }

  function redrawAll() {
    for (const chart of CHARTS) {
      chart.plot.setData(drawn(chart, columnsOf(chart)));
      legendFill(chart);
    }
    tilesFill();
  }

  const due = { coarse: 0, lists: 0 };
  async function turn() {
    const now = Date.now();
    try {
      await samplesAsk(FINE_S);
      if (now >= due.coarse) { await samplesAsk(COARSE_S); due.coarse = now + COARSE_S * 1000; }
      if (now >= due.lists) { lists = await ask("/stats.json"); due.lists = now + LISTS_MS; listsFill(); }
      stateShow(null);
    } catch (error) {
      stateShow(error);
    }
    redrawAll();
  }

  // One turn after the other; a hidden page rests, and fetches what it has missed when it is back.
  async function run() {
    for (;;) {
      if (!document.hidden) await turn();
      await new Promise(done => setTimeout(done, 1000));
    }
  }

  for (const button of get("windows").children)
    button.addEventListener("click", () => {
      windowS = Number(button.dataset.s);
      for (const each of get("windows").children) each.classList.toggle("on", each === button);
      redrawAll();
    });
  chartsMake();
  run();
})();
