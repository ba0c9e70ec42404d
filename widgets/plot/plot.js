// A Plotly FigureWidget whose code is evaluated once a page; see workbench/ui/plot.py.
//
// Trait read: _plotly, a widget that has the source of Plotly's own module. As a module of each figure's own, it would
// stay in the browser's memory for good. Plotly's views also listen on after they are removed, fail then, and so keep
// an edit from the views that are there: what a view listens to is noted, and ends with it.

const modules = (globalThis[Symbol.for("workbench.plotly")] ??= new Map());

async function plotly(model) {
  const name = model.get("_plotly").slice("IPY_MODEL_".length);
  const shared = await model.widget_manager.get_model(name);
  const version = shared.get("version");
  if (!modules.has(version)) {
    const url = URL.createObjectURL(new Blob([shared.get("source")], { type: "text/javascript" }));
    modules.set(version, import(url).finally(() => URL.revokeObjectURL(url)));
  }
  return (await modules.get(version)).default;
}

export default () => {
  let figure, off;
  let listeners = [];
  return {
    async initialize({ model, ...rest }) {
      const made = await plotly(model);
      figure = typeof made === "function" ? await made() : made;
      off = (name, callback) => model.off(name, callback);
      const noting = Object.assign(Object.create(model), {
        on(name, callback) {
          listeners.push([name, callback]);
          model.on(name, callback);
        },
      });
      return figure.initialize?.({ model: noting, ...rest });
    },

    async render({ model, ...rest }) {
      const own = (listeners = []); // Plotly's view listens before it first waits
      const cleanup = await figure.render({ model, ...rest });
      return () => {
        cleanup?.();
        for (const [name, callback] of own) off(name, callback);
      };
    },
  };
};
