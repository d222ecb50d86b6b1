"use strict";

// An element with attributes, listeners ("onclick") and children. A text is only ever appended as text, so that what a
// device or a file wrote is never read as HTML.
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

// A number to four digits, as the tables of the command line have it.
function precise(value) {
  if (value !== 0 && (Math.abs(value) >= 1e4 || Math.abs(value) < 1e-4)) return value.toLocaleString("en", { maximumSignificantDigits: 4, notation: Math.abs(value) < 1e-4 ? "scientific" : "standard" });
  return value.toPrecision(4);
}

// An SI value in the unit of its axis, without the unit.
function inUnit(axis, value) {
  if (value === null || value === undefined) return "";
  const scaled = value * axis.factor;
  if (axis.is_counted) return Math.round(scaled).toLocaleString("en");
  return axis.unit === "%" ? scaled.toFixed(2) : precise(scaled);
}

function withUnit(axis, value) {
  return axis.unit ? `${inUnit(axis, value)} ${axis.unit}` : inUnit(axis, value);
}

// Half an interval as a share of its value, as in "±1.4 %".
function halfWidth(value, interval) {
  return interval && value ? `±${((100 * (interval[1] - interval[0])) / 2 / value).toFixed(1)} %` : "";
}

// A name with its middle left out where it is long: names differ at either end.
function short(text, most = 28) {
  return text.length > most ? `${text.slice(0, most / 2)}…${text.slice(1 - most / 2)}` : text;
}

function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

function trialLink(number, text = `trial ${number}`) {
  return el("a", { href: `#trial-${number}` }, text);
}

// "trial 3, trial 7 and 12 more": a list that stays short until somebody asks for all of it.
function trialLinks(numbers, most = 12) {
  const links = numbers.map((number) => [trialLink(number, String(number)), " "]);
  if (links.length <= most) return el("span", { class: "numbers" }, links);
  return el("details", { class: "numbers" },
    el("summary", {}, `${numbers.length} trials`), links);
}

// A titled part of the page, which the navigation lists.
function section(id, title, ...children) {
  return el("section", { id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title` }, title), children);
}

// Labels with what belongs to them; of a very long text, such as a processor's features, the beginning until it is opened.
function definitions(rows) {
  const folded = (text) => (typeof text === "string" && text.length > 300
    ? el("details", {}, el("summary", {}, `${text.slice(0, 60)}…`), text) : text);
  return el("dl", {}, rows.map(([label, text]) => [el("dt", {}, label), el("dd", {}, folded(text))]));
}

// Exclusive choices side by side; the chosen one's value goes to `changed`.
function segmented(label, options, chosen, changed) {
  const name = `choice-${segmented.count++}`;
  return el("span", { class: "segmented", role: "radiogroup", "aria-label": label },
    options.map(([value, text]) => el("label", {},
      el("input", { type: "radio", name, value, checked: value === chosen, onchange: () => changed(value) }), el("span", {}, text))));
}
segmented.count = 0;

function picker(label, options, chosen, changed) {
  return el("label", { class: "picker" }, el("span", {}, label),
    el("select", { onchange: (event) => changed(event.target.value) },
      options.map(([value, text]) => el("option", { value, selected: value === chosen }, text))));
}

function toggle(label, checked, changed, longer = null) {
  return el("label", { class: "toggle" },
    el("input", { type: "checkbox", checked, "aria-label": longer, onchange: (event) => changed(event.target.checked) }), label);
}

// The word that stands beside a number: measured, simulated or estimated.
function provenance(word) {
  return el("span", { class: `provenance ${word}` }, word);
}

// What may be wide scrolls within its own box, which is reached by keyboard.
function tableBox(table, label) {
  return el("div", { class: "box", tabindex: 0, role: "region", "aria-label": `${label}; scrolls sideways where it is wide` }, table);
}
