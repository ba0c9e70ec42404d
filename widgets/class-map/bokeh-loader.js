// Sees that BokehJS is on the page before a Bokeh model is shown; see workbench/ui/class_map.py.
//
// Traits read: still (PNG of the map, shown until BokehJS draws it, and where no kernel answers). Trait written: ready,
// another text on every page. The scripts come once a page, by message, so that no notebook stores them.

export default {
  initialize({ model }) {
    const ready = () => {
      model.set("ready", `${Date.now()}-${Math.random()}`);
      model.save_changes();
    };
    if (window.Bokeh) return ready();
    let asked = true; // the answer goes to every page of the kernel
    model.on("msg:custom", (message) => {
      if (!asked) return;
      asked = false;
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

  render({ model, el }) {
    const image = document.createElement("img");
    image.alt = "Class map";
    image.style.maxWidth = "100%";
    el.append(image);
    const draw = () => {
      URL.revokeObjectURL(image.src);
      const still = model.get("still");
      const shown = Boolean(still?.byteLength);
      el.style.display = shown ? "" : "none";
      if (shown) image.src = URL.createObjectURL(new Blob([still], { type: "image/png" }));
    };
    model.on("change:still", draw);
    draw();
    return () => (model.off("change:still", draw), URL.revokeObjectURL(image.src));
  },
};
