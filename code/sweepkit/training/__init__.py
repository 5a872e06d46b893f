"""The trainer: data, models, callbacks, tasks."""
