"""FCIS and MNC: detectors whose regions lie on one map of stride 16."""
