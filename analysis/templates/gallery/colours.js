"use strict";
// From numbers to colours. Both scales are readable by colour-blind people.

const sequential = palette(manifest.colours.sequential);
const diverging = palette(manifest.colours.diverging);
const instanceColours = manifest.colours.instances.map((text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));

function palette(digits) {
  const colours = new Uint8Array(768);
  for (let i = 0; i < 768; i++) colours[i] = parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return colours;
}

function instanceColour(instance) {
  return instanceColours[instance % instanceColours.length];
}

function cssColour(instance) {
  return `rgb(${instanceColour(instance).join(" ")})`;
}

// Draw values (a function of the pixel's place, giving 0..1) on a canvas of width × height; outside of `box` they fade.
function drawValues(canvas, width, height, value, colours, box = null) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const shown = context.createImageData(width, height);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const place = 3 * Math.max(0, Math.min(255, Math.round(255 * value(at))));
      shown.data[4 * at] = colours[place];
      shown.data[4 * at + 1] = colours[place + 1];
      shown.data[4 * at + 2] = colours[place + 2];
      shown.data[4 * at + 3] = !box || within(box, x, y) ? 255 : 0;
    }
  }
  context.putImageData(shown, 0, 0);
}

function within([x1, y1, x2, y2], x, y) {
  return x >= x1 && x < x2 && y >= y1 && y < y2;
}

// The photo with the masks of all instances, and the box of the chosen one.
function drawScene(canvas, image, chosen) {
  const { photo } = image;
  paint(canvas, photo, (pixels, at) => {
    image.masks.forEach((mask, instance) => { if (mask[at]) mix(pixels, at, instanceColour(instance), 0.5); });
  });
  if (chosen !== null) drawBox(canvas, image, chosen);
}

// The photo with the mask of one instance, all else dimmed.
function drawMask(canvas, image, instance) {
  const mask = image.masks[instance], colour = instanceColour(instance);
  paint(canvas, image.photo, (pixels, at) => {
    if (mask[at]) mix(pixels, at, colour, 0.45);
    else mix(pixels, at, [128, 128, 128], 0.72);
  });
  drawBox(canvas, image, instance);
}

function paint(canvas, photo, change) {
  canvas.width = photo.width;
  canvas.height = photo.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(photo, 0, 0);
  const shown = context.getImageData(0, 0, photo.width, photo.height);
  for (let at = 0; at < photo.width * photo.height; at++) change(shown.data, at);
  context.putImageData(shown, 0, 0);
}

function mix(pixels, at, colour, strength) {
  for (let c = 0; c < 3; c++) pixels[4 * at + c] += strength * (colour[c] - pixels[4 * at + c]);
}

function drawBox(canvas, image, instance) {
  const [x1, y1, x2, y2] = image.boxes[instance], { width, height } = canvas, context = canvas.getContext("2d");
  context.lineWidth = Math.max(1, width / 160);
  context.strokeStyle = cssColour(instance);
  context.strokeRect(x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height);
}
