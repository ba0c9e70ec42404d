// The film-strip slider: scrub the frames of one line in the browser; see workbench/ui/film_strip.py.
//
// Traits read: sheet (Bytes), line (what the sheet holds; its change is the signal to draw), height, busy,
// status, accept_on_release, label, empty_text, uid. Trait written: accepted {line, index, t, serial}.
// Nothing is written while scrubbing: the index lives in a Session, which all views of a model share.

const PAGE = 5; // frames per Page Up / Page Down / Shift + arrow
const STRIP_HEIGHT = 52; // CSS pixels
const HANDLE_EXTRA = 12; // the handle is this much higher than the strip
const RAIL_HEIGHT = 13;
const PIXELATED = 4.5; // from this magnification on, pixels are shown as squares; below, they are interpolated
const MAX_ASPECT = 2.2; // thumbs of long signals are not drawn wider than this

const SVG = "http://www.w3.org/2000/svg";

function element(tag, className, parent) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  parent?.append(node);
  return node;
}

function signed(t) {
  const digits = Math.abs(t) >= 100 ? 0 : Math.abs(t) >= 10 ? 1 : 2;
  const text = Math.abs(t).toFixed(digits);
  if (Number(text) === 0) return "0";
  return (t < 0 ? "\u2212" : "+") + text;
}

/** State of one model: its present line, decoded, and the frame that all its views show. */
class Session {
  constructor() {
    this.views = new Set();
    this.serial = null; // of the line that was read last
    this.line = null;
    this.bitmap = null;
    this.index = 0;
    this.dragging = false;
    this.held = null; // a line that came during a drag
    this.stamp = 0;
    this.raf = 0;
  }

  /** Read and decode the model's line; each view calls this, the first call does the work. */
  async load(model) {
    const line = model.get("line");
    if (this.serial === (line?.serial ?? 0)) return;
    this.serial = line?.serial ?? 0;
    const stamp = ++this.stamp;
    if (!line?.count) {
      this.hold(null);
      this.adopt(null, null);
      return;
    }
    let bitmap;
    try {
      bitmap = await createImageBitmap(new Blob([model.get("sheet")], { type: line.mime }));
    } catch (error) {
      console.error("film strip: the sheet could not be decoded", error);
      return;
    }
    if (stamp !== this.stamp) return bitmap.close(); // a later line came while this one was decoded
    if (this.dragging) this.hold({ line, bitmap });
    else this.adopt(line, bitmap);
  }

  hold(next) {
    this.held?.bitmap.close();
    this.held = next;
  }

  adopt(line, bitmap) {
    this.bitmap?.close();
    this.line = line;
    this.bitmap = bitmap;
    this.index = line ? line.start : 0;
    for (const view of this.views) view.rebuild();
  }

  go(index) {
    if (!this.line) return;
    const next = Math.max(0, Math.min(this.line.count - 1, index));
    if (next === this.index) return;
    this.index = next;
    this.raf ||= requestAnimationFrame(() => {
      this.raf = 0;
      for (const view of this.views) view.draw();
    });
  }

  drag(on) {
    this.dragging = on;
    if (on || !this.held) return;
    const { line, bitmap } = this.held;
    this.held = null;
    this.adopt(line, bitmap);
  }

  accept(model) {
    if (!this.line) return;
    const serial = (model.get("accepted")?.serial ?? 0) + 1;
    const { id, t } = this.line;
    model.set("accepted", { line: id, index: this.index, t: t[this.index], serial });
    model.save_changes();
    for (const view of this.views) view.flash();
  }

  close() {
    this.stamp++;
    cancelAnimationFrame(this.raf);
    this.hold(null);
    this.bitmap?.close();
    this.bitmap = null;
  }
}

const sessions = new Map();

function join(uid, view) {
  let session = sessions.get(uid);
  if (!session) sessions.set(uid, (session = new Session()));
  session.views.add(view);
  return session;
}

function leave(session, view) {
  session.views.delete(view);
  if (session.views.size) return;
  session.close();
  for (const [uid, other] of sessions) if (other === session) sessions.delete(uid);
}

/** One view: large picture, readout, and the strip that is the slider. */
class View {
  constructor(model, el) {
    this.model = model;
    this.el = el;
    this.build();
    this.listen();
    this.session = join(model.get("uid"), this);
    this.session.load(model);
    this.rebuild();
    this.showState();
  }

  build() {
    const { el } = this;
    el.classList.add("wb-film");
    // JupyterLab would take the arrow keys for moving between cells.
    el.setAttribute("data-lm-suppress-shortcuts", "true");
    this.empty = element("div", "wb-film-empty", el);
    this.body = element("div", "wb-film-body", el);

    const stage = element("div", "wb-film-stage", this.body);
    this.picture = element("canvas", "wb-film-picture", stage);
    const readout = element("div", "wb-film-readout", stage);
    const where = element("div", "wb-film-where", readout);
    element("span", "wb-film-t-name", where).textContent = "t";
    this.tText = element("span", "wb-film-t", where);
    this.frameText = element("div", "wb-film-frame", readout);
    this.caption = element("dl", "wb-film-caption", readout);
    this.flag = element("div", "wb-film-flag", readout);

    this.track = element("div", "wb-film-track", this.body);
    this.track.tabIndex = 0;
    this.track.setAttribute("role", "slider");
    this.track.setAttribute("aria-orientation", "horizontal");
    this.strip = element("canvas", "wb-film-strip", this.track);
    this.centre = element("div", "wb-film-centre", this.track);
    this.handle = element("div", "wb-film-handle", this.track);
    this.lens = element("canvas", "", this.handle);
    this.frame = document.createElement("canvas");
    this.rail = document.createElementNS(SVG, "svg");
    this.rail.setAttribute("class", "wb-film-rail");
    this.track.append(this.rail);
    element("div", "wb-film-activity", this.track);

    const foot = element("div", "wb-film-foot", this.body);
    this.leftEnd = element("span", "wb-film-end", foot);
    this.hint = element("span", "wb-film-hint", foot);
    this.rightEnd = element("span", "wb-film-end", foot);
  }

  listen() {
    const { track, model } = this;
    this.abort = new AbortController();
    const options = { signal: this.abort.signal };
    track.addEventListener("pointerdown", (e) => this.press(e), options);
    track.addEventListener("pointermove", (e) => this.pointer === e.pointerId && this.scrub(e), options);
    track.addEventListener("pointerup", (e) => this.release(e, true), options);
    track.addEventListener("pointercancel", (e) => this.release(e, false), options);
    track.addEventListener("lostpointercapture", (e) => this.release(e, false), options);
    track.addEventListener("keydown", (e) => this.key(e), options);
    track.addEventListener("focus", () => this.byKeys(this.pointer === undefined), options);
    track.addEventListener("blur", () => this.byKeys(false), options);

    this.onState = () => this.showState();
    for (const name of ["busy", "status", "accept_on_release", "label", "empty_text"])
      model.on(`change:${name}`, this.onState);
    this.onLine = () => this.session.load(model);
    model.on("change:line", this.onLine);
    this.onHeight = () => this.rebuild();
    model.on("change:height", this.onHeight);

    this.width = 0;
    this.resizing = new ResizeObserver(() => {
      if (this.track.clientWidth !== this.width) this.rebuild();
    });
    this.resizing.observe(this.el);
    // JupyterLab detaches cells that scroll out of sight, which may blank a canvas.
    this.seeing = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) this.rebuild();
    });
    this.seeing.observe(this.el);
  }

  destroy() {
    this.abort.abort();
    for (const name of ["busy", "status", "accept_on_release", "label", "empty_text"])
      this.model.off(`change:${name}`, this.onState);
    this.model.off("change:line", this.onLine);
    this.model.off("change:height", this.onHeight);
    this.resizing.disconnect();
    this.seeing.disconnect();
    clearTimeout(this.flashing);
    if (this.pointer !== undefined) this.session.drag(false);
    leave(this.session, this);
  }

  // -- what the user does ---------------------------------------------------------------------------------

  press(event) {
    if (!this.session.line || this.pointer !== undefined || event.button !== 0) return;
    event.preventDefault(); // no text selection, no native drag
    this.pointer = event.pointerId;
    this.track.focus({ preventScroll: true });
    this.byKeys(false);
    this.track.setPointerCapture(event.pointerId);
    this.el.classList.add("wb-dragging");
    this.session.drag(true);
    this.scrub(event);
  }

  scrub(event) {
    const { line } = this.session;
    if (!line) return; // taken away meanwhile
    const box = this.track.getBoundingClientRect();
    const place = (event.clientX - box.left - this.first) / (this.last - this.first || 1);
    this.session.go(Math.round(place * (line.count - 1)));
  }

  release(event, accept) {
    if (this.pointer !== event.pointerId) return;
    if (accept) this.scrub(event);
    this.letGo();
    if (accept && this.model.get("accept_on_release")) this.session.accept(this.model);
    this.session.drag(false);
  }

  letGo() {
    const pointer = this.pointer;
    this.pointer = undefined;
    this.el.classList.remove("wb-dragging");
    if (this.track.hasPointerCapture(pointer)) this.track.releasePointerCapture(pointer);
  }

  /** Show the focus, but not to somebody who uses the mouse (:focus-visible cannot tell for a script). */
  byKeys(on) {
    this.el.classList.toggle("wb-keys", on);
  }

  key(event) {
    const { session } = this;
    if (!session.line || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? PAGE : 1;
    const to = {
      ArrowRight: session.index + step,
      ArrowUp: session.index + step,
      ArrowLeft: session.index - step,
      ArrowDown: session.index - step,
      PageUp: session.index + PAGE,
      PageDown: session.index - PAGE,
      Home: 0,
      End: session.line.count - 1,
      Escape: session.line.start,
    }[event.key];
    if (to === undefined && event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    this.byKeys(true);
    if (event.key === "Enter") {
      if (!event.repeat && this.pointer === undefined) session.accept(this.model);
      return;
    }
    if (event.key === "Escape" && this.pointer !== undefined) {
      this.letGo();
      session.go(to);
      session.drag(false);
    } else session.go(to);
  }

  // -- what the user sees ---------------------------------------------------------------------------------

  showState() {
    const { model, el } = this;
    el.classList.toggle("wb-busy", Boolean(model.get("busy")));
    this.track.setAttribute("aria-busy", model.get("busy") ? "true" : "false");
    this.track.setAttribute("aria-label", model.get("label") || "Position on the line");
    this.empty.textContent = model.get("empty_text");
    const how = model.get("accept_on_release") ? "release to accept \u00b7 " : "Enter to accept \u00b7 ";
    const accepts = model.alone ? "" : how; // in the page of a report nobody is told
    this.hint.textContent = model.get("status") || `Drag to scrub \u00b7 ${accepts}\u2190 \u2192 step \u00b7 Esc centre`;
  }

  /** Lay out for the present line and width, and draw everything. */
  rebuild() {
    if (!this.session) return;
    const { line } = this.session;
    this.el.classList.toggle("wb-none", !line);
    if (!line) {
      this.el.dataset.line = "";
      this.el.dataset.index = "";
      return;
    }
    this.width = this.track.clientWidth;
    if (!this.width) return; // not attached, or hidden: the observers call again
    this.ratio = window.devicePixelRatio || 1;
    const aspect = Math.min(MAX_ASPECT, line.width / line.height);
    this.thumb = { w: Math.round(STRIP_HEIGHT * aspect), h: STRIP_HEIGHT };
    this.first = this.thumb.w / 2;
    this.last = this.width - this.thumb.w / 2;
    this.layoutPicture();
    this.drawStrip();
    this.drawRail();
    this.leftEnd.textContent = line.ends[0] ?? signed(line.t[0]);
    this.rightEnd.textContent = line.ends[1] ?? signed(line.t[line.count - 1]);
    this.track.setAttribute("aria-valuemin", "0");
    this.track.setAttribute("aria-valuemax", String(line.count - 1));
    this.draw();
  }

  /** Where frame i is on the track, CSS pixels. */
  x(i) {
    const { count } = this.session.line;
    return count < 2 ? this.width / 2 : this.first + (i / (count - 1)) * (this.last - this.first);
  }

  layoutPicture() {
    const { line } = this.session;
    const room = Math.min(this.model.get("height"), (this.width * line.height) / line.width);
    let scale = (room * this.ratio) / line.height;
    // Few large pixels are shown as they are, in whole multiples, so that all are square and equal.
    this.pixelated = room / line.height >= PIXELATED && !line.drawn;
    if (this.pixelated) scale = Math.floor(scale);
    const { picture, lens, handle } = this;
    picture.width = Math.round(line.width * scale);
    picture.height = Math.round(line.height * scale);
    picture.style.width = `${picture.width / this.ratio}px`;
    picture.style.height = `${picture.height / this.ratio}px`;
    const h = this.thumb.h + HANDLE_EXTRA;
    const w = Math.round((h * this.thumb.w) / this.thumb.h);
    lens.width = Math.round(w * this.ratio);
    lens.height = Math.round(h * this.ratio);
    handle.style.width = `${w}px`;
    handle.style.height = `${h}px`;
    this.handleWidth = w;
  }

  source(i) {
    const { line } = this.session;
    return [(i % line.columns) * line.width, Math.floor(i / line.columns) * line.height, line.width, line.height];
  }

  drawStrip() {
    const { line, bitmap } = this.session;
    const { strip, ratio, thumb } = this;
    strip.width = Math.round(this.width * ratio);
    strip.height = Math.round(thumb.h * ratio);
    strip.style.height = `${thumb.h}px`;
    const context = strip.getContext("2d");
    context.imageSmoothingQuality = "high";
    const count = Math.max(1, Math.min(line.count, Math.floor((this.width + 2) / (thumb.w + 2))));
    for (let k = 0; k < count; k++) {
      const place = count < 2 ? line.start : (k / (count - 1)) * (line.count - 1);
      const x = count < 2 ? this.x(line.start) : this.first + (k / (count - 1)) * (this.last - this.first);
      const left = Math.round((x - thumb.w / 2) * ratio);
      context.drawImage(bitmap, ...this.source(Math.round(place)), left, 0, Math.round(thumb.w * ratio), strip.height);
    }
    this.centre.style.transform = `translateX(${this.x(line.start)}px)`;
  }

  drawRail() {
    const { line } = this.session;
    const { rail } = this;
    rail.replaceChildren();
    rail.setAttribute("width", String(this.width));
    rail.setAttribute("height", String(RAIL_HEIGHT));
    const mark = (className, x, y1, y2) => {
      const node = document.createElementNS(SVG, "line");
      node.setAttribute("class", className);
      for (const [name, value] of Object.entries({ x1: x, x2: x, y1, y2 })) node.setAttribute(name, value.toFixed(2));
      rail.append(node);
      return node;
    };
    for (let i = 0; i < line.count; i++) {
      const name = line.flags[i] ? "wb-tick wb-flagged" : "wb-tick";
      mark(i === line.start ? `${name} wb-start` : name, this.x(i), 3, i === line.start ? 10 : 7);
    }
    this.needle = mark("wb-needle", 0, 1, RAIL_HEIGHT);
  }

  draw() {
    const { session } = this;
    const { line, bitmap, index } = session;
    if (!line || !bitmap || !this.width) return;
    // Scaled from the sheet itself, a frame's border would take colour from its neighbours.
    const frame = this.frame;
    frame.width = line.width;
    frame.height = line.height;
    frame.getContext("2d").drawImage(bitmap, ...this.source(index), 0, 0, line.width, line.height);
    for (const [canvas, pixelated] of [
      [this.picture, this.pixelated],
      [this.lens, false],
    ]) {
      const context = canvas.getContext("2d");
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.imageSmoothingEnabled = !pixelated;
      context.imageSmoothingQuality = "high";
      context.drawImage(frame, 0, 0, canvas.width, canvas.height);
    }
    const x = this.x(index);
    this.handle.style.transform = `translateX(${(x - this.handleWidth / 2).toFixed(2)}px)`;
    this.needle.setAttribute("transform", `translate(${x.toFixed(2)} 0)`);
    this.drawReadout(line, index);
    const { el } = this;
    el.dataset.line = line.id;
    el.dataset.index = String(index);
    el.dispatchEvent(new CustomEvent("wb-frame", { detail: { line: line.id, index, t: line.t[index] }, bubbles: true }));
  }

  drawReadout(line, index) {
    const t = signed(line.t[index]);
    this.tText.textContent = t;
    this.frameText.textContent = `frame ${index + 1} of ${line.count}`;
    const rows = line.captions[index] ?? [];
    this.caption.replaceChildren();
    for (const [name, text] of rows) {
      const dt = name ? element("dt", "", this.caption) : null;
      if (dt) dt.textContent = name;
      element("dd", name ? "" : "wb-wide", this.caption).textContent = text;
    }
    const flag = line.flags[index] || "";
    this.flag.textContent = flag;
    this.flag.classList.toggle("wb-on", Boolean(flag));
    this.handle.classList.toggle("wb-flagged", Boolean(flag));
    const spoken = rows.map(([name, text]) => (name ? `${name} ${text}` : text));
    this.track.setAttribute("aria-valuenow", String(index));
    this.track.setAttribute(
      "aria-valuetext",
      [`t ${t}`, `frame ${index + 1} of ${line.count}`, ...spoken, flag].filter(Boolean).join(", "),
    );
  }

  /** A short pulse of the handle says that the frame was taken. */
  flash() {
    this.el.classList.add("wb-accepted");
    clearTimeout(this.flashing);
    this.flashing = setTimeout(() => this.el.classList.remove("wb-accepted"), 450);
  }
}

export default {
  render({ model, el }) {
    const view = new View(model, el);
    return () => view.destroy();
  },
};
