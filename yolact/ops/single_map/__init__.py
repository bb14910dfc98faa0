"""Operations of FCIS and MNC on the regions of an image: how they are read from one map, and how their masks are made."""
