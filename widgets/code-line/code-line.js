// The line of Python that does what the panel shows, with a button that copies it.

function render({ model, el }) {
  el.classList.add("wb-code-line");
  const code = document.createElement("code");
  code.tabIndex = 0;
  code.setAttribute("role", "textbox");
  code.setAttribute("aria-readonly", "true");
  code.setAttribute("aria-label", "Python for what the panel shows");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy as code";
  const draw = () => {
    code.textContent = model.get("code");
    code.title = model.get("code");
  };
  let timer = 0;
  const said = (text) => {
    button.textContent = text;
    clearTimeout(timer);
    timer = setTimeout(() => (button.textContent = "Copy as code"), 1500);
  };
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(model.get("code"));
      said("Copied");
    } catch {
      // without clipboard permission the text is selected, ready for Ctrl+C
      getSelection().selectAllChildren(code);
      said("Press Ctrl+C");
    }
  });
  model.on("change:code", draw);
  el.append(button, code);
  draw();
  return () => {
    clearTimeout(timer);
    model.off("change:code", draw);
  };
}

export default { render };
