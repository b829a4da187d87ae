"use strict";

// A timeline is unpacked when its cell is first opened.
async function draw(place) {
  if (place.dataset.drawn) return;
  place.dataset.drawn = "yes";
  const packed = document.getElementById(place.dataset.timeline).textContent;
  const bytes = Uint8Array.from(atob(packed), (one) => one.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  place.innerHTML = await new Response(stream).text();
  follow(place);
}

function follow(place) {
  const axis = place.querySelector(".axis");
  const inner = place.querySelector(".inner");
  const cursor = place.querySelector(".cursor");
  const chosen = place.querySelector(".chosen");
  const bars = [...place.querySelectorAll(".task")];
  const rows = [...place.querySelectorAll("tr[data-task]")];
  let zoom = 1;
  let now = -1;

  function scale(wanted) {
    const middle = (axis.scrollLeft + axis.clientWidth / 2) / inner.clientWidth;
    zoom = Math.min(Math.max(wanted, 1), 64);
    inner.style.width = `${zoom * 100}%`;
    axis.scrollLeft = middle * inner.clientWidth - axis.clientWidth / 2;
    if (now >= 0) show();
  }

  function show() {
    const bar = bars[now];
    const x = parseFloat(bar.getAttribute("x"));
    cursor.hidden = false;
    cursor.style.left = `${x}%`;
    const at = (x / 100) * inner.clientWidth;
    if (at < axis.scrollLeft || at > axis.scrollLeft + axis.clientWidth) axis.scrollLeft = at - axis.clientWidth / 3;
  }

  function choose(number) {
    if (!bars.length) return;
    bars[now]?.classList.remove("now");
    now = Math.min(Math.max(number, 0), bars.length - 1);
    bars[now].classList.add("now");
    const [at, took, run, task, said, moved] = rows[now].cells;
    const line = (...parts) => {
      const paragraph = document.createElement("p");
      paragraph.append(...parts);
      return paragraph;
    };
    const parts = [line(...task.cloneNode(true).childNodes)];
    parts.push(line(`${run.textContent}, at ${at.textContent}, took ${took.textContent}, Ansible said: ${said.textContent}`));
    if (moved.textContent.trim()) parts.push(line("moved:"), ...moved.cloneNode(true).childNodes);
    chosen.replaceChildren(...parts);
    show();
  }

  place.querySelector(".tools").addEventListener("click", (event) => {
    const way = event.target.dataset.zoom;
    if (way) scale(way === "in" ? zoom * 2 : way === "out" ? zoom / 2 : 1);
  });
  inner.addEventListener("click", (event) => {
    const marked = event.target.closest("[data-task]");
    if (marked) choose(Number(marked.dataset.task));
  });
  axis.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: bars.length - 1 };
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key in steps) choose(steps[event.key]);
    else if (event.key === "+") scale(zoom * 2);
    else if (event.key === "-") scale(zoom / 2);
    else return;
    event.preventDefault();
  });
}

for (const cell of document.querySelectorAll("details.cell")) {
  cell.addEventListener("toggle", () => {
    const place = cell.querySelector("[data-timeline]");
    if (cell.open && place) draw(place);
  });
}

// A link to a cell opens it.
function open() {
  const cell = document.getElementById(location.hash.slice(1));
  if (!cell?.matches("details")) return;
  cell.open = true;
  cell.scrollIntoView();
  cell.querySelector("summary").focus({ preventScroll: true });
}
addEventListener("hashchange", open);
for (const link of document.querySelectorAll('a[href^="#cell"], a[href^="#left"]')) {
  link.addEventListener("click", () => link.hash === location.hash && open());
}
open();
