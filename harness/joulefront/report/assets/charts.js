// Of A4 in CSS pixels, within the usual margins: while printing, a browser tells no width.
const PAPER_WIDTH = 680;

// Every chart that is on the page: its element, its figure as it is now and the name that it is saved by.
const charts = new Map();

function colours(dark) {
  return dark
    ? { text: "#c9d1dc", faint: "#2c3440", line: "#4a5563", paper: "#151a21", hover: "#212934" }
    : { text: "#39424e", faint: "#e6e9ee", line: "#b5bdc8", paper: "#ffffff", hover: "#ffffff" };
}

// A figure's layout in the page's colours, or in light ones for a paper.
function themed(layout, dark) {
  const palette = colours(dark);
  const themedLayout = {
    ...layout, template: undefined, paper_bgcolor: palette.paper, plot_bgcolor: palette.paper,
    font: { family: 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif', size: 12, color: palette.text },
    hoverlabel: { align: "left", bgcolor: palette.hover, bordercolor: palette.line, font: { color: palette.text, size: 12 } },
    modebar: { bgcolor: "transparent", color: palette.line, activecolor: palette.text },
  };
  const axis = { gridcolor: palette.faint, zerolinecolor: palette.faint, linecolor: palette.line, automargin: true };
  for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
    themedLayout[name] = { ...axis, ...layout[name] };
  }
  if (layout.scene) {
    const box = { gridcolor: palette.line, zerolinecolor: palette.line, color: palette.text, showbackground: false };
    themedLayout.scene = { ...layout.scene, bgcolor: palette.paper };
    for (const name of ["xaxis", "yaxis", "zaxis"]) themedLayout.scene[name] = { ...box, ...layout.scene[name] };
  }
  return themedLayout;
}

// The buttons of a plot, named one by one: plotly's own choice has one that uploads the plot to its makers.
const BUTTONS = {
  flat: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
  deep: [["zoom3d", "pan3d", "orbitRotation", "resetCameraDefault3d"]],
};

// Draws a figure, or draws it anew after it changed. `clicked` gets the customdata of a point.
function draw(node, figure, name, clicked) {
  const isNew = !charts.has(node);
  charts.set(node, { figure, name });
  const size = onPaper.matches ? { width: PAPER_WIDTH } : { autosize: true };
  Plotly.react(node, figure.data, { ...themed(figure.layout, isDark()), ...size }, {
    responsive: true, displaylogo: false, plotlyServerURL: "", modeBarButtons: figure.layout.scene ? BUTTONS.deep : BUTTONS.flat,
  });
  if (isNew && clicked) node.on("plotly_click", (event) => clicked(event.points[0].customdata));
}

function redrawCharts() {
  for (const [node, { figure, name }] of charts) draw(node, figure, name);
}

// Buttons that save a chart as it is shown, but in light colours and with a paper's proportions.
function saveButtons(node) {
  return el("span", { class: "save" }, ["svg", "png"].map((format) => el("button", {
    type: "button", "aria-label": `Save this plot as ${format.toUpperCase()}`,
    onclick: () => {
      const { figure, name } = charts.get(node);
      const height = figure.layout.height || 460;
      Plotly.downloadImage({ data: figure.data, layout: { ...themed(figure.layout, false), width: 900, height } },
        { format, filename: name, width: 900, height, scale: format === "png" ? 2 : 1 });
    },
  }, format.toUpperCase())));
}

// A chart's place: its controls, and below them what is drawn once the page is there.
function chart(label, controls, note = null) {
  const node = el("div", { class: "chart", role: "img", "aria-label": label });
  return { node, box: el("figure", {}, el("div", { class: "controls" }, controls, saveButtons(node)), node,
    note ? el("figcaption", {}, note) : null) };
}

// Another pair of quantities over the same points: `known(id, name)` gives a point's {value, interval} in SI units, `limits`
// what the study limits. What is drawn through no points belongs to the figure's own axes.
function overAxes(figure, x, y, known, limits = {}) {
  const data = figure.data.map((trace) => {
    if (!trace.customdata) return { ...trace, visible: figure.layout.meta.x === x.name && figure.layout.meta.y === y.name };
    return { ...trace, ...along("x", trace, x, known), ...along("y", trace, y, known) };
  });
  const layout = { ...figure.layout, shapes: [x, y].filter((axis) => axis.name in limits).map((axis) => limitLine(axis, axis === x, limits)) };
  for (const [letter, axis] of [["x", x], ["y", y]]) {
    const { range, dtick, ...kept } = figure.layout[`${letter}axis`] || {};
    const scale = axis.log ? { type: "log", dtick: "D2", minorloglabels: "complete" } : { type: "linear" };
    layout[`${letter}axis`] = { ...kept, title: { text: axis.titled }, ...scale };
  }
  return { data, layout };
}

function limitLine(axis, isX, limits) {
  const at = limits[axis.name] * axis.factor, line = { dash: "dot", width: 1, color: "#7d8794" };
  return isX ? { type: "line", x0: at, x1: at, y0: 0, y1: 1, yref: "paper", line } : { type: "line", y0: at, y1: at, x0: 0, x1: 1, xref: "paper", line };
}

function along(letter, trace, axis, known) {
  const points = trace.customdata.map((id) => known(id, axis.name));
  const bars = trace[`error_${letter}`];
  const far = (end) => points.map((point) => point && point.interval ? Math.abs(point.interval[end] - point.value) * axis.factor : 0);
  return {
    [letter]: points.map((point) => (point ? point.value * axis.factor : null)),
    [`error_${letter}`]: bars && bars.visible !== false ? { ...bars, array: far(1), arrayminus: far(0) } : bars,
  };
}
