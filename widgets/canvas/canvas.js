// The drawing canvas: draw an image, or paint a mask on one; see workbench/ui/canvas.py.
//
// Traits read: picture {channels, height, width, low, high}, pixels (float32, channels x height x width), painted
// (uint8, height x width), mode, size, brush, grey, label, hint, prompt, uid.
// Traits written: pixels or painted, with edits (a count), a moment after the end of a stroke; brush and grey.
// Nothing is written during a stroke: it lives in a Session, which all views of a model share.

const SEND_AFTER = 150; // milliseconds after the last stroke, so that strokes in quick succession make one message
const HISTORY_BYTES = 32e6; // of what can be undone
const SOFT = 1.5; // pixels over which the pen's edge fades, as in MNIST
const PIXELATED = 4.5; // from this magnification on, pixels are shown as squares; below, they are interpolated
const LEAST_WIDTH = 240; // of the tools beside a small picture, CSS pixels
const NARROWEST = 0.71; // a mask's brush always paints the pixel under it: half of a pixel's diagonal

// Orange and vermilion of Okabe and Ito differ from every grey, with any colour vision; the line from black and white.
const TINT = [230, 159, 0];
const TINT_SHARE = 0.5;
const OUTLINE = "#D55E00";
const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  draw: "M3 13l.6-2.700L10.700 3.200a1.400 1.400 0 0 1 2 2L5.700 12.400zM9.500 4.500l2 2",
  erase: "M6.300 13.300h7.200M6.300 13.300L2.800 9.800a1 1 0 0 1 0-1.400L8.400 2.800a1 1 0 0 1 1.400 0l3.400 3.400a1 1 0 0 1 0 1.400L7.500 13.300zM5.600 5.600l4.800 4.800",
  undo: "M5.500 3L2.500 6l3 3M2.700 6h6.800a3.500 3.500 0 0 1 0 7H6",
};

function element(tag, className, parent) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  parent?.append(node);
  return node;
}

function icon(path, parent) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  parent.append(svg);
}

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

function sameBytes(a, b) {
  const [x, y] = [bytesOf(a), bytesOf(b)];
  return x.length === y.length && x.every((byte, i) => byte === y[i]);
}

/** State of one model: its image and mask as they are on screen, the stroke in progress, and what can be undone. */
class Session {
  constructor(model) {
    this.views = new Set();
    this.seen = {}; // trait -> the value that was read or written last
    this.mask = model.get("mode") === "mask";
    this.erasing = false;
    this.past = [];
    this.stroke = null;
    this.pending = null; // the model that waits to be told
    this.timer = 0;
  }

  /** Take over what Python has set; each view calls this, the first call does the work. */
  read(model) {
    const { channels, height, width, low, high } = model.get("picture");
    const resized = channels !== this.channels || height !== this.height || width !== this.width;
    const changed = { pixels: resized, painted: resized };
    for (const name of Object.keys(changed)) {
      const value = model.get(name);
      // The echo of an own stroke is no news, and may come when the next stroke has begun.
      if (this.seen[name] !== value && !(this.seen[name] && sameBytes(this.seen[name], value))) changed[name] = true;
      this.seen[name] = value;
    }
    const range = low !== this.low || high !== this.high;
    if (!changed.pixels && !changed.painted && !range) return;
    const size = { pixels: channels * height * width * 4, painted: height * width };
    // A stroke on the picture before may come back from the kernel when the new one is there.
    if (Object.keys(size).some((name) => this.seen[name].byteLength !== size[name])) return;
    Object.assign(this, { channels, height, width, low, high });
    if (changed[this.mask ? "painted" : "pixels"]) {
      clearTimeout(this.timer);
      this.pending = this.stroke = null;
      this.past = [];
    }
    // Copies: what a model holds is never changed, and a float array must start at a multiple of four.
    if (changed.pixels) this.pixels = new Float32Array(bytesOf(this.seen.pixels).slice().buffer);
    if (changed.painted) this.painted = bytesOf(this.seen.painted).slice();
    this.changed();
  }

  /** What strokes change. */
  get layer() {
    return this.mask ? this.painted : this.pixels;
  }

  changed() {
    for (const view of this.views) view.redraw();
  }

  begin(x, y, erase, { brush, grey }) {
    const level = erase ? 0 : this.channels === 3 ? grey : 1;
    this.stroke = {
      x,
      y,
      radius: brush / 2,
      ink: this.mask ? Number(!erase) : this.low + level * (this.high - this.low),
      base: this.layer.slice(),
      cover: new Float32Array(this.height * this.width),
    };
    this.extend(x, y);
  }

  /** Draw on to (x, y), in pixels of the image. Where a stroke crosses itself it is no darker. */
  extend(x, y) {
    const { stroke, width, height, layer, mask } = this;
    if (!stroke) return;
    const { x: x0, y: y0, radius, ink, base, cover } = stroke;
    const [dx, dy] = [x - x0, y - y0];
    const length2 = dx * dx + dy * dy;
    const reach = Math.max(radius, NARROWEST) + (mask ? 0 : SOFT / 2);
    const left = Math.max(0, Math.floor(Math.min(x0, x) - reach));
    const right = Math.min(width - 1, Math.floor(Math.max(x0, x) + reach));
    const top = Math.max(0, Math.floor(Math.min(y0, y) - reach));
    const bottom = Math.min(height - 1, Math.floor(Math.max(y0, y) + reach));
    for (let row = top; row <= bottom; row++)
      for (let column = left; column <= right; column++) {
        const [px, py] = [column + 0.5 - x0, row + 0.5 - y0];
        const along = length2 ? clamp((px * dx + py * dy) / length2, 0, 1) : 0;
        const distance = Math.hypot(px - along * dx, py - along * dy);
        const covered = mask ? Number(distance <= reach) : clamp((radius - distance) / SOFT + 0.5, 0, 1);
        const k = row * width + column;
        if (covered <= cover[k]) continue;
        cover[k] = covered;
        for (let i = k; i < layer.length; i += width * height) layer[i] = base[i] + covered * (ink - base[i]);
      }
    Object.assign(stroke, { x, y });
    this.changed();
  }

  end(model) {
    const { stroke } = this;
    if (!stroke) return;
    this.stroke = null;
    if (stroke.cover.some((covered) => covered > 0)) this.remember(model, stroke.base);
    this.changed();
  }

  /** Give up the stroke in progress. */
  cancel() {
    if (!this.stroke) return;
    this.layer.set(this.stroke.base);
    this.stroke = null;
    this.changed();
  }

  remember(model, before) {
    this.past.push(before);
    while (this.past.length > 1 && this.past.length * before.byteLength > HISTORY_BYTES) this.past.shift();
    this.sendSoon(model);
  }

  undo(model) {
    if (this.stroke) return this.cancel();
    const before = this.past.pop();
    if (!before) return;
    this.layer.set(before);
    this.changed();
    this.sendSoon(model);
  }

  clear(model) {
    this.replace(model, () => (this.mask ? 0 : this.low));
  }

  invert(model) {
    if (this.mask) this.replace(model, (painted) => 1 - painted);
  }

  replace(model, value) {
    this.cancel();
    const before = this.layer.slice();
    this.layer.forEach((v, i, layer) => (layer[i] = value(v)));
    if (!this.layer.some((v, i) => v !== before[i])) return;
    this.remember(model, before);
    this.changed();
  }

  sendSoon(model) {
    clearTimeout(this.timer);
    this.pending = model;
    this.timer = setTimeout(() => (this.stroke ? this.sendSoon(model) : this.send()), SEND_AFTER);
  }

  send() {
    const model = this.pending;
    clearTimeout(this.timer);
    this.pending = null;
    const name = this.mask ? "painted" : "pixels";
    this.seen[name] = new DataView(this.layer.slice().buffer);
    model.set(name, this.seen[name]);
    model.set("edits", (model.get("edits") ?? 0) + 1);
    model.save_changes();
    this.changed();
  }

  close() {
    this.cancel();
    if (this.pending) this.send();
  }
}

const sessions = new Map();

function join(model, view) {
  const uid = model.get("uid");
  let session = sessions.get(uid);
  if (!session) sessions.set(uid, (session = new Session(model)));
  session.views.add(view);
  return session;
}

function leave(session, view) {
  session.views.delete(view);
  if (session.views.size) return;
  session.close();
  for (const [uid, other] of sessions) if (other === session) sessions.delete(uid);
}

/** One view: the picture that one draws on, with the tools above and below it. */
class View {
  constructor(model, el) {
    this.model = model;
    this.el = el;
    this.scratch = document.createElement("canvas");
    this.mask = model.get("mode") === "mask";
    this.build();
    this.session = join(model, this);
    this.listen();
    this.session.read(model);
    this.cursor = { x: Math.floor(this.session.width / 2), y: Math.floor(this.session.height / 2) };
    this.showState();
  }

  build() {
    const { el, mask } = this;
    el.classList.add("wb-canvas");
    el.dataset.mode = mask ? "mask" : "draw";
    el.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab would take the keys
    this.body = element("div", "wb-canvas-body", el);

    const above = element("div", "wb-canvas-bar", this.body);
    const tools = element("span", "wb-canvas-tools", above);
    tools.setAttribute("role", "group");
    tools.setAttribute("aria-label", "Tool");
    this.drawButton = this.button(tools, mask ? "Paint" : "Draw", mask ? "Paint (B)" : "Draw (B)", "draw");
    this.eraseButton = this.button(tools, "Erase", "Erase (E)", "erase");
    this.undoButton = this.button(above, "Undo", "Undo (Ctrl+Z)", "undo");

    this.stage = element("div", "wb-canvas-stage", this.body);
    this.stage.tabIndex = 0;
    this.stage.setAttribute("role", "application");
    this.stage.setAttribute("aria-roledescription", "drawing canvas");
    this.picture = element("canvas", "wb-canvas-picture", this.stage);
    this.prompt = element("div", "wb-canvas-prompt", this.stage);
    this.ring = element("div", "wb-canvas-ring", this.stage);

    const below = element("div", "wb-canvas-bar", this.body);
    this.brush = this.slider(below, "wb-canvas-brush", "Width of the brush ([ and ])");
    this.grey = this.slider(element("span", "wb-canvas-greys", below), "wb-canvas-grey", "Grey of the pen, black to white");
    Object.assign(this.grey, { min: 0, max: 1, step: 0.01 });
    const actions = element("span", "wb-canvas-actions", below);
    if (mask) this.invertButton = this.button(actions, "Invert", "Swap painted and unpainted (I)");
    this.clearButton = this.button(actions, "Clear", "Clear (Delete)");

    this.hint = element("div", "wb-canvas-hint", this.body);
    this.hint.id = `wb-canvas-${Math.random().toString(36).slice(2)}`;
    this.stage.setAttribute("aria-describedby", this.hint.id);
    this.spoken = element("div", "wb-canvas-spoken", el);
    this.spoken.setAttribute("aria-live", "polite");
  }

  button(parent, text, title, symbol) {
    const button = element("button", `wb-canvas-button wb-canvas-${text.toLowerCase()}`, parent);
    button.type = "button";
    button.title = title;
    if (symbol) icon(ICONS[symbol], button);
    element("span", "", button).textContent = text;
    return button;
  }

  slider(parent, className, title) {
    const label = element("label", "wb-canvas-slider", parent);
    label.title = title;
    element("span", "wb-canvas-least", label);
    const slider = element("input", className, label);
    slider.type = "range";
    slider.setAttribute("aria-label", title);
    element("span", "wb-canvas-most", label);
    return slider;
  }

  listen() {
    const { model, stage, session } = this;
    this.abort = new AbortController();
    const on = (node, names, handler) => {
      for (const name of names.split(" ")) node.addEventListener(name, handler, { signal: this.abort.signal });
    };
    on(stage, "pointerdown", (e) => this.press(e));
    on(stage, "pointermove", (e) => this.move(e));
    on(stage, "pointerup lostpointercapture", (e) => this.release(e));
    on(stage, "pointercancel", (e) => this.pointer === e.pointerId && (session.cancel(), this.release(e)));
    on(stage, "pointerleave", () => this.pointer === undefined && this.hideRing());
    on(stage, "focus", () => this.byKeys(this.pointer === undefined));
    on(stage, "blur", () => (this.endKeys(), this.byKeys(false)));
    on(this.el, "keydown", (e) => this.key(e));
    on(stage, "keyup", (e) => e.key === " " && this.endKeys());
    on(this.drawButton, "click", () => this.erase(false));
    on(this.eraseButton, "click", () => this.erase(true));
    on(this.undoButton, "click", () => session.undo(model));
    on(this.clearButton, "click", () => session.clear(model));
    if (this.invertButton) on(this.invertButton, "click", () => session.invert(model));
    on(this.brush, "input", () => this.setBrush(Number(this.brush.value)));
    on(this.brush, "pointerup blur", () => this.hideRing());
    on(this.grey, "input", () => model.set("grey", Number(this.grey.value)));
    on(this.brush, "change", () => model.save_changes());
    on(this.grey, "change", () => model.save_changes());
    on(window, "resize", () => this.redraw()); // also at a change of the page's zoom

    this.handlers = {};
    for (const name of ["picture", "pixels", "painted"]) this.handlers[name] = () => this.readSoon();
    for (const name of ["size", "brush", "grey", "label", "hint", "prompt"]) this.handlers[name] = () => this.showState();
    for (const [name, handler] of Object.entries(this.handlers)) model.on(`change:${name}`, handler);
    // JupyterLab detaches cells that scroll out of sight, which may blank a canvas.
    this.seeing = new IntersectionObserver(() => this.redraw());
    this.seeing.observe(this.el);
  }

  destroy() {
    this.abort.abort();
    for (const [name, handler] of Object.entries(this.handlers)) this.model.off(`change:${name}`, handler);
    this.seeing.disconnect();
    cancelAnimationFrame(this.raf);
    if (this.pointer !== undefined || this.holding) this.session.end(this.model);
    leave(this.session, this);
  }

  /** One reading for a message that changes several traits. */
  readSoon() {
    if (this.reading) return;
    this.reading = true;
    queueMicrotask(() => {
      this.reading = false;
      if (this.abort.signal.aborted) return;
      this.session.read(this.model);
      this.cursor.x = Math.min(this.cursor.x, this.session.width - 1);
      this.cursor.y = Math.min(this.cursor.y, this.session.height - 1);
      this.showState();
    });
  }

  // -- pointer --------------------------------------------------------------------------------------------

  /** Where the pointer is, in pixels of the image. */
  point(event) {
    const box = this.picture.getBoundingClientRect();
    const { width, height } = this.session;
    return { x: ((event.clientX - box.left) / box.width) * width, y: ((event.clientY - box.top) / box.height) * height };
  }

  press(event) {
    const eraser = event.pointerType === "pen" && event.button === 5; // the other end of a pen
    if (this.pointer !== undefined || this.session.stroke || (event.button !== 0 && !eraser)) return;
    event.preventDefault(); // no text selection
    this.pointer = event.pointerId;
    this.stage.focus({ preventScroll: true });
    this.byKeys(false);
    this.stage.setPointerCapture(event.pointerId);
    const { x, y } = this.point(event);
    this.session.begin(x, y, eraser || this.session.erasing, this.pen());
    this.showRing(x, y);
  }

  move(event) {
    const { x, y } = this.point(event);
    this.byKeys(false);
    this.showRing(x, y);
    if (this.pointer !== event.pointerId) return;
    const passed = event.getCoalescedEvents?.() ?? [];
    for (const e of passed.length ? passed : [event]) {
      const to = this.point(e);
      this.session.extend(to.x, to.y);
    }
  }

  release(event) {
    if (this.pointer !== event.pointerId) return;
    this.pointer = undefined;
    this.session.end(this.model);
    if (event.pointerType !== "mouse") this.hideRing();
  }

  pen() {
    return { brush: this.model.get("brush"), grey: this.model.get("grey") };
  }

  // -- keys -----------------------------------------------------------------------------------------------

  /** Show where the keys act, but not to somebody who uses the mouse. */
  byKeys(on) {
    if (this.el.classList.contains("wb-keys") === on) return;
    this.el.classList.toggle("wb-keys", on);
    if (on) this.showRing(this.cursor.x + 0.5, this.cursor.y + 0.5);
    else this.hideRing();
  }

  key(event) {
    if (event.altKey) return;
    const { session, model } = this;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey) {
      if (key !== "z" || event.shiftKey) return;
      session.undo(model);
    } else if (event.target !== this.stage) return; // buttons and sliders have keys of their own
    else if (this.pointer !== undefined) {
      if (key !== "Escape") return;
      session.cancel();
    } else if (!this.keyOnStage(event, key)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  keyOnStage(event, key) {
    const { session, model, cursor } = this;
    const step = event.shiftKey ? 5 : 1;
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key] ?? [0, 0];
    const actions = {
      " ": () => !event.repeat && !session.stroke && this.holdKeys(),
      b: () => this.erase(false),
      e: () => this.erase(true),
      i: () => session.invert(model),
      "[": () => (this.setBrush(model.get("brush") - 0.5), model.save_changes()),
      "]": () => (this.setBrush(model.get("brush") + 0.5), model.save_changes()),
      Delete: () => session.clear(model),
      Escape: () => ((this.holding = false), session.cancel()),
    };
    if (dx || dy) {
      cursor.x = clamp(cursor.x + step * dx, 0, session.width - 1);
      cursor.y = clamp(cursor.y + step * dy, 0, session.height - 1);
      if (this.holding) session.extend(cursor.x + 0.5, cursor.y + 0.5);
    } else if (actions[key]) actions[key]();
    else return false;
    this.byKeys(true);
    this.showRing(cursor.x + 0.5, cursor.y + 0.5);
    this.speak();
    return true;
  }

  /** Space held down draws while the arrows move. */
  holdKeys() {
    this.holding = true;
    this.session.begin(this.cursor.x + 0.5, this.cursor.y + 0.5, this.session.erasing, this.pen());
  }

  endKeys() {
    if (!this.holding) return;
    this.holding = false;
    this.session.end(this.model);
    this.speak();
  }

  speak() {
    const { session, cursor } = this;
    const k = cursor.y * session.width + cursor.x;
    const value = this.mask ? (session.painted[k] ? "painted" : "not painted") : session.pixels[k].toFixed(2);
    const tool = session.erasing ? "erasing" : this.mask ? "painting" : "drawing";
    this.spoken.textContent = `row ${cursor.y + 1}, column ${cursor.x + 1}, ${value}, ${tool}`;
  }

  // -- tools ----------------------------------------------------------------------------------------------

  erase(on) {
    this.session.erasing = on;
    this.session.changed();
  }

  setBrush(width) {
    const { session, model } = this;
    model.set("brush", clamp(width, Number(this.brush.min), Number(this.brush.max)));
    if (!this.el.classList.contains("wb-keys")) this.showRing(session.width / 2, session.height / 2);
  }

  // -- what the user sees ---------------------------------------------------------------------------------

  showState() {
    const { model, session, mask } = this;
    const what = mask ? "Paint a region of the image" : "Draw an image";
    this.stage.setAttribute("aria-label", model.get("label") || what);
    this.prompt.textContent = model.get("prompt");
    const how = `Drag to ${mask ? "paint" : "draw"} \u00b7 or use arrows and Space`;
    this.hint.textContent = model.get("hint") || how;
    this.hint.title = how;
    this.el.classList.toggle("wb-coloured", !mask && session.channels === 3);
    const brush = model.get("brush");
    const most = Math.max(session.width, session.height) / 3;
    Object.assign(this.brush, { min: 1, max: Math.max(most, brush), step: 0.1 });
    this.brush.value = brush;
    this.grey.value = model.get("grey");
    this.redraw();
  }

  redraw() {
    this.raf ||= requestAnimationFrame(() => {
      this.raf = 0;
      this.draw();
    });
  }

  layout() {
    const { picture, session } = this;
    const ratio = window.devicePixelRatio || 1;
    const size = this.model.get("size");
    const long = Math.max(session.width, session.height);
    let scale = (size * ratio) / long;
    this.pixelated = size / long >= PIXELATED;
    if (this.pixelated) scale = Math.floor(scale); // all pixels square and equal
    const [w, h] = [Math.round(session.width * scale), Math.round(session.height * scale)];
    if (picture.width !== w || picture.height !== h) [picture.width, picture.height] = [w, h];
    this.stage.style.width = `${w / ratio}px`;
    this.stage.style.aspectRatio = `${w} / ${h}`;
    this.body.style.maxWidth = `${Math.max(size, LEAST_WIDTH)}px`;
    return scale;
  }

  draw() {
    const { session, scratch, picture, el } = this;
    if (!session.pixels) return;
    const scale = this.layout();
    const { width, height, painted } = session;
    if (scratch.width !== width || scratch.height !== height) [scratch.width, scratch.height] = [width, height];
    scratch.getContext("2d").putImageData(this.colours(), 0, 0);
    const context = picture.getContext("2d");
    context.imageSmoothingEnabled = !this.pixelated;
    context.imageSmoothingQuality = "high";
    context.drawImage(scratch, 0, 0, picture.width, picture.height);
    if (this.mask) this.drawOutline(context, picture.width / width, picture.height / height, scale);
    const blank = !this.mask && !session.stroke && session.pixels.every((v) => v <= session.low);
    el.classList.toggle("wb-blank", blank);
    el.classList.toggle("wb-erasing", session.erasing);
    this.drawButton.setAttribute("aria-pressed", String(!session.erasing));
    this.eraseButton.setAttribute("aria-pressed", String(session.erasing));
    // Not `disabled`: the button would lose the focus at the last undo.
    this.undoButton.setAttribute("aria-disabled", String(!session.past.length));
    this.clearButton.setAttribute("aria-disabled", String(this.mask ? !painted.includes(1) : blank));
    el.dataset.edits = String(this.model.get("edits"));
    el.dataset.undo = String(session.past.length);
    if (this.mask) el.dataset.painted = String(painted.reduce((sum, p) => sum + p, 0));
  }

  /** The image in its range, or in grey with the painted region tinted. */
  colours() {
    const { width, height, channels, pixels, painted, low, high } = this.session;
    const area = width * height;
    const image = new ImageData(width, height);
    const { data } = image; // it clamps to 0..255
    const scale = 255 / (high - low);
    for (let k = 0; k < area; k++) {
      for (let c = 0; c < 3; c++) data[4 * k + c] = scale * (pixels[channels === 3 ? k + c * area : k] - low);
      data[4 * k + 3] = 255;
      if (!this.mask) continue;
      const grey = 0.299 * data[4 * k] + 0.587 * data[4 * k + 1] + 0.114 * data[4 * k + 2];
      const share = painted[k] ? TINT_SHARE : 0;
      for (let c = 0; c < 3; c++) data[4 * k + c] = grey + share * (TINT[c] - grey);
    }
    return image;
  }

  /** A line around the painted region, which says its extent on white as on black. */
  drawOutline(context, cellX, cellY, scale) {
    const { width, height, painted } = this.session;
    const ratio = window.devicePixelRatio || 1;
    const at = (x, y) => x >= 0 && y >= 0 && x < width && y < height && painted[y * width + x] === 1;
    context.fillStyle = OUTLINE;
    // Drawn inside the region, each side as a bar: at the border of the picture nothing is cut off.
    const thick = clamp(Math.round(scale / 3), 1, Math.round(2 * ratio));
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        if (!at(x, y)) continue;
        const [left, top] = [Math.round(x * cellX), Math.round(y * cellY)];
        const [right, bottom] = [Math.round((x + 1) * cellX), Math.round((y + 1) * cellY)];
        if (!at(x - 1, y)) context.fillRect(left, top, thick, bottom - top);
        if (!at(x + 1, y)) context.fillRect(right - thick, top, thick, bottom - top);
        if (!at(x, y - 1)) context.fillRect(left, top, right - left, thick);
        if (!at(x, y + 1)) context.fillRect(left, bottom - thick, right - left, thick);
      }
  }

  showRing(x, y) {
    const { ring, session, stage } = this;
    const scale = stage.clientWidth / session.width;
    const side = Math.max(4, this.model.get("brush") * scale);
    Object.assign(ring.style, { width: `${side}px`, height: `${side}px` });
    ring.style.transform = `translate(${x * scale - side / 2}px, ${y * scale - side / 2}px)`;
    ring.classList.add("wb-on");
  }

  hideRing() {
    this.ring.classList.remove("wb-on");
  }
}

export default {
  render({ model, el }) {
    const view = new View(model, el);
    return () => view.destroy();
  },
};
