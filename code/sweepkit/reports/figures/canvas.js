// What is drawn on a canvas has in common: the page's colours, texts without marks, a colour scale.
const onCanvas = (() => {
  const SHADES = 64;
  // Without `willReadFrequently` a browser draws by the graphics card; where that is simulated, a picture takes seconds.
  const pen = (canvas) => canvas.getContext("2d", { willReadFrequently: true });
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = (name, other = "--muted") => (/^--/.test(name || other) ? css(name || other) : name);
  const plain = (text) => text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");

  // The colours of a scale, [[0, colour], …, [1, colour]], from its low end to its high one: [red, green, blue] each.
  const shades = (scale) => {
    const ground = pen(Object.assign(document.createElement("canvas"), { width: SHADES, height: 1 }));
    const ramp = ground.createLinearGradient(0, 0, SHADES, 0);
    for (const [at, name] of scale) ramp.addColorStop(at, colour(name));
    ground.fillStyle = ramp;
    ground.fillRect(0, 0, SHADES, 1);
    const { data } = ground.getImageData(0, 0, SHADES, 1);
    return Array.from({ length: SHADES }, (_, at) => [...data.subarray(4 * at, 4 * at + 3)]);
  };

  // A canvas of so many pixels of the page, sharp on any screen, and cleared; returns what draws on it.
  const sharp = (canvas, width, height) => {
    const by = window.devicePixelRatio || 1;
    canvas.width = width * by;
    canvas.height = height * by;
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px`, display: "block" });
    const made = pen(canvas);
    made.scale(by, by);
    return made;
  };

  // Text cut to a width: its beginning and an ellipsis.
  const fitted = (made, text, wide) => {
    if (made.measureText(text).width <= wide) return text;
    let low = 0, high = text.length;
    while (low < high) {
      const half = (low + high + 1) >> 1;
      if (made.measureText(`${text.slice(0, half)}…`).width <= wide) low = half;
      else high = half - 1;
    }
    return `${text.slice(0, low)}…`;
  };

  return { css, colour, plain, shades, sharp, fitted, SHADES };
})();
