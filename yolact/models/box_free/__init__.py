"""Instance segmentation without boxes: masks come first, and boxes are those of the masks."""
