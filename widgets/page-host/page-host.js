// Runs in the page of a report: brings the widgets of a notebook to life without kernel or network; see
// workbench/reports/page_widgets.py.
//
// Found in the page: script#wb-modules (ES modules of the widgets, by hash), script.wb-model (what a widget's model
// holds, {id, module, state, buffers}), .wb-view (where a model is shown), .wb-map (a Bokeh document), script.wb-follow
// (a grid that shows what is selected on a map) and .wb-tabs.
// Modules are loaded from blobs, so that the page's policy can forbid every address.

const json = (script) => JSON.parse(script.textContent);

function put(state, path, value) {
  const last = path.at(-1);
  path.slice(0, -1).reduce((inner, key) => inner[key], state)[last] = value;
}

/** What anywidget hands to a widget, less the kernel: nothing is sent, and `alone` says so. */
class Model {
  constructor({ state, buffers = [] }, models) {
    for (const [path, text] of buffers)
      put(state, path, new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer));
    this.alone = true;
    this.state = state;
    this.handlers = {};
    this.widget_manager = { get_model: async (id) => models.get(id) };
  }

  get(name) {
    return this.state[name];
  }

  set(name, value) {
    const changes = typeof name === "object" ? name : { [name]: value };
    const changed = Object.keys(changes).filter((key) => this.state[key] !== changes[key]);
    Object.assign(this.state, changes);
    for (const key of changed) this.trigger(`change:${key}`, this, this.state[key]);
    if (changed.length) this.trigger("change", this);
  }

  save_changes() {}

  send() {}

  on(names, handler) {
    for (const name of names.split(" ")) (this.handlers[name] ??= []).push(handler);
  }

  once(name, handler) {
    const first = (...values) => (this.off(name, first), handler(...values));
    this.on(name, first);
  }

  off(names, handler) {
    for (const name of names?.split(" ") ?? Object.keys(this.handlers))
      this.handlers[name] = (this.handlers[name] ?? []).filter((h) => handler && h !== handler);
  }

  trigger(name, ...values) {
    for (const handler of [...(this.handlers[name] ?? [])]) handler(...values);
  }
}

async function widget(source) {
  const { default: found } = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  return typeof found === "function" ? found() : found;
}

/** Show every model wherever the page asks for it: each module is loaded once, each model initialized once. */
async function show_models(models) {
  const sources = json(document.getElementById("wb-modules") ?? { textContent: "{}" });
  const loaded = {};
  const started = {};
  for (const script of document.querySelectorAll("script.wb-model")) {
    const entry = json(script);
    models.set(entry.id, new Model(entry, models));
    started[entry.id] = (async () => {
      const module = await (loaded[entry.module] ??= widget(sources[entry.module]));
      await module.initialize?.({ model: models.get(entry.id) });
      return module;
    })();
  }
  const shown = [...document.querySelectorAll(".wb-view")].map(async (el) => {
    try {
      const module = await started[el.dataset.model];
      el.remove_widget = await module.render?.({ model: models.get(el.dataset.model), el });
    } catch (error) {
      console.error("a widget could not be shown", error);
      el.textContent = "This widget needs what a page without network does not have.";
    }
  });
  await Promise.all(shown);
}

async function show_maps() {
  const roots = [];
  for (const el of document.querySelectorAll(".wb-map")) {
    const views = await window.Bokeh.embed.embed_item(json(el.querySelector("script")), el);
    roots.push(...(views.roots ?? [...views]));
  }
  return roots.map((view) => view.model.document);
}

/** A grid follows a map: it shows the samples of the classes that are selected there, all where none is. */
function follow(documents, models) {
  for (const script of document.querySelectorAll("script.wb-follow")) {
    const { points, grid, each } = json(script);
    const source = documents.map((d) => d.get_model_by_id(points)).find(Boolean);
    const model = models.get(grid);
    if (!source || !model) continue;
    source.selected.properties.indices.change.connect(() => {
      const chosen = [...source.selected.indices];
      const samples = chosen.flatMap((i) => Array.from({ length: each }, (_, k) => i * each + k));
      model.set("only", chosen.length ? samples : null);
    });
  }
}

/** Plotly measures a figure when it is drawn: one that was hidden then is measured again. */
function resize(part) {
  for (const figure of part.querySelectorAll(".js-plotly-plot")) window.Plotly?.Plots.resize(figure);
}

function switch_tabs(tabs) {
  const buttons = [...tabs.querySelectorAll(":scope > [role=tablist] > [role=tab]")];
  const panels = buttons.map((button) => document.getElementById(button.getAttribute("aria-controls")));
  const open = (place) => {
    buttons.forEach((button, i) => {
      button.setAttribute("aria-selected", String(i === place));
      button.tabIndex = i === place ? 0 : -1;
      panels[i].hidden = i !== place;
    });
    resize(panels[place]);
  };
  buttons.forEach((button, place) => {
    button.addEventListener("click", () => open(place));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (place + step + buttons.length) % buttons.length;
      open(next);
      buttons[next].focus();
      event.preventDefault();
    });
  });
}

async function start() {
  const models = new Map();
  for (const tabs of document.querySelectorAll(".wb-tabs")) switch_tabs(tabs);
  for (const fold of document.querySelectorAll("details")) fold.addEventListener("toggle", () => resize(fold));
  await show_models(models);
  follow(await show_maps(), models);
  return models;
}

/** The models by their ids, once all that the page shows is there. */
window.workbench_page = start();
