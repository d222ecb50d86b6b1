// Light or dark: as the system has it until somebody chooses, which is remembered where the browser lets a file remember.
const remembered = {
  get: () => { try { return localStorage.getItem("joulefront-theme"); } catch { return null; } },
  set: (theme) => { try { localStorage.setItem("joulefront-theme", theme); } catch { /* the choice lasts until the page is closed */ } },
};
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const onPaper = matchMedia("print");

function isDark() {
  if (onPaper.matches) return false;
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : systemIsDark.matches;
}

function themeButton() {
  const button = el("button", { type: "button", class: "theme" });
  const show = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
  };
  const choose = (theme) => {
    if (theme) document.documentElement.dataset.theme = theme;
    show();
    redrawCharts();
  };
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    remembered.set(theme);
    choose(theme);
  });
  for (const query of [systemIsDark, onPaper]) query.addEventListener("change", () => choose(null));
  const known = remembered.get();
  choose(known === "light" || known === "dark" ? known : null);
  return button;
}

function navigation(sections) {
  return el("nav", { "aria-label": "Sections" },
    sections.map((part) => el("a", { href: `#${part.id}` }, part.querySelector("h2").textContent)));
}

// Fills the page: what stands right of its title, the sections and how to get to them.
function showPage(badges, lead, sections) {
  document.querySelector("#head").append(el("p", { class: "badges" }, badges), themeButton());
  document.querySelector("#waiting").remove();
  document.querySelector("#content").append(...lead, ...sections);
  document.querySelector("#head").after(navigation(sections));
}

function badge(text, kind = "") {
  return el("span", { class: `badge ${kind}` }, text);
}

// The first at once; the others while the browser has nothing better to do, so that the page answers meanwhile.
function drawInTurn(drawings) {
  const [first, ...others] = drawings;
  if (!first) {
    // What the address names was not there yet when the browser looked for it.
    if (location.hash) location.replace(location.hash);
    return;
  }
  first();
  (window.requestIdleCallback || setTimeout)(() => drawInTurn(others));
}

// How a study's numbers were made, as headings with what there is to say.
function madeOf(made) {
  return el("div", { class: "made" }, made.map((part) => el("div", {}, el("h3", {}, part.title), definitions(part.rows))));
}
