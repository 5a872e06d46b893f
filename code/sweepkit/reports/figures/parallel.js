// Parallel coordinates on a canvas, brushed by pointer and by keyboard, of what plotly calls a `parcoords` trace.
// Plotly's own need three WebGL contexts: 10 s at first and 5 s a brush where no graphics card helps; these 0.1 s.
const ParallelPlot = (() => {
  const PAD = { left: 46, right: 74, top: 74, bottom: 18 };
  const MOST_LINES = 600; // so many are drawn at once; every one of them is brushed
  const REACH = 12; // pixels to either side of an axis that take a drag
  const EDGE = 6; // pixels around a brush's end by which it is resized
  const STEP = 0.05; // of an axis, by a key

  const { css, plain, shades, SHADES } = onCanvas;
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const inside = (value, ranges) => ranges.some(([low, high]) => value >= low && value <= high);

  return class {
    constructor(place) {
      this.place = place;
      this.ranges = new Map(); // axis label → its brushes, [[low, high], …] in the axis's own values
      this.order = [];
      this.onbrush = () => {};
      this.canvas = document.createElement("canvas");
      this.handles = document.createElement("div");
      place.replaceChildren(this.canvas, this.handles);
      place.style.position = "relative";
      new ResizeObserver(() => { if (this.trace && (place.clientWidth !== this.width || place.clientHeight !== this.height)) this.layOut(); }).observe(place);
    }

    // Shows a trace; brushes stay on axes that are still there, and so does the order that was chosen.
    show(trace) {
      this.trace = trace;
      this.axes = trace.dimensions.map((item, at) => ({ ...item, label: plain(item.label), all: trace.meta?.values?.[at] ?? item.values }));
      const known = new Map(this.axes.map((axis) => [axis.label, axis]));
      for (const label of this.ranges.keys()) if (!known.has(label)) this.ranges.delete(label);
      if (this.order.length !== known.size || this.order.some((label) => !known.has(label))) this.order = [...known.keys()];
      this.metric = this.axes.at(-1);
      this.layOut();
    }

    axis(label) {
      return this.axes.find((item) => item.label === label);
    }

    get shown() {
      const known = new Map(this.axes.map((axis) => [axis.label, axis]));
      return this.order.map((label) => known.get(label));
    }

    layOut() {
      this.width = this.place.clientWidth;
      this.height = this.place.clientHeight;
      if (!this.width || !this.height) return;
      const wide = (this.width - PAD.left - PAD.right) / Math.max(1, this.axes.length - 1);
      this.shown.forEach((axis, at) => { axis.x = PAD.left + at * wide; });
      this.placeHandles();
      this.paint();
    }

    y(axis, value) {
      const [low, high] = axis.range;
      return PAD.top + (this.height - PAD.top - PAD.bottom) * (1 - (value - low) / (high - low));
    }

    value(axis, y) {
      const [low, high] = axis.range;
      return low + (high - low) * clamp(1 - (y - PAD.top) / (this.height - PAD.top - PAD.bottom), 0, 1);
    }

    // -- what is picked ------------------------------------------------------------------------------------------------

    // The places of the lines that all brushes leave, null without a brush.
    picked() {
      const held = this.axes.filter((axis) => this.ranges.has(axis.label));
      if (!held.length) return null;
      const found = [];
      for (let at = 0; at < this.metric.all.length; at++) if (held.every((axis) => inside(axis.all[at], this.ranges.get(axis.label)))) found.push(at);
      return found;
    }

    // Brushes an axis, or with [] takes its brushes away; tells whoever listens.
    brush(label, ranges) {
      if (ranges.length) this.ranges.set(label, ranges);
      else this.ranges.delete(label);
      this.changed();
    }

    clear() {
      this.ranges.clear();
      this.changed();
    }

    changed() {
      if (this.waiting) return;
      this.waiting = requestAnimationFrame(() => {
        this.waiting = 0;
        this.paint();
        this.tellAxes();
        const picked = this.picked(), members = this.trace.meta?.runs;
        if (members) this.onbrush(picked && new Set(picked.flatMap((at) => members[at])));
      });
    }

    // -- drawing -------------------------------------------------------------------------------------------------------

    paint() {
      const pen = this.pen = onCanvas.sharp(this.canvas, this.width, this.height);
      pen.lineJoin = "round";
      this.ramp = shades(this.trace.line.colorscale).map((colour) => `rgb(${colour})`);
      const picked = this.picked();
      if (picked === null) this.drawLines(this.spread(this.metric.values.length), "values", 0.6);
      else {
        pen.strokeStyle = css("--muted");
        this.drawLines(this.spread(this.metric.values.length), "values", 0.07, false);
        this.drawLines(this.spread(picked.length).map((at) => picked[at]), "all", 0.7);
      }
      for (const axis of this.shown) this.drawAxis(axis);
    }

    // At most MOST_LINES of so many lines, evenly, the last (the best) among them.
    spread(count) {
      const kept = Math.min(count, MOST_LINES);
      return Array.from({ length: kept }, (_, at) => count - 1 - Math.floor(((kept - 1 - at) * count) / kept));
    }

    drawLines(places, of, opacity, coloured = true) {
      const { pen, ramp } = this, axes = this.shown;
      pen.globalAlpha = opacity;
      pen.lineWidth = places.length < 60 ? 2.2 : 1.2; // few lines have room, and may all be pale
      for (const at of places) {
        if (coloured) pen.strokeStyle = ramp[this.shade(this.metric[of][at])];
        pen.beginPath();
        for (const axis of axes) pen.lineTo(axis.x, this.y(axis, axis[of][at]));
        pen.stroke();
      }
      pen.globalAlpha = 1;
    }

    shade(value) {
      const { cmin, cmax } = this.trace.line;
      return Math.round(clamp((value - cmin) / (cmax - cmin), 0, 1) * (SHADES - 1));
    }

    drawAxis(axis) {
      const { pen } = this, foot = this.height - PAD.bottom, family = getComputedStyle(document.body).fontFamily;
      pen.fillStyle = css("--muted");
      pen.fillRect(axis.x - 0.5, PAD.top, 1, foot - PAD.top);
      if (axis === this.metric) this.drawScale(axis, foot);
      for (const [low, high] of this.ranges.get(axis.label) || []) {
        const [top, end] = [this.y(axis, low), this.y(axis, high)].sort((a, b) => a - b);
        pen.fillStyle = css("--best");
        pen.fillRect(axis.x - 4, top, 8, Math.max(2, end - top));
      }
      pen.strokeStyle = css("--panel");
      pen.lineWidth = 3;
      pen.font = `11px ${family}`;
      pen.textBaseline = "middle";
      axis.tickvals.forEach((value, at) => this.write(axis.ticktext[at], axis.x + (axis === this.metric ? 14 : 6), this.y(axis, value)));
      pen.save();
      pen.translate(axis.x - 4, PAD.top - 12);
      pen.rotate(-Math.PI / 9);
      pen.font = `600 12px ${family}`;
      this.write(axis.label, 0, 0);
      pen.restore();
    }

    drawScale(axis, foot) {
      for (let y = PAD.top; y < foot; y += 2) {
        this.pen.fillStyle = this.ramp[this.shade(this.value(axis, y))];
        this.pen.fillRect(axis.x + 3, y, 7, 2);
      }
    }

    write(text, x, y) {
      this.pen.strokeText(text, x, y);
      this.pen.fillStyle = css("--ink");
      this.pen.fillText(text, x, y);
    }

    // -- steering ------------------------------------------------------------------------------------------------------

    placeHandles() {
      const as = JSON.stringify([this.order, this.width, this.height]);
      if (as === this.placed) return this.tellAxes(); // a drag that goes on keeps what it holds
      this.placed = as;
      const held = document.activeElement?.dataset?.axis;
      this.handles.replaceChildren(...this.shown.flatMap((axis) => [this.axisHandle(axis), this.nameHandle(axis)]));
      this.tellAxes();
      if (held !== undefined) [...this.handles.children].find((item) => item.dataset.axis === held)?.focus();
    }

    axisHandle(axis) {
      const made = document.createElement("div");
      Object.assign(made.style, { position: "absolute", left: `${axis.x - REACH}px`, width: `${2 * REACH}px`, top: `${PAD.top}px`,
        height: `${this.height - PAD.top - PAD.bottom}px`, cursor: "crosshair", touchAction: "none" });
      made.tabIndex = 0;
      made.dataset.axis = axis.label;
      made.title = "drag: pick runs; Shift: one more range; click: all again";
      for (const [name, value] of Object.entries({ role: "slider", "aria-orientation": "vertical", "aria-label": `brush ${axis.label}`,
        "aria-valuemin": 0, "aria-valuemax": 100 })) made.setAttribute(name, value);
      made.addEventListener("pointerdown", (event) => this.drag(event, made, this.axis(axis.label)));
      made.addEventListener("keydown", (event) => this.key(event, this.axis(axis.label)));
      return made;
    }

    nameHandle(axis) {
      const made = document.createElement("div");
      Object.assign(made.style, { position: "absolute", left: `${axis.x - 16}px`, width: "64px", top: "8px", height: `${PAD.top - 16}px`,
        cursor: "grab", touchAction: "none" });
      made.title = `${axis.label}: drag it to move its axis`;
      made.addEventListener("pointerdown", (down) => {
        made.setPointerCapture(down.pointerId);
        made.onpointermove = (event) => { made.style.transform = `translateX(${event.clientX - down.clientX}px)`; };
        made.onpointerup = (event) => this.move(axis.label, axis.x + event.clientX - down.clientX);
      });
      return made;
    }

    // Puts an axis where x lies among the others.
    move(label, x) {
      const others = this.shown.filter((item) => item.label !== label);
      const at = others.filter((item) => item.x < x).length;
      this.order = [...others.slice(0, at).map((item) => item.label), label, ...others.slice(at).map((item) => item.label)];
      this.placed = ""; // also where it comes back to its own place
      this.layOut();
    }

    drag(down, handle, axis) {
      if (down.button) return;
      down.preventDefault();
      handle.focus();
      handle.setPointerCapture(down.pointerId);
      const top = handle.getBoundingClientRect().top - PAD.top, at = (event) => this.value(axis, event.clientY - top);
      const before = this.ranges.get(axis.label) || [], from = at(down);
      const near = (value) => Math.abs(this.y(axis, value) - this.y(axis, from)) <= EDGE;
      const end = before.find(([low, high]) => near(low) || near(high)), whole = before.find(([low, high]) => from >= low && from <= high);
      const others = before.filter((item) => item !== (end || whole));
      const ranged = (event) => {
        const to = at(event);
        if (end) return [...others, [near(end[0]) ? end[1] : end[0], to].sort((a, b) => a - b)];
        if (whole) return [...others, [whole[0] + to - from, whole[1] + to - from]];
        return [...(down.shiftKey ? before : []), [from, to].sort((a, b) => a - b)];
      };
      let moved = false;
      handle.onpointermove = (event) => {
        moved ||= Math.abs(event.clientY - down.clientY) > 3;
        if (moved) this.brush(axis.label, ranged(event));
      };
      handle.onpointerup = handle.onpointercancel = () => {
        handle.onpointermove = handle.onpointerup = handle.onpointercancel = null;
        if (!moved) this.brush(axis.label, []);
      };
    }

    // Up and Down make or move a brush, PageUp and PageDown widen and narrow it, Escape takes it away.
    key(event, axis) {
      const [first, last] = axis.range, wide = last - first;
      const held = this.ranges.get(axis.label)?.[0], [low, high] = held || [];
      const sort = (a, b) => [[a, b].sort((x, y) => x - y)];
      const made = {
        ArrowUp: () => (held ? [[low + STEP * wide, high + STEP * wide]] : sort(last - 2 * STEP * wide, last)),
        ArrowDown: () => (held ? [[low - STEP * wide, high - STEP * wide]] : sort(first, first + 2 * STEP * wide)),
        PageUp: () => held && sort(low - (STEP / 2) * Math.abs(wide), high + (STEP / 2) * Math.abs(wide)),
        PageDown: () => held && (high - low > STEP * Math.abs(wide) ? sort(low + (STEP / 2) * Math.abs(wide), high - (STEP / 2) * Math.abs(wide)) : [held]),
        Escape: () => [],
      }[event.key]?.();
      if (!made) return;
      event.preventDefault();
      this.brush(axis.label, made);
    }

    tellAxes() {
      for (const item of this.handles.children) {
        const axis = this.axis(item.dataset.axis);
        if (!axis) continue;
        const ranges = this.ranges.get(axis.label), [first, last] = axis.range;
        const share = (value) => Math.round((100 * (value - first)) / (last - first));
        const nearest = (value) => axis.ticktext[axis.tickvals.reduce((best, tick, at) => (Math.abs(tick - value) < Math.abs(axis.tickvals[best] - value) ? at : best), 0)];
        item.setAttribute("aria-valuenow", ranges ? share((ranges[0][0] + ranges[0][1]) / 2) : 50);
        item.setAttribute("aria-valuetext", ranges ? ranges.map(([low, high]) => `about ${nearest(low)} to ${nearest(high)}`).join(", ") : "all runs");
      }
    }
  };
})();
