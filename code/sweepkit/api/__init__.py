"""What `import sweepkit` offers: the commands as functions, for scripts and notebooks."""
