"use strict";
// The assembly of one mask: the terms that move it most, the sum after each, the sigmoid, the crop, and the mask on the image.

const strip = { dialog: document.getElementById("strip"), card: null, instance: null, opener: null };

function openStrip(card, instance) {
  card.choose(instance);
  Object.assign(strip, { card, instance, image: card.image });
  drawStrip();
  if (!strip.dialog.open) {
    strip.opener = document.activeElement;
    strip.dialog.showModal();
  }
  document.getElementById("strip-title").focus();
}

function stepStrip(by) {
  const count = strip.image.names.length;
  openStrip(strip.card, (strip.instance + by + count) % count);
}

// {order, terms: [Float32Array], sums: [Float32Array]} of an instance; terms in the order of their contribution.
function assemble(image, instance) {
  const weights = image.contributions[instance], coefficients = image.coefficients[instance];
  const order = weights.map((_, number) => number).sort((a, b) => weights[b] - weights[a] || a - b);
  const terms = [], sums = [];
  for (const number of order) {
    const table = Float32Array.from({ length: 256 }, (_, level) => coefficients[number] * activation(image, number, level));
    const term = Float32Array.from(image.levels[number], (level) => table[level]);
    const before = sums.at(-1);
    terms.push(term);
    sums.push(before ? term.map((value, at) => value + before[at]) : term);
  }
  return { order, terms, sums };
}

function drawStrip() {
  const { image, instance, card } = strip;
  document.getElementById("strip-title").textContent =
    `Image ${card.about.id}, ${instanceName(image, instance)}, score ${image.scores[instance].toFixed(2)}`;
  const { order, terms, sums } = assemble(image, instance);
  const chosen = document.getElementById("terms").value;
  const shown = Math.min(chosen === "all" ? manifest.k : Number(chosen), manifest.k);
  const limit = Math.max(...[...terms.slice(0, shown), ...sums.slice(0, shown), sums.at(-1)].map(largest)) || 1;
  const columns = order.slice(0, shown).map((number, place) => {
    const coefficient = signed(image.coefficients[instance][number]);
    return column([
      step(`${coefficient} × ${number}`, `prototype ${number} times its coefficient ${coefficient}`, terms[place], limit),
      step(place ? `sum of ${place + 1}` : "first term", `sum of the first ${place + 1} terms`, sums[place], limit),
    ]);
  });
  document.getElementById("steps").replaceChildren(...columns, column(lastSteps(sums.at(-1), limit)), scaleNote(limit));
}

function lastSteps(sum, limit) {
  const { image, instance } = strip, box = manifest.crop ? image.windows[instance] : null;
  const probability = sum.map((value) => 1 / (1 + Math.exp(-value)));
  const scene = document.createElement("canvas");
  drawMask(scene, image, instance);
  return [
    step(`sum of all ${manifest.k}`, "sum of all terms: the logits", sum, limit),
    step("sigmoid", "sigmoid of the sum", probability, null),
    ...(box ? [step("crop", "sigmoid, cropped by the box", probability, null, box)] : []),
    figure(`above ${manifest.threshold}`, "the mask on the image", scene),
  ];
}

// A picture of numbers: diverging around 0 up to `limit`, or from 0 to 1 where that is null.
function step(label, words, values, limit, box = null) {
  const canvas = document.createElement("canvas");
  const cropped = box ?? (options.crop ? strip.image.windows[strip.instance] : null);
  const levels = limit === null ? levelsOf(values, 0, 1) : levelsOf(values, -limit, limit);
  drawLevels(canvas, manifest.tile.width, manifest.tile.height, levels, limit === null ? sequential : diverging, cropped);
  return figure(label, words, canvas);
}

function figure(label, words, canvas) {
  const figure = document.createElement("figure"), caption = document.createElement("figcaption");
  caption.textContent = label;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", words);
  canvas.style.aspectRatio = `${strip.card.about.width} / ${strip.card.about.height}`;
  figure.append(canvas, caption);
  return figure;
}

function column(figures) {
  const group = document.createElement("div");
  group.className = figures.length > 2 ? "column last" : "column";
  group.append(...figures);
  return group;
}

function scaleNote(limit) {
  const note = document.createElement("p"), ramp = document.createElement("canvas");
  note.className = "scale";
  drawRamp(ramp, diverging);
  note.append(`−${limit.toPrecision(2)}`, ramp, `+${limit.toPrecision(2)} (logits; white is 0, where the sigmoid is one half)`);
  return note;
}

function largest(values) {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}
