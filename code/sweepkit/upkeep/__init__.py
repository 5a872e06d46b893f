"""The record's upkeep: copied, checked, repaired, made again from the files of its sweeps."""
