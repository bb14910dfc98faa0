"use strict";
// The prototypes of one image as small pictures, each with its number and its coefficient in the chosen instance.

const options = { sort: "number", only: null, range: "own", overlay: false, crop: false };
const statistics = manifest.statistics;
const byUse = [...statistics].sort((a, b) => b.use - a.use).map((row) => row.prototype);
const widest = {
  low: Math.min(...statistics.map((row) => row.lowest)),
  high: Math.max(...statistics.map((row) => row.highest)),
};

// Numbers of the prototypes to show, in order.
function chosenPrototypes(image, instance) {
  if (options.only !== null) return [options.only];
  const numbers = statistics.map((row) => row.prototype);
  const weight = {
    number: (number) => -number,
    use: (number) => statistics[number].use ?? 0,
    here: (number) => (instance === null ? (statistics[number].use ?? 0) : image.contributions[instance][number]),
  }[options.sort];
  return numbers.sort((a, b) => weight(b) - weight(a) || a - b);
}

// {low, high} of the colours of one prototype on one image.
function colourRange(image, number) {
  if (options.range === "all") return widest;
  if (options.range === "prototype") return { low: statistics[number].lowest, high: statistics[number].highest };
  return { low: image.low[number], high: image.high[number] };
}

function makeTile(number) {
  const tile = document.createElement("button");
  tile.type = "button";
  tile.className = "tile";
  tile.dataset.number = number;
  tile.tabIndex = -1;
  tile.innerHTML =
    '<span class="view"><canvas></canvas></span><span class="number"></span><span class="weight"><span></span></span>';
  tile.querySelector(".number").textContent = number;
  return tile;
}

function drawTile(tile, image, instance) {
  const number = Number(tile.dataset.number), { low, high } = colourRange(image, number);
  const places = levelsOf(Float32Array.from({ length: 256 }, (_, level) => activation(image, number, level)), low, high);
  const box = options.crop && instance !== null ? image.windows[instance] : null;
  const canvas = tile.querySelector("canvas");
  const { width, height } = manifest.tile;
  drawLevels(canvas, width, height, image.levels[number], Uint32Array.from(places, (place) => sequential[place]), box);
  canvas.classList.toggle("over", options.overlay);
  drawWeight(tile, image, instance, number);
}

// A bar from the middle: to the right for a coefficient above 0, to the left below; full at the instance's largest.
function drawWeight(tile, image, instance, number) {
  const bar = tile.querySelector(".weight > span");
  const own = instance === null ? null : image.coefficients[instance];
  const share = own ? own[number] / (Math.max(...own.map(Math.abs)) || 1) : 0;
  bar.style.width = `${50 * Math.abs(share)}%`;
  bar.className = share < 0 ? "below" : "above";
  tile.setAttribute("aria-label", `prototype ${number}${own ? `, coefficient ${signed(own[number])}` : ""}`);
}

function signed(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? text : (value < 0 ? "−" : "+") + text;
}

// What is known of a prototype, as rows of a small table.
function facts(image, instance, number) {
  const row = statistics[number], here = [];
  if (instance !== null) {
    here.push([`coefficient in ${instanceName(image, instance)}`, signed(image.coefficients[instance][number], 3)]);
    here.push(["contribution to it (logits)", image.contributions[instance][number].toFixed(3)]);
  }
  const share = (value) => (value === null ? "–" : `${Math.round(100 * value)} %`);
  const mean = (value) => (value === null ? "–" : value.toFixed(3));
  return [
    ...here,
    ["activation here", `${image.low[number].toPrecision(3)} to ${image.high[number].toPrecision(3)}`],
    ["activation on all images", `${row.lowest.toPrecision(3)} to ${row.highest.toPrecision(3)}`],
    ["use (logits)", `${mean(row.use)}, rank ${byUse.indexOf(number) + 1} of ${manifest.k}`],
    ["mean |coefficient|", mean(row.coefficient)],
    ["coefficient above 0 in", share(row.positive)],
    ["counts most in", share(row.first)],
    ["silent on", `${share(row.silent)} of the images`],
  ];
}

function instanceName(image, instance) {
  return `${instance + 1} ${image.names[instance]}`;
}
