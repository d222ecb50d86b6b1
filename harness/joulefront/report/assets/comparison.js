// The page of several studies side by side.
const VERDICTS = { survives: "survives", undecided: "cannot be told apart from", beaten: "is beaten by", barred: "is no choice" };
const MOST_NAMED = 4;

function showDocument(data) {
  const axis = (name) => data.axes.find((one) => one.name === name);
  const comparison = { ...data, axis, pairs: pairsOf(data.studies) };
  const parts = [frontsPart, survivalPart, agreementPart, disagreementPart, bestPart, networksPart, driftPart]
    .map((make) => make(comparison)).filter(Boolean);
  const notes = data.warnings.map((text) => el("li", { class: "warning" }, `${text[0].toUpperCase()}${text.slice(1)}.`));
  showPage([...new Set(Object.values(data.provenance).flat())].map((word) => badge(word, word)),
    [el("ul", { class: "notes" }, loudNotes(comparison), notes)], [...parts.map(({ box }) => box), studiesPart(comparison)]);
  drawInTurn(parts.flatMap(({ drawings }) => drawings));
}

function loudNotes(comparison) {
  const searching = comparison.studies.filter((label) => comparison.state[label] === "searching");
  const words = [...new Set(Object.values(comparison.provenance).flat())].filter((word) => word !== "measured");
  const of = (word) => comparison.studies.filter((label) => comparison.provenance[label].includes(word)).join(", ");
  return [
    ...searching.map((label) => el("li", { class: "loud" }, `Screening figures of ${label}: its search has not ended.`)),
    ...words.map((word) => el("li", { class: "loud" }, `${word[0].toUpperCase()}${word.slice(1)}, not read on a real board: times and energies of ${of(word)}.`)),
  ];
}

function pairsOf(labels) {
  return labels.flatMap((one, place) => labels.slice(place + 1).map((other, next) => ({ one, other, key: `${place}-${place + 1 + next}` })));
}

function networkValue(measured, name) {
  if (!measured) return null;
  const value = name === "error" ? 1 - measured.metrics.accuracy : measured.metrics[name];
  return value === null || value === undefined ? null : { value, interval: measured.intervals[name] };
}

function frontsPart(comparison) {
  const figure = comparison.figures.fronts;
  if (!figure) return { box: section("fronts", "Fronts", el("p", { class: "empty" }, "None of the studies has a front.")), drawings: [] };
  const known = (id, name) => {
    if (id === null) return null;
    const [place, index] = id.split("-").map(Number);
    return networkValue(comparison.points[index].measured[comparison.studies[place]], name);
  };
  return flatPlot(comparison, {
    id: "fronts", title: "Fronts", figure, known, clicked: (id) => showNetwork(Number(id.split("-")[1])), name: "fronts",
    switches: [["join the same network", "joined", true]],
    note: "Filled: of the device's own front. Hollow: another front's network, measured there. Bars are 95 % intervals.",
  });
}

function showNetwork(index) {
  location.hash = `#network-${index + 1}`;
}

function survivalPart({ studies, survival, survival_counts: counts, survival_reason: reasons }) {
  const cell = (home, away) => {
    if (home === away) return el("td", { class: "quiet" }, "–");
    if (survival[home][away] === null) return el("td", { class: "quiet" }, reasons[home][away]);
    const { front, judged, survive, undecided, beaten, barred } = counts[home][away];
    const details = [judged < front ? `${front - judged} of ${front} not measured there` : null,
      undecided ? `${undecided} beaten by value, within the intervals` : null, beaten ? `${beaten} beaten` : null, barred ? `${barred} no choice there` : null];
    return el("td", {}, el("strong", { class: "share", style: `--share:${survival[home][away]}` }, `${survive} of ${judged}`),
      details.filter(Boolean).map((text) => el("div", { class: "quiet" }, text)));
  };
  const table = el("table", { class: "plain matrix" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "front of"), studies.map((away) => el("th", { scope: "col" }, `on ${short(away)}`)))),
    el("tbody", {}, studies.map((home) => el("tr", {}, el("th", { scope: "row" }, home), studies.map((away) => cell(home, away))))));
  return { box: section("survival", "What survives elsewhere", tableBox(table, "What survives"),
    el("p", { class: "quiet caption" }, "How many networks of a row's front would stand on a column's, by that device's own measurements.")), drawings: [] };
}

function agreementPart(comparison) {
  const line = (pair, found, what) => [`${what}, ${short(pair.one)} and ${short(pair.other)}`, found.value === null ? `none: ${found.reason}`
    : `${found.value.toFixed(3)} (${found.interval.map((end) => end.toFixed(3)).join(" to ")}) over ${plural(found.networks, "network")}`];
  const rows = comparison.pairs.flatMap((pair) => ["latency", "energy"].map((name) =>
    line(pair, comparison[`${name}_rank_correlation`][pair.one][pair.other], name)));
  return pairPart(comparison, {
    id: "agreement", title: "Do devices rank alike", lead: [el("h3", {}, "Rank correlation (Spearman), 95 % interval"), definitions(rows)],
    note: "Every network that both measured, at its highest grade, with 95 % intervals. On the dotted line both take equally long.",
    without: () => "No network was measured on both devices.", clicked: (id) => id && showNetwork(Number(id.split("-")[1])),
  });
}

function disagreementPart(comparison) {
  return pairPart(comparison, {
    id: "disagreement", title: "Where devices disagree", lead: [],
    note: "What halving one layer's width, the others kept, does to the ratio of the latencies. Grey: not told apart from 1, which is no difference.",
    without: (pair) => comparison.disagreement[pair.one][pair.other].reason,
  });
}

// A plot for each pair of studies, one at a time.
function pairPart(comparison, { id, title, lead, note, without, clicked }) {
  const figures = comparison.figures[id];
  const place = chart(title, [], note);
  const empty = el("p", { class: "empty" });
  const show = (key) => {
    place.box.hidden = !figures[key];
    empty.hidden = !place.box.hidden;
    if (figures[key]) draw(place.node, figures[key], `${id}-${key}`, clicked);
    else empty.textContent = without(comparison.pairs.find((pair) => pair.key === key));
  };
  const choice = comparison.pairs.length > 1 ? picker("studies", comparison.pairs.map((pair) => [pair.key, `${short(pair.one)} and ${short(pair.other)}`]), comparison.pairs[0].key, show) : null;
  return { box: section(id, title, lead, choice, place.box, empty), drawings: [() => show(comparison.pairs[0].key)] };
}

function bestPart(comparison) {
  const best = comparison.best_single;
  if (!best) return { box: section("best", "One network for all", el("p", { class: "empty" }, `None: ${comparison.best_single_reason}.`)), drawings: [] };
  const latency = comparison.axis("latency_s"), point = comparison.points[best.point];
  const rows = comparison.studies.map((label) => {
    const measured = point.measured[label], slower = best.slower[label];
    return [label, el("span", {}, `${withUnit(latency, measured.metrics.latency_s)} ${halfWidth(measured.metrics.latency_s, measured.intervals.latency_s)}, `,
      provenance(measured.provenance.latency_s), `; regret ${best.regret[label].toFixed(3)}`,
      slower === null ? "; its own front has nothing as accurate" : `; ${slower.toFixed(2)} times the least of its own front at that error or less`)];
  });
  return { box: section("best", "One network for all",
    el("p", {}, el("a", { href: `#network-${best.point + 1}` }, `Network ${best.point + 1}`),
      `: ${pruned(point).slice(0, 12).join(", ")}${pruned(point).length > 12 ? " …" : ""}`),
    definitions(rows),
    el("p", { class: "quiet caption" }, "Of the networks measured on all devices, the one whose loss against each device's own knee is least where it is largest (minimax regret). 1 is the whole range of one objective.")), drawings: [] };
}

function driftPart({ studies, drift }) {
  const rows = studies.flatMap((label) => drift[label].map((one) => [`${short(label)}, ${one.session.slice(0, 19).replace("T", " ")}`,
    `${one.ratio.toFixed(3)} (${one.interval.map((end) => (end === null ? "without end" : end.toFixed(3))).join(" to ")}): ${one.apart ? "the device is not as it was in its study" : "not told apart from its study"}`]));
  return rows.length ? { box: section("drift", "Drift", definitions(rows),
    el("p", { class: "quiet caption" }, "A network of the study's own, measured again with the visitors: its latency by what it was in the study.")), drawings: [] } : null;
}

function studiesPart(comparison) {
  return section("made", "How each study was made", comparison.studies.map((label, place) => el("details", { class: "study" },
    el("summary", {}, `${label} on ${comparison.devices[label]}: ${comparison.state[label]}, ${plural(comparison.fronts[label].length, "network")} on its front, hypervolume ${comparison.hypervolume[label].value === null ? "none" : comparison.hypervolume[label].value.toFixed(3)}`),
    madeOf(comparison.made[place]))));
}
