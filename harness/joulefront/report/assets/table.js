// A table that is sorted by any column, by click or by keyboard, and filtered.
//
// columns: {label, note, value(row) to sort and compare by, cell(row) to show, numeric}
// `words(row)` is what a filter's words are looked for in. `id(row)` names a row, `first` is the
// column that it is sorted by at the beginning. Of many rows, `step` are made at a time, as one scrolls to them: a browser
// takes longer to lay out thousands than anybody likes to wait.
function sortableTable({ caption, columns, rows, words, filtered, id = () => null, first = 0, step = Infinity }) {
  const body = el("tbody");
  const all = rows.map((row) => ({ row, text: words(row).toLowerCase(), line: null }));
  let order = { column: first, up: true };
  let wanted = "";
  let waiting = [];

  const line = (entry) => {
    entry.line ||= el("tr", { id: id(entry.row) }, columns.map((column, index) => {
      const cell = el(index ? "td" : "th", { class: column.numeric ? "number" : null, scope: index ? null : "row" });
      cell.append(...[column.cell(entry.row)].flat(Infinity).filter((part) => part !== null && part !== undefined));
      return cell;
    }));
    return entry.line;
  };
  const more = (count) => body.append(...waiting.splice(0, count).map(line));
  const show = () => {
    const column = columns[order.column];
    const kept = all.filter(matcher(wanted, columns));
    const keyed = kept.map((entry) => [column.value(entry.row), entry]);
    keyed.sort(([a], [b]) => compared(a, b, order.up));
    waiting = keyed.map(([, entry]) => entry);
    body.replaceChildren();
    more(step);
    heads.forEach((head, index) => {
      if (index === order.column) head.setAttribute("aria-sort", order.up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    filtered(kept.length, all.length);
  };
  const heads = columns.map((column, index) => el("th", { scope: "col", class: column.numeric ? "number" : null },
    el("button", {
      type: "button", title: column.note,
      onclick: () => {
        order = { column: index, up: order.column === index ? !order.up : true };
        show();
      },
    }, column.label)));
  const table = el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, heads)), body);
  const box = tableBox(table, caption);
  box.addEventListener("scroll", () => { if (box.scrollTop + 2 * box.clientHeight > box.scrollHeight) more(step); });
  addEventListener("beforeprint", () => more(Infinity));
  return { box, filter: (text) => { wanted = text; box.scrollTop = 0; show(); } };
}

// What is missing comes last, whichever way one sorts.
function compared(a, b, up) {
  const missing = [a, b].map((value) => value === null || value === undefined);
  if (missing[0] || missing[1]) return missing[0] - missing[1];
  const difference = typeof a === "string" ? a.localeCompare(b) : a - b;
  return up ? difference : -difference;
}

// A filter's words must all occur; one such as "latency<0.05" compares what the column of that name shows.
function matcher(text, columns) {
  const tests = text.toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
    const [, name, sign, limit] = word.match(/^([a-z][\w.]*)(<=|>=|<|>)(-?[\d.]+)$/) || [];
    const column = name && columns.find((one) => one.numeric && one.label.toLowerCase().startsWith(name));
    if (!column) return (entry) => entry.text.includes(word);
    return (entry) => {
      const value = column.value(entry.row);
      if (value === null || value === undefined) return false;
      return { "<": value < limit, ">": value > limit, "<=": value <= limit, ">=": value >= limit }[sign];
    };
  });
  return (entry) => tests.every((test) => test(entry));
}
