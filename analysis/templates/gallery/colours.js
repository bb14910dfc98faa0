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

// The photo with masks and boxes of some instances on it.
function drawScene(canvas, image, instances, strength = 0.5) {
  const { photo } = image;
  canvas.width = photo.width;
  canvas.height = photo.height;
  const context = canvas.getContext("2d");
  context.drawImage(photo, 0, 0);
  const shown = context.getImageData(0, 0, photo.width, photo.height);
  for (const instance of instances) {
    const colour = instanceColour(instance), mask = image.masks[instance];
    for (let at = 0; at < mask.length; at++) {
      if (!mask[at]) continue;
      for (let c = 0; c < 3; c++) shown.data[4 * at + c] += strength * (colour[c] - shown.data[4 * at + c]);
    }
  }
  context.putImageData(shown, 0, 0);
  context.lineWidth = Math.max(1, photo.width / 160);
  for (const instance of instances) {
    const [x1, y1, x2, y2] = image.boxes[instance];
    context.strokeStyle = cssColour(instance);
    context.strokeRect(x1 * photo.width, y1 * photo.height, (x2 - x1) * photo.width, (y2 - y1) * photo.height);
  }
}
