// The live page: everything is read from the server that stands on this machine, and is text wherever it is shown.
(() => {
  "use strict";
  const main = document.getElementById("main");
  const ROW = 31; // pixels of a row of the runs' table, as app.css has it
  const STATES = ["finished", "running", "stopped", "diverged", "failed", "pending"];
  const dressed = window.matchMedia("(prefers-color-scheme: dark)");

  // -- small tools ----------------------------------------------------------------------------------------------------

  const h = (tag, props = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(props)) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (key === "class") made.className = value;
      else if (key in made && !key.includes("-") && key !== "list") made[key] = value;
      else made.setAttribute(key, value === true ? "" : value);
    }
    for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) made.append(child);
    return made;
  };
  const number = (value, digits = 5) => {
    if (value === null || value === undefined || value === "") return "–";
    if (typeof value !== "number") return String(value);
    if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-3)) return value.toExponential(Math.min(3, digits - 1)).replace(/\.?0+e/, "e");
    return String(Number(value.toPrecision(digits)));
  };
  const span = (seconds) => {
    if (seconds === null || seconds === undefined) return "–";
    if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
    return `${Math.floor(seconds / 86400)} d ${Math.round((seconds % 86400) / 3600)} h`;
  };
  const bytes = (size) => (size < 1024 ? `${size} B` : size < 1048576 ? `${(size / 1024).toFixed(1)} KiB` : `${(size / 1048576).toFixed(1)} MiB`);
  const memory = (mb) => (mb === null || mb === undefined ? "–" : mb < 1024 ? `${Math.round(mb)} MiB` : `${(mb / 1024).toFixed(1)} GiB`);
  const pill = (state, title = "") => h("span", { class: `pill ${state}`, title }, state);
  const path = (...parts) => "#/" + parts.map(encodeURIComponent).join("/");
  const api = (name, rest = "") => `/api/sweeps/${encodeURIComponent(name)}${rest ? `/-/${rest}` : ""}`;
  const keep = { get: (key) => { try { return sessionStorage.getItem(key); } catch { return null; } },
    set: (key, value) => { try { sessionStorage.setItem(key, value); } catch { /* kept nowhere */ } } };
  const toast = (text) => {
    const place = document.getElementById("toast");
    place.textContent = text;
    place.hidden = false;
    clearTimeout(toast.timer);
    toast.timer = setTimeout(() => { place.hidden = true; }, 5000);
  };
  const token = () => keep.get("sweepkit-token") || "";
  const get = async (url) => {
    const answer = await fetch(url, { headers: token() ? { "x-sweepkit-token": token() } : {} });
    const told = answer.headers.get("content-type")?.includes("json") ? await answer.json() : { error: await answer.text() };
    if (!answer.ok) throw new Error(told.error || answer.statusText);
    return told;
  };
  const post = async (url, body) => {
    const answer = await fetch(url, { method: "POST", body: JSON.stringify(body),
      headers: { "content-type": "application/json", "x-sweepkit-token": token() } });
    if (!answer.ok) {
      const text = await answer.text();
      let why = text;
      try { why = JSON.parse(text).error; } catch { /* it was text */ }
      throw new Error(why);
    }
    return answer;
  };
  const spark = (values, goal) => {
    const NS = "http://www.w3.org/2000/svg", svg = document.createElementNS(NS, "svg");
    svg.setAttribute("viewBox", "0 0 110 24");
    svg.setAttribute("class", "spark");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", values.length ? `best so far from ${number(values[0])} to ${number(values.at(-1))}` : "no value yet");
    if (values.length) {
      const low = Math.min(...values), wide = Math.max(...values) - low || 1;
      const x = (at) => (values.length === 1 ? 55 : 2 + (at * 106) / (values.length - 1));
      const line = document.createElementNS(NS, "path");
      line.setAttribute("d", values.map((value, at) => `${at ? "L" : "M"}${x(at).toFixed(1)} ${(21 - (18 * (value - low)) / wide).toFixed(1)}`).join(""));
      svg.append(line);
    }
    return svg;
  };
  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;"); // as a figure takes its texts
  const ago = (at, now) => (at ? `${span(Math.max(0, now - at))} ago` : "");
  // Colours and cursor movements of a terminal are no text; of a progress bar the last state counts.
  const plainText = (text) => text.replace(/\u001b\[[0-9;?]*[ -\/]*[@-~]/g, "").replace(/[^\n]*\r(?!\n)/g, "");
  const cell = (value) => (value === undefined ? "" : typeof value === "number" ? number(value) : value === null ? "null" : String(value));

  // -- asking before anything is done -----------------------------------------------------------------------------------

  const ask = (title, text, { yes = "OK", danger = false, fields = [] } = {}) => new Promise((done) => {
    const dialog = document.getElementById("ask");
    const inputs = fields.map((field) => field.long ? h("textarea", { rows: 4, value: field.value, id: `f-${field.name}` }) : h("input", { value: field.value, id: `f-${field.name}` }));
    const end = (agreed) => {
      dialog.close();
      done(agreed ? Object.fromEntries(fields.map((field, at) => [field.name, inputs[at].value])) : null);
    };
    dialog.replaceChildren(
      h("h2", { id: "ask-title" }, title), h("p", {}, text),
      ...fields.flatMap((field, at) => [h("label", { htmlFor: `f-${field.name}` }, field.label), inputs[at]]),
      h("div", { class: "actions" }, h("button", { type: "button", onclick: () => end(false) }, "Leave it"),
        h("button", { type: "button", class: danger ? "danger" : "primary", id: "ask-yes", onclick: () => end(true) }, yes)));
    dialog.oncancel = () => done(null);
    dialog.showModal();
    (inputs[0] || document.getElementById("ask-yes")).focus();
  });
  const act = async (name, action, body, told) => {
    try {
      await post(api(name, "actions"), { action, ...body });
      toast(told);
    } catch (error) { toast(error.message); }
  };

  // -- what is live -------------------------------------------------------------------------------------------------------

  let leave = () => {};
  let stream = null;
  const follow = (query, changed) => {
    const alive = document.getElementById("alive");
    stream?.close();
    stream = new EventSource(`/api/events${query}`);
    stream.onopen = () => { alive.className = "alive on"; alive.textContent = "live"; };
    stream.onerror = () => { alive.className = "alive"; alive.textContent = "not connected, trying again"; };
    stream.addEventListener("change", (event) => changed(JSON.parse(event.data)));
  };
  // Calls `work` at most once in `ms`, the last call always; one at a time.
  const calm = (work, ms) => {
    let timer = null, busy = false, again = false, last = 0;
    const go = async () => {
      timer = null;
      if (busy) { again = true; return; }
      busy = true;
      last = Date.now();
      try { await work(); } catch (error) { console.warn(error); }
      busy = false;
      if (again) { again = false; run(); }
    };
    const run = () => { if (timer === null) timer = setTimeout(go, Math.max(0, last + ms - Date.now())); };
    run.stop = () => clearTimeout(timer);
    run.now = () => { last = 0; run.stop(); timer = null; run(); };
    return run;
  };
  // Work for a panel that waits until somebody comes near it.
  const lazily = (made, work, ms, height) => {
    let near = false, due = false;
    const run = calm(async () => { due = false; await work(); }, ms);
    // Its room is kept free, so that what lies below it is not near, and stays where it is when it is drawn.
    if (!made.body.style.minHeight) made.body.style.minHeight = `${height}px`;
    const want = () => { due = true; if (near) run(); };
    const seen = new IntersectionObserver((found) => { near = found.at(-1).isIntersecting; if (near && due) run(); }, { rootMargin: "200px" });
    seen.observe(made.section);
    want.stop = () => { seen.disconnect(); run.stop(); };
    want.now = () => { due = true; if (near) run.now(); };
    return want;
  };
  const crumbs = (...parts) => document.getElementById("crumbs").replaceChildren(...parts.map(([text, href]) => href ? h("a", { href }, text) : h("span", { "aria-current": "page" }, text)));

  // -- all sweeps -----------------------------------------------------------------------------------------------------------

  const bar = (counts, total) => {
    const all = Math.max(total || 0, Object.values(counts).reduce((sum, count) => sum + count, 0), 1);
    const shown = STATES.filter((state) => counts[state] && state !== "pending");
    const made = h("div", { class: "bar", role: "img", "aria-label": shown.map((state) => `${counts[state]} ${state}`).join(", ") || "no run yet" });
    for (const state of shown) {
      const part = h("i", { class: state });
      part.style.width = `${(100 * counts[state]) / all}%`;
      made.append(part);
    }
    return made;
  };

  const showSweeps = async () => {
    document.title = "sweeps – sweepkit";
    crumbs();
    const search = h("input", { type: "search", placeholder: "search names, tags, notes", "aria-label": "search sweeps" });
    const archived = h("input", { type: "checkbox" });
    const body = h("tbody");
    const count = h("span", { class: "muted" });
    let told = { sweeps: [] };
    const compared = new Set();
    const button = h("button", { type: "button", disabled: true, onclick: () => { location.hash = path("sweeps", [...compared].join("\n")); } }, "Compare sweeps");
    const draw = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const fits = (sweep) => (archived.checked || !sweep.archived) && words.every((word) =>
        [sweep.name, sweep.family, sweep.note, sweep.state, ...(sweep.tags || [])].join(" ").toLowerCase().includes(word));
      const shown = told.sweeps.filter(fits);
      count.textContent = `${shown.length} of ${told.sweeps.length} sweeps`;
      body.replaceChildren(...shown.map((sweep) => {
        const counts = sweep.counts || {};
        const pick = h("input", { type: "checkbox", checked: compared.has(sweep.name), "aria-label": `compare ${sweep.name}` });
        pick.addEventListener("change", () => { compared[pick.checked ? "add" : "delete"](sweep.name); button.disabled = compared.size < 2; });
        const wide = h("div", {}, bar(counts, sweep.total), h("span", { class: "muted num" }, `${sweep.done ?? 0}${sweep.total ? ` of ${sweep.total}` : ""} done`));
        wide.style.minWidth = "120px";
        return h("tr", {}, h("td", {}, pick),
          h("td", { class: "wrap" }, h("a", { href: path("sweep", sweep.name) }, sweep.name), " ", (sweep.tags || []).flatMap((tag) => [h("span", { class: "tag" }, tag), " "]),
            sweep.note && h("div", { class: "muted" }, sweep.note)),
          h("td", {}, pill(sweep.standing || sweep.state, sweep.stalled || sweep.idle || sweep.reason || "")),
          h("td", {}, wide), h("td", { class: "right" }, sweep.workers || ""), h("td", { class: "right" }, sweep.failed || ""),
          h("td", { class: "wrap" }, sweep.metrics?.length ? h("b", {}, `front of ${sweep.front}`) : h("b", {}, number(sweep.best)), " ", h("span", { class: "muted" }, sweep.metrics?.length ? sweep.metrics.join(", ") : sweep.metric || "")),
          h("td", { class: "hide-small" }, spark(sweep.spark || [])),
          h("td", { class: "muted hide-small" }, ago(sweep.created_at, sweep.now)),
          h("td", {}, h("button", { type: "button", class: "quiet", title: sweep.archived ? "take it from the archive" : "put it into the archive",
            onclick: () => act(sweep.name, "annotate", { archived: !sweep.archived }, sweep.archived ? "back in the list" : "archived") }, sweep.archived ? "unarchive" : "archive")));
      }));
      if (!shown.length) body.append(h("tr", {}, h("td", { colSpan: 10, class: "empty" }, told.sweeps.length ? "no sweep fits" : "no sweep yet: `sweepkit run my.yaml` starts one")));
    };
    const load = calm(async () => { told = await get("/api/sweeps"); draw(); }, 500);
    search.addEventListener("input", draw);
    archived.addEventListener("change", draw);
    told = await get("/api/sweeps");
    main.replaceChildren(
      h("div", { class: "head" }, h("h1", { class: "grow" }, "Sweeps"), button, search, h("label", {}, archived, " archived"), count),
      h("div", { class: "scroll flat", tabIndex: 0, role: "region", "aria-label": "sweeps" }, h("table", {},
        h("thead", {}, h("tr", {}, ["", "sweep", "state", "progress", "running", "failed", "best"].map((name) => h("th", { scope: "col" }, name)),
          h("th", { scope: "col", class: "hide-small" }, "best so far"), h("th", { scope: "col", class: "hide-small" }, "began"), h("th", { scope: "col" }, ""))), body)),
      h("p", { class: "muted" }, told.label || ""));
    draw();
    follow("", load);
    leave = () => load.stop();
  };

  // Sweeps side by side: the best so far of each over the other, where they stand, what differs in their YAML.
  const COLOURS = ["--finished", "--best", "--running", "--diverged", "--stopped", "--rampf", "--muted"];
  const showFamily = async (names) => {
    document.title = "compare sweeps – sweepkit";
    crumbs(["compare sweeps"]);
    const metric = h("select", { "aria-label": "metric" }), axis = h("select", { "aria-label": "x" }, new Option("runs that ended", "runs"), new Option("hours since it began", "hours"));
    const curves = panel("Best so far", "", h("span", { class: "tools" }, h("label", {}, "metric ", metric), h("label", {}, "x ", axis)));
    const standing = panel("Where they stand", ""), differ = panel("What differs in the YAML", "");
    main.replaceChildren(h("div", { class: "head" }, h("h1", { class: "grow" }, `${names.length} sweeps`)), h("div", { class: "grid" }, curves.section, standing.section, differ.section));
    const place = plotIn(curves, 420);
    let told = [], rows = [];
    const load = async () => {
      const chosen = metric.value ? `?metric=${encodeURIComponent(metric.value)}` : "";
      const one = (name) => get(api(name, `rows${chosen}`)).catch((error) => ({ rows: [], metrics: [], missing: error.message })); // a sweep may not know that metric
      [told, rows] = await Promise.all([Promise.all(names.map((name) => get(api(name)))), Promise.all(names.map(one))]);
      const known = [...new Set(rows.flatMap((item) => item.metrics))];
      if (metric.options.length < known.length) { metric.replaceChildren(...known.map((text) => new Option(text, text))); metric.value = rows[0].metric || known[0]; }
      draw();
    };
    // The runs of a sweep that were better than all before them, in the order in which they ended.
    const better = (item, at) => {
      const ended = item.rows.filter((row) => row.value !== null && ["finished", "stopped"].includes(row.state)).sort((a, b) => a.ended_at - b.ended_at);
      let best = null;
      const steps = ended.flatMap((row, place) => {
        if (best !== null && !(item.goal === "maximize" ? row.value > best : row.value < best)) return [];
        best = row.value;
        return [{ row, value: best, x: axis.value === "runs" ? place + 1 : (row.ended_at - told[at].created_at) / 3600 }];
      });
      const last = ended.at(-1);
      return { steps, ended, end: last ? (axis.value === "runs" ? ended.length : (last.ended_at - told[at].created_at) / 3600) : 0 };
    };
    const draw = () => {
      const found = rows.map(better), colour = (at) => COLOURS[at % COLOURS.length];
      const data = found.flatMap(({ steps, end }, at) => {
        if (!steps.length) return [];
        const runs = steps.map(({ row }) => row.id);
        const more = { type: "scatter", text: steps.map(({ row }) => `${escaped(names[at])}<br>run ${row.number} ${escaped(row.name)}`), hovertemplate: "%{text}<br>%{y:.6~g}", line: { color: colour(at), width: 2, shape: "hv" } };
        return [{ ...more, mode: "lines", hoverinfo: "skip", x: [...steps.map((step) => step.x), end], y: [...steps.map((step) => step.value), steps.at(-1).value] },
          { ...more, mode: "markers", marker: { color: colour(at), size: 6 }, x: steps.map((step) => step.x), y: steps.map((step) => step.value), meta: { sweep: names[at], ids: runs } }];
      });
      if (!data.length) curves.caption.textContent = "no run has ended with a value yet";
      else {
        curves.caption.textContent = rows.map((item, at) => (item.missing ? `${names[at]}: ${item.missing}` : "")).filter(Boolean).join(" ");
        sweepkit.draw(place, { data, layout: plotLayout(axis.selectedOptions[0].text, metric.value) });
        place.xy.onpick = (trace, at) => { if (trace.meta) location.hash = path("sweep", trace.meta.sweep, "run", trace.meta.ids[at]); };
      }
      const means = told.some((sweep) => sweep.best?.seeds > 1 && sweep.metric.name === metric.value);
      const heads = ["sweep", "state", "runs", "failed", `best run's ${metric.value}`, ...(means ? ["best mean of seeds"] : []), "run", "found after", "median", "took"];
      const median = (list) => { const sorted = [...list].sort((a, b) => a - b); return sorted.length ? sorted[sorted.length >> 1] : null; };
      const standings = told.map((sweep, at) => {
        const { steps, ended } = found[at], best = steps.at(-1);
        return h("tr", {}, h("td", { class: "wrap" }, swatch(colour(at)), h("a", { href: path("sweep", sweep.name) }, sweep.name)), h("td", {}, pill(sweep.state)), h("td", {}, `${sweep.done}${sweep.total ? ` of ${sweep.total}` : ""}`),
          h("td", {}, (sweep.counts.failed || 0) + (sweep.counts.diverged || 0)), h("td", {}, h("b", {}, best ? number(best.value) : "–")), means && h("td", {}, sweep.best?.seeds > 1 ? `${number(sweep.best.value)} (${sweep.best.seeds})` : "–"), h("td", {}, best && h("a", { href: path("sweep", sweep.name, "run", best.row.id) }, `${best.row.number} ${best.row.name}`)),
          h("td", {}, best ? `${ended.indexOf(best.row) + 1} runs` : "–"), h("td", {}, number(median(ended.map((row) => row.value)))), h("td", {}, span(sweep.elapsed_s)));
      });
      standing.body.replaceChildren(h("div", { class: "scroll flat", tabIndex: 0, role: "region", "aria-label": "where they stand" }, h("table", {}, h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, standings))));
      const keys = [...new Set(told.flatMap((sweep) => Object.keys(sweep.settings)))].filter((key) => new Set(told.map((sweep) => sweep.settings[key])).size > 1);
      differ.body.replaceChildren(keys.length ? h("div", { class: "scroll flat", tabIndex: 0, role: "region", "aria-label": "what differs" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, ""), told.map((sweep, at) => h("th", { scope: "col" }, swatch(colour(at)), sweep.name)))),
        h("tbody", {}, keys.map((key) => h("tr", {}, h("th", { scope: "row" }, key), told.map((sweep) => h("td", { class: "wrap" }, sweep.settings[key] ?? "–"))))))) : h("p", { class: "empty" }, "nothing but their names and runs"));
    };
    for (const select of [metric, axis]) select.addEventListener("change", () => load().catch((error) => toast(error.message)));
    await load();
    const again = calm(load, 2000);
    follow("", again);
    redraw = draw;
    leave = () => again.stop();
  };
  const swatch = (colour) => {
    const made = h("span", { class: "swatch", "aria-hidden": "true" });
    made.style.background = `var(${colour})`;
    return made;
  };
  const plotLayout = (x, y) => ({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: "--ink", size: 12 }, margin: { l: 56, r: 16, t: 24, b: 44 },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, hoverlabel: { bgcolor: "--panel", bordercolor: "--line", font: { color: "--ink" }, align: "left" },
    xaxis: { title: { text: x }, gridcolor: "--grid", linecolor: "--line", zerolinecolor: "--line", automargin: true },
    yaxis: { title: { text: y }, gridcolor: "--grid", linecolor: "--line", zerolinecolor: "--line", automargin: true },
  });

  // -- a sweep, live ----------------------------------------------------------------------------------------------------------

  const panel = (title, wide, ...right) => {
    const body = h("div");
    const caption = h("p", { class: "caption" });
    const section = h("section", { class: `panel ${wide}`, "aria-label": title },
      h("header", {}, h("h2", {}, title), h("span", { class: "right" }, right)), body, caption);
    return { section, body, caption };
  };
  const plotIn = (made, height) => {
    const place = h("div");
    place.style.height = `${height}px`;
    made.body.replaceChildren(h("div", { class: "plot" }, place));
    return place;
  };

  const showSweep = async (name) => {
    document.title = `${name} – sweepkit`;
    crumbs([name]);
    const state = { rows: new Map(), meta: null, change: 0, sort: ["value", null], brush: null, filter: () => true, expr: "", columns: null, shown: [], picked: new Set() };
    const look = {};
    let told = await get(api(name));

    const title = h("div", { class: "head" });
    const tiles = h("ul", { class: "tiles" });
    const progress = h("div", { class: "progress" });
    const metric = h("select", { "aria-label": "metric" });
    const how = h("select", { "aria-label": "what stands for its reports" }, ["best", "last", "min", "max"].map((text) => new Option(text, text)));
    const choice = h("div", { class: "tools choice" }, h("label", {}, "metric ", metric), h("label", {}, "its value ", how), h("span", {}, "in every panel, the table and what is exported"));
    const hows = new Map(); // metric → what stands for its reports, "best" where none was chosen
    const howOf = (name) => hows.get(name || state.meta?.metric) || "best";
    const which = () => (metric.value ? `&metric=${encodeURIComponent(metric.value)}` : "");
    const by = () => `how=${howOf(metric.value)}${which()}`;
    const brushed = h("span", { class: "brushed", role: "status" });
    const top = h("select", { "aria-label": "which curves" }, ["best and a spread", "10 best", "30 best", "100 best"].map((text, at) => new Option(text, ["", 10, 30, 100][at])));
    const curves = panel("Learning curves", "w8", top);
    const history = panel("History", "w4");
    const front = panel("Pareto front", "w6");
    front.section.hidden = !told.metrics?.length;
    const unbrush = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => parallel.place?.parallel.clear() }, "clear the brush");
    const parallel = panel("Parallel coordinates", "", brushed, unbrush);
    const workers = panel("Running now", "w7");
    const failures = panel("Failures", "w5");
    const importance = panel("Importance", "w6");
    importance.section.hidden = true; // until enough runs have finished
    const pairX = h("select", { "aria-label": "first parameter" }), pairY = h("select", { "aria-label": "second parameter" });
    const heat = panel("Two parameters", "w6", pairX, pairY);
    const single = h("select", { "aria-label": "parameter" });
    const slice = panel("One parameter", "w6", single);
    const race = panel("Best configurations", "w6");
    const confirmed = panel("Confirmation with fresh seeds", "");
    const builder = panel("Table of means", "w6");
    const yaml = panel("Configuration", "w7");
    const record = panel("What was asked", "w5");
    const table = runTable();
    main.replaceChildren(title, tiles, progress, choice, h("div", { class: "grid" }, curves.section, history.section, front.section, parallel.section,
      workers.section, failures.section, confirmed.section, table.section, importance.section, heat.section, slice.section, race.section, builder.section, yaml.section, record.section));

    // Head: what the sweep is and what can be done with it.
    const head = () => {
      const ended = ["finished", "cancelled"].includes(told.state);
      const failed = (told.counts.failed || 0) > 0;
      const button = (text, action, question, extra = {}) => h("button", { type: "button", class: extra.danger ? "danger" : "",
        onclick: async () => { if (await ask(`${text} ${name}?`, question, { yes: text, danger: extra.danger })) await act(name, action, {}, `${text}: asked`); } }, text);
      title.replaceChildren(
        h("div", { class: "grow" }, h("h1", {}, name, " ", pill(told.standing, told.stalled || told.idle || told.reason)),
          h("div", {}, (told.tags || []).flatMap((tag) => [h("span", { class: "tag" }, tag), " "]), h("span", { class: "muted" }, [told.note, told.stalled, told.reason].filter(Boolean).join(" · ")))),
        h("div", { class: "actions" },
          told.state === "running" && button("Pause", "pause", "No further run starts, wherever it runs, until it is resumed. Running runs go on."),
          told.state === "paused" && button("Resume", "resume", "Runners that wait go on at once."),
          !ended && button("Stop", "stop", "No further run starts; runners end when the running runs have ended.", { danger: true }),
          !ended && button("Cancel", "cancel", "Running runs are terminated, too, and released: they are run again if the sweep is started again.", { danger: true }),
          failed && button("Retry failed", "retry_failed", `${told.counts.failed} failed runs become pending again: running agents take them, or the next that comes (sweepkit agent ${name}).`),
          h("button", { type: "button", title: "beside the other sweeps of its family", onclick: compareFamily }, "Compare sweeps"), h("button", { type: "button", onclick: editNote }, "Note, tags")));
    };
    const compareFamily = async () => {
      const family = (await get("/api/sweeps")).sweeps.filter((sweep) => sweep.family === told.family && sweep.state !== "unreadable").map((sweep) => sweep.name);
      if (family.length > 1) location.hash = path("sweeps", family.join("\n"));
      else toast(`${told.family} has no other sweep; the list of sweeps compares any`);
    };
    const editNote = async () => {
      const given = await ask(`Note and tags of ${name}`, "They stand in the record, for everybody.", { yes: "Keep", fields: [{ name: "note", label: "note", value: told.note || "", long: true }, { name: "tags", label: "tags, with commas", value: (told.tags || []).join(", ") }] });
      if (given) await act(name, "annotate", { note: given.note, tags: given.tags.split(",").map((tag) => tag.trim()).filter(Boolean) }, "kept");
    };
    const tile = (label, value, title = "") => h("li", { title }, h("b", { class: String(value).length > 8 || /^[\p{L} ]{6,}$/u.test(value) ? "words" : "" }, value), h("span", {}, label));
    const numbers = () => {
      const chance = told.chances?.[0];
      const several = told.metrics?.length && [tile(`on the front of ${told.metrics.map((item) => item.name).join(", ")}`, told.front.length, told.verdict),
        ...told.metrics.map((item) => { const of = told.front.map((run) => run.values[item.name]); return tile(`best ${item.name}`, of.length ? number(item.goal === "maximize" ? Math.max(...of) : Math.min(...of)) : "–", `${item.goal}d; of the runs on the front`); })];
      tiles.replaceChildren(
        ...several || [tile(`best ${told.metric?.name || ""}${told.best ? (told.best.seeds > 1 ? ` · mean of ${told.best.seeds} seeds` : ` · run ${told.best.number}`) : ""}`, told.best ? number(told.best.value) : "–", told.verdict),
        tile("chance to be the best", chance ? `${Math.round(100 * chance.chance)} %` : "unconfirmed", chance ? chance.of : told.verdict || "no configuration was run with two seeds: its lead may be luck")],
        tile(`done${told.total ? ` of ${told.total}` : ""}`, told.done), tile("running", told.running.length), tile("stopped early", told.counts.stopped || 0),
        tile("failed", told.failed),
        tile(told.ended ? "took" : "left, about", told.ended ? span(told.elapsed_s) : span(told.eta_s)), tile("since it began", span(told.elapsed_s)));
      progress.replaceChildren(bar(told.counts, told.total), h("div", { class: "legend" },
        STATES.filter((name) => told.counts[name]).map((name) => h("span", { class: name }, `${told.counts[name]} ${name}`)), h("span", { class: "muted" }, told.verdict)));
    };
    const running = () => {
      const gpus = Object.fromEntries((told.gpus || []).map((gpu) => [gpu.index, gpu]));
      const use = (item) => { const gpu = gpus[/gpu (\d+)/.exec(item.device || "")?.[1]]; return gpu ? `${gpu.percent == null ? "" : `${Math.round(gpu.percent)} % · `}${memory(gpu.memory_mb)}` : ""; };
      const heads = ["slot", "run", state.meta?.metric || told.metric?.name || "value", "step", "reports", "margin", "time", "left", "CPU", "memory", "GPU", ""];
      workers.section.hidden = !told.running.length;
      workers.body.replaceChildren(h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, told.running.map((item) => h("tr", {},
          h("td", { title: `${item.host || ""} pid ${item.pid ?? ""}` }, item.lease_over ? h("span", { class: "failed" }, "its lease is over") : item.device || "starting"),
          h("td", {}, h("a", { href: path("sweep", name, "run", item.run_id) }, `${item.number} ${item.run_id}`)),
          h("td", {}, h("b", {}, number(told.metrics?.length || metric.value ? state.rows.get(item.number)?.value : item.value))), h("td", {}, item.step ?? "–"), h("td", {}, item.reports),
          h("td", { title: item.verdict, class: item.margin < 0 ? "failed" : "" }, item.margin === null ? "–" : number(item.margin, 3)),
          h("td", {}, span(item.duration_s)), h("td", {}, span(item.eta_s)), h("td", {}, item.cpu_percent === null ? "–" : `${Math.round(item.cpu_percent)} %`), h("td", {}, memory(item.memory_mb)),
          h("td", {}, use(item)),
          h("td", {}, h("button", { type: "button", class: "quiet danger", onclick: () => stopRun(name, item) }, "stop"))))))));
      const many = told.workers === 1 ? "1 worker" : `${told.workers} workers`;
      workers.caption.textContent = told.eta_s !== null && told.eta_s !== undefined ? `${many}; about ${span(told.eta_s)} left for the sweep at this pace.` : `${many}.`;
      if (told.packing) workers.caption.textContent += ` ${told.packing.join("; ")}.`;
    };
    const failing = () => {
      failures.section.hidden = !told.failures.length;
      failures.body.replaceChildren(...told.failures.map((group) => h("details", { class: "failure" },
        h("summary", {}, h("b", { class: "failed" }, `${group.count} ${group.count === 1 ? "run" : "runs"}`), `  ${group.reason || "no reason recorded"}`),
        group.runs.slice(0, 8).map((run) => h("div", {}, h("a", { href: path("sweep", name, "run", run.id) }, `run ${run.number} ${run.id}`), run.log && h("pre", {}, run.log))))));
    };
    const racing = () => {
      const made = told.confirmation;
      confirmed.section.hidden = !made;
      if (made) {
        const heads = made.heads.map((text) => h("th", { scope: "col" }, text));
        const lines = made.rows.map((row) => h("tr", { title: row.seeds.join("\n") }, row.cells.map((text, at) => h("td", {},
          at === 1 ? h("a", { href: path("sweep", name, "run", row.run) }, text) : made.heads[at] === "P(best)" ? meter(row.chance, text) : text))));
        confirmed.body.replaceChildren(
          h("p", {}, made.sweep ? h("a", { href: path("sweep", made.sweep) }, made.sweep) : "", " ", pill(made.state), h("span", { class: "muted num" }, ` ${made.done} of at most ${made.most} runs`)),
          bar({ finished: made.done }, made.most), h("p", {}, made.verdict[0] || ""),
          h("div", { class: "scroll flat", tabIndex: 0, role: "region", "aria-label": "the race" }, h("table", {}, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, lines))),
          made.next.length ? h("div", {}, h("h3", {}, "Next"), h("p", { class: "muted" }, made.next.slice(0, 9).join(" · "))) : "",
          h("details", {}, h("summary", {}, "seeds that were made"), h("table", { class: "pairs" }, h("tbody", {}, made.rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.cells[1]), h("td", {}, row.seeds.join(", ") || "none yet")))))));
        confirmed.caption.textContent = [made.head, ...made.verdict.slice(1)].join(" ");
      }
      race.section.hidden = !told.chances.length;
      race.body.replaceChildren(h("table", { class: "pairs" }, h("tbody", {}, told.chances.map((item) => h("tr", {}, h("td", { class: "wrap" }, item.of), h("td", {}, meter(item.chance, `${(100 * item.chance).toFixed(0)} %`)))))));
      race.caption.textContent = "The chance to be the best of those that were run with several seeds; made honest for having been picked.";
    };
    const meter = (share, text) => {
      const made = h("span", { class: "meter" }, h("i", {}), h("span", { class: "num" }, text));
      made.firstChild.style.width = `${Math.round(60 * (share || 0))}px`;
      return made;
    };
    const asked = () => {
      yaml.body.replaceChildren(h("pre", {}, told.yaml));
      yaml.caption.textContent = told.program;
      record.section.hidden = !told.asked.length;
      yaml.section.classList.toggle("w7", told.asked.length > 0);
      record.body.replaceChildren(h("table", {}, h("tbody", {}, [...told.asked].reverse().map((item) => h("tr", {}, h("td", { class: "wrap" }, item.what), h("td", {}, item.who), h("td", { class: "muted" }, new Date(1000 * item.at).toLocaleString()))))));
    };

    // The runs: their table, and what the brush and the filter leave of them.
    function runTable() {
      const search = h("input", { type: "search", placeholder: "filter: lr < 1e-3 and state == finished, or words", "aria-label": "filter runs by an expression" });
      search.style.flex = "1 1 260px";
      const menu = h("details", { class: "menu" }, h("summary", { class: "button" }, "columns"), h("div", {}));
      const count = h("span", { class: "muted num", role: "status" });
      const compare = h("button", { type: "button", disabled: true, onclick: () => { location.hash = path("sweep", name, "compare", [...state.picked].join(",")); } }, "compare");
      const save = (format) => h("button", { type: "button", class: "quiet", onclick: () => download(format) }, format === "csv" ? "CSV" : "Parquet");
      const made = panel("Runs", "", count);
      const thead = h("thead"), tbody = h("tbody");
      const grid = h("table", { class: "even" }, thead, tbody);
      const scroll = h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "runs", onscroll: () => drawRows(false) }, grid);
      made.body.replaceChildren(h("div", { class: "tools" }, search, menu, compare, save("csv"), save("parquet")), h("br"),
        scroll);
      search.addEventListener("input", () => {
        state.expr = search.value;
        try { state.filter = rowFilter.parse(search.value, read, words); search.classList.remove("bad"); search.title = ""; }
        catch (error) { search.classList.add("bad"); search.title = error.message; return; }
        filtered();
      });
      return { ...made, grid, scroll, thead, tbody, menu, count, compare };
    }
    const read = (row, column) => {
      if (column in row && typeof row[column] !== "object") return row[column];
      if (state.meta && column === state.meta.metric) return row.value;
      const [kind, ...rest] = column.split(":");
      if (kind === "m" && rest.length) return row.metrics[rest.join(":")];
      return row.params[column] ?? row.metrics[column];
    };
    const words = (row) => (row.words ??= [row.number, row.id, row.name, row.state, row.reason, row.host, ...Object.values(row.params), row.note?.note || "", ...(row.note?.tags || [])].join(" ").toLowerCase());
    const visible = () => [...state.rows.values()].filter((row) => (!state.brush || state.brush.has(row.number)) && state.filter(row));
    const columns = () => state.columns || ["number", "name", "state", "value", ...(state.meta.objectives.length ? ["front"] : []), ...state.meta.varying.slice(0, 8), ...state.meta.metrics.filter((metric) => metric !== state.meta.metric && !state.meta.params.some((item) => item.name === metric)).slice(0, Math.max(3, state.meta.objectives.length)).map((metric) => `m:${metric}`), "duration_s", "reason"];
    const headOf = (column) => ({ number: "#", value: state.meta.metric || "value", duration_s: "time" }[column] || column.replace(/^m:/, ""));
    const sorted = (rows) => {
      const [column, way] = state.sort;
      const up = way === null ? state.meta.goal !== "maximize" : way;
      return rows.sort((a, b) => {
        const x = read(a, column), y = read(b, column);
        const no = (value) => value === null || value === undefined || value === "";
        if (no(x) || no(y)) return no(x) - no(y) || a.number - b.number;
        const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
        return (up ? order : -order) || a.number - b.number;
      });
    };
    const drawTable = () => {
      if (!state.meta) return;
      const shown = state.shown = sorted(visible()), names = columns();
      table.count.textContent = `${shown.length} of ${state.rows.size} runs`;
      table.thead.replaceChildren(h("tr", {}, h("th", {}, ""), names.map((column) => h("th", { scope: "col", title: headOf(column), "aria-sort": state.sort[0] === column ? (state.sort[1] ?? state.meta.goal !== "maximize" ? "ascending" : "descending") : null },
        h("button", { type: "button", onclick: () => { state.sort = [column, state.sort[0] === column ? !(state.sort[1] ?? state.meta.goal !== "maximize") : true]; drawTable(); } }, headOf(column))))));
      table.grid.setAttribute("aria-rowcount", shown.length + 1);
      drawRows(true);
    };
    // The rows in sight and some around them; what lies above and below is space of their height.
    const drawRows = (anew) => {
      const { shown } = state, names = columns(), around = 20;
      const first = Math.max(0, Math.min(Math.floor(table.scroll.scrollTop / ROW), shown.length - 1) - around);
      const last = Math.min(shown.length, first + Math.ceil((table.scroll.clientHeight || 560) / ROW) + 2 * around);
      const far = Math.abs(first - (table.first ?? 0)) > around / 2;
      if (!anew && !far) return;
      table.first = first;
      const space = (rows) => { const made = h("tr", { "aria-hidden": "true", class: "space" }, h("td", { colSpan: names.length + 1 })); made.firstChild.style.height = `${rows * ROW}px`; return made; };
      table.tbody.replaceChildren(...(first ? [space(first)] : []), ...shown.slice(first, last).map((row, at) => rowOf(row, names, first + at + 2)), ...(last < shown.length ? [space(shown.length - last)] : []));
      if (!shown.length) table.tbody.append(h("tr", {}, h("td", { colSpan: names.length + 1, class: "empty" }, state.rows.size ? "no run fits" : "no run yet")));
    };
    const rowOf = (row, names, place) => {
      const pick = h("input", { type: "checkbox", checked: state.picked.has(row.id), "aria-label": `compare run ${row.number}` });
      pick.addEventListener("change", () => { state.picked[pick.checked ? "add" : "delete"](row.id); table.compare.disabled = state.picked.size < 2; });
      return h("tr", { class: row.front || (told.best && row.number === told.best.number) ? "best" : "", "aria-rowindex": place }, h("td", {}, pick), names.map((column) => {
        const value = read(row, column);
        if (column === "number" || column === "name") return h("td", {}, h("a", { href: path("sweep", name, "run", row.id), title: row.id }, String(value)), column === "name" && row.note?.tags?.map((tag) => [" ", h("span", { class: "tag" }, tag)]));
        if (column === "front") return h("td", {}, value ? "yes" : "");
        if (column === "state") return h("td", {}, h("span", { class: value }, value));
        if (column === "duration_s") return h("td", {}, span(value));
        if (column === "value") return h("td", {}, h("b", {}, number(value)));
        if (column.endsWith("_at")) return h("td", {}, value ? new Date(1000 * value).toLocaleString() : "");
        if (column.startsWith("m:")) return h("td", {}, value === null ? "NaN" : cell(value)); // JSON has no other word for it
        return h("td", { title: typeof value === "string" ? value : "" }, cell(value));
      }));
    };
    const drawMenu = () => {
      const all = ["number", "name", "id", "state", "value", ...(state.meta.objectives.length ? ["front"] : []), ...state.meta.params.map((item) => item.name), ...state.meta.metrics.map((metric) => `m:${metric}`), "duration_s", "reports", "attempts", "seed", "host", "started_at", "ended_at", "reason"];
      table.menu.lastChild.replaceChildren(...all.map((column) => {
        const box = h("input", { type: "checkbox", checked: columns().includes(column) });
        box.addEventListener("change", () => { const now = new Set(columns()); now[box.checked ? "add" : "delete"](column); state.columns = all.filter((item) => now.has(item)); drawTable(); });
        return h("label", {}, box, headOf(column) + (column.startsWith("m:") ? " (metric)" : ""));
      }));
    };
    const download = async (format) => {
      const names = columns();
      const body = { format, columns: names.map((column) => (column === "value" ? state.meta.metric || "value" : column === "number" ? "number" : column.replace(/^m:/, "metric."))), rows: sorted(visible()).map((row) => names.map((column) => read(row, column) ?? null)) };
      try {
        const file = await (await post(api(name, "export"), body)).blob();
        const link = h("a", { href: URL.createObjectURL(file), download: `${name.replace(/[^\p{L}\p{N}._-]+/gu, "-")}.${format}` });
        link.click();
        URL.revokeObjectURL(link.href);
      } catch (error) { toast(error.message); }
    };
    const loadRows = async () => {
      const fresh = await get(api(name, `rows?since=${state.change}${which()}${[...hows].map(([text, way]) => `&of=${way}:${encodeURIComponent(text)}`).join("")}`));
      drawMetrics(fresh);
      const first = state.meta === null || fresh.metrics.length !== state.meta.metrics.length || fresh.params.length !== state.meta.params.length;
      if (state.change === 0) state.rows.clear();
      for (const row of fresh.rows) state.rows.set(row.number, row);
      state.meta = fresh;
      state.change = fresh.change;
      if (first) { drawMenu(); drawChoices(); }
      drawTable();
    };

    // What every panel shows: of several metrics, or of whatever runs reported, the one that is chosen.
    const drawMetrics = (fresh) => {
      if (metric.options.length === fresh.metrics.length) return;
      const before = metric.value || fresh.metric || "";
      metric.replaceChildren(...fresh.metrics.map((text) => new Option(text, text)));
      metric.value = fresh.metrics.includes(before) ? before : "";
      choice.hidden = !fresh.metrics.length;
    };
    const rechoose = async () => {
      state.change = 0;
      curves.place = null;
      await loadRows();
      drawChoices();
      for (const work of [loadSoon.curves, loadSoon.history, loadSoon.front, loadSoon.parallel, loadSoon.heat, loadSoon.slice, loadSoon.importance]) work.now();
    };
    const chose = () => rechoose().catch((error) => toast(error.message));
    metric.addEventListener("change", () => { how.value = howOf(metric.value); chose(); });
    how.addEventListener("change", () => { hows.set(metric.value || state.meta.metric, how.value); chose(); });

    // Figures: drawn again when the sweep changed, filtered at once where the brush or the filter did.
    const held = {};
    const chosen = () => (state.brush || state.expr ? new Set(visible().map((row) => row.number)) : null);
    const runsQuery = (numbers) => {
      const bits = new Uint8Array(Math.floor(numbers.reduce((most, number) => Math.max(most, number), 0) / 8) + 1);
      for (const number of numbers) bits[number >> 3] |= 1 << (number & 7);
      return `runs=~${btoa(Array.from(bits, (byte) => String.fromCharCode(byte)).join("")).replace(/\+/g, "-").replace(/\//g, "_")}`;
    };
    const fetchFigure = async (kind, query = "") => get(api(name, `figures/${kind}${query ? `${query}&` : "?"}${by()}`));
    const none = (made, text) => { made.body.replaceChildren(h("p", { class: "empty" }, text)); made.caption.textContent = ""; };
    const openRun = (trace, at) => {
      const row = state.rows.get(trace.customdata?.[at] ?? trace.meta.runs?.[at]);
      if (row) location.hash = path("sweep", name, "run", row.id);
    };
    // A figure of marks with those of the brush and the filter lit.
    const lit = (spec) => {
      const runs = chosen();
      return { layout: { ...spec.layout, showlegend: false }, data: spec.data.map((trace) => (runs && trace.meta?.runs ? { ...trace, selectedpoints: trace.meta.runs.map((run, at) => (runs.has(run) ? at : -1)).filter((at) => at >= 0) } : trace)) };
    };
    const drawCurves = async () => {
      const spec = held.curves;
      if (!spec?.data.length) return none(curves, spec?.caption || "no report yet");
      if (!curves.place) {
        const made = sweepkit.controls(spec, () => drawCurves(), look);
        Object.assign(look, made.look);
        curves.bar = made.bar;
        curves.place = plotIn(curves, 400);
        curves.body.prepend(made.bar);
        curves.look = made.look;
      }
      const { place } = curves;
      curves.caption.textContent = spec.caption;
      await sweepkit.draw(place, sweepkit.curves(spec, curves.look, chosen()), { uirevision: "kept" });
      if (!place.clicked) {
        place.clicked = true;
        place.xy.onpick = openRun;
      }
    };
    const loadCurves = async () => {
      const picked = chosen();
      let query = "";
      if (top.value) query = `?${runsQuery(sorted(visible().filter((row) => row.reports)).slice(0, Number(top.value)).map((row) => row.number))}`;
      else if (picked) query = `?${runsQuery([...picked])}`;
      const asked = (curves.asked = {});
      const fresh = await fetchFigure("curves", query);
      if (curves.asked !== asked) return; // others were asked for meanwhile
      if (held.curves?.data.length && JSON.stringify(fresh.layout?.meta) !== JSON.stringify(held.curves.layout?.meta)) curves.place = null;
      held.curves = fresh;
      await drawCurves();
    };
    const drawHistory = async () => {
      const spec = held.history;
      if (!spec?.data.length) return none(history, spec?.caption || "");
      if (!history.place?.isConnected) history.place = plotIn(history, 400);
      history.caption.textContent = spec.caption;
      await sweepkit.draw(history.place, lit(spec));
      if (history.place.xy) history.place.xy.onpick = openRun;
    };
    const drawFront = async () => {
      const spec = held.front;
      if (!spec) return;
      if (!spec.data.length) return none(front, spec.caption);
      if (!front.place?.isConnected) front.place = plotIn(front, 360);
      front.caption.textContent = spec.caption;
      await sweepkit.draw(front.place, lit(spec));
      if (front.place.xy) front.place.xy.onpick = openRun;
    };
    const drawParallel = () => {
      const spec = held.parallel;
      if (!spec?.data.length) return none(parallel, spec?.caption || "");
      if (!parallel.place?.isConnected) {
        parallel.place = plotIn(parallel, 400);
        parallel.place.style.minWidth = `${spec.min_width || 0}px`;
      }
      sweepkit.draw(parallel.place, spec);
      parallel.place.parallel.onbrush = setBrush;
      if (state.brush) parallel.place.parallel.changed(); // what came since then may lie within the brush
      parallel.caption.textContent = spec.caption;
    };
    const setBrush = (runs) => {
      state.brush = runs;
      brushed.textContent = runs ? `${runs.size} ${runs.size === 1 ? "run is" : "runs are"} brushed: every panel shows ${runs.size === 1 ? "it" : "them"} alone` : "";
      unbrush.hidden = !runs;
      loadSoon.filtered();
    };
    const filtered = () => { drawTable(); drawCurves(); drawHistory(); drawFront(); loadSoon.chosen(); };
    const loadFigure = async (made, kind, query, height) => {
      if (!made.place?.isConnected) made.body.replaceChildren(h("p", { class: "empty" }, "being worked out …"));
      try {
        const spec = await fetchFigure(kind, query);
        if (!spec.data.length) return none(made, spec.caption);
        if (!made.place?.isConnected) made.place = plotIn(made, height);
        made.place.style.height = `${Math.min(spec.height || height, 460)}px`;
        await sweepkit.draw(made.place, spec);
        made.caption.textContent = spec.caption;
      } catch (error) { none(made, error.message); }
    };
    const picks = () => { const picked = chosen(); return picked ? `&${runsQuery([...picked])}` : ""; };
    const drawChoices = () => {
      const names = state.meta.varying;
      for (const [select, at] of [[pairX, 0], [pairY, 1], [single, 0]]) {
        const before = select.value;
        select.replaceChildren(...names.map((text) => new Option(text.length > 32 ? `${text.slice(0, 15)}…${text.slice(-15)}` : text, text)));
        select.value = names.includes(before) ? before : names[at] || names[0] || "";
      }
      heat.section.hidden = names.length < 2;
      slice.section.hidden = !names.length;
      builderControls();
    };
    const builderControls = () => {
      const names = state.meta.params.map((item) => item.name);
      const choose = (label, options, empty) => h("select", { "aria-label": label }, empty !== undefined && new Option(empty, ""), options.map((text) => new Option(text, text)));
      const rows = choose("rows of the table", state.meta.varying), across = choose("columns of the table", names, "(one column)"), metric = choose("metric of the table", state.meta.metrics);
      metric.value = state.meta.metric || "";
      const place = h("div");
      const make = async () => {
        if (!rows.value) return;
        try {
          const made = await get(api(name, `pivot?rows=${encodeURIComponent(rows.value)}&columns=${encodeURIComponent(across.value)}&metric=${encodeURIComponent(metric.value)}&how=${howOf(metric.value)}`));
          const copy = (text, what) => h("button", { type: "button", class: "quiet", onclick: async () => { await navigator.clipboard.writeText(text); toast(`${what} is copied`); } }, `copy ${what}`);
          place.replaceChildren(h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, made.heads.map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, made.rows.map((line) => h("tr", {}, line.map((text) => h("td", {}, text))))))),
            copy(made.latex, "LaTeX"), copy(made.csv, "CSV"));
        } catch (error) { place.replaceChildren(h("p", { class: "muted" }, error.message)); }
      };
      const button = h("button", { type: "button", onclick: make }, "make the table");
      builder.section.hidden = !names.length;
      builder.body.replaceChildren(h("div", { class: "tools" }, h("label", {}, "rows ", rows), h("label", {}, "columns ", across), h("label", {}, "metric ", metric), button), place);
      builder.caption.textContent = "Each cell is the mean ± standard deviation over the runs (seeds) in it.";
    };
    const drawHeat = () => loadFigure(heat, "heat_map", `?x=${encodeURIComponent(pairX.value)}&y=${encodeURIComponent(pairY.value)}${picks()}`, 340);
    const drawSlice = () => loadFigure(slice, "slice", `?parameter=${encodeURIComponent(single.value)}${picks()}`, 300);
    for (const select of [pairX, pairY]) select.addEventListener("change", () => loadSoon.heat());
    single.addEventListener("change", () => loadSoon.slice());
    top.addEventListener("change", () => loadSoon.curves());
    const loadSoon = {
      overview: calm(async () => { told = await get(api(name)); overview(); await loadRows(); }, 300),
      curves: calm(loadCurves, 1000),
      filtered: calm(filtered, 30),
      chosen: calm(async () => { await loadCurves(); loadSoon.heat(); loadSoon.slice(); }, 400),
      history: calm(async () => { held.history = await fetchFigure("history"); await drawHistory(); }, 2500),
      front: lazily(front, async () => { held.front = await fetchFigure("pareto"); await drawFront(); }, 2500, 360),
      parallel: lazily(parallel, async () => { held.parallel = await fetchFigure("parallel"); drawParallel(); }, 4000, 400),
      heat: lazily(heat, drawHeat, 2500, 340),
      slice: lazily(slice, drawSlice, 2500, 300),
      importance: lazily(importance, () => loadFigure(importance, "importance", "", 300), 10000, 300), // the slowest
    };
    loadSoon.rest = () => { loadSoon.front(); loadSoon.heat(); loadSoon.slice(); };
    loadSoon.rest.stop = () => {};
    const overview = () => {
      importance.section.hidden = (told.counts.finished || 0) < 20;
      head(); numbers(); running(); failing(); racing(); asked();
    };
    const refigure = () => { curves.place = null; drawCurves(); history.place && drawHistory(); parallel.place?.parallel?.layOut(); drawFront(); loadSoon.rest(); loadSoon.importance(); };
    overview();
    await Promise.all([loadRows(), fetchFigure("curves").then((spec) => { held.curves = spec; return drawCurves(); }),
      fetchFigure("history").then((spec) => { held.history = spec; return drawHistory(); })].map((work) => work.catch((error) => toast(error.message))));
    document.documentElement.dataset.ready = name;
    loadSoon.parallel();
    loadSoon.rest();
    loadSoon.importance();
    let seen = told.change, ended = String(told.ended);
    follow(`?sweep=${encodeURIComponent(name)}`, (now) => {
      if (now.error) return toast(now.error);
      loadSoon.overview();
      if (now.change !== seen) { seen = now.change; loadSoon.curves(); }
      if (String(now.ended) !== ended) for (const work of [loadSoon.history, loadSoon.parallel, loadSoon.rest, loadSoon.importance]) work();
      ended = String(now.ended); // most reports end nothing: then only curves are new
    });
    const beat = setInterval(() => { if (told.running.length) loadSoon.overview(); }, 3000); // times, CPU and GPU go on without a report
    redraw = refigure;
    leave = () => { clearInterval(beat); Object.values(loadSoon).forEach((run) => run.stop()); };
  };
  const stopRun = async (name, item) => {
    if (await ask(`Stop run ${item.number}?`, `Run ${item.run_id} is asked to end now; what it reported so far counts as its value, and it is not run again.`, { yes: "Stop the run", danger: true })) await act(name, "stop_run", { run: item.run_id || item.id }, "the run is asked to end");
  };

  // -- a run, and runs side by side -----------------------------------------------------------------------------------------

  const pairs = (values) => h("table", { class: "pairs" }, h("tbody", {}, Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "").map(([key, value]) => h("tr", {}, h("th", { scope: "row" }, key), h("td", {}, typeof value === "object" ? JSON.stringify(value) : cell(value))))));

  const showRun = async (name, id) => {
    document.title = `${id} – ${name} – sweepkit`;
    const metric = h("select", { "aria-label": "metric" });
    const by = () => (metric.value ? `metric=${encodeURIComponent(metric.value)}` : "");
    let run = await get(api(name, `runs/${id}`));
    crumbs([name, path("sweep", name)], [`run ${run.number} ${run.name}`]);
    const title = h("div", { class: "head" });
    const curves = panel("Curve, the best run behind it", "w8", metric), config = panel("Parameters", "w4"), metrics = panel("Metrics", "w4"), attempts = panel("Attempts", "w8");
    const log = panel("Log", ""), files = panel("Files", "w6"), environment = panel("Environment, and the command that repeats it", "w6");
    main.replaceChildren(title, h("div", { class: "grid" }, curves.section, config.section, log.section, attempts.section, metrics.section, environment.section, files.section));
    const tail = h("pre", { class: "log", tabIndex: 0, role: "log", "aria-live": "off", "aria-label": "log" });
    const which = h("select", { "aria-label": "attempt" });
    const stick = h("input", { type: "checkbox", checked: true });
    log.section.querySelector(".right").append(which, h("label", {}, stick, " follow"));
    log.body.append(tail);
    let at = null, shown = "";
    const readLog = calm(async () => {
      if (!which.value) { tail.textContent = "no attempt yet"; return; }
      if (shown !== which.value) { shown = which.value; at = null; tail.textContent = ""; }
      for (;;) {
        const part = await get(api(name, `runs/${id}/log/${which.value}${at === null ? "" : `?from=${at}`}`));
        at = part.next;
        if (part.text) tail.append(plainText(part.text));
        if (tail.textContent.length > 400000) tail.textContent = tail.textContent.slice(-300000);
        if (!part.text || at >= part.size) break;
      }
      log.caption.textContent = at ? `${bytes(at)}` : "nothing was printed";
      if (stick.checked) tail.scrollTop = tail.scrollHeight;
    }, 600);
    which.addEventListener("change", readLog);
    const draw = () => {
      title.replaceChildren(h("div", { class: "grow" }, h("h1", {}, `run ${run.number} `, h("span", { class: "muted" }, run.name), " ", pill(run.state)), h("div", { class: "muted" }, run.reason)),
        h("div", { class: "actions" }, run.state === "running" && h("button", { type: "button", class: "danger", onclick: () => stopRun(name, { number: run.number, run_id: run.id }) }, "Stop run"),
          h("button", { type: "button", onclick: note }, "Note, tags"), run.best !== null && h("a", { class: "button", href: path("sweep", name, "compare", `${run.id},#${run.best}`) }, "Compare with the best")));
      config.body.replaceChildren(pairs(run.params));
      metrics.body.replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, ["", "best report", "last"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, Object.keys(run.last_metrics).map((key) => h("tr", {}, h("th", { scope: "row" }, key), h("td", {}, number(run.best_metrics[key])), h("td", {}, number(run.last_metrics[key])))))));
      attempts.body.replaceChildren(h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["attempt", "state", "where", "time", "why it ended"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, run.attempts.map((item) => h("tr", {}, h("td", {}, item.attempt_id), h("td", {}, item.state), h("td", {}, [item.host, item.device].filter(Boolean).join(" ")),
        h("td", {}, item.ended_at ? span(item.ended_at - (item.started_at || item.claimed_at)) : "runs"), h("td", { class: "wrap" }, item.reason)))))));
      files.body.replaceChildren(run.files.length ? h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, run.files.map((file) => h("tr", {}, h("td", { class: "wrap" }, file.name), h("td", { class: "right" }, bytes(file.bytes)), h("td", { class: "muted hide-small" }, file.at)))))) : h("p", { class: "muted" }, "it wrote none into its folder"));
      files.caption.textContent = run.folder;
      environment.body.replaceChildren(h("pre", {}, run.command), pairs({ proposed: run.proposal.reason, ...run.environment, package_versions: null }), h("details", {}, h("summary", {}, "packages"), pairs(run.environment.package_versions || {})));
      const before = which.value;
      if (which.length !== run.attempts.length) { which.replaceChildren(...run.attempts.map((item) => new Option(item.attempt_id, item.attempt_id))); which.value = before && run.state !== "running" ? before : run.attempts.at(-1)?.attempt_id || ""; }
    };
    const note = async () => {
      const row = (await get(api(name, "rows"))).rows.find((item) => item.id === id);
      const given = await ask(`Note and tags of run ${run.number}`, "They stand in the record.", { yes: "Keep", fields: [{ name: "note", label: "note", value: row?.note?.note || "", long: true }, { name: "tags", label: "tags, with commas", value: (row?.note?.tags || []).join(", ") }] });
      if (given) await act(name, "annotate", { run: id, note: given.note, tags: given.tags.split(",").map((tag) => tag.trim()).filter(Boolean) }, "kept");
    };
    metric.replaceChildren(...(run.known || []).map((text) => new Option(text, text)));
    metric.value = run.metric || "";
    metric.hidden = metric.length < 2;
    metric.addEventListener("change", () => { place = null; load(); });
    let look = null, place = null, spec = null;
    const paint = () => { if (place) sweepkit.draw(place, sweepkit.curves(spec, look), { uirevision: "kept", showlegend: false }); };
    const drawCurve = calm(async () => {
      spec = await get(api(name, `figures/curves?${by()}&runs=${[run.number, run.best].filter((item) => item !== null).join(",")}`));
      if (!spec.data.length) { curves.body.replaceChildren(h("p", { class: "empty" }, spec.caption)); place = null; return; }
      for (const trace of spec.data) if (trace.meta.run !== undefined) { trace.meta.colours.state = trace.meta.run === run.number ? "--best" : "--muted"; trace.line.width = trace.meta.run === run.number ? 2.4 : 1.4; trace.opacity = 1; }
      if (!place) { const made = sweepkit.controls(spec, paint); look = made.look; place = plotIn(curves, 340); curves.body.prepend(made.bar); }
      paint();
      curves.caption.textContent = run.best === null ? "This is the best run." : `Red: this run. Grey: the best one, run ${run.best}. Dashed: what the stopping rule asks for.`;
    }, 900);
    draw(); drawCurve(); readLog();
    const load = calm(async () => { run = await get(api(name, `runs/${id}?${by()}`)); draw(); drawCurve(); readLog(); }, 500);
    follow(`?sweep=${encodeURIComponent(name)}`, load);
    const beat = setInterval(() => { if (run.state === "running") readLog(); }, 1000);
    redraw = paint;
    leave = () => { clearInterval(beat); [load, drawCurve, readLog].forEach((work) => work.stop()); };
  };

  const showCompare = async (name, list) => {
    document.title = `compare – ${name} – sweepkit`;
    crumbs([name, path("sweep", name)], ["compare"]);
    const metric = h("select", { "aria-label": "metric" });
    const told = await get(api(name, "rows"));
    const byId = new Map(told.rows.flatMap((row) => [[row.id, row], [`#${row.number}`, row]]));
    const rows = list.split(",").map((id) => byId.get(id)).filter(Boolean);
    const colours = COLOURS;
    metric.replaceChildren(...told.metrics.map((text) => new Option(text, text)));
    metric.value = told.metric || "";
    metric.hidden = metric.length < 2;
    const curves = panel("Curves", "", metric);
    const differ = panel("What differs", "");
    main.replaceChildren(h("div", { class: "head" }, h("h1", {}, `${rows.length} runs of ${name}`)), h("div", { class: "grid" }, curves.section, differ.section));
    const params = told.params.map((item) => item.name), metrics = told.metrics;
    const line = (label, values, show = cell) => {
      const same = new Set(values.map((value) => JSON.stringify(value))).size === 1;
      return { same, row: h("tr", { class: same ? "same" : "" }, h("th", { scope: "row" }, label), values.map((value) => h("td", { class: "wrap" }, same ? show(value) : h("b", {}, show(value))))) };
    };
    const lines = [...params.map((key) => line(key, rows.map((row) => row.params[key]))), ...metrics.map((key) => line(key, rows.map((row) => row.metrics[key]), number)), line("state", rows.map((row) => row.state)), line("time", rows.map((row) => row.duration_s), span)];
    differ.body.replaceChildren(h("div", { class: "scroll flat" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, ""), rows.map((row, at) => h("th", { scope: "col" }, swatch(colours[at % colours.length]), h("a", { href: path("sweep", name, "run", row.id) }, `run ${row.number} ${row.name}`))))),
      h("tbody", {}, lines.filter((item) => !item.same).map((item) => item.row), lines.filter((item) => item.same).map((item) => item.row)))));
    const load = async () => {
      const spec = await get(api(name, `figures/curves?metric=${encodeURIComponent(metric.value)}&runs=${rows.map((row) => row.number).join(",")}`));
      if (!spec.data.length) return curves.body.replaceChildren(h("p", { class: "empty" }, spec.caption));
      for (const trace of spec.data) if (trace.meta.run !== undefined) { const at = rows.findIndex((row) => row.number === trace.meta.run); trace.meta.colours.state = colours[at % colours.length]; trace.opacity = 1; trace.line.width = 2; }
      const made = sweepkit.controls(spec, () => paint());
      const place = plotIn(curves, 380), paint = () => sweepkit.draw(place, sweepkit.curves(spec, made.look));
      curves.body.prepend(made.bar);
      redraw = paint;
      return paint();
    };
    metric.addEventListener("change", () => load().catch((error) => toast(error.message)));
    await load();
    follow(`?sweep=${encodeURIComponent(name)}`, () => {});
    leave = () => {};
  };

  // -- where we are ------------------------------------------------------------------------------------------------------------

  let redraw = () => {};
  const route = async () => {
    const [where, query] = location.hash.slice(1).split("?");
    const given = new URLSearchParams(query || location.search).get("token");
    if (given) { // the token leaves the address bar, so that it is in no screenshot and no copied link
      keep.set("sweepkit-token", given);
      history.replaceState(null, "", `${location.pathname}#${where || "/"}`);
    }
    const parts = (where || "/").split("/").filter(Boolean).map(decodeURIComponent);
    leave();
    stream?.close();
    leave = redraw = () => {};
    delete document.documentElement.dataset.ready;
    main.setAttribute("aria-busy", "true");
    try {
      if (parts[0] === "sweep" && parts[2] === "run") await showRun(parts[1], parts[3]);
      else if (parts[0] === "sweep" && parts[2] === "compare") await showCompare(parts[1], parts[3]);
      else if (parts[0] === "sweep") await showSweep(parts[1]);
      else if (parts[0] === "sweeps") await showFamily(parts[1].split("\n"));
      else await showSweeps();
      document.documentElement.dataset.ready ??= parts.join("/") || "sweeps";
    } catch (error) {
      console.error(error);
      main.replaceChildren(h("div", { class: "empty" }, h("h1", {}, "This cannot be shown"), h("p", {}, error.message), h("a", { href: "#/" }, "all sweeps")));
    }
    main.removeAttribute("aria-busy");
  };
  document.getElementById("theme").addEventListener("click", () => {
    const dark = (document.documentElement.dataset.theme || (dressed.matches ? "dark" : "light")) === "dark";
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("sweepkit-theme", dark ? "light" : "dark"); } catch { /* kept for this page alone */ }
    redraw();
  });
  dressed.addEventListener("change", () => redraw());
  document.addEventListener("click", (event) => { for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false; });
  window.addEventListener("hashchange", route);
  route();
})();
