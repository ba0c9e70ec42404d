// Lets the page forget widgets that are closed; see workbench/ui/closed_widgets.py.
//
// Message: closing, the model names of widgets that are closed next.
// JupyterLab keeps the handler of each comm until the kernel ends (4.6: CommHandler connects to the kernel's status and
// never disconnects), and through the callbacks that the handler was given the widget's model and its last view, too.
// Once a widget is gone, its handler is given callbacks that hold nothing.

const nothing = () => {};

async function forget(manager, name) {
  const model = await manager.get_model(name);
  const comm = model?.comm;
  model?.once("destroy", () => {
    comm?.on_msg?.(nothing);
    comm?.on_close?.(nothing);
  });
}

function initialize({ model }) {
  model.on("msg:custom", ({ closing }) => {
    for (const name of closing) forget(model.widget_manager, name).catch(nothing); // this page does not know it
  });
}

export default { initialize };
