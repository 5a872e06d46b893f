"""What a sweep is made of, as values: runs, records, events, space, metric, objectives, seeds."""
