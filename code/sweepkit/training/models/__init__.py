"""Models of text: what their families call things, loading, adapters, batches, generation."""
