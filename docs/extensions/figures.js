// Figures follow the page: its width, and its light or dark theme.
const templates = __TEMPLATES__;

function draw() {
  const template = templates[document.documentElement.dataset.theme === "dark" ? "dark" : "light"];
  for (const figure of document.querySelectorAll(".js-plotly-plot")) Plotly.relayout(figure, { template });
}

document.addEventListener("DOMContentLoaded", () => {
  for (const figure of document.querySelectorAll(".js-plotly-plot")) if (!figure.layout.width) Plotly.Plots.resize(figure);
  draw();
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
});
