"use strict";
// From numbers to colours. Both scales are readable by colour-blind people.

const sequential = palette(manifest.colours.sequential);
const diverging = palette(manifest.colours.diverging);
const instanceColours = manifest.colours.instances.map((text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));

// 256 colours as the words of an opaque RGBA picture.
function palette(digits) {
  const bytes = new Uint8ClampedArray(1024).fill(255);
  for (let i = 0; i < 768; i++) bytes[4 * Math.floor(i / 3) + (i % 3)] = parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return new Uint32Array(bytes.buffer);
}

function instanceColour(instance) {
  return instanceColours[instance % instanceColours.length];
}

function cssColour(instance) {
  return `rgb(${instanceColour(instance).join(" ")})`;
}

// Draw levels 0..255 on a canvas of width × height, each in its colour; outside of `box` (x1, y1, x2, y2) nothing is drawn.
function drawLevels(canvas, width, height, levels, colours, box = null) {
  canvas.width = width;
  canvas.height = height;
  const [x1, y1, x2, y2] = box ?? [0, 0, width, height];
  const context = canvas.getContext("2d"), shown = context.createImageData(width, height);
  const words = new Uint32Array(shown.data.buffer);
  for (let y = y1; y < y2; y++) {
    for (let at = y * width + x1, end = y * width + x2; at < end; at++) words[at] = colours[levels[at]];
  }
  context.putImageData(shown, 0, 0);
}

// The level of each of some numbers between low and high; what lies beyond is clamped.
function levelsOf(values, low, high) {
  const scale = 255 / (high - low || 1), levels = new Uint8ClampedArray(values.length);
  for (let at = 0; at < values.length; at++) levels[at] = (values[at] - low) * scale;
  return levels;
}

function drawRamp(canvas, colours) {
  drawLevels(canvas, 256, 1, Uint8Array.from({ length: 256 }, (_, level) => level), colours);
}

// The photo with the masks of all instances, and the box of the chosen one.
function drawScene(canvas, image, chosen) {
  paint(canvas, image.photo, (pixels) => {
    image.masks.forEach((mask, instance) => mix(pixels, mask, 1, instanceColour(instance), 0.5));
  });
  if (chosen !== null) drawBox(canvas, image, chosen);
}

// The photo with the mask of one instance, all else dimmed.
function drawMask(canvas, image, instance) {
  const mask = image.masks[instance];
  paint(canvas, image.photo, (pixels) => {
    mix(pixels, mask, 0, [128, 128, 128], 0.72);
    mix(pixels, mask, 1, instanceColour(instance), 0.45);
  });
  drawBox(canvas, image, instance);
}

function paint(canvas, photo, change) {
  canvas.width = photo.width;
  canvas.height = photo.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(photo, 0, 0);
  const shown = context.getImageData(0, 0, photo.width, photo.height);
  change(shown.data);
  context.putImageData(shown, 0, 0);
}

// Mix a colour into the pixels where a mask has this value.
function mix(pixels, mask, value, [red, green, blue], strength) {
  for (let at = 0, byte = 0; at < mask.length; at++, byte += 4) {
    if (mask[at] !== value) continue;
    pixels[byte] += strength * (red - pixels[byte]);
    pixels[byte + 1] += strength * (green - pixels[byte + 1]);
    pixels[byte + 2] += strength * (blue - pixels[byte + 2]);
  }
}

function drawBox(canvas, image, instance) {
  const [x1, y1, x2, y2] = image.boxes[instance], { width, height } = canvas, context = canvas.getContext("2d");
  context.lineWidth = Math.max(1, width / 160);
  context.strokeStyle = cssColour(instance);
  context.strokeRect(x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height);
}
