// The table of the front, or of all trials.
const MOST_WIDTH_COLUMNS = 8;

function trialsPart(study) {
  if (!study.trials.length) return null;
  const place = el("div");
  const count = el("span", { class: "quiet", role: "status" });
  const filter = el("input", { type: "search", placeholder: "filter: knee, failed, latency<0.05 …", "aria-label": "Filter the trials" });
  let current = null;
  const choose = (which) => {
    const rows = which === "front" ? study.trials.filter((trial) => study.onFront.has(trial.trial) || trial.trial === study.unpruned) : study.trials;
    const columns = trialColumns(study);
    current = sortableTable({
      caption: which === "front" ? "The front and the unpruned network" : "All trials",
      columns, first: which === "front" ? columns.findIndex((column) => column.label.startsWith("latency")) : 0, rows, step: 300, words: (trial) => trialWords(study, trial),
      filtered: (shown, all) => { count.textContent = shown === all ? plural(all, "trial") : `${shown} of ${plural(all, "trial")}`; },
    });
    current.filter(filter.value);
    place.replaceChildren(current.box);
  };
  let waiting;
  filter.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => current.filter(filter.value), 80); });
  place.addEventListener("click", (event) => {
    const link = event.target.closest("tbody tr")?.querySelector("a");
    if (link && !event.target.closest("a") && !String(getSelection())) link.click();
  });
  const first = study.front.length ? "front" : "all";
  const box = section("trials", "Trials", el("div", { class: "controls" },
    segmented("Which trials", [["front", "front"], ["all", "all trials"]], first, choose), filter, count), place);
  choose(first);
  return { box, drawings: [] };
}

function trialColumns(study) {
  const unpruned = study.byNumber.get(study.unpruned);
  const columns = [
    { label: "trial", numeric: true, value: (trial) => trial.trial, cell: (trial) => trialLink(trial.trial, String(trial.trial)) },
    { label: "mark", value: (trial) => marks(study, trial).map((mark) => mark.text).join(" ") || null,
      cell: (trial) => marks(study, trial).map((mark) => badge(mark.text, mark.kind)) },
    { label: "fidelity", value: (trial) => trial.fidelity, cell: (trial) => trial.fidelity, note: "How thoroughly it was recovered and judged" },
  ];
  for (const axis of study.axes.filter(hasColumn(study)).sort((one, other) => turn(study, one) - turn(study, other))) {
    const word = study.provenance[axis.name];
    columns.push({
      label: axis.title + (word && word !== "mixed" ? ` (${word})` : ""), numeric: true,
      value: (trial) => (axis.name in trial.values ? trial.values[axis.name] * axis.factor : null),
      cell: (trial) => [inUnit(axis, trial.values[axis.name]),
        DEVICES.includes(axis.name) ? [" ", el("small", {}, axis.name in trial.indicative ? "~" : "", halfWidth(trial.values[axis.name], trial.intervals[axis.name]))] : null,
        word === "mixed" && trial.provenance[axis.name] ? provenance(trial.provenance[axis.name]) : null],
    });
    if (axis.name === "latency_s" && unpruned) {
      const share = (trial) => (trial.fidelity === unpruned.fidelity && "latency_s" in trial.values ? trial.values.latency_s / unpruned.values.latency_s : null);
      columns.push({ label: "share", numeric: true, note: "Of the unpruned network's latency, at the same fidelity",
        value: share, cell: (trial) => (share(trial) === null ? "" : share(trial).toFixed(2)) });
    }
  }
  return [...columns, ...geneColumns(study),
    { label: "remarks", value: (trial) => remark(trial) || null, cell: (trial) => el("span", { class: "remark", title: remark(trial) || null }, remark(trial)) }];
}

// Of a device, with an interval that is worth a place in a table; and what has a column whatever the study asks.
const DEVICES = ["latency_s", "latency_p99_s", "energy_j", "memory_b"];
const USUAL = ["accuracy", "test_accuracy", "latency_s", "energy_j", "params", "macs", "size_b"];

function hasColumn(study) {
  return (axis) => axis.name !== "error" && (USUAL.includes(axis.name) || study.objectives.includes(axis.name) || axis.name in study.limits);
}

// Accuracies come first, then what the study asks.
function turn(study, axis) {
  return axis.name.endsWith("accuracy") ? 0 : study.objectives.includes(axis.name) ? 1 : 2;
}

const GENES = { width: "Channels of", block: "The block", sparsity: "Zeros of", criterion: "Which" };

function geneColumns(study) {
  const text = (trial, index) => study.genes[index].texts[trial.genome[index]];
  if (study.genes.length > MOST_WIDTH_COLUMNS) {
    const all = (trial) => study.genes.map((_, index) => text(trial, index)).join(" ");
    return [{ label: "pruned to", value: all, cell: (trial) => el("span", { class: "remark" }, all(trial)) }];
  }
  return study.genes.map((gene, index) => ({
    label: short(gene.name), numeric: true, note: `${GENES[gene.kind]} ${gene.name}`, value: (trial) => trial.genome[index], cell: (trial) => text(trial, index) }));
}

function remark(trial) {
  return trial.failure ? `${trial.failure.kind}: ${trial.failure.message}` : trial.warnings.join("; ");
}

function trialWords(study, trial) {
  return [`trial ${trial.trial}`, trial.fidelity, ...marks(study, trial).map((mark) => mark.text), remark(trial),
    ...study.genes.map((gene, index) => `${gene.name}=${gene.texts[trial.genome[index]]}`)].join(" ");
}
