"""Engines behind one ask contract; the only room that knows samplers. Pure over the told runs."""
