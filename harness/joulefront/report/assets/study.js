// The page of one study.
function showDocument(data) {
  const study = {
    ...data,
    byNumber: new Map(data.trials.map((trial) => [trial.trial, trial])),
    onFront: new Set(data.front),
    axis: (name) => data.axes.find((axis) => axis.name === name),
  };
  const parts = [frontPart, searchPart, trialsPart, widthsPart, sessionPart, problemsPart].map((make) => make(study)).filter(Boolean);
  const badges = [badge(study.state, study.state), ...study.provenances.map((word) => badge(word, word))];
  showPage(badges, [el("ul", { class: "notes" }, study.notes.map(([kind, text]) => el("li", { class: kind }, text)))],
    [...parts.map(({ box }) => box), madePart(study.made)]);
  makeJourney(study);
  drawInTurn(parts.flatMap(({ drawings }) => drawings));
}

function openTrial(number) {
  location.hash = `#trial-${number}`;
}

function marks(study, trial) {
  const found = [];
  if (trial.trial === study.knee) found.push({ text: "knee", kind: "knee" });
  if (trial.trial === study.unpruned) found.push({ text: "unpruned", kind: "" });
  if (study.onFront.has(trial.trial)) found.push({ text: "front", kind: "front" });
  if (trial.failure) found.push({ text: "failed", kind: "bad" });
  if (trial.violation > 0) found.push({ text: "breaks a limit", kind: "warn" });
  return found;
}

function frontPart(study) {
  const figure = study.figures.front;
  if (!figure) return { box: section("front", "Front", el("p", { class: "empty" }, study.trials.length ? "No network has run." : "Nothing has been measured yet.")), drawings: [] };
  const known = (number, name) => {
    const trial = study.byNumber.get(number);
    return name in trial.values ? { value: trial.values[name], interval: trial.intervals[name] } : null;
  };
  return flatPlot(study, {
    id: "front", title: "Front", figure, deep: study.figures.front3d, known, clicked: openTrial, name: `${study.study}-front`,
    note: "Bars are 95 % intervals. The knee is a suggestion: the point nearest to the best of each objective.",
  });
}

function searchPart(study) {
  const figure = study.figures.hypervolume;
  if (!figure) {
    return study.trials.length ? { box: section("search", "Search", el("p", { class: "empty" },
      "No hypervolume: the unpruned network, which its box is made from, did not run.")), drawings: [] } : null;
  }
  const place = chart("The hypervolume over the search", [
    segmented("Over", [["tried", "networks tried"], ["time", "time"]], "tried", (value) => show(value)),
  ], "The share of a box up to a little worse than the unpruned network that the search's front dominates, by screening figures.");
  const show = (over) => {
    const [trace] = figure.data;
    const timed = { data: [{ ...trace, x: trace.customdata.map((number) => study.byNumber.get(number).recorded) }],
      layout: { ...figure.layout, xaxis: { title: { text: "time (UTC)" }, type: "date" } } };
    draw(place.node, over === "time" ? timed : figure, `${study.study}-hypervolume`, openTrial);
  };
  return { box: section("search", "Search", place.box), drawings: [() => show("tried")] };
}

function figurePart(study, id, title, figure, note, without) {
  if (!figure) return study.trials.length ? { box: section(id, title, el("p", { class: "empty" }, without)), drawings: [] } : null;
  const place = chart(title, [], note);
  return { box: section(id, title, place.box), drawings: [() => draw(place.node, figure, `${study.study}-${id}`, openTrial)] };
}

function widthsPart(study) {
  return figurePart(study, "widths", "Widths", study.figures.widths,
    "What each network of the front keeps: channels, blocks and weights that are not zero. The darker, the more of the unpruned network's. Of a block that is out, the rows of its layers count for nothing. The knee is in bold.", "There is no front to show the widths of.");
}

function sessionPart(study) {
  return figurePart(study, "session", "Session", study.figures.session,
    "As the device told it after each measurement.",
    study.trials.some((trial) => trial.grade) ? "The device tells neither its temperature nor its clock frequency." : "Nothing has been measured yet.");
}

function problemsPart(study) {
  const list = (groups) => el("table", { class: "plain problems" }, el("tbody", {}, groups.map((group) => el("tr", {},
    el("td", { class: "number" }, String(group.trials.length)),
    el("td", {}, el("span", { class: "reason" }, group.reason), group.alike ? null : el("span", { class: "quiet" }, " (and the like, with other numbers)")),
    el("td", {}, trialLinks(group.trials))))));
  const parts = [];
  if (study.failures.length) parts.push(el("h3", {}, "Failures"), list(study.failures));
  if (study.warnings.length) parts.push(el("h3", {}, "Warnings"), list(study.warnings));
  if (!study.trials.length) return null;
  return { box: section("problems", "Warnings and failures", parts.length ? parts : el("p", { class: "empty" }, "None: every network ran, and no measurement carries a warning.")), drawings: [] };
}

function madePart(made) {
  return section("made", "How the numbers were made", madeOf(made));
}
