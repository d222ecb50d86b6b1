// One trial's whole journey, in a dialog that #trial-N opens and Esc closes.
const journey = { dialog: null, show: null };

const FIDELITIES = { screen: "in the search", full: "for the final front" };

function makeJourney(study) {
  const dialog = el("dialog", { class: "journey", "aria-label": "A trial's journey" });
  dialog.addEventListener("close", () => {
    if (location.hash.startsWith("#trial-")) history.replaceState(null, "", location.pathname + location.search);
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  const follow = () => {
    const [, number] = location.hash.match(/^#trial-(\d+)$/) || [];
    if (number === undefined) { if (dialog.open) dialog.close(); return; }
    const trial = study.byNumber.get(Number(number));
    dialog.replaceChildren(closeButton(dialog), ...(trial ? story(study, trial)
      : [el("h2", {}, `No trial ${number}`), el("p", {}, "The study had none of that number when this page was written.")]));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  };
  addEventListener("hashchange", follow);
  follow();
}

function closeButton(dialog) {
  return el("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => dialog.close() }, "×");
}

function story(study, trial) {
  const siblings = study.trials.filter((other) => other !== trial && String(other.genome) === String(trial.genome));
  return [
    el("h2", {}, `Trial ${trial.trial}`, marks(study, trial).map((mark) => badge(mark.text, mark.kind))),
    el("p", { class: "quiet" }, `Fidelity ${trial.fidelity}: made ${FIDELITIES[trial.fidelity] || ""}. `,
      trial.grade ? `Measured at ${trial.grade} grade. ` : "Not measured. ",
      siblings.map((other) => ["The same network ", FIDELITIES[other.fidelity], ": ", trialLink(other.trial), ". "])),
    trial.failure ? el("div", { class: "failure" }, el("h3", {}, `Failed: ${trial.failure.kind}`), el("pre", {}, trial.failure.message)) : null,
    part("Quality", scores(trial)),
    part("Cost", costs(study, trial)),
    part("Energy", trial.energy.length > 1 ? [definitions(trial.energy)] : []),
    part("Repeats", repeats(study, trial)),
    part("Repeats set aside", trial.set_aside.length ? [el("ul", {}, trial.set_aside.map((text) => el("li", {}, text)))] : []),
    part("Warnings", trial.warnings.length ? [el("ul", {}, trial.warnings.map((text) => el("li", {}, text)))] : []),
    part("Widths", widths(study, trial)),
    part("Conditions", conditions(trial)),
    part("Record", [definitions([
      ["recorded", trial.recorded ? `${trial.recorded.replace("T", " ").replace("+00:00", "")} UTC` : "not known"],
      ["genome", trial.genome.join(" ")],
      ["kernels", trial.kernels],
      ["weights' sha256", trial.weights_sha256 || "none: it was never made"],
      ["library's sha256", trial.library_sha256 || "none: it was never compiled"],
    ])]),
  ].filter(Boolean);
}

function part(title, content) {
  return content.length ? el("div", { class: "part" }, el("h3", {}, title), content) : null;
}

function scores(trial) {
  const percent = (value) => (100 * value).toFixed(2);
  return trial.scores.length ? [definitions(trial.scores.map((score) => [
    `${score.split} accuracy`,
    `${percent(score.metric)} % (${percent(score.interval[0])} to ${percent(score.interval[1])}), ${plural(score.examples, "example")}`,
  ]))] : [];
}

// What the part about energy tells in words.
const MADE_OF_ENERGY = ["net_j", "power_w", "inferences_per_j", "energy_delay_js"];

function costs(study, trial) {
  const unpruned = study.byNumber.get(study.unpruned);
  const told = (axis) => axis.name in trial.values && !MADE_OF_ENERGY.includes(axis.name);
  const rows = study.axes.filter((axis) => !axis.name.endsWith("accuracy") && axis.name !== "error" && told(axis))
    .map((axis) => {
      const value = trial.values[axis.name], interval = trial.intervals[axis.name], reference = unpruned && unpruned.values[axis.name];
      const parts = [withUnit(axis, value)];
      if (interval) parts.push(` (${inUnit(axis, interval[0])} to ${inUnit(axis, interval[1])})`);
      if (reference && unpruned.fidelity === trial.fidelity) parts.push(`, ${(value / reference).toFixed(2)} of unpruned`);
      if (trial.provenance[axis.name]) parts.push(", ", provenance(trial.provenance[axis.name]));
      if (axis.name in trial.indicative) parts.push(`; the interval is only indicative: ${trial.indicative[axis.name]}`);
      return [axis.label, el("span", {}, parts)];
    });
  for (const [name, label, reason] of [["energy_j", "energy", trial.energy_reason], ["memory_b", "peak memory", trial.memory_reason]]) {
    if (trial.grade && !(name in trial.values)) rows.push([label, `none: ${reason || "no reason was recorded"}`]);
  }
  if (trial.violation > 0) rows.push(["limits", `broken by ${(100 * trial.violation).toFixed(1)} % in all`]);
  return rows.length ? [definitions(rows)] : [];
}

// Each repeat's median as a dot on a line, with its number beside: a disturbed one stands apart.
function repeats(study, trial) {
  const axis = study.axis("latency_s"), medians = trial.repeat_medians_s;
  if (!medians.length) return [];
  const low = Math.min(...medians), span = Math.max(...medians) - low || 1;
  return [
    el("div", { class: "strip", "aria-hidden": "true" }, medians.map((median) => el("i", { style: `left:${(100 * (median - low)) / span}%` }))),
    el("p", { class: "quiet" }, `Medians of ${medians.length} processes, ${axis.unit}: ${medians.map((median) => inUnit(axis, median)).join(", ")}`),
  ];
}

function widths(study, trial) {
  return study.genes.length ? [el("table", { class: "plain" },
    el("thead", {}, el("tr", {}, ["gene", "pruned to", "of", "kept"].map((label, index) => el("th", { class: index ? "number" : null, scope: "col" }, label)))),
    el("tbody", {}, study.genes.map((gene, index) => {
      const at = trial.genome[index];
      return el("tr", {}, el("th", { scope: "row" }, gene.name), [gene.texts[at], gene.texts.at(-1), gene.kind === "criterion" ? "" : `${Math.round(100 * gene.kept[at])} %`]
        .map((text) => el("td", { class: "number" }, String(text))));
    })))] : [];
}

function conditions(trial) {
  const moments = Object.keys(trial.conditions);
  const names = [...new Set(moments.flatMap((moment) => Object.keys(trial.conditions[moment])))]
    .filter((name) => moments.some((moment) => known(trial.conditions[moment][name])));
  return names.length ? [el("table", { class: "plain" },
    el("thead", {}, el("tr", {}, ["", ...moments].map((label) => el("th", { scope: "col" }, label)))),
    el("tbody", {}, names.map((name) => el("tr", {}, el("th", { scope: "row" }, name),
      moments.map((moment) => el("td", {}, known(trial.conditions[moment][name]) ? reading(trial.conditions[moment][name]) : "–"))))))] : [];
}

function known(value) {
  return value !== null && value !== undefined;
}

function reading(value) {
  return typeof value === "number" ? value.toLocaleString("en", { maximumSignificantDigits: 6 }) : String(value);
}
