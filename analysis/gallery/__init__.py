"""The prototype gallery: what the `prototypes` stage kept, as a page that opens offline."""
