// A plot over two quantities that can be chosen, each on a linear or a logarithmic axis.
//
// `known(id, name)` gives a point's {value, interval} in SI units, by its customdata. `deep` is the same in 3-D, if there
// is that. `switches` show and hide the traces of a meta: [label, meta, on].
function flatPlot(page, { id, title, figure, deep = null, known, clicked, name, switches = [], note }) {
  const names = page.axes.map((axis) => [axis.name, axis.title]);
  const isLog = (letter) => figure.layout[`${letter}axis`].type === "log";
  const choice = { x: figure.layout.meta.x, y: figure.layout.meta.y, log: { x: isLog("x"), y: isLog("y") }, deep: false };
  const shown = Object.fromEntries(switches.map(([, meta, on]) => [meta, on]));
  const controls = el("span", { class: "flat" }, ["x", "y"].map((letter) => [
    picker(letter, names, choice[letter], (value) => { choice[letter] = value; show(); }),
    toggle("log", choice.log[letter], (on) => { choice.log[letter] = on; show(); }, `logarithmic ${letter} axis`),
  ]), switches.map(([label, meta, on]) => toggle(label, on, (now) => { shown[meta] = now; show(); })));
  const place = chart(`${title}: each point is a network, whose numbers the table below has too`, [
    deep ? segmented("Dimensions", [["2", "2-D"], ["3", "3-D"]], "2", (value) => { choice.deep = value === "3"; controls.hidden = choice.deep; show(); }) : null,
    controls], note);
  const show = () => {
    const [x, y] = ["x", "y"].map((letter) => ({ ...page.axis(choice[letter]), log: choice.log[letter] }));
    const flat = overAxes(figure, x, y, known, page.limits);
    flat.data = flat.data.map((trace) => (trace.meta in shown ? { ...trace, visible: shown[trace.meta] } : trace));
    draw(place.node, choice.deep ? deep : flat, `${name}${choice.deep ? "-3d" : ""}`, clicked);
  };
  return { box: section(id, title, place.box), drawings: [show] };
}
