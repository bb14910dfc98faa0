"use strict";
// The page: which cards are near, what the controls, the mouse and the keys do.

const cards = manifest.images.map((about, index) => new Card(about, index));
const hover = document.getElementById("hover");
const AT_ONCE = 3;
let loading = 0;

const observer = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      const card = cardOf(entry.target);
      const used = card === strip.card || card.element.contains(document.activeElement);
      if (entry.isIntersecting && !card.near) card.open();
      else if (!entry.isIntersecting && card.near && !used) card.close();
    }
    loadNext();
  },
  { rootMargin: "100% 0px" },
);

function cardOf(element) {
  return cards[Number(element.closest(".card").dataset.index)];
}

// Load the waiting card that is nearest to the middle of the window.
function loadNext() {
  const waiting = cards.filter((card) => card.near && !card.image && !card.waiting);
  if (!waiting.length || loading >= AT_ONCE) return;
  const distance = (card) => {
    const { top, bottom } = card.element.getBoundingClientRect();
    return Math.abs((top + bottom) / 2 - innerHeight / 2);
  };
  const card = waiting.reduce((best, one) => (distance(one) < distance(best) ? one : best));
  loading++;
  card.waiting = true;
  loadImage(card.index)
    .then((image) => card.near && card.show(image))
    .catch((error) => card.near && card.fail(error))
    .finally(() => {
      loading--;
      card.waiting = false;
      requestAnimationFrame(loadNext);
    });
  loadNext();
}

function redraw() {
  for (const card of cards) card.draw();
  if (strip.dialog.open) drawStrip();
}

function showOnly(number) {
  options.only = number;
  document.getElementById("only").value = number ?? "";
  document.body.classList.toggle("one", number !== null);
  // Closed cards keep the height of the other view, which they no longer have.
  for (const card of cards) if (!card.near) card.element.style.minHeight = "";
  redraw();
}

function showHover(tile) {
  const card = cardOf(tile);
  if (!card.image) return;
  const number = Number(tile.dataset.number), list = document.createElement("dl"), title = document.createElement("b");
  title.textContent = `Prototype ${number}`;
  for (const [name, value] of facts(card.image, card.instance, number)) {
    const term = document.createElement("dt"), definition = document.createElement("dd");
    term.textContent = name;
    definition.textContent = value;
    list.append(term, definition);
  }
  hover.replaceChildren(title, list);
  hover.hidden = false;
  const at = tile.getBoundingClientRect(), own = hover.getBoundingClientRect();
  const rightmost = document.documentElement.clientWidth - own.width - 8;
  const left = Math.max(8, Math.min(at.left + at.width / 2 - own.width / 2, rightmost));
  const below = at.bottom + 8 + own.height <= innerHeight;
  hover.style.left = `${left}px`;
  hover.style.top = `${below ? at.bottom + 8 : Math.max(8, at.top - own.height - 8)}px`;
}

function hideHover() {
  hover.hidden = true;
}

// Arrow keys move between the tiles of a card, as they are laid out.
function moveFocus(tile, key) {
  const tiles = [...tile.parentElement.children], place = tiles.indexOf(tile);
  const columns = tiles.filter((one) => one.offsetTop === tiles[0].offsetTop).length;
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
  const target = key === "Home" ? tiles[0] : key === "End" ? tiles.at(-1) : tiles[place + steps[key]];
  if (!target) return;
  tile.tabIndex = -1;
  target.tabIndex = 0;
  target.focus();
}

document.getElementById("images").append(...cards.map((card) => card.element));
for (const card of cards) observer.observe(card.element);
drawRamp(document.getElementById("ramp"), sequential);

for (const name of ["sort", "range"]) {
  const select = document.getElementById(name);
  select.value = options[name];
  select.addEventListener("change", () => { options[name] = select.value; redraw(); });
}
for (const name of ["overlay", "crop"]) {
  const box = document.getElementById(name);
  box.checked = options[name];
  box.addEventListener("change", () => { options[name] = box.checked; redraw(); });
}
const only = document.getElementById("only");
only.value = "";
only.addEventListener("change", () => showOnly(only.value === "" ? null : Number(only.value)));
document.getElementById("terms").addEventListener("change", drawStrip);
document.getElementById("before").addEventListener("click", () => stepStrip(-1));
document.getElementById("after").addEventListener("click", () => stepStrip(1));
document.getElementById("close").addEventListener("click", () => strip.dialog.close());
strip.dialog.addEventListener("close", () => { strip.card = null; strip.opener?.focus(); });
strip.dialog.addEventListener("click", (event) => { if (event.target === strip.dialog) strip.dialog.close(); });

document.addEventListener("click", (event) => {
  const [tile, chip, scene, row] = [".tile", "[data-instance]", ".scene", "[data-only]"].map((one) => event.target.closest(one));
  if (tile) showOnly(options.only === null ? Number(tile.dataset.number) : null);
  else if (row) { showOnly(Number(row.dataset.only)); document.getElementById("controls").scrollIntoView(); }
  else if (chip) openStrip(cardOf(chip), Number(chip.dataset.instance));
  else if (scene && cardOf(scene).image) {
    const box = scene.getBoundingClientRect(), card = cardOf(scene);
    const instance = card.instanceAt((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    if (instance !== null) openStrip(card, instance);
  }
});
for (const [enter, leave] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
  document.addEventListener(enter, (event) => {
    const tile = event.target.closest?.(".tile"), chip = event.target.closest?.("[data-instance]");
    if (tile) showHover(tile);
    else if (chip) cardOf(chip).choose(Number(chip.dataset.instance));
  });
  document.addEventListener(leave, (event) => { if (event.target.closest?.(".tile")) hideHover(); });
}
document.addEventListener("scroll", hideHover, { passive: true });
document.addEventListener("keydown", (event) => {
  if (strip.dialog.open) {
    if (event.target.tagName !== "SELECT" && event.key === "ArrowLeft") stepStrip(-1);
    if (event.target.tagName !== "SELECT" && event.key === "ArrowRight") stepStrip(1);
    return;
  }
  const tile = event.target.closest?.(".tile");
  if (event.key === "Escape") { hideHover(); if (options.only !== null) showOnly(null); }
  else if (tile && ["ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) {
    event.preventDefault();
    moveFocus(tile, event.key);
  }
});
window.addEventListener("beforeprint", () => {
  const drawn = cards.filter((card) => card.image).length;
  document.getElementById("unprinted").textContent =
    drawn < cards.length ? `Printed are the ${drawn} images near the window, of ${cards.length}.` : "";
});
