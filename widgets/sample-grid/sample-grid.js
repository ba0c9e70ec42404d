// The sample grid: thousands of samples as tiles on one canvas; see workbench/ui/sample_grid.py.
//
// Traits read: sheets (what is in sheet_0, sheet_1 ...; its change is the signal to draw), values, labels,
// arrangement, captions, multiple, tile, height, current, parents, busy, name, empty_text, uid, only.
// Traits written, at the end of a change only: selected, sort, activated {index, serial}.
// Texts from Python are data: they go through textContent and fillText only.

const GAP = 6; // between tiles, CSS pixels
const PAD = 8; // around them: room for rings
const SMALLEST = 24;
const LARGEST = 224;
const PIXELATED = 4.5; // from this magnification on, pixels are shown as squares; below, they are interpolated
const CACHE_BYTES = 512e6; // decoded sheets kept beside those in sight
const EXPORT_SIDE = 8192;
const SVG = "http://www.w3.org/2000/svg";

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
  return shape;
}

/** Decimals that give the largest number of a column four digits; integers have none. */
function decimals(values) {
  const known = values.filter((v) => v !== null);
  if (known.every(Number.isInteger)) return 0;
  const largest = known.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
  return Math.max(0, Math.min(6, 3 - Math.floor(Math.log10(largest || 1))));
}

function number(value, digits) {
  if (value === null || value === undefined) return "\u2013";
  const size = Math.abs(value);
  const extreme = size >= 1e6 || (size > 0 && size < 10 ** -digits);
  return (extreme ? value.toExponential(2) : value.toFixed(digits)).replace(/-/g, "\u2212");
}

const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);

/** The decoded sheets of one model, shared by its views. */
class Store {
  constructor() {
    this.views = new Set();
    this.decoded = new Map(); // slot -> {stamp, bitmap, columns, count, used}
    this.decoding = new Map(); // slot -> [stamp, promise]
    this.clock = 0;
    this.closed = false;
  }

  read(model) {
    const sheets = model.get("sheets") ?? [];
    if (sheets === this.sheets) return;
    this.sheets = sheets;
    this.starts = [];
    this.count = 0;
    for (const sheet of sheets) {
      this.starts.push(this.count);
      this.count += sheet.count;
    }
    this.frame = sheets[0] ? { w: sheets[0].width, h: sheets[0].height, drawn: sheets[0].drawn } : null;
    const used = new Set(sheets.map((sheet) => sheet.slot));
    for (const [slot, entry] of this.decoded) {
      if (used.has(slot)) continue;
      entry.bitmap.close();
      this.decoded.delete(slot);
    }
  }

  /** Return [sheet description, index within it] of sample i. */
  find(i) {
    let low = 0;
    let high = this.sheets.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.starts[middle] <= i) low = middle;
      else high = middle - 1;
    }
    return [this.sheets[low], i - this.starts[low]];
  }

  decode(model, sheet) {
    const running = this.decoding.get(sheet.slot);
    if (running?.[0] === sheet.stamp) return running[1];
    const promise = createImageBitmap(new Blob([model.get(sheet.slot)], { type: sheet.mime }))
      .then((bitmap) => {
        const current = this.sheets.find((s) => s.slot === sheet.slot)?.stamp === sheet.stamp;
        if (this.closed || !current) return bitmap.close(); // a later sheet has taken its place
        this.decoded.get(sheet.slot)?.bitmap.close();
        const { stamp, columns, count } = sheet;
        this.decoded.set(sheet.slot, { stamp, bitmap, columns, count, used: this.clock });
        this.evict();
        for (const view of this.views) view.redraw();
      })
      .catch((error) => console.error("sample grid: a sheet could not be decoded", error))
      .finally(() => this.decoding.get(sheet.slot)?.[1] === promise && this.decoding.delete(sheet.slot));
    this.decoding.set(sheet.slot, [sheet.stamp, promise]);
    return promise;
  }

  /** Return drawImage's source for sample i, or null while it is being decoded. */
  source(model, i) {
    const [sheet, k] = this.find(i);
    const entry = this.decoded.get(sheet.slot);
    if (entry?.stamp !== sheet.stamp) this.decode(model, sheet);
    // A sheet that grew keeps its first frames, so the old picture serves until the new one is there.
    if (!entry || k >= entry.count || (entry.stamp !== sheet.stamp && sheet.count < entry.count)) return null;
    entry.used = this.clock;
    const { w, h } = this.frame;
    return [entry.bitmap, (k % entry.columns) * w, Math.floor(k / entry.columns) * h, w, h];
  }

  evict() {
    const entries = [...this.decoded].sort((a, b) => a[1].used - b[1].used);
    let bytes = entries.reduce((sum, [, e]) => sum + e.bitmap.width * e.bitmap.height * 4, 0);
    for (const [slot, entry] of entries) {
      if (bytes <= CACHE_BYTES || entry.used >= this.clock - 1) break;
      bytes -= entry.bitmap.width * entry.bitmap.height * 4;
      entry.bitmap.close();
      this.decoded.delete(slot);
    }
  }

  close() {
    this.closed = true;
    for (const { bitmap } of this.decoded.values()) bitmap.close();
    this.decoded.clear();
  }
}

const stores = new Map();

const scratch = document.createElement("canvas");

function paint(context, source, x, y, w, h, drawn) {
  const [bitmap, sx, sy, sw, sh] = source;
  const scale = w / sw;
  context.imageSmoothingEnabled = drawn || scale < PIXELATED * (window.devicePixelRatio || 1);
  context.imageSmoothingQuality = "high";
  if (scale <= 1 || !context.imageSmoothingEnabled) return context.drawImage(bitmap, sx, sy, sw, sh, x, y, w, h);
  // Enlarged from the sheet itself, a frame's border would take colour from its neighbours.
  scratch.width = sw;
  scratch.height = sh;
  scratch.getContext("2d").drawImage(bitmap, sx, sy, sw, sh, 0, 0, sw, sh);
  context.drawImage(scratch, x, y, w, h);
}

class View {
  constructor(model, el) {
    this.model = model;
    this.el = el;
    this.strip = model.get("arrangement") === "strip";
    this.size = model.get("tile");
    this.order = [];
    this.focus = 0; // place in the order
    this.anchor = 0;
    this.hover = -1; // index of a sample
    this.build();
    this.listen();
    this.update();
  }

  build() {
    const { el } = this;
    el.classList.add("wb-grid");
    el.classList.toggle("wb-grid-is-strip", this.strip);
    el.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab would take the arrow keys
    this.bar = element("div", "wb-grid-bar", el);
    this.countText = element("span", "wb-grid-count", this.bar);
    this.countText.setAttribute("aria-live", "polite");
    this.buildTools(element("span", "wb-grid-tools", this.bar));
    this.empty = element("div", "wb-grid-empty", el);
    this.scroller = element("div", "wb-grid-scroll", el);
    this.scroller.tabIndex = 0;
    this.scroller.setAttribute("role", "listbox");
    this.content = element("div", "wb-grid-content", this.scroller);
    this.canvas = element("canvas", "wb-grid-canvas", this.content);
    this.band = element("div", "wb-grid-band", this.content);
    this.option = element("div", "wb-grid-option", this.scroller);
    this.option.id = `wb-grid-${Math.random().toString(36).slice(2)}`;
    this.option.setAttribute("role", "option");
    this.probe = element("span", "wb-grid-probe", el);
    this.card = element("div", "wb-grid-card", el);
    if (this.card.showPopover) this.card.popover = "manual"; // the top layer is clipped by no cell
    this.cardPicture = element("canvas", "", this.card);
    this.cardText = element("dl", "", this.card);
  }

  buildTools(tools) {
    const label = element("label", "wb-grid-tool", tools);
    element("span", "", label).textContent = "Sort";
    this.sortSelect = element("select", "wb-grid-sort", label);
    this.direction = element("button", "wb-grid-button wb-grid-direction", tools);
    this.direction.type = "button";
    this.arrow = icon("", this.direction);
    const size = element("label", "wb-grid-tool", tools);
    size.title = "Size of the tiles (Ctrl + wheel)";
    icon("M2 7.5h4v5H2zM8 3.500h6v9H8z", element("span", "wb-grid-icon", size));
    this.slider = element("input", "wb-grid-size", size);
    Object.assign(this.slider, { type: "range", min: SMALLEST, max: LARGEST, step: 1, value: this.size });
    this.slider.setAttribute("aria-label", "Size of the tiles");
    this.exportButton = element("button", "wb-grid-button wb-grid-export", tools);
    this.exportButton.type = "button";
    this.exportButton.title = "Save the samples in this order as one PNG image";
    icon("M8 2v7.5M4.8 6.500 8 9.700l3.200-3.200M2.500 13.200h11", this.exportButton);
    element("span", "", this.exportButton).textContent = "PNG";
  }

  listen() {
    const { model, scroller } = this;
    this.abort = new AbortController();
    const on = (node, names, handler, options = {}) => {
      for (const name of names.split(" ")) node.addEventListener(name, handler, { signal: this.abort.signal, ...options });
    };
    on(scroller, "scroll", () => (this.hideCard(), this.redraw()));
    on(scroller, "pointerdown", (e) => this.press(e));
    on(scroller, "pointermove", (e) => this.move(e));
    on(scroller, "pointerup", (e) => this.release(e));
    on(scroller, "pointercancel", () => this.cancel());
    on(scroller, "pointerleave", () => this.setHover(-1));
    on(scroller, "dblclick", (e) => this.open(this.at(e)));
    on(scroller, "keydown", (e) => this.key(e));
    on(scroller, "focus", () => this.byKeys(!this.pressed));
    on(scroller, "blur", () => (this.hideCard(), this.byKeys(false)));
    on(scroller, "wheel", (e) => this.wheel(e), { passive: false });
    on(this.sortSelect, "change", () => this.setSort({ by: this.sortSelect.value }));
    on(this.direction, "click", () => this.setSort({ descending: !this.sort.descending }));
    on(this.slider, "input", () => this.resizeTiles(Number(this.slider.value)));
    on(this.exportButton, "click", () => this.exportPng());

    this.handlers = {
      selected: () => this.showSelection(),
      tile: () => this.resizeTiles(model.get("tile")),
      current: () => (this.redraw(), this.reveal(this.model.get("current"))),
    };
    for (const name of ["sheets", "values", "labels", "sort", "only", "parents", "busy", "captions", "name", "height", "empty_text"])
      this.handlers[name] = () => this.updateSoon();
    for (const [name, handler] of Object.entries(this.handlers)) model.on(`change:${name}`, handler);

    this.resizing = new ResizeObserver(() => this.layout());
    this.resizing.observe(this.scroller);
    // JupyterLab detaches cells that scroll out of sight, which may blank a canvas.
    this.seeing = new IntersectionObserver(() => this.redraw());
    this.seeing.observe(this.scroller);
    this.theme = new MutationObserver(() => this.redraw());
    this.theme.observe(document.body, { attributes: true });
    const uid = model.get("uid");
    if (!stores.has(uid)) stores.set(uid, new Store());
    this.store = stores.get(uid);
    this.store.views.add(this);
  }

  destroy() {
    this.abort.abort();
    for (const [name, handler] of Object.entries(this.handlers)) this.model.off(`change:${name}`, handler);
    for (const observer of [this.resizing, this.seeing, this.theme]) observer.disconnect();
    cancelAnimationFrame(this.raf);
    clearTimeout(this.hoverTimer);
    this.hideCard();
    this.store.views.delete(this);
    if (this.store.views.size) return;
    this.store.close();
    for (const [uid, store] of stores) if (store === this.store) stores.delete(uid);
  }

  // -- data -----------------------------------------------------------------------------------------------

  /** One update for a message that changes several traits. */
  updateSoon() {
    if (this.updating) return;
    this.updating = true;
    queueMicrotask(() => {
      this.updating = false;
      if (!this.abort.signal.aborted) this.update();
    });
  }

  update() {
    const { model, store, el } = this;
    const before = store.count ?? 0;
    store.read(model);
    el.classList.toggle("wb-none", !store.count);
    el.classList.toggle("wb-busy", Boolean(model.get("busy")));
    this.empty.textContent = model.get("empty_text");
    this.scroller.setAttribute("aria-label", model.get("name"));
    this.scroller.setAttribute("aria-multiselectable", String(Boolean(model.get("multiple"))));
    this.digits = {};
    for (const [name, values] of Object.entries(model.get("values") ?? {})) this.digits[name] = decimals(values);
    this.showSort();
    this.arrange();
    this.showSelection();
    this.layout();
    if (this.strip && store.count > before) this.reveal(model.get("current"));
  }

  get sort() {
    return { by: "", descending: false, ...this.model.get("sort") };
  }

  setSort(change) {
    this.model.set("sort", { ...this.sort, ...change });
    this.model.save_changes();
    this.scroller.scrollTop = 0;
  }

  showSort() {
    const names = ["", ...Object.keys(this.model.get("values") ?? {})];
    const options = [...this.sortSelect.options].map((option) => option.value);
    if (!same(names, options))
      this.sortSelect.replaceChildren(
        ...names.map((name) => {
          const option = document.createElement("option");
          option.value = name;
          option.textContent = name || "index";
          return option;
        }),
      );
    const { by, descending } = this.sort;
    this.sortSelect.value = by;
    this.arrow.setAttribute("d", descending ? "M8 3v10M4 9l4 4 4-4" : "M8 13V3M4 7l4-4 4 4");
    this.direction.title = descending ? "Descending: click for ascending" : "Ascending: click for descending";
    this.direction.setAttribute("aria-label", this.direction.title);
  }

  arrange() {
    const { by, descending } = this.strip ? { by: "" } : this.sort;
    const values = this.model.get("values")?.[by];
    const only = this.model.get("only");
    const order = only ? only.filter((i) => i < this.store.count) : Array.from({ length: this.store.count }, (_, i) => i);
    const sign = descending ? -1 : 1;
    if (values)
      order.sort((a, b) => {
        const x = values[a] ?? null;
        const y = values[b] ?? null;
        if (x === null || y === null) return (x === null) - (y === null) || a - b; // missing values come last
        return sign * (x - y) || a - b;
      });
    else if (descending) order.reverse();
    this.order = order;
    this.place = []; // none for samples out of sight
    order.forEach((i, place) => (this.place[i] = place));
    this.focus = Math.min(this.focus, Math.max(0, order.length - 1));
    this.sortedBy = values ? by : null;
  }

  // -- selection ------------------------------------------------------------------------------------------

  showSelection() {
    const selected = this.model.get("selected") ?? [];
    this.chosen = new Set(selected);
    const n = this.store.count;
    const name = this.model.get("name") || "samples";
    const all = `${n.toLocaleString("en")} ${n === 1 ? name.replace(/s$/, "") : name}`;
    const parts = [this.model.get("only") ? `${this.order.length.toLocaleString("en")} of ${all}` : all];
    if (this.chosen.size) parts.push(`${this.chosen.size.toLocaleString("en")} selected`);
    this.countText.textContent = parts.join(" \u00b7 ");
    this.el.dataset.count = String(n);
    this.el.dataset.selected = String(this.chosen.size);
    this.redraw();
  }

  choose(indices, opened) {
    const next = [...new Set(indices)].sort((a, b) => a - b);
    const changed = !same(next, this.model.get("selected") ?? []);
    if (changed) this.model.set("selected", next);
    if (opened !== undefined) {
      const serial = (this.model.get("activated")?.serial ?? 0) + 1;
      this.model.set("activated", { index: opened, serial });
    }
    if (changed || opened !== undefined) this.model.save_changes();
    else this.redraw();
  }

  open(i) {
    if (i >= 0 && !this.strip) this.choose(this.chosen, i);
  }

  /** Selection after a click or a key at a place in the order. */
  pick(place, { toggle, range }) {
    const i = this.order[place];
    this.focus = place;
    if (!this.model.get("multiple")) {
      this.anchor = place;
      return this.choose(toggle && this.chosen.has(i) && !this.strip ? [] : [i], this.strip ? i : undefined);
    }
    if (range) {
      const [low, high] = [Math.min(this.anchor, place), Math.max(this.anchor, place)];
      return this.choose([...(toggle ? this.chosen : []), ...this.order.slice(low, high + 1)]);
    }
    this.anchor = place;
    if (!toggle) return this.choose([i], this.strip ? i : undefined);
    const next = new Set(this.chosen);
    if (!next.delete(i)) next.add(i);
    this.choose(next);
  }

  // -- pointer --------------------------------------------------------------------------------------------

  point(event) {
    const box = this.content.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  /** Sample under the pointer, or -1. */
  at(event) {
    const { x, y } = this.point(event);
    const { cols, stepX, stepY, w, h } = this.grid ?? {};
    if (!cols || x < PAD || y < PAD) return -1;
    const [column, row] = [Math.floor((x - PAD) / stepX), Math.floor((y - PAD) / stepY)];
    if (column >= cols || x - PAD - column * stepX > w || y - PAD - row * stepY > h + this.grid.caption) return -1;
    return this.order[row * cols + column] ?? -1;
  }

  press(event) {
    if (event.button !== 0 || this.pressed) return;
    const box = this.scroller.getBoundingClientRect();
    if (event.clientX > box.left + this.scroller.clientWidth || event.clientY > box.top + this.scroller.clientHeight)
      return; // on a scroll bar
    if (event.pointerType === "mouse") event.preventDefault();
    this.hideCard();
    this.pressed = { id: event.pointerId, from: this.point(event), at: this.at(event), type: event.pointerType };
    this.scroller.focus({ preventScroll: true });
    this.byKeys(false);
  }

  move(event) {
    const { pressed } = this;
    if (!pressed) {
      if (event.pointerType !== "touch") this.setHover(this.at(event), event);
      return;
    }
    if (pressed.id !== event.pointerId || pressed.type === "touch" || !this.model.get("multiple") || this.strip) return;
    const to = this.point(event);
    if (!pressed.banding) {
      if (Math.hypot(to.x - pressed.from.x, to.y - pressed.from.y) < 5) return;
      pressed.banding = true;
      pressed.base = event.ctrlKey || event.metaKey || event.shiftKey ? [...this.chosen] : [];
      this.scroller.setPointerCapture(event.pointerId);
      this.setHover(-1);
    }
    pressed.client = { clientX: event.clientX, clientY: event.clientY };
    this.stretch();
  }

  /** Draw the rubber band, mark what it touches, and scroll when it is pulled over the edge. */
  stretch() {
    const { pressed, band, scroller } = this;
    if (!pressed?.banding) return;
    const to = this.point(pressed.client);
    const [x0, x1] = [Math.min(pressed.from.x, to.x), Math.max(pressed.from.x, to.x)];
    const [y0, y1] = [Math.min(pressed.from.y, to.y), Math.max(pressed.from.y, to.y)];
    Object.assign(band.style, {
      display: "block",
      transform: `translate(${x0}px, ${y0}px)`,
      width: `${x1 - x0}px`,
      height: `${Math.min(y1, this.grid.height) - y0}px`,
    });
    const { cols, rows, stepX, stepY, w, h } = this.grid;
    pressed.touched = [];
    const firstRow = Math.max(0, Math.floor((y0 - PAD - h) / stepY) + 1);
    const lastRow = Math.min(rows - 1, Math.floor((y1 - PAD) / stepY));
    const firstColumn = Math.max(0, Math.floor((x0 - PAD - w) / stepX) + 1);
    const lastColumn = Math.min(cols - 1, Math.floor((x1 - PAD) / stepX));
    for (let row = firstRow; row <= lastRow; row++)
      for (let column = firstColumn; column <= lastColumn; column++) {
        const i = this.order[row * cols + column];
        if (i !== undefined) pressed.touched.push(i);
      }
    this.chosen = new Set([...pressed.base, ...pressed.touched]);
    this.redraw();
    const box = scroller.getBoundingClientRect();
    const y = pressed.client.clientY;
    const over = y < box.top ? y - box.top : y > box.bottom ? y - box.bottom : 0;
    cancelAnimationFrame(pressed.raf);
    if (over)
      pressed.raf = requestAnimationFrame(() => {
        const top = scroller.scrollTop;
        scroller.scrollTop += Math.max(-24, Math.min(24, over / 2));
        if (scroller.scrollTop !== top) this.stretch();
      });
  }

  release(event) {
    const { pressed } = this;
    if (!pressed || pressed.id !== event.pointerId) return;
    this.endPress();
    if (pressed.banding) return this.choose([...pressed.base, ...(pressed.touched ?? [])]);
    const i = this.at(event);
    if (i !== pressed.at) return;
    // Without keys to hold, a tap adds to the selection or takes away.
    const toggle = event.ctrlKey || event.metaKey || (pressed.type === "touch" && !this.strip);
    if (i >= 0) this.pick(this.place[i], { toggle, range: event.shiftKey });
    else if (!toggle && !event.shiftKey && !this.strip) this.choose([]);
  }

  cancel() {
    if (!this.pressed) return;
    this.endPress();
    this.showSelection();
  }

  endPress() {
    cancelAnimationFrame(this.pressed.raf);
    this.pressed = null;
    this.band.style.display = "none";
  }

  wheel(event) {
    if (!event.ctrlKey || this.strip) return;
    event.preventDefault();
    this.resizeTiles(this.size * Math.exp(-event.deltaY / 500));
  }

  // -- keys -----------------------------------------------------------------------------------------------

  /** Show where the keys act, but not to somebody who uses the mouse (:focus-visible cannot tell for a script). */
  byKeys(on) {
    this.el.classList.toggle("wb-keys", on);
    this.redraw();
  }

  key(event) {
    const n = this.order.length;
    if (!n || event.altKey) return;
    if (!["Control", "Shift", "Meta"].includes(event.key)) this.byKeys(true);
    const command = event.ctrlKey || event.metaKey;
    const { cols } = this.grid;
    const page = cols * Math.max(1, Math.floor(this.scroller.clientHeight / this.grid.stepY) - 1);
    const to = {
      ArrowLeft: this.focus - 1,
      ArrowRight: this.focus + 1,
      ArrowUp: this.strip ? undefined : this.focus - cols,
      ArrowDown: this.strip ? undefined : this.focus + cols,
      PageUp: this.focus - page,
      PageDown: this.focus + page,
      Home: 0,
      End: n - 1,
    }[event.key];
    if (to !== undefined) {
      if (to >= 0 && to < n) this.focus = to;
      else if (event.key.startsWith("Page")) this.focus = to < 0 ? 0 : n - 1;
      const i = this.order[this.focus];
      if (event.shiftKey) this.pick(this.focus, { range: true });
      this.reveal(i);
      this.redraw();
      this.showCard(i);
    } else if (event.key === " ") this.pick(this.focus, { toggle: true });
    else if (event.key === "Enter") this.choose(this.strip ? [this.order[this.focus]] : this.chosen, this.order[this.focus]);
    else if (event.key === "Escape") {
      this.hideCard();
      if (this.pressed) this.cancel();
      else if (!this.strip) this.choose([]);
    } else if (command && event.key.toLowerCase() === "a" && this.model.get("multiple")) this.choose(this.order);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Scroll as little as needed to show sample i. */
  reveal(i) {
    const place = this.place?.[i];
    if (place === undefined || !this.grid) return;
    const { cols, stepX, stepY, caption } = this.grid;
    const { scroller } = this;
    const x = PAD + (place % cols) * stepX;
    const y = PAD + Math.floor(place / cols) * stepY;
    const clamp = (now, start, end, room) => Math.min(start - PAD, Math.max(end + PAD - room, now));
    scroller.scrollTop = clamp(scroller.scrollTop, y, y + this.grid.h + caption, scroller.clientHeight);
    scroller.scrollLeft = clamp(scroller.scrollLeft, x, x + this.grid.w, scroller.clientWidth);
  }

  // -- layout and drawing ---------------------------------------------------------------------------------

  resizeTiles(size) {
    const middle = this.order[this.firstVisible ?? 0];
    this.size = Math.max(SMALLEST, Math.min(LARGEST, size));
    this.slider.value = this.size;
    this.hideCard();
    this.layout();
    if (middle !== undefined && this.scroller.scrollTop) this.reveal(middle);
  }

  layout() {
    const { store, scroller, content } = this;
    if (!store?.frame) return;
    const ratio = window.devicePixelRatio || 1;
    const { w: fw, h: fh, drawn } = store.frame;
    let scale = this.size / Math.max(fw, fh);
    if (scale >= PIXELATED && !drawn) scale = Math.round(scale * ratio) / ratio; // equal pixels
    const w = Math.max(1, Math.round(fw * scale * ratio) / ratio);
    const h = Math.max(1, Math.round(fh * scale * ratio) / ratio);
    const labelled = Boolean(this.model.get("labels")?.length) && (this.strip || this.model.get("captions"));
    const captioned = this.strip ? labelled : (labelled || this.sortedBy !== null) && w >= 40;
    const caption = captioned ? 18 : 0;
    const n = this.order.length;
    const width = scroller.clientWidth;
    const gap = this.strip ? 12 : GAP;
    const cols = this.strip ? n : Math.max(1, Math.floor((width - 2 * PAD + gap) / (w + gap)));
    const rows = Math.ceil(n / Math.max(1, cols));
    // Full rows reach from edge to edge.
    const spread = !this.strip && n >= cols && cols > 1 ? (width - 2 * PAD - cols * w) / (cols - 1) : gap;
    const [stepX, stepY] = [w + Math.min(spread, gap + w / 3), h + caption + gap];
    const height = 2 * PAD + rows * stepY - gap;
    this.grid = { w, h, caption, cols, rows, stepX, stepY, width: 2 * PAD + cols * stepX - gap, height };
    content.style.height = `${height}px`;
    content.style.width = this.strip ? `${this.grid.width}px` : "";
    if (!this.strip) scroller.style.maxHeight = `${this.model.get("height")}px`;
    this.redraw();
  }

  redraw() {
    this.raf ||= requestAnimationFrame(() => {
      this.raf = 0;
      this.draw();
    });
  }

  draw() {
    const { scroller, canvas, grid, order, store } = this;
    if (!grid || !store.count || !scroller.clientWidth) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [scroller.clientWidth, Math.min(scroller.clientHeight, grid.height)];
    const [pixelsX, pixelsY] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== pixelsX || canvas.height !== pixelsY) {
      [canvas.width, canvas.height] = [pixelsX, pixelsY];
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    store.clock++;
    const style = getComputedStyle(this.probe);
    this.ink = {
      text: style.color,
      well: style.backgroundColor,
      accent: style.borderTopColor,
      paper: style.borderRightColor,
      muted: style.borderBottomColor,
      font: `11px ${style.fontFamily}`,
    };
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const [left, top] = [scroller.scrollLeft, scroller.scrollTop];
    const { cols, rows, stepX, stepY } = grid;
    const firstRow = Math.max(0, Math.floor((top - PAD) / stepY));
    const lastRow = Math.min(rows - 1, Math.floor((top + height) / stepY));
    const firstColumn = this.strip ? Math.max(0, Math.floor((left - PAD) / stepX)) : 0;
    const lastColumn = this.strip ? Math.min(cols - 1, Math.floor((left + width) / stepX)) : cols - 1;
    this.firstVisible = firstRow * cols + firstColumn;
    for (let row = firstRow; row <= lastRow; row++)
      for (let column = firstColumn; column <= lastColumn; column++) {
        const place = row * cols + column;
        if (place < order.length) this.drawTile(context, place, PAD + column * stepX - left, PAD + row * stepY - top);
      }
    this.describe();
    this.el.dataset.first = String(order[this.firstVisible] ?? "");
    this.el.dispatchEvent(new CustomEvent("wb-grid", { bubbles: true }));
  }

  drawTile(context, place, x, y) {
    const { grid, ink } = this;
    const { w, h } = grid;
    const i = this.order[place];
    const ratio = window.devicePixelRatio || 1;
    const snap = (v) => Math.round(v * ratio) / ratio; // whole device pixels keep the edges crisp
    [x, y] = [snap(x), snap(y)];
    const source = this.store.source(this.model, i);
    context.fillStyle = ink.well;
    if (!source || this.store.frame.drawn) context.fillRect(x, y, w, h);
    if (source) {
      context.save();
      context.setTransform(1, 0, 0, 1, 0, 0);
      paint(context, source, Math.round(x * ratio), Math.round(y * ratio), Math.round(w * ratio), Math.round(h * ratio), this.store.frame.drawn);
      context.restore();
    }
    const ring = (colour, thickness, out, dash = []) => {
      context.strokeStyle = colour;
      context.lineWidth = thickness;
      context.setLineDash(dash);
      context.beginPath();
      context.roundRect(x - out, y - out, w + 2 * out, h + 2 * out, 2);
      context.stroke();
    };
    const selected = this.chosen.has(i);
    if (selected) ring(ink.accent, 2.5, 2);
    else if (i === this.hover) ring(ink.muted, 1.5, 1.5);
    if (selected && !this.strip && Math.min(w, h) >= 36) this.drawCheck(context, x + w - 7, y + 7);
    if (place === this.focus && this.el.classList.contains("wb-keys")) ring(ink.text, 1, 4, [2, 2]);
    if (this.strip) this.drawStripMarks(context, i, x, y, ring);
    else if (grid.caption) {
      const label = this.model.get("captions") && this.model.get("labels")?.[i];
      const text = label || number(this.model.get("values")?.[this.sortedBy]?.[i], this.digits[this.sortedBy]);
      this.drawText(context, text, x, y + h + 13, w + 4, selected ? ink.text : ink.muted);
    }
  }

  drawCheck(context, x, y) {
    context.setLineDash([]);
    context.fillStyle = this.ink.accent;
    context.strokeStyle = this.ink.paper;
    context.lineWidth = 1.5;
    context.beginPath();
    context.arc(x, y, 6.5, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
    context.beginPath();
    context.moveTo(x - 3, y);
    context.lineTo(x - 0.8, y + 2.4);
    context.lineTo(x + 3.2, y - 2.4);
    context.stroke();
  }

  drawStripMarks(context, i, x, y, ring) {
    const { ink, grid } = this;
    const { w, h } = grid;
    const current = i === this.model.get("current");
    context.setLineDash([]);
    if (current) {
      context.fillStyle = ink.accent;
      context.fillRect(x, y + h + 2, w, 3);
    }
    const parents = this.model.get("parents") ?? [];
    const parent = parents[i] ?? null;
    if (parent !== null && parent !== i - 1) {
      // A small fork in the gap: this step did not come from its neighbour.
      context.strokeStyle = ink.muted;
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(x - 8.5, y);
      context.lineTo(x - 8.5, y + h * 0.5 - 5);
      context.quadraticCurveTo(x - 8.5, y + h * 0.5, x - 3.5, y + h * 0.5);
      context.stroke();
    }
    if (this.hover >= 0 && parents[this.hover] === i) ring(ink.accent, 1.5, 2, [3, 3]);
    const label = this.model.get("labels")?.[i];
    if (label) this.drawText(context, label, x, y + h + 16, w + 8, current ? ink.text : ink.muted, x + w / 2);
  }

  drawText(context, text, x, y, room, colour, centre = x + this.grid.w / 2) {
    context.font = this.ink.font;
    context.fillStyle = colour;
    context.textAlign = "center";
    if (context.measureText(text).width > room) {
      while (text.length > 1 && context.measureText(text + "\u2026").width > room) text = text.slice(0, -1);
      text += "\u2026";
    }
    context.fillText(text, centre, y);
  }

  // -- words ----------------------------------------------------------------------------------------------

  /** Rows of name and text about sample i. */
  facts(i) {
    const label = this.model.get("labels")?.[i];
    const parent = this.model.get("parents")?.[i] ?? null;
    const rows = [["", label || `#${i}`]];
    if (label) rows.push(["index", String(i)]);
    if (parent !== null && parent !== i - 1) rows.push(["branched from", this.model.get("labels")?.[parent] || `#${parent}`]);
    const values = Object.entries(this.model.get("values") ?? {});
    for (const [name, column] of values) rows.push([name, number(column[i], this.digits[name])]);
    return rows;
  }

  describe() {
    const i = this.order[this.focus];
    if (i === undefined) return;
    const spoken = this.facts(i).map(([name, text]) => (name ? `${name} ${text}` : text));
    this.option.setAttribute("aria-label", spoken.join(", "));
    this.option.setAttribute("aria-selected", String(this.chosen.has(i)));
    this.option.setAttribute("aria-posinset", String(this.focus + 1));
    this.option.setAttribute("aria-setsize", String(this.order.length));
    this.scroller.setAttribute("aria-activedescendant", this.option.id);
    this.el.dataset.focus = String(i);
  }

  setHover(i) {
    if (i === this.hover) return;
    this.hover = i;
    clearTimeout(this.hoverTimer);
    const wait = this.cardShown ? 0 : 150; // once one card is up, the next ones follow at once
    if (i < 0) this.hoverTimer = setTimeout(() => this.hideCard(), 80);
    else this.hoverTimer = setTimeout(() => this.showCard(i), wait);
    this.redraw();
  }

  showCard(i) {
    const source = this.store.source(this.model, i);
    const { grid, card, cardPicture } = this;
    const place = this.place[i];
    if (!source || place === undefined || this.abort.signal.aborted) return;
    const { w: fw, h: fh, drawn } = this.store.frame;
    const ratio = window.devicePixelRatio || 1;
    let scale = (drawn ? 300 : 200) / Math.max(fw, fh);
    if (scale > 1 && !drawn) scale = Math.max(1, Math.round(scale));
    const [w, h] = [Math.round(fw * scale), Math.round(fh * scale)];
    [cardPicture.width, cardPicture.height] = [Math.round(w * ratio), Math.round(h * ratio)];
    Object.assign(cardPicture.style, { width: `${w}px`, height: `${h}px` });
    paint(cardPicture.getContext("2d"), source, 0, 0, cardPicture.width, cardPicture.height, drawn);
    this.cardText.replaceChildren();
    for (const [name, text] of this.facts(i)) {
      if (name) element("dt", "", this.cardText).textContent = name;
      element("dd", name ? "" : "wb-title", this.cardText).textContent = text;
    }
    card.classList.add("wb-on");
    if (card.popover && !card.matches(":popover-open")) card.showPopover();
    this.cardShown = true;
    const box = this.content.getBoundingClientRect();
    const x = box.left + PAD + (place % grid.cols) * grid.stepX;
    const y = box.top + PAD + Math.floor(place / grid.cols) * grid.stepY;
    const size = card.getBoundingClientRect();
    const right = x + grid.w + 12;
    const fits = right + size.width <= window.innerWidth - 8;
    card.style.left = `${Math.max(8, fits ? right : x - size.width - 12)}px`;
    card.style.top = `${Math.max(8, Math.min(window.innerHeight - size.height - 8, y + (grid.h - size.height) / 2))}px`;
  }

  hideCard() {
    clearTimeout(this.hoverTimer);
    if (!this.cardShown) return;
    this.cardShown = false;
    this.card.classList.remove("wb-on");
    if (this.card.popover && this.card.matches(":popover-open")) this.card.hidePopover();
  }

  // -- export ---------------------------------------------------------------------------------------------

  async exportPng() {
    const { store, order, model } = this;
    if (!order.length) return;
    const { w, h } = store.frame;
    const cols = Math.ceil(Math.sqrt((order.length * h) / w));
    const rows = Math.ceil(order.length / cols);
    const scale = Math.min(1, EXPORT_SIDE / (cols * w), EXPORT_SIDE / (rows * h)); // browsers' canvases end somewhere
    const canvas = document.createElement("canvas");
    canvas.width = Math.floor(cols * w * scale);
    canvas.height = Math.floor(rows * h * scale);
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    // Sheet by sheet, so that no more than one has to be decoded at a time.
    for (const [s, sheet] of store.sheets.entries()) {
      const bitmap = await createImageBitmap(new Blob([model.get(sheet.slot)], { type: sheet.mime }));
      for (let k = 0; k < sheet.count; k++) {
        const place = this.place[store.starts[s] + k];
        if (place === undefined) continue;
        const from = [(k % sheet.columns) * w, Math.floor(k / sheet.columns) * h, w, h];
        context.drawImage(bitmap, ...from, (place % cols) * w, Math.floor(place / cols) * h, w, h);
      }
      bitmap.close();
    }
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${(model.get("name") || "samples").replace(/[^\w.-]+/g, "-")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }
}

export default {
  render({ model, el }) {
    const view = new View(model, el);
    return () => view.destroy();
  },
};
