"""Images: reading them, splitting them into folds, the models that sort them, and how these are trained and scored."""
