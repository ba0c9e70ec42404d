// Runs inside Bokeh (CustomJS), in a live panel and in an exported page: what a class map shows at each zoom.
//
// Arguments: figure, points, pictures, labels, found, asked, tapped, seen, search, count, inks, zoom.
// zoom: { base, ratio, sizes, font, extent: [x0, x1, y0, y1], leads }, of workbench/ui/map_figure.py; of two maps with
// the same ranges, one leads.
// Columns are changed in place and announced by `change.emit()`: assigned anew they would travel to Python each time.

const CAPTIONED = 44; // pixels; smaller thumbnails stand too close together for names below them
const state = (figure.class_map ??= {
  level: -1,
  scale: 0, // pixels per unit
  matches: null, // set of the classes that are ringed while all others are pale
  query: "",
  asked: "",
  pending: false, // a frame is asked for
  stale: false, // what is shown has changed, not only how near
  started: false,
});

function whole() {
  const [x0, x1, y0, y1] = zoom.extent;
  const scale = Math.min(figure.inner_width / (x1 - x0), figure.inner_height / (y1 - y0));
  look((x0 + x1) / 2, (y0 + y1) / 2, figure.inner_width / scale, figure.inner_height / scale);
}

function look(x, y, across, up) {
  const { x_range, y_range } = figure;
  x_range.setv({ start: x - across / 2, end: x + across / 2 });
  y_range.setv({ start: y - up / 2, end: y + up / 2 });
}

// One unit of the map is as many pixels across as up, whatever the room the page gives.
function keep_shape() {
  const { inner_width, inner_height, x_range, y_range } = figure;
  if (!(inner_width > 0 && inner_height > 0)) return false;
  if (!state.started) {
    state.started = true;
    if (zoom.leads) whole();
    return true;
  }
  const up = y_range.end - y_range.start;
  const across = (up * inner_width) / inner_height;
  if (zoom.leads && Math.abs(across / (x_range.end - x_range.start) - 1) > 0.01) {
    look((x_range.start + x_range.end) / 2, (y_range.start + y_range.end) / 2, across, up);
  }
  return true;
}

function pixels_per_unit() {
  return figure.inner_height / Math.abs(figure.y_range.end - figure.y_range.start);
}

function box(i, size) {
  if (pictures.data.url[i]) return [-size / 2, size / 2, -size / 2, size / 2];
  return [-6, 8 + labels.data.width[i] * zoom.font, -zoom.font * 0.65, zoom.font * 0.65];
}

function shown(i, level) {
  return points.data.level[i] <= level || (state.matches?.has(i) && state.matches.size <= 60);
}

function refresh() {
  state.pending = false;
  if (!keep_shape()) return;
  const scale = pixels_per_unit();
  const { x, y } = points.data;
  const n = x.length;
  const steps = Math.log(scale / zoom.base) / Math.log(zoom.ratio);
  const level = Math.max(0, Math.min(zoom.sizes.length - 1, Math.floor(steps + 1e-6)));
  const size = zoom.sizes[level];
  const changed = level !== state.level || state.stale;
  if (!changed && Math.abs(scale / state.scale - 1) < 0.03) return;
  Object.assign(state, { level, scale, stale: false });
  const up_front = [];
  for (let i = 0; i < n; i++) if (shown(i, level)) up_front.push(i);
  for (let i = 0; i < n; i++) {
    const is_shown = shown(i, level);
    const pale = state.matches !== null && !state.matches.has(i);
    const has_picture = Boolean(pictures.data.url[i]);
    const covered = is_shown ? false : up_front.some((j) => {
      if (!pictures.data.url[j]) return false;
      return Math.abs(x[i] - x[j]) * scale < size / 2 && Math.abs(y[i] - y[j]) * scale < size / 2;
    });
    points.data.size[i] = is_shown && has_picture ? size : covered ? 0 : is_shown ? 8 : 6;
    points.data.ring[i] = is_shown && has_picture ? size + 2 : 13;
    points.data.alpha[i] = is_shown && has_picture ? 0 : pale ? 0.2 : is_shown ? 0.95 : 0.4;
    pictures.data.w[i] = is_shown && has_picture ? size : 0;
    pictures.data.alpha[i] = pale ? 0.22 : 1;
    labels.data.text[i] = is_shown && !has_picture && !state.matches?.has(i) ? labels.data.short[i] : "";
    labels.data.alpha[i] = pale ? 0.3 : 1;
    labels.data.align[i] = has_picture ? "center" : "left";
    labels.data.dx[i] = has_picture ? 0 : 7;
    labels.data.dy[i] = has_picture ? size / 2 + zoom.font * 0.8 : 0;
  }
  if (changed && size >= CAPTIONED) caption(up_front, size, scale);
  points.change.emit();
  if (!changed) return;
  if (state.matches) ring([...state.matches], size, scale);
  pictures.change.emit();
  labels.change.emit();
  seen.data = { level: [level], shown: [up_front.length], size: [size] };
}

// What was sought, ringed, with its name where that runs into no other one.
function ring(matches, size, scale) {
  const taken = [];
  matches.forEach((i, k) => {
    const wide = pictures.data.url[i] ? 1.3 * size : 22;
    const left = points.data.x[i] * scale + wide / 2 + 4;
    const right = left + 1.2 * labels.data.width[i] * zoom.font;
    const y = points.data.y[i] * scale;
    const free = !taken.some(([a, b, c]) => a < right && b > left && Math.abs(c - y) < 1.2 * zoom.font);
    if (free) taken.push([left, right, y]);
    found.data.ring[k] = wide;
    found.data.dx[k] = wide / 2 + 4;
    found.data.name[k] = free ? labels.data.short[i] : "";
  });
  found.change.emit();
}

// Names below thumbnails, where none runs into another name or thumbnail.
function caption(up_front, size, scale) {
  const { x, y } = points.data;
  const taken = up_front.map((i) => {
    const [right, up] = [x[i] * scale, y[i] * scale];
    return [right - size / 2, right + size / 2, up - size / 2, up + size / 2];
  });
  for (const i of up_front) {
    if (!pictures.data.url[i] || state.matches?.has(i)) continue;
    const half = (labels.data.width[i] * zoom.font) / 2 + 3;
    const [left, right] = [x[i] * scale - half, x[i] * scale + half];
    const top = y[i] * scale - size / 2 - 1;
    const bottom = top - 1.4 * zoom.font;
    if (taken.some(([a, b, c, d]) => a < right && b > left && c < top && d > bottom)) continue;
    labels.data.text[i] = labels.data.short[i];
    taken.push([left, right, bottom, top]);
  }
}

function request(stale) {
  state.stale ||= stale;
  if (state.pending) return;
  state.pending = true;
  requestAnimationFrame(refresh);
}

function highlight(indices) {
  state.matches = indices;
  const listed = indices ? [...indices] : [];
  const take = (column) => listed.map((i) => column[i]);
  found.data = {
    x: take(points.data.x),
    y: take(points.data.y),
    ring: listed.map(() => 22),
    dx: listed.map(() => 15),
    name: listed.map(() => ""),
  };
  if (listed.length) {
    const [x0, x1, y0, y1] = zoom.extent;
    const xs = found.data.x, ys = found.data.y;
    const [a, b] = [Math.min(...xs), Math.max(...xs)];
    const [c, d] = [Math.min(...ys), Math.max(...ys)];
    const scale = Math.min(
      figure.inner_width / Math.max(1.5 * (b - a), 0.14 * (x1 - x0)),
      figure.inner_height / Math.max(1.5 * (d - c), 0.14 * (y1 - y0)),
    );
    look((a + b) / 2, (c + d) / 2, figure.inner_width / scale, figure.inner_height / scale);
  }
  request(true);
}

function seek() {
  const query = search.value_input.trim().toLowerCase();
  if (query === state.query) return;
  state.query = query;
  if (!query) {
    count.text = "";
    highlight(null);
    return;
  }
  const matches = new Set();
  points.data.name.forEach((name, i) => name.toLowerCase().includes(query) && matches.add(i));
  count.text = `${matches.size} of ${points.data.name.length.toLocaleString("en")}`;
  highlight(matches);
}

// Python sends what it asks for again where thumbnails have changed: a search is then not undone.
function answer() {
  const wanted = [...asked.data.index];
  if (String(wanted) === state.asked) return request(true);
  state.asked = String(wanted);
  highlight(wanted.length ? new Set(wanted) : null);
}

function tap(event) {
  const { x, y } = points.data;
  const scale = pixels_per_unit();
  const size = zoom.sizes[Math.max(0, state.level)];
  let best = -1, nearest = Infinity;
  for (let i = 0; i < x.length; i++) {
    const [right, up] = [(event.x - x[i]) * scale, (event.y - y[i]) * scale];
    const [l, r, b, t] = shown(i, state.level) ? box(i, size) : [-7, 7, -7, 7];
    const distance = Math.hypot(right, up) + (shown(i, state.level) ? 0 : 1000); // what is seen comes first
    if (right >= l && right <= r && up >= b && up <= t && distance < nearest) [best, nearest] = [i, distance];
  }
  const before = points.selected.indices;
  const more = event.modifiers?.shift || event.modifiers?.ctrl;
  if (best < 0) points.selected.indices = more ? before : [];
  else if (!more) points.selected.indices = [best];
  else points.selected.indices = before.includes(best) ? before.filter((i) => i !== best) : [...before, best];
  if (best >= 0) tapped.data = { index: [best], serial: [(tapped.data.serial[0] ?? 0) + 1] };
}

function brightness(colour) {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
  return a ? (0.3 * r + 0.59 * g + 0.11 * b) / 255 : null;
}

// Bokeh draws on a canvas, which knows no CSS variables: the ink follows JupyterLab's theme, or the page's.
function ink() {
  const lab = getComputedStyle(document.body).getPropertyValue("--jp-layout-color0").trim();
  const light =
    brightness(lab || "transparent") ??
    brightness(getComputedStyle(document.body).backgroundColor) ??
    (matchMedia("(prefers-color-scheme: dark)").matches &&
    getComputedStyle(document.documentElement).colorScheme.includes("dark") ? 0 : 1);
  const tone = inks[light < 0.5 ? "dark" : "light"];
  for (const renderer of figure.renderers) {
    const glyph = renderer.glyph;
    if (glyph.type === "Text") glyph.text_color = { value: tone };
  }
}

if (!state.watched) {
  state.watched = true;
  new MutationObserver(ink).observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name", "class"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", ink);
  ink();
}
const about = cb_obj.event_name ?? (cb_obj === search ? "search" : cb_obj === asked ? "asked" : "view");
if (about === "tap") tap(cb_obj);
else if (about === "search") seek();
else if (about === "asked") answer();
else if (about === "reset") requestAnimationFrame(whole);
else request(cb_obj !== figure.x_range && cb_obj !== figure.y_range);
