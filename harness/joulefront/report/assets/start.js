// Unpacks what the page carries, with what browsers have since 2023.
async function unpacked(id) {
  const carrier = document.getElementById(id);
  const bytes = Uint8Array.from(atob(carrier.textContent.replaceAll('"', "").trim()), (character) => character.charCodeAt(0));
  carrier.remove();
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

async function start() {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("this browser is too old to unpack it: Chrome 80, Firefox 113, Safari 16.4 or later can");
  }
  const [data, plotly] = await Promise.all([unpacked("data"), unpacked("plotly")]);
  // Its hash is in the page's policy: nothing else would run.
  document.head.append(el("script", {}, plotly));
  if (typeof Plotly === "undefined") throw new Error("its plots' program did not start: the file may be damaged");
  showDocument(JSON.parse(data));
}

start().catch((error) => {
  const place = document.querySelector("#waiting") || document.querySelector("#content").appendChild(el("p"));
  place.className = "loud";
  place.textContent = `This page cannot be shown: ${error.message}.`;
  console.error(error);
});
