"""Figures of a sweep: interactive ones as plotly's JSON in one HTML file each, static ones by matplotlib."""
