// Lines, marks, bars and cells over two axes on a canvas, of plotly's `scatter`, `bar` and `heatmap` traces: all figures of
// report and live page but parallel coordinates and what has three axes. Plotly is 5 MB, makes a node of the page of each
// mark and wants seconds where no graphics card helps; this some 20 ms.
const XYPlot = (() => {
  const PAD = { left: 12, right: 14, top: 12, bottom: 40 };
  const NAME = { wide: 0.38, tall: 110 }; // of a category: at most this share of the width, so many pixels where it is slanted
  const SLANT = Math.PI / 6;
  const BAR = 76; // pixels beside a heat map for its colours
  const NEAR = 22; // pixels within which a point is under the pointer
  const FAINT = 0.07; // opacity of what a brush leaves out

  const { css, colour, plain, shades, sharp, fitted, SHADES } = onCanvas;
  const shown = (value, digits = 5) => (typeof value === "number" ? String(Number(value.toPrecision(digits))) : String(value ?? ""));
  const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

  // Round values between two ends, `count` or so; of a logarithmic axis (whose ends are exponents) decades and between.
  const ticks = (low, high, count) => {
    const rough = (high - low) / Math.max(1, count), power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough) || 10 * power;
    const found = [];
    for (let at = Math.ceil(low / step - 1e-9); at * step <= high + 1e-9 * step; at++) found.push(Number((at * step).toPrecision(12)));
    return found;
  };
  const logTicks = (low, high, count) => {
    if (high - low < 1) return ticks(10 ** low, 10 ** high, count).filter((value) => value > 0).map((value) => [Math.log10(value), shown(value, 3)]);
    const every = Math.max(1, Math.ceil((high - low) / count)), marks = high - low < 3 && count > 4 ? [1, 2, 5] : [1], found = [];
    for (let power = Math.floor(low); power <= high; power += every)
      for (const mark of marks) found.push([power + Math.log10(mark), Math.abs(power) > 3 ? `${mark}e${power}` : shown(mark * 10 ** power, 3)]);
    return found.filter(([at]) => at >= low - 1e-9 && at <= high + 1e-9);
  };

  // What a trace holds at a place; of a heat map place is row by row.
  const held = (trace, key, at) => {
    if (trace.type !== "heatmap") return trace[key]?.[at];
    const wide = trace.x.length, row = Math.floor(at / wide), column = at % wide;
    return { x: () => trace.x[column], y: () => trace.y[row] }[key]?.() ?? trace[key]?.[row]?.[column];
  };
  // What stands at a point, of a template of plotly's: %{x:…}, %{y:…}, %{text}, marks of HTML taken out.
  const words = (trace, at) => {
    const text = Array.isArray(trace.text) ? trace.text[at] : trace.text;
    const made = (trace.hovertemplate || "%{text}").replace(/%\{(\w+)(?::\.(\d+)[^}]*)?\}/g, (_, key, digits) =>
      key === "text" ? text ?? "" : shown(held(trace, key, at), Number(digits) || 5));
    return made.replace(/<extra>.*<\/extra>/, "").split("<br>").map((line) => plain(line.replace(/<\/?b>/g, "")));
  };

  return class {
    // Whether a figure is one that this draws.
    static takes(spec) {
      return spec.data.length > 0 && spec.data.every((trace) => /^(scatter(gl)?|bar|heatmap)$/.test(trace.type));
    }

    constructor(place) {
      this.place = place;
      this.onpick = null; // called with a trace and the place in it of the point that is clicked
      this.zoom = null;
      this.off = new Set(); // names of the legend that are not shown
      this.canvas = document.createElement("canvas");
      this.over = document.createElement("canvas"); // what follows the pointer
      Object.assign(this.over.style, { position: "absolute", inset: "0", touchAction: "pan-y", cursor: "crosshair" });
      this.tip = document.createElement("div");
      this.tip.className = "plot-tip";
      this.tip.hidden = true;
      this.tools = document.createElement("div");
      this.tools.className = "plot-tools";
      this.tools.append(this.button("PNG", "save the picture", () => this.save()), this.back = this.button("all", "show all again", () => this.reset()));
      this.legend = document.createElement("div");
      this.legend.className = "plot-legend";
      const stage = document.createElement("div");
      stage.style.position = "relative";
      stage.append(this.canvas, this.over, this.tip, this.tools);
      place.replaceChildren(this.legend, stage);
      this.canvas.setAttribute("role", "img");
      this.over.addEventListener("pointermove", (event) => this.move(event));
      this.over.addEventListener("pointerleave", () => { this.near = null; this.point(); });
      this.over.addEventListener("pointerdown", (event) => this.press(event));
      this.over.addEventListener("dblclick", () => this.reset());
      this.over.addEventListener("keydown", (event) => this.key(event));
      this.over.tabIndex = 0;
      this.over.setAttribute("role", "slider"); // by arrow keys from point to point
      this.over.setAttribute("aria-valuemin", 0);
      new ResizeObserver(() => { if (this.spec && String([place.clientWidth, place.clientHeight]) !== this.size) this.paint(); }).observe(place);
    }

    button(text, title, work) {
      const made = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: text, title });
      made.addEventListener("click", work);
      return made;
    }

    // Shows traces and a layout; what was zoomed in stays as long as the axes are the same.
    show(spec, title = "") {
      const axes = JSON.stringify([spec.layout.xaxis.type, spec.layout.yaxis.type, spec.layout.xaxis.title?.text, spec.layout.yaxis.title?.text]);
      if (axes !== this.of) this.zoom = null;
      this.of = axes;
      this.spec = spec;
      this.explain();
      this.canvas.setAttribute("aria-label", title);
      this.over.setAttribute("aria-label", `points of ${title}`);
      this.paint();
    }

    // What the colours mean, by names that show and hide what they name.
    explain() {
      const named = new Map();
      if (this.spec.layout.showlegend !== false)
        for (const trace of this.spec.data) if (trace.name && trace.showlegend !== false) named.set(trace.legendgroup || trace.name, trace);
      for (const name of this.off) if (!named.has(name)) this.off.delete(name);
      const names = [...named.keys(), ...this.off].join("\n");
      this.legend.hidden = named.size < 2;
      if (names === this.named) return; // whoever is at a name by keyboard stays there
      this.named = names;
      this.legend.replaceChildren(...[...named].map(([key, trace]) => {
        const made = this.button(plain(trace.name), "show or hide", () => { this.off[this.off.has(key) ? "delete" : "add"](key); this.explain(); this.paint(); });
        const mark = document.createElement("i"), line = /lines/.test(trace.mode);
        mark.className = line ? trace.line?.dash ? "dashed" : "line" : "";
        const from = [trace.marker?.color, trace.line?.color].flat(), name = trace.fillcolor || (line ? from.at(-1) : from[0]);
        mark.style.color = /^--/.test(name || "--muted") ? `var(${name || "--muted"})` : name; // by itself light or dark
        made.setAttribute("aria-pressed", !this.off.has(key));
        made.prepend(mark);
        return made;
      }));
    }

    get shown() {
      return this.spec.data.filter((trace) => !this.off.has(trace.legendgroup || trace.name));
    }

    reset() {
      this.zoom = null;
      this.paint();
    }

    save() {
      const whole = Object.assign(document.createElement("canvas"), { width: this.canvas.width, height: this.canvas.height }), pen = whole.getContext("2d");
      pen.fillStyle = css("--panel");
      pen.fillRect(0, 0, whole.width, whole.height);
      pen.drawImage(this.canvas, 0, 0);
      const link = Object.assign(document.createElement("a"), { href: whole.toDataURL("image/png"), download: "figure.png" });
      link.click();
    }

    // -- axes ----------------------------------------------------------------------------------------------------------

    // Where the values of an axis lie: its ends (exponents on a logarithmic one), and value → pixel.
    scale(axis, values, first, last, zoom) {
      if (axis.type === "category") return this.categories(axis, values, first, last, zoom);
      const log = axis.type === "log", at = (value) => (log ? Math.log10(value) : value);
      const valid = (value) => known(value) && (!log || value > 0);
      let [low, high] = zoom || axis.range || [Infinity, -Infinity];
      if (!zoom && !axis.range) {
        for (const value of values) if (valid(value)) { low = Math.min(low, at(value)); high = Math.max(high, at(value)); }
        const zero = axis.rangemode === "tozero";
        if (low > high) [low, high] = [0, 1];
        if (zero) low = Math.min(low, 0);
        const pad = (high - low || Math.abs(high) || 1) * 0.05;
        if (!zero || low < 0) low -= pad;
        high += pad;
      }
      return this.between({ log, low, high, first, last, at, valid });
    }

    // Of names: each has a place of width 1.
    categories(axis, values, first, last, zoom) {
      const names = [...new Set([...(axis.categoryarray || []), ...[...values].filter((value) => value !== null && value !== undefined).map(String)])];
      const places = new Map(names.map((name, at) => [name, at])), [low, high] = zoom || [-0.5, names.length - 0.5];
      return this.between({ names, low, high, first, last, at: (value) => places.get(String(value)), valid: (value) => value !== null && places.has(String(value)) });
    }

    between(scale) {
      const { low, first, at } = scale, size = (scale.last - first) / (scale.high - low);
      return Object.assign(scale, { size, to: (value) => first + (at(value) - low) * size, from: (pixel) => low + (pixel - first) / size });
    }

    labels(scale, axis, room) {
      const [least, most] = [scale.first, scale.last].sort((a, b) => a - b), within = ([at]) => at >= least - 1 && at <= most + 1;
      if (scale.names) return scale.names.map((name) => [scale.to(name), plain(name).replace(/\u200b/g, "")]).filter(within);
      if (axis.tickvals) return axis.tickvals.map((value, at) => [scale.to(value), plain(axis.ticktext[at])]).filter(within);
      const count = Math.max(2, Math.min(8, Math.floor(Math.abs(scale.last - scale.first) / room)));
      const found = scale.log ? logTicks(scale.low, scale.high, count) : ticks(scale.low, scale.high, count).map((value) => [value, shown(value, 6)]);
      return found.map(([value, text]) => [scale.to(scale.log ? 10 ** value : value), text]);
    }

    *values(key, of = null) {
      for (const trace of this.spec.data) if (!of || (trace.yaxis || "y") === of) yield* trace[key];
    }

    layOut(pen) {
      const heat = this.spec.data.find((trace) => trace.type === "heatmap");
      this.right = this.width - (heat ? BAR : PAD.right);
      this.top = PAD.top + (this.spec.layout.annotations?.length ? 14 : 0);
      this.bottom = this.height - PAD.bottom;
      this.upwards(pen);
      const { xaxis } = this.spec.layout;
      this.x = this.scale(xaxis, this.values("x"), this.left, this.right, this.zoom?.x);
      this.x.labels = this.labels(this.x, xaxis, 70);
      const wide = Math.max(0, ...this.x.labels.map(([, text]) => pen.measureText(text).width));
      this.x.slanted = Boolean(this.x.names) && wide > this.x.size - 8;
      if (!this.x.slanted) return;
      this.bottom -= Math.sin(SLANT) * Math.min(wide, NAME.tall);
      this.upwards(pen);
    }

    upwards(pen) {
      const { layout } = this.spec, tall = this.bottom - this.top;
      this.ys = new Map();
      let wide = 0;
      for (const name of new Set(this.spec.data.map((trace) => trace.yaxis || "y"))) {
        const axis = layout[`yaxis${name.slice(1)}`] || {}, [low, high] = axis.domain || [0, 1];
        const scale = this.scale(axis, this.values("y", name), this.bottom - low * tall, this.bottom - high * tall, this.zoom?.[name]);
        scale.axis = axis;
        scale.labels = axis.visible === false ? [] : this.labels(scale, axis, 44);
        if (scale.names) scale.labels = scale.labels.map(([at, text]) => [at, fitted(pen, text, NAME.wide * this.width)]);
        for (const [, text] of scale.labels) wide = Math.max(wide, pen.measureText(text).width);
        this.ys.set(name, scale);
      }
      const titled = [...this.ys.values()].some((scale) => scale.axis.title?.text && scale.axis.visible !== false);
      this.left = PAD.left + wide + (titled ? 26 : 10);
    }

    // -- drawing -------------------------------------------------------------------------------------------------------

    paint() {
      this.size = String([this.place.clientWidth, this.place.clientHeight]);
      this.width = this.place.clientWidth;
      this.height = this.place.clientHeight - this.legend.offsetHeight;
      if (!this.width || this.height <= PAD.bottom) return;
      this.back.hidden = !this.zoom;
      const pen = sharp(this.canvas, this.width, this.height);
      pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
      this.layOut(pen);
      const kept = this.near && [this.points.findIndex(([trace]) => trace === this.near[0]), this.near[1]]; // it stays through a redraw
      this.points = [];
      this.ordered = null;
      this.shapes(pen, true);
      for (const scale of this.ys.values()) this.grid(pen, scale);
      this.foot(pen);
      pen.save();
      pen.beginPath();
      pen.rect(this.left, this.top - 6, this.right - this.left + 8, this.bottom - this.top + 12);
      pen.clip();
      for (const trace of this.shown) this.trace(pen, trace);
      pen.restore();
      this.shapes(pen, false);
      const [trace, places] = (kept && this.points[kept[0]]) || [];
      this.near = places?.[kept[1]] ? [trace, kept[1], places[kept[1]]] : null;
      this.point();
    }

    // Bands and lines of the layout, from foot to top; those below the traces, or those above with their words.
    shapes(pen, below) {
      for (const shape of this.spec.layout.shapes || []) {
        if ((shape.layer === "below") !== below) continue;
        const [left, right] = [shape.x0, shape.x1].map((value) => this.x.to(value));
        pen.fillStyle = colour(shape.fillcolor || "rgba(0,0,0,0)");
        if (shape.type === "rect") pen.fillRect(left, this.top, right - left, this.bottom - this.top);
        else this.line(pen, { line: shape.line }, [[left, this.top], [right, this.bottom]]);
      }
      if (below) return;
      pen.textBaseline = "bottom";
      for (const note of this.spec.layout.annotations || []) {
        const x = this.x.to(note.x), text = plain(note.text);
        pen.textAlign = x + pen.measureText(text).width > this.right ? "right" : "left";
        pen.fillStyle = colour(note.font?.color, "--ink");
        pen.fillText(text, x, this.top - 3);
      }
    }

    grid(pen, scale) {
      const { right } = this, title = scale.axis.title?.text;
      pen.textAlign = "right";
      pen.textBaseline = "middle";
      for (const [y, text] of scale.labels) {
        pen.fillStyle = css("--grid");
        if (!scale.names) pen.fillRect(this.left, Math.round(y), right - this.left, 1);
        pen.fillStyle = css(scale.names ? "--ink" : "--muted");
        pen.fillText(text, this.left - 6, y);
      }
      if (!title || scale.axis.visible === false) return;
      pen.save();
      pen.translate(PAD.left, (scale.first + scale.last) / 2);
      pen.rotate(-Math.PI / 2);
      pen.textAlign = "center";
      pen.fillStyle = css("--ink");
      pen.fillText(plain(title), 0, 0);
      pen.restore();
    }

    foot(pen) {
      const foot = this.bottom, { slanted, names } = this.x;
      pen.textAlign = slanted ? "right" : "center";
      pen.textBaseline = "top";
      let end = -Infinity;
      for (const [x, text] of this.x.labels) {
        pen.fillStyle = css("--grid");
        if (!names) pen.fillRect(Math.round(x), this.top, 1, foot - this.top);
        const half = pen.measureText(text).width / 2;
        if (!slanted && x - half < end) continue; // it would lie on the one before
        end = x + half + 4;
        pen.fillStyle = css(names ? "--ink" : "--muted");
        pen.save();
        pen.translate(x, foot + 5);
        if (slanted) pen.rotate(-SLANT);
        pen.fillText(slanted ? fitted(pen, text, NAME.tall) : text, 0, 0);
        pen.restore();
      }
      pen.textAlign = "center";
      pen.fillStyle = css("--line");
      pen.fillRect(this.left, foot, this.right - this.left, 1);
      pen.fillStyle = css("--ink");
      pen.fillText(fitted(pen, plain(this.spec.layout.xaxis.title?.text || ""), this.width - 16), this.middle(pen), this.height - PAD.bottom + 21);
    }

    // Where the title of the x axis lies: in the middle of the axis, or where it has room.
    middle(pen) {
      const half = Math.min(pen.measureText(plain(this.spec.layout.xaxis.title?.text || "")).width, this.width - 16) / 2;
      return Math.max(8 + half, Math.min((this.left + this.right) / 2, this.width - 8 - half));
    }

    // The pixels of a trace; null where there is a gap.
    pixels(trace) {
      const y = this.ys.get(trace.yaxis || "y"), { x } = this;
      return trace.x.map((value, at) => (x.valid(value) && y.valid(trace.y[at]) ? [x.to(value), y.to(trace.y[at])] : null));
    }

    trace(pen, trace) {
      if (trace.type === "heatmap") return this.cells(pen, trace);
      const places = this.pixels(trace), mode = trace.mode || "lines";
      if (trace.type === "bar") return this.bars(pen, trace, places);
      pen.globalAlpha = trace.opacity ?? 1;
      if (trace.fill === "toself") this.area(pen, trace, places);
      if (mode.includes("lines")) this.line(pen, trace, places);
      if (mode.includes("markers")) this.marks(pen, trace, places);
      pen.globalAlpha = 1;
      if (trace.hoverinfo !== "skip") this.points.push([trace, places]);
    }

    // Bars that lie, from 0 to their value.
    bars(pen, trace, places) {
      const tall = 0.65 * Math.abs(this.ys.get(trace.yaxis || "y").size), from = this.x.to(0);
      places.forEach((at, place) => {
        if (!at) return;
        pen.fillStyle = colour([trace.marker?.color].flat()[place] ?? [trace.marker?.color].flat()[0]);
        pen.fillRect(Math.min(from, at[0]), at[1] - tall / 2, Math.max(1, Math.abs(at[0] - from)), tall);
      });
      const over = (at, x, y) => Math.abs(y - at[1]) <= tall / 2 && x >= Math.min(from, at[0]) - 4 && x <= Math.max(from, at[0]) + 4;
      this.points.push([trace, places, over]);
    }

    // A heat map: a cell of the colour of its value, the value in it where there is room, the scale beside it.
    cells(pen, trace) {
      const y = this.ys.get(trace.yaxis || "y"), wide = this.x.size, tall = Math.abs(y.size), ramp = shades(trace.colorscale);
      const all = trace.z.flat().filter(known), low = Math.min(...all), high = Math.max(...all);
      const shade = (value) => ramp[Math.round(((value - low) / (high - low || 1)) * (SHADES - 1))];
      const places = trace.z.flatMap((line, row) => line.map((value, column) => (known(value) ? [this.x.to(trace.x[column]), y.to(trace.y[row])] : null)));
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      places.forEach((at, place) => {
        if (!at) return;
        const value = held(trace, "z", place), rgb = shade(value), text = shown(value, 4);
        pen.fillStyle = `rgb(${rgb})`;
        pen.fillRect(at[0] - wide / 2 + 1, at[1] - tall / 2 + 1, wide - 2, tall - 2);
        if (!trace.texttemplate || pen.measureText(text).width > wide - 6 || tall < 14) return;
        pen.fillStyle = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] > 140 ? "#1d2327" : "#ffffff";
        pen.fillText(text, ...at);
      });
      this.points.push([trace, places, (at, x, up) => Math.abs(x - at[0]) <= wide / 2 && Math.abs(up - at[1]) <= tall / 2]);
      pen.restore(); // what stands beside the axes is not cut off
      pen.save();
      this.colours(pen, ramp, low, high);
    }

    colours(pen, ramp, low, high) {
      const x = this.right + 12, tall = this.bottom - this.top;
      for (let at = 0; at < tall; at++) {
        pen.fillStyle = `rgb(${ramp[Math.round((1 - at / tall) * (SHADES - 1))]})`;
        pen.fillRect(x, this.top + at, 10, 1);
      }
      pen.textAlign = "left";
      pen.textBaseline = "middle";
      pen.fillStyle = css("--muted");
      const marks = high > low ? ticks(low, high, 5) : [low];
      for (const value of marks) pen.fillText(shown(value, 5), x + 15, this.bottom - ((value - low) / (high - low || 1)) * tall);
    }

    area(pen, trace, places) {
      pen.fillStyle = colour(trace.fillcolor);
      pen.beginPath();
      for (const at of places) if (at) pen.lineTo(...at);
      pen.fill();
    }

    line(pen, trace, places) {
      const { shape = "linear", width = 2, dash } = trace.line || {};
      pen.strokeStyle = colour(trace.line?.color);
      pen.lineWidth = width;
      pen.lineJoin = "round";
      pen.setLineDash({ dash: [7, 5], dot: [2, 4] }[dash] || []);
      pen.beginPath();
      let last = null;
      for (const at of places) {
        if (at && last) {
          if (shape === "hv") pen.lineTo(at[0], last[1]);
          if (shape === "vh") pen.lineTo(last[0], at[1]);
          pen.lineTo(...at);
        } else if (at) pen.moveTo(...at);
        last = at;
      }
      pen.stroke();
      pen.setLineDash([]);
    }

    marks(pen, trace, places) {
      const { symbol = "circle", size = 6, opacity = 1, line, color } = trace.marker || {}, whole = pen.globalAlpha;
      const left = trace.selectedpoints && new Set(trace.selectedpoints), alike = new Map();
      const [colours, sizes] = [[line?.color || color || trace.line?.color].flat(), [size].flat()];
      places.forEach((at, place) => {
        if (!at) return;
        const look = [!left || left.has(place) ? 1 : 0, colours[place % colours.length], sizes[place % sizes.length]], key = look.join();
        if (!alike.has(key)) alike.set(key, [look, []]);
        alike.get(key)[1].push(at);
      });
      pen.lineWidth = line?.width || 1.5;
      for (const [[lit, name, wide], found] of [...alike.values()].sort(([a], [b]) => a[0] - b[0] || a[2] - b[2])) { // what is left lies above, what is large, too
        pen.fillStyle = pen.strokeStyle = colour(name);
        pen.globalAlpha = whole * (lit ? opacity : FAINT);
        pen.beginPath();
        for (const at of found) this.mark(pen, symbol, at, wide / 2);
        if (/^(x|line)|-open$/.test(symbol)) pen.stroke();
        else pen.fill();
      }
      pen.globalAlpha = whole;
    }

    mark(pen, symbol, [x, y], radius) {
      const lines = (...corners) => { pen.moveTo(x + radius * corners[0][0], y + radius * corners[0][1]); for (const [a, b] of corners.slice(1)) pen.lineTo(x + radius * a, y + radius * b); };
      if (symbol.startsWith("x")) { lines([-1, -1], [1, 1]); lines([1, -1], [-1, 1]); }
      else if (symbol.startsWith("line-ew")) lines([-1, 0], [1, 0]);
      else if (symbol.startsWith("line-ns")) lines([0, -1], [0, 1]);
      else if (symbol.startsWith("diamond")) lines([0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0], [0, -1.3]);
      else if (symbol.startsWith("square")) lines([-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]);
      else if (symbol.startsWith("triangle")) lines([0, -1.2], [1.1, 0.8], [-1.1, 0.8], [0, -1.2]);
      else { pen.moveTo(x + radius, y); pen.arc(x, y, radius, 0, 2 * Math.PI); }
    }

    // -- under the pointer -----------------------------------------------------------------------------------------------

    at(event) {
      const box = this.over.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    }

    move(event) {
      if (this.pressed) return;
      const [x, y] = this.at(event);
      let least = NEAR * NEAR;
      this.near = null;
      for (const [trace, places, over] of this.points)
        for (let at = 0; at < places.length; at++) {
          const place = places[at];
          if (!place) continue;
          if (over?.(place, x, y)) { least = 0; this.near = [trace, at, place]; }
          if (over) continue; // a bar or a cell is hit or not
          const far = (place[0] - x) ** 2 + (place[1] - y) ** 2;
          if (far < least) { least = far; this.near = [trace, at, place]; }
        }
      this.point();
    }

    // Left and Right go from point to point, Up and Down ten at once, Enter opens it, Escape leaves.
    key(event) {
      const by = { ArrowRight: 1, ArrowLeft: -1, ArrowUp: 10, ArrowDown: -10 }[event.key];
      if (event.key === "Enter" && this.near) return this.onpick?.(this.near[0], this.near[1]);
      if (event.key === "Escape") this.near = null;
      else if (by) {
        const all = (this.ordered ??= this.points.flatMap(([trace, places]) => places.flatMap((place, at) => (place && this.inside(place) ? [[trace, at, place]] : []))).sort((a, b) => a[2][0] - b[2][0]));
        this.step = this.near ? Math.min(all.length - 1, Math.max(0, (this.step ?? -1) + by)) : 0;
        this.near = all[this.step] || null;
        this.over.setAttribute("aria-valuemax", all.length);
        this.over.setAttribute("aria-valuenow", this.step + 1);
      } else return;
      event.preventDefault();
      this.point();
      if (this.near) this.over.setAttribute("aria-valuetext", words(this.near[0], this.near[1]).join(", "));
    }

    inside([x, y]) {
      return x >= this.left - 1 && x <= this.right + 1 && y >= this.top - 1 && y <= this.bottom + 1;
    }

    // Rings the point that is near, and says what it is.
    point() {
      const pen = sharp(this.over, this.width, this.height);
      this.tip.hidden = !this.near;
      this.over.style.cursor = this.near && this.onpick ? "pointer" : "crosshair";
      if (!this.near) return;
      const [trace, at, [x, y]] = this.near;
      pen.strokeStyle = css("--ink");
      pen.lineWidth = 1.5;
      pen.beginPath();
      pen.arc(x, y, 5.5, 0, 2 * Math.PI);
      pen.stroke();
      this.tip.replaceChildren(...words(trace, at).map((text) => Object.assign(document.createElement("div"), { textContent: text })));
      const { offsetWidth: wide, offsetHeight: tall } = this.tip;
      this.tip.style.left = `${Math.max(0, Math.min(x + 14, this.width - wide - 4))}px`;
      this.tip.style.top = `${y + 16 + tall > this.height ? Math.max(0, y - tall - 14) : y + 16}px`;
    }

    // A drag shows the box that it spans, a click picks a point.
    press(down) {
      if (down.pointerType === "touch") { // a tap says what is there, a second one opens it
        const [trace, place] = this.near || [];
        this.move(down);
        if (trace && this.near?.[0] === trace && this.near[1] === place) this.onpick?.(trace, place);
        return;
      }
      if (down.button) return;
      const from = this.at(down);
      this.over.setPointerCapture(down.pointerId);
      this.pressed = true;
      const box = (event) => { const to = this.at(event); return [0, 1].map((side) => [from[side], to[side]].sort((a, b) => a - b)); };
      this.over.onpointermove = (event) => {
        const [[left, right], [top, foot]] = box(event), pen = sharp(this.over, this.width, this.height);
        this.tip.hidden = true;
        pen.fillStyle = css("--band");
        pen.fillRect(left, top, right - left, foot - top);
      };
      this.over.onpointerup = this.over.onpointercancel = (up) => {
        this.over.onpointermove = this.over.onpointerup = this.over.onpointercancel = null;
        this.pressed = false;
        const [[left, right], [top, foot]] = box(up);
        if (right - left > 6 && foot - top > 6) {
          this.zoom = { x: [this.x.from(left), this.x.from(right)] };
          for (const [name, scale] of this.ys) if (scale.names || (top < scale.first && foot > scale.last)) this.zoom[name] = [scale.from(foot), scale.from(top)];
          this.paint();
        } else if (this.near) this.onpick?.(this.near[0], this.near[1]);
      };
    }
  };
})();
