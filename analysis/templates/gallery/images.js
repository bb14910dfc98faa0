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

// {photo, levels: k arrays of h·w bytes, masks: n arrays of photo pixels, and the data's own numbers}
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

function pixels(image, x, y, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, -x, -y);
  const rgba = context.getImageData(0, 0, width, height).data;
  const one = new Uint8Array(width * height);
  for (let i = 0; i < one.length; i++) one[i] = rgba[4 * i];
  return one;
}

function cut(sprite, columns) {
  const { width, height } = manifest.tile;
  const all = pixels(sprite, 0, 0, sprite.width, sprite.height);
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

function separate(image, count) {
  if (!image) return [];
  const height = image.height / count;
  return Array.from({ length: count }, (_, n) => pixels(image, 0, n * height, image.width, height));
}

// Activation of a prototype from its level at one pixel.
function activation(image, number, level) {
  return image.low[number] + (level / 255) * (image.high[number] - image.low[number]);
}
