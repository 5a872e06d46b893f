// Lines and marks over two axes on a canvas, of what plotly calls `scatter` traces: curves, history and front of the live
// page. Plotly makes a node of the page of each mark and wants seconds where no graphics card helps; this some 20 ms.
const XYPlot = (() => {
  const PAD = { left: 12, right: 14, top: 12, bottom: 40 };
  const NEAR = 22; // pixels within which a point is under the pointer
  const FAINT = 0.07; // opacity of what a brush leaves out

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = (name, other = "--muted") => (/^--/.test(name || other) ? css(name || other) : name);
  const plain = (text) => text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
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

  // What stands at a point, of a template of plotly's: %{x:…}, %{y:…}, %{text}, marks of HTML taken out.
  const words = (trace, at) => {
    const text = Array.isArray(trace.text) ? trace.text[at] : trace.text;
    const made = (trace.hovertemplate || "%{text}").replace(/%\{(\w+)(?::\.(\d+)[^}]*)?\}/g, (_, key, digits) =>
      key === "text" ? text ?? "" : shown(trace[key]?.[at], Number(digits) || 5));
    return made.replace(/<extra>.*<\/extra>/, "").split("<br>").map((line) => plain(line.replace(/<\/?b>/g, "")));
  };

  return class {
    // Whether a figure is one that this draws.
    static takes(spec) {
      return spec.data.length > 0 && !spec.layout.shapes?.length && spec.layout.xaxis?.type !== "category"
        && spec.data.every((trace) => /^scatter(gl)?$/.test(trace.type) && !Array.isArray(trace.marker?.color));
    }

    constructor(place) {
      this.place = place;
      this.onpick = null; // called with a trace and the place in it of the point that is clicked
      this.zoom = null;
      place.style.position = "relative";
      this.canvas = document.createElement("canvas");
      this.over = document.createElement("canvas"); // what follows the pointer
      Object.assign(this.over.style, { position: "absolute", inset: "0", touchAction: "pan-y", cursor: "crosshair" });
      this.tip = document.createElement("div");
      this.tip.className = "plot-tip";
      this.tip.hidden = true;
      this.tools = document.createElement("div");
      this.tools.className = "plot-tools";
      this.tools.append(this.button("PNG", "save the picture", () => this.save()), this.back = this.button("all", "show all again", () => this.reset()));
      place.replaceChildren(this.canvas, this.over, this.tip, this.tools);
      this.canvas.setAttribute("role", "img");
      this.over.addEventListener("pointermove", (event) => this.move(event));
      this.over.addEventListener("pointerleave", () => { this.near = null; this.point(); });
      this.over.addEventListener("pointerdown", (event) => this.press(event));
      this.over.addEventListener("dblclick", () => this.reset());
      this.over.addEventListener("keydown", (event) => this.key(event));
      this.over.tabIndex = 0;
      this.over.setAttribute("role", "slider"); // by arrow keys from point to point
      this.over.setAttribute("aria-valuemin", 0);
      new ResizeObserver(() => this.spec && this.paint()).observe(place);
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
      this.canvas.setAttribute("aria-label", title);
      this.over.setAttribute("aria-label", `points of ${title}`);
      this.paint();
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
      const log = axis.type === "log", at = (value) => (log ? Math.log10(value) : value);
      let [low, high] = zoom || axis.range || [Infinity, -Infinity];
      if (!zoom && !axis.range) {
        for (const value of values) if (known(value) && (!log || value > 0)) { low = Math.min(low, at(value)); high = Math.max(high, at(value)); }
        if (low > high) [low, high] = [0, 1];
        const pad = (high - low || Math.abs(high) || 1) * 0.05;
        low -= pad;
        high += pad;
      }
      const size = (last - first) / (high - low);
      return { log, low, high, first, last, to: (value) => first + (at(value) - low) * size, from: (pixel) => low + (pixel - first) / size };
    }

    labels(scale, axis, room) {
      if (axis.tickvals) return axis.tickvals.map((value, at) => [scale.to(value), plain(axis.ticktext[at])]);
      const count = Math.max(2, Math.min(8, Math.floor(Math.abs(scale.last - scale.first) / room)));
      const found = scale.log ? logTicks(scale.low, scale.high, count) : ticks(scale.low, scale.high, count).map((value) => [value, shown(value, 6)]);
      return found.map(([value, text]) => [scale.to(scale.log ? 10 ** value : value), text]);
    }

    *values(key, of = null) {
      for (const trace of this.spec.data) if (!of || (trace.yaxis || "y") === of) yield* trace[key];
    }

    layOut(pen) {
      const { layout } = this.spec, foot = this.height - PAD.bottom, tall = foot - PAD.top;
      this.ys = new Map();
      let wide = 0;
      for (const name of new Set(this.spec.data.map((trace) => trace.yaxis || "y"))) {
        const axis = layout[`yaxis${name.slice(1)}`] || {}, [low, high] = axis.domain || [0, 1];
        const scale = this.scale(axis, this.values("y", name), foot - low * tall, foot - high * tall, this.zoom?.[name]);
        scale.axis = axis;
        scale.labels = axis.visible === false ? [] : this.labels(scale, axis, 44);
        for (const [, text] of scale.labels) wide = Math.max(wide, pen.measureText(text).width);
        this.ys.set(name, scale);
      }
      this.left = PAD.left + wide + 26;
      this.x = this.scale(layout.xaxis, this.values("x"), this.left, this.width - PAD.right, this.zoom?.x);
      this.x.labels = this.labels(this.x, layout.xaxis, 70);
    }

    // -- drawing -------------------------------------------------------------------------------------------------------

    sharp(canvas) {
      const by = window.devicePixelRatio || 1;
      canvas.width = this.width * by;
      canvas.height = this.height * by;
      Object.assign(canvas.style, { width: `${this.width}px`, height: `${this.height}px`, display: "block" });
      const pen = canvas.getContext("2d");
      pen.scale(by, by);
      return pen;
    }

    paint() {
      this.width = this.place.clientWidth;
      this.height = this.place.clientHeight;
      if (!this.width || !this.height) return;
      this.back.hidden = !this.zoom;
      const pen = this.sharp(this.canvas);
      pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
      this.layOut(pen);
      const held = this.near && [this.points.findIndex(([trace]) => trace === this.near[0]), this.near[1]]; // it stays through a redraw
      this.points = [];
      this.ordered = null;
      for (const scale of this.ys.values()) this.grid(pen, scale);
      this.foot(pen);
      pen.save();
      pen.beginPath();
      pen.rect(this.left, PAD.top - 6, this.width - this.left - PAD.right + 8, this.height - PAD.top - PAD.bottom + 12);
      pen.clip();
      for (const trace of this.spec.data) this.trace(pen, trace);
      pen.restore();
      const [trace, places] = (held && this.points[held[0]]) || [];
      this.near = places?.[held[1]] ? [trace, held[1], places[held[1]]] : null;
      this.point();
    }

    grid(pen, scale) {
      const right = this.width - PAD.right, title = scale.axis.title?.text;
      pen.textAlign = "right";
      pen.textBaseline = "middle";
      for (const [y, text] of scale.labels) {
        pen.fillStyle = css("--grid");
        pen.fillRect(this.left, Math.round(y), right - this.left, 1);
        pen.fillStyle = css("--muted");
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
      const foot = this.height - PAD.bottom;
      pen.textAlign = "center";
      pen.textBaseline = "top";
      for (const [x, text] of this.x.labels) {
        pen.fillStyle = css("--grid");
        pen.fillRect(Math.round(x), PAD.top, 1, foot - PAD.top);
        pen.fillStyle = css("--muted");
        pen.fillText(text, x, foot + 5);
      }
      pen.fillStyle = css("--line");
      pen.fillRect(this.left, foot, this.width - PAD.right - this.left, 1);
      pen.fillStyle = css("--ink");
      pen.fillText(plain(this.spec.layout.xaxis.title?.text || ""), (this.left + this.width - PAD.right) / 2, foot + 21);
    }

    // The pixels of a trace; null where there is a gap.
    pixels(trace) {
      const y = this.ys.get(trace.yaxis || "y"), { x } = this;
      return trace.x.map((value, at) => (!known(value) || !known(trace.y[at]) || (x.log && value <= 0) || (y.log && trace.y[at] <= 0) ? null : [x.to(value), y.to(trace.y[at])]));
    }

    trace(pen, trace) {
      const places = this.pixels(trace), mode = trace.mode || "lines";
      pen.globalAlpha = trace.opacity ?? 1;
      if (trace.fill === "toself") this.area(pen, trace, places);
      if (mode.includes("lines")) this.line(pen, trace, places);
      if (mode.includes("markers")) this.marks(pen, trace, places);
      pen.globalAlpha = 1;
      if (trace.hoverinfo !== "skip") this.points.push([trace, places]);
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
      const { symbol = "circle", size = 6, opacity = 1, line } = trace.marker || {}, whole = pen.globalAlpha;
      const left = trace.selectedpoints && new Set(trace.selectedpoints), radius = size / 2;
      pen.fillStyle = pen.strokeStyle = colour(line?.color || trace.marker?.color || trace.line?.color);
      if (!line) pen.fillStyle = colour(trace.marker?.color || trace.line?.color);
      pen.lineWidth = line?.width || 1.5;
      for (const lit of left ? [false, true] : [true]) { // what is left lies above
        pen.globalAlpha = whole * (lit ? opacity : FAINT);
        pen.beginPath();
        places.forEach((at, place) => { if (at && (!left || left.has(place) === lit)) this.mark(pen, symbol, at, radius); });
        if (/^(x|line)/.test(symbol)) pen.stroke();
        else pen.fill();
      }
      pen.globalAlpha = whole;
    }

    mark(pen, symbol, [x, y], radius) {
      const lines = (...corners) => { pen.moveTo(x + radius * corners[0][0], y + radius * corners[0][1]); for (const [a, b] of corners.slice(1)) pen.lineTo(x + radius * a, y + radius * b); };
      if (symbol.startsWith("x")) { lines([-1, -1], [1, 1]); lines([1, -1], [-1, 1]); }
      else if (symbol.startsWith("line-ew")) lines([-1, 0], [1, 0]);
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
      for (const [trace, places] of this.points)
        for (let at = 0; at < places.length; at++) {
          const place = places[at];
          if (!place) continue;
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
      return x >= this.left - 1 && x <= this.width - PAD.right + 1 && y >= PAD.top - 1 && y <= this.height - PAD.bottom + 1;
    }

    // Rings the point that is near, and says what it is.
    point() {
      const pen = this.sharp(this.over);
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
        const [[left, right], [top, foot]] = box(event), pen = this.sharp(this.over);
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
          for (const [name, scale] of this.ys) if (top < scale.first && foot > scale.last) this.zoom[name] = [scale.from(foot), scale.from(top)];
          this.paint();
        } else if (this.near) this.onpick?.(this.near[0], this.near[1]);
      };
    }
  };
})();
