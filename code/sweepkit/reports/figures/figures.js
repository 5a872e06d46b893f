// Figures of the report and of the live page: drawn on canvases in the page's colours, steered by controls; by plotly only
// what has three axes.
// A string that is only `--name` is the value of that CSS variable, so figures follow light and dark.
const sweepkit = (() => {
  const dress = (node, css) => {
    if (typeof node === "string") return /^--[a-z]+$/.test(node) ? css.getPropertyValue(node).trim() : node;
    if (Array.isArray(node)) // numbers alone have nothing to dress; a stop of a colour scale is [number, colour]
      return typeof node[0] === "number" && typeof node.at(-1) === "number" ? node : node.map((item) => dress(item, css));
    if (node && typeof node === "object")
      return Object.fromEntries(Object.entries(node).map(([key, item]) => [key, key === "meta" ? item : dress(item, css)]));
    return node;
  };

  // Plotly is 5 MB, seconds of a browser: the live page asks for it when it shows the first figure that needs it.
  let asked = null;
  const plotly = () => (asked ??= new Promise((done, failed) => {
    const source = document.documentElement.dataset.plotly;
    if (window.Plotly || !source) return done();
    document.head.append(Object.assign(document.createElement("script"), { src: source, onload: done, onerror: failed }));
  }));

  const draw = async (place, spec, more = {}) => {
    const css = getComputedStyle(document.documentElement);
    const kind = spec.data.length ? spec.data[0].type : "";
    if (kind === "parcoords") return (place.parallel ??= new ParallelPlot(place)).show(spec.data[0]);
    if (XYPlot.takes(spec)) {
      if (!place.xy?.canvas.isConnected) {
        if (place.classList.contains("js-plotly-plot")) Plotly.purge(place);
        place.xy = new XYPlot(place);
      }
      return place.xy.show({ ...spec, layout: { ...spec.layout, ...more } }, place.closest("section")?.getAttribute("aria-label") || "");
    }
    if (!window.Plotly) await plotly();
    const buttons = kind === "scatter3d" ? ["toImage", "resetCameraDefault3d"] : ["toImage", "zoom2d", "resetScale2d"];
    const options = { responsive: true, displaylogo: false, modeBarButtons: [buttons],
      displayModeBar: place.clientWidth > 480 ? "hover" : false };
    const layout = { ...dress(spec.layout, css), ...more };
    layout.font = { ...layout.font, family: getComputedStyle(document.body).fontFamily };
    return Plotly.react(place, dress(spec.data, css), layout, options);
  };

  // The exponential moving average, begun unbiased; `curves.py` has the same for who has no page.
  const smoothed = (values, weight) => {
    if (!weight) return values;
    let kept = 0, mass = 0;
    return values.map((value) => {
      if (value === null || !Number.isFinite(value)) return value;
      kept = weight * kept + (1 - weight) * value;
      mass = weight * mass + 1 - weight;
      return kept / mass;
    });
  };

  // Curves that look alike as one trace with gaps between them: 150 traces take plotly five times as long as 5.
  const joined = (drawn) => {
    const groups = new Map();
    for (const { trace, x, y, color, opacity } of drawn) {
      const key = [color, opacity, trace.line.width, trace.mode].join();
      if (!groups.has(key)) groups.set(key, { ...trace, name: "", x: [], y: [], text: [], customdata: [], meta: { runs: true },
        line: { ...trace.line, color }, opacity, hovertemplate: "%{text}" + trace.hovertemplate.slice(trace.hovertemplate.indexOf("<br>")) });
      const group = groups.get(key), label = trace.hovertemplate.split("<br>")[0];
      if (group.x.length) for (const list of [group.x, group.y, group.text, group.customdata]) list.push(null);
      for (let at = 0; at < x.length; at++) {
        group.x.push(x[at]);
        group.y.push(y[at]);
        group.text.push(label);
        group.customdata.push(trace.meta.run);
      }
    }
    return [...groups.values()];
  };

  // Learning curves as the controls want them: `runs` is a Set of the numbers to show, or null for all.
  const curves = (spec, look, runs = null) => {
    const data = [], drawn = [];
    for (const trace of spec.data) {
      const meta = trace.meta;
      if (meta.run !== undefined) {
        if (runs && !runs.has(meta.run)) continue;
        if (look.running && meta.state !== "running") continue;
        const x = meta[look.x] || meta.report;
        drawn.push({ trace, x, y: smoothed(meta.y, look.smoothing), color: meta.colours[look.colour] || "--muted",
          opacity: look.faded ? trace.opacity : 0.85 });
      } else if (meta.ends) {
        const kept = meta.runs.map((run, at) => at).filter((at) => !runs || runs.has(meta.runs[at]));
        if (look.running || !look.limits) continue;
        const pick = (list) => kept.map((at) => list[at]);
        data.push({ ...trace, x: pick(meta[look.x]), y: pick(meta.y), text: pick(trace.text) });
      } else if (look.limits && (look.x === "report" || meta[look.x])) {
        data.push({ ...trace, x: meta[look.x] || meta.report, y: meta.y });
      }
    }
    data.unshift(...joined(drawn));
    const layout = { ...spec.layout };
    const names = layout.meta.axes;
    layout.xaxis = { ...layout.xaxis, type: look.logx ? "log" : "linear",
      title: { ...layout.xaxis.title, text: names[look.x] } };
    if (look.logy) { layout.yaxis = { ...layout.yaxis, type: "log" }; delete layout.yaxis.range; }
    else layout.yaxis = { ...layout.yaxis, type: "linear" };
    return { data, layout };
  };

  const label = (text, control) => {
    const made = document.createElement("label");
    made.append(text, control);
    return made;
  };
  const choice = (options, value) => {
    const made = document.createElement("select");
    for (const name of options) made.append(new Option(name, name, name === value, name === value));
    return made;
  };
  const box = (checked) => Object.assign(document.createElement("input"), { type: "checkbox", checked });

  // Controls above the curves; `changed` is called with the look whenever it changes.
  const controls = (spec, changed, before = {}) => {
    const meta = spec.layout.meta;
    const look = { x: "report", colour: "state", smoothing: 0, logx: false, logy: spec.layout.yaxis.type === "log",
      limits: true, faded: true, running: false, ...before };
    if (!meta.x.includes(look.x)) look.x = "report";
    if (!meta.colours.includes(look.colour)) look.colour = "state";
    const bar = document.createElement("div");
    bar.className = "tools";
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", "how the curves are drawn");
    const add = (text, control, read, key) => {
      control.addEventListener("input", () => { look[key] = read(control); changed(look); });
      bar.append(label(text, control));
    };
    if (meta.x.length > 1) add("x", choice(meta.x, look.x), (c) => c.value, "x");
    add("colour", choice(meta.colours, look.colour), (c) => c.value, "colour");
    const slider = Object.assign(document.createElement("input"),
      { type: "range", min: 0, max: 0.98, step: 0.02, value: look.smoothing });
    add("smoothing", slider, (c) => Number(c.value), "smoothing");
    add("log x", box(look.logx), (c) => c.checked, "logx");
    add("log y", box(look.logy), (c) => c.checked, "logy");
    if (spec.data.some((trace) => trace.meta.ends || trace.meta.limit))
      add("stopping rule", box(look.limits), (c) => c.checked, "limits");
    if (spec.data.some((trace) => trace.meta.state === "running"))
      add("only running", box(look.running), (c) => c.checked, "running");
    return { bar, look };
  };

  // A page that is one file: its figures stand in it as JSON. Texts that several figures show stand in it once.
  const report = () => {
    const held = document.getElementById("plotted");
    if (!held) return;
    const { figures, texts } = JSON.parse(held.textContent);
    const looks = {};
    for (const spec of Object.values(figures))
      for (const trace of spec.data) if (trace.texts) trace.text = trace.texts.map((at) => texts[at]);
    const show = (id) => {
      const place = document.getElementById("plot-" + id), spec = figures[id];
      draw(place, looks[id] ? curves(spec, looks[id]) : spec);
    };
    for (const [id, spec] of Object.entries(figures)) {
      if (!spec.layout.meta || !spec.layout.meta.colours) continue;
      const made = controls(spec, () => show(id));
      looks[id] = made.look;
      const plot = document.getElementById("plot-" + id).parentElement;
      plot.parentElement.insertBefore(made.bar, plot);
    }
    // A figure is drawn when somebody comes near it: a page of twenty opens as fast as one of two.
    const drawn = new Set();
    const see = (id) => { drawn.add(id); show(id); };
    const near = new IntersectionObserver((seen) => {
      for (const item of seen) if (item.isIntersecting) { near.unobserve(item.target); see(item.target.id.slice(5)); }
    }, { rootMargin: "600px" });
    for (const id of Object.keys(figures)) near.observe(document.getElementById("plot-" + id));
    window.addEventListener("beforeprint", () => Object.keys(figures).filter((id) => !drawn.has(id)).forEach(see));
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach(show));
  };

  return { dress, draw, curves, controls, report };
})();
if (document.getElementById("plotted")) sweepkit.report();
