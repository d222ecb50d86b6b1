// What is pruned of a network, a word or two each; nothing of the inside of a block that is out.
function pruned(point) {
  const there = ([name]) => !point.dropped.some((block) => name === block || name.startsWith(`${block}.`));
  const widths = Object.entries(point.widths).filter(there), zeros = Object.entries(point.sparsity).filter(there);
  return [...widths.map(([name, width]) => `${name} ${width}`), ...point.dropped.map((block) => `without ${block}`),
    ...zeros.filter(([, share]) => share).map(([layer, share]) => `${Math.round(100 * share)} % zeros of ${layer}`),
    ...(point.criterion ? [`by ${point.criterion}`] : [])];
}

// The table of every network that is on any of the fronts, with each device's verdict in words.
function networksPart(comparison) {
  if (!comparison.points.length) return null;
  const count = el("span", { class: "quiet", role: "status" });
  const filter = el("input", { type: "search", placeholder: "filter: beaten, conv1=8 …", "aria-label": "Filter the networks" });
  const rows = comparison.points.map((point, index) => ({ ...point, index }));
  const widths = (row) => [...Object.values(row.widths), ...pruned({ ...row, widths: {} })].join(" ");
  const table = sortableTable({
    caption: "Every network of the fronts", columns: networkColumns(comparison, widths), rows,
    id: (row) => `network-${row.index + 1}`,
    words: (row) => [`network ${row.index + 1}`, ...Object.entries(row.widths).map(([name, width]) => `${name}=${width}`), ...pruned({ ...row, widths: {} }),
      ...comparison.studies.map((label) => verdict(comparison, row, label))].join(" "),
    filtered: (shown, all) => { count.textContent = shown === all ? plural(all, "network") : `${shown} of ${plural(all, "network")}`; },
  });
  filter.addEventListener("input", () => table.filter(filter.value));
  table.filter("");
  const names = Object.keys(comparison.points[0].widths);
  return { box: section("networks", "Networks of the fronts", el("div", { class: "controls" }, filter, count),
    table.box,
    el("p", { class: "quiet caption" }, `Widths are those of ${names.slice(0, 20).join(", ")}${names.length > 20 ? " …" : ""}.`)), drawings: [] };
}

function networkColumns(comparison, widths) {
  const columns = [
    { label: "network", numeric: true, value: (row) => row.index + 1,
      cell: (row) => [el("a", { href: `#network-${row.index + 1}` }, String(row.index + 1))] },
    { label: "widths", value: widths, cell: (row) => el("span", { class: "remark", title: widths(row) }, widths(row), " ",
      comparison.best_single?.point === row.index ? badge("for all", "knee") : null) },
  ];
  for (const label of comparison.studies) {
    for (const axis of ["accuracy", "latency_s", "energy_j"].map(comparison.axis).filter(Boolean)) {
      const known = (row) => networkValue(row.measured[label], axis.name);
      if (!comparison.points.some(known)) continue;
      const come = (row) => (known(row) ? row.measured[label].provenance[axis.name] : null);
      const words = [...new Set(comparison.points.map(come).filter(Boolean))];
      const word = words.length === 1 ? words[0] : null;
      columns.push({
        note: label, label: `${short(label)}: ${axis.title}${word ? ` (${word})` : ""}`, numeric: true,
        value: (row) => (known(row) ? known(row).value * axis.factor : null),
        cell: (row) => (known(row) ? [inUnit(axis, known(row).value), axis.name === "accuracy" ? null : [" ", el("small", {}, halfWidth(known(row).value, known(row).interval))],
          words.length > 1 ? provenance(come(row)) : null] : ""),
      });
    }
    columns.push({ note: label, label: `on ${short(label)}`, value: (row) => verdict(comparison, row, label), cell: (row) => el("div", { class: "verdict" }, verdict(comparison, row, label)) });
  }
  return columns;
}

// What a device says of a network, in words.
function verdict(comparison, point, label) {
  const measured = point.measured[label], found = point.verdict[label];
  const where = point.on_front.includes(label) ? `trial ${measured.trial}, on the front` : measured ? (measured.visit ? `visitor, trial ${measured.trial} of ${measured.home}` : `trial ${measured.trial}`) : "";
  if (!found) return where || "not measured";
  const others = found.by.slice(0, MOST_NAMED).join(", ") + (found.by.length > MOST_NAMED ? ` and ${found.by.length - MOST_NAMED} more` : "");
  const of = found.by.length ? ` trial${found.by.length > 1 ? "s" : ""} ${others}` : "";
  if (found.state === "survives" && point.on_front.includes(label)) return where;
  return [where, VERDICTS[found.state] + of + (found.reason ? `: ${found.reason}` : "")].filter(Boolean).join("; ");
}
