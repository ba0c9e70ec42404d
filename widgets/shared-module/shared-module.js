// A widget whose code is sent once a kernel and evaluated once a page; see workbench/ui/shared_module.py.
//
// Trait read: _module, a widget that has the code's source, its style sheet and its key. As a module of each widget's
// own, the code would stay in the browser's memory for good, once for each widget that there ever was.
// Plotly's views also listen on after they are removed, fail then, and so keep an edit from the views that are there:
// what a view listens to is noted, and ends with it. A module may also export clean(el), for a view that went.

const PATIENCE = 1500; // ms; anywidget refuses all messages to a widget that was not initialized after 2 s
const modules = (globalThis[Symbol.for("workbench.modules")] ??= new Map());

async function load(model) {
  const name = model.get("_module").slice("IPY_MODEL_".length);
  const shared = await model.widget_manager.get_model(name);
  const key = shared.get("key");
  if (!modules.has(key)) {
    const style = document.createElement("style");
    style.textContent = shared.get("css");
    document.head.append(style);
    const url = URL.createObjectURL(new Blob([shared.get("source")], { type: "text/javascript" }));
    modules.set(key, import(url).finally(() => URL.revokeObjectURL(url)));
    modules.get(key).catch(() => (modules.delete(key), style.remove()));
  }
  return modules.get(key);
}

export default () => {
  let module, widget, off, started;
  let listeners = [];

  async function start({ model, ...rest }) {
    module = await load(model);
    widget = typeof module.default === "function" ? await module.default() : module.default;
    off = (name, callback) => model.off(name, callback);
    const noting = Object.assign(Object.create(model), {
      on(name, callback) {
        listeners.push([name, callback]);
        model.on(name, callback);
      },
    });
    return widget.initialize?.({ model: noting, ...rest });
  }

  return {
    initialize(given) {
      started = start(given);
      return Promise.race([started, new Promise((resolve) => setTimeout(resolve, PATIENCE))]);
    },

    async render({ el, ...rest }) {
      await started;
      const own = (listeners = []); // Plotly's view listens before it first waits
      const cleanup = await widget.render?.({ el, ...rest });
      return () => {
        cleanup?.();
        module.clean?.(el);
        el.replaceChildren(); // JupyterLab keeps the views of closed widgets until the kernel ends
        for (const [name, callback] of own.splice(0)) off(name, callback);
      };
    },
  };
};
