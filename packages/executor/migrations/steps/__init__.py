"""One file per schema version. A released step never changes; what it got wrong, a later one mends."""
