"use strict";
// One image of the gallery. Its pictures exist only while it is near the window; an empty card of the same height stays.

class Card {
  constructor(about, index) {
    this.index = index;
    this.about = about;
    this.image = null;
    this.instance = about.instances ? 0 : null;
    this.near = false;
    this.element = document.createElement("article");
    this.element.className = "card";
    this.element.id = `image-${about.id}`;
    this.element.dataset.index = index;
    this.element.style.setProperty("--aspect", `${about.width} / ${about.height}`);
    const found = about.instances === 1 ? "1 instance" : `${about.instances || "no"} instances`;
    this.element.innerHTML = '<h2></h2><div class="body"></div>';
    this.element.querySelector("h2").textContent = `Image ${about.id}`;
    const small = document.createElement("small");
    small.textContent = `${about.width} × ${about.height} px, ${found}`;
    this.element.querySelector("h2").append(small);
    this.body = this.element.querySelector(".body");
  }

  // Make the empty card, which has its full height before its data are there.
  open() {
    this.near = true;
    this.element.style.minHeight = "";
    this.body.innerHTML =
      '<div class="left"><div class="scene"><canvas></canvas></div><ul class="instances"></ul></div>' +
      '<div class="tiles" role="group"></div>';
    this.tiles = this.body.querySelector(".tiles");
    this.tiles.setAttribute("aria-label", `Prototypes on image ${this.about.id}`);
    this.arrange(statistics.map((row) => row.prototype).slice(0, options.only === null ? manifest.k : 1));
    this.body.querySelector(".instances").style.minHeight = this.about.instances ? "2rem" : "";
  }

  close() {
    this.near = false;
    this.element.style.minHeight = `${this.element.offsetHeight}px`;
    this.image = null;
    this.body.replaceChildren();
  }

  show(image) {
    this.image = image;
    this.element.classList.add("drawn");
    this.listInstances();
    this.drawScene();
    this.draw();
  }

  fail(error) {
    const note = document.createElement("p");
    note.className = "hole";
    note.textContent = error.message;
    this.body.replaceChildren(note);
  }

  arrange(numbers) {
    const active = document.activeElement?.closest?.(".tile");
    const focused = this.tiles.contains(active) ? active.dataset.number : null;
    const existing = new Map([...this.tiles.children].map((tile) => [tile.dataset.number, tile]));
    this.tiles.replaceChildren(...numbers.map((number) => existing.get(String(number)) ?? makeTile(number)));
    this.tiles.classList.toggle("single", numbers.length === 1);
    const entry = (focused && this.tiles.querySelector(`[data-number="${focused}"]`)) || this.tiles.firstElementChild;
    for (const tile of this.tiles.children) tile.tabIndex = tile === entry ? 0 : -1;
    if (focused) entry.focus({ preventScroll: true });
  }

  // Everything that depends on the options and on the chosen instance.
  draw() {
    if (!this.image) return;
    this.arrange(chosenPrototypes(this.image, this.instance));
    this.element.classList.toggle("overlaid", options.overlay);
    for (const tile of this.tiles.children) {
      if (options.overlay) tile.querySelector(".view").style.backgroundImage = `url(${this.image.photo.src})`;
      else tile.querySelector(".view").style.backgroundImage = "";
      drawTile(tile, this.image, this.instance);
    }
  }

  drawScene() {
    const canvas = this.body.querySelector(".scene canvas");
    drawScene(canvas, this.image, this.instance);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Image ${this.about.id} with the masks of: ${this.image.names.join(", ") || "nothing"}`);
  }

  listInstances() {
    const buttons = this.image.names.map((name, instance) => {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button";
      button.dataset.instance = instance;
      button.style.setProperty("--colour", cssColour(instance));
      button.textContent = `${instanceName(this.image, instance)} ${this.image.scores[instance].toFixed(2)}`;
      button.title = "Show how its mask is assembled";
      button.setAttribute("aria-pressed", instance === this.instance);
      item.append(button);
      return item;
    });
    this.body.querySelector(".instances").replaceChildren(...buttons);
  }

  // Whose coefficients and box the tiles show.
  choose(instance) {
    if (instance === this.instance || !this.image) return;
    this.instance = instance;
    for (const button of this.body.querySelectorAll("[data-instance]")) {
      button.setAttribute("aria-pressed", Number(button.dataset.instance) === instance);
    }
    this.drawScene();
    this.draw();
  }

  // The smallest instance at a place of the photo (fractions), or null.
  instanceAt(x, y) {
    const { photo, masks } = this.image;
    const at = Math.floor(y * photo.height) * photo.width + Math.floor(x * photo.width);
    const size = (mask) => mask.reduce((sum, one) => sum + (one > 0), 0);
    const hit = masks.map((mask, instance) => [instance, mask]).filter(([, mask]) => mask[at]);
    return hit.length ? hit.sort((a, b) => size(a[1]) - size(b[1]))[0][0] : null;
  }
}
