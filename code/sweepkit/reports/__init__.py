"""What a person or a program is shown of a sweep: live progress, tables, files."""
