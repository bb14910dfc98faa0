"use strict";
// The data of one image: fetched by a script element, since a page opened from a file may not fetch, and decoded off the page.

const manifest = JSON.parse(document.getElementById("manifest").textContent);
const arrivals = new Map();

// Every file images/<index>.js calls this once.
function imageArrived(index, data) {
  arrivals.get(index)?.(data);
}

function fetchImage(index) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    const finish = (settle) => (value) => {
      arrivals.delete(index);
      script.remove();
      settle(value);
    };
    arrivals.set(index, finish(resolve));
    script.onerror = finish(() => reject(new Error(`images/${index}.js is missing or cannot be read`)));
    script.src = `images/${index}.js`;
    document.head.append(script);
  });
}

// {photo, levels: k arrays of h·w bytes, masks: n arrays with 0 or 1 for each pixel of the photo, and the data's own numbers}
async function loadImage(index) {
  const data = await fetchImage(index);
  const [photo, sprite, masks] = await Promise.all([data.photo, data.sprite, data.masks].map(picture));
  return { ...data, index, photo, levels: cut(sprite, data.columns), masks: separate(masks, data.names.length) };
}

async function picture(source) {
  if (!source) return null;
  const image = new Image();
  image.src = source;
  await image.decode();
  return image;
}

// The red channel of a picture, divided by `unit`.
function channel(image, unit = 1) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const rgba = context.getImageData(0, 0, image.width, image.height).data;
  const one = new Uint8Array(image.width * image.height);
  for (let at = 0; at < one.length; at++) one[at] = rgba[4 * at] / unit;
  return one;
}

function cut(sprite, columns) {
  const { width, height } = manifest.tile;
  const all = channel(sprite);
  return Array.from({ length: manifest.k }, (_, number) => {
    const level = new Uint8Array(width * height);
    const left = (number % columns) * width, top = Math.floor(number / columns) * height;
    for (let y = 0; y < height; y++) {
      const start = (top + y) * sprite.width + left;
      level.set(all.subarray(start, start + width), y * width);
    }
    return level;
  });
}

// n arrays of 0 and 1.
function separate(image, count) {
  if (!image) return [];
  const all = channel(image, 255), size = all.length / count;
  return Array.from({ length: count }, (_, instance) => all.subarray(instance * size, (instance + 1) * size));
}

// Activation of a prototype from its level at one pixel.
function activation(image, number, level) {
  return image.low[number] + (level / 255) * (image.high[number] - image.low[number]);
}
