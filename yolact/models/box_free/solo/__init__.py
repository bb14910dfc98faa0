"""SOLO and its successors: every cell of a grid answers for the object whose centre lies in it."""
