"""Ground truth and detections with errors of every kind, in COCO's formats, for the measures of errors."""

import numpy as np

from yolact.ops import rle

SIDE = 64


def thing(image_id, category_id, x, y, width, height, round_=False, **fields):
    """A rectangle or an ellipse in whole pixels, as annotation or record."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    if round_:
        mask = ((columns - x - width / 2) * 2 / width) ** 2 + ((rows - y - height / 2) * 2 / height) ** 2 <= 1
    else:
        mask = (columns >= x) & (columns < x + width) & (rows >= y) & (rows < y + height)
    bbox = [float(x), float(y), float(width), float(height)]
    return {"image_id": image_id, "category_id": category_id, "bbox": bbox, "segmentation": rle.encode(mask[None])[0]} | fields


def dataset(annotations, images=1, categories=(1, 2)):
    """Annotations, numbered, with their images and categories."""
    numbered = [{"iscrowd": 0, "area": x["bbox"][2] * x["bbox"][3], **x, "id": n} for n, x in enumerate(annotations, start=1)]
    return {
        "images": [{"id": image_id, "height": SIDE, "width": SIDE} for image_id in range(1, images + 1)],
        "annotations": numbered,
        "categories": [{"id": category_id, "name": f"class {category_id}"} for category_id in categories],
    }


def random_set(seed, crowds=0.0, absent=False, decimals=6, images=12):
    """(data set, records): up to four ellipses per image, each detected up to three times, shifted and confused at random.

    Args:
        crowds: fraction of instances that are crowds.
        absent: also detect a category 4 that no instance has.
        decimals: of the scores; 1 gives many ties.
    """
    random = np.random.default_rng(seed)
    annotations, records = [], []

    def score():
        return float(np.round(random.random(), decimals))

    for image_id in range(1, images + 1):
        for _ in range(random.integers(0, 5)):
            box, category = [*random.integers(0, 40, 2), *random.integers(8, 24, 2)], int(random.integers(1, 4))
            crowd = int(random.random() < crowds)
            annotations.append(thing(image_id, category, *map(int, box), round_=True, iscrowd=crowd))
            for _ in range(random.integers(0, 4)):
                moved = np.maximum([0, 0, 3, 3], box + random.integers(-8, 9, 4) // random.integers(1, 5))
                label = category if random.random() < 0.7 else int(random.integers(1, 4 + absent))
                records.append(thing(image_id, label, *map(int, moved), round_=True, score=score()))
        for _ in range(random.integers(0, 2)):
            box = [*random.integers(0, 40, 2), *random.integers(8, 24, 2)]
            records.append(thing(image_id, int(random.integers(1, 4)), *map(int, box), round_=True, score=score()))
    return dataset(annotations, images, categories=(1, 2, 3, 4) if absent else (1, 2, 3)), records
