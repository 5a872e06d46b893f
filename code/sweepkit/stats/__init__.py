"""Tests, intervals, effect sizes and power: numbers in, values out. Pure; numpy and scipy are imported here only."""
