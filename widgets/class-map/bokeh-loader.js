// Sees that BokehJS is on the page before a Bokeh model is shown; see workbench/ui/class_map.py.
//
// Trait written: ready, another text on every page. The scripts come once a page, by message, so that no notebook
// stores them.

export default {
  initialize({ model }) {
    const ready = () => {
      model.set("ready", `${Date.now()}-${Math.random()}`);
      model.save_changes();
    };
    if (window.Bokeh) return ready();
    model.on("msg:custom", (message) => {
      if (!window.Bokeh) {
        const script = document.createElement("script");
        script.textContent = message.script;
        document.head.append(script);
        script.remove();
      }
      ready();
    });
    model.send({ wanted: "bokeh" });
  },
};
