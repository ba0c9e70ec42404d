// A widget whose code is sent once a kernel and evaluated once a page; see workbench/ui/shared_module.py.
//
// Trait read: _module, a widget that has the code's source and its key. As a module of each widget's own, the code
// would stay in the browser's memory for good, once for each widget that there ever was.
// Plotly's views also listen on after they are removed, fail then, and so keep an edit from the views that are there:
// what a view listens to is noted, and ends with it.

const modules = (globalThis[Symbol.for("workbench.modules")] ??= new Map());

async function load(model) {
  const name = model.get("_module").slice("IPY_MODEL_".length);
  const shared = await model.widget_manager.get_model(name);
  const key = shared.get("key");
  if (!modules.has(key)) {
    const url = URL.createObjectURL(new Blob([shared.get("source")], { type: "text/javascript" }));
    modules.set(key, import(url).finally(() => URL.revokeObjectURL(url)));
  }
  return (await modules.get(key)).default;
}

export default () => {
  let widget, off;
  let listeners = [];
  return {
    async initialize({ model, ...rest }) {
      const made = await load(model);
      widget = typeof made === "function" ? await made() : made;
      off = (name, callback) => model.off(name, callback);
      const noting = Object.assign(Object.create(model), {
        on(name, callback) {
          listeners.push([name, callback]);
          model.on(name, callback);
        },
      });
      return widget.initialize?.({ model: noting, ...rest });
    },

    async render({ model, ...rest }) {
      const own = (listeners = []); // Plotly's view listens before it first waits
      const cleanup = await widget.render?.({ model, ...rest });
      return () => {
        cleanup?.();
        for (const [name, callback] of own) off(name, callback);
      };
    },
  };
};
