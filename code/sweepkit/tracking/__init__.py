"""What a program logs: report files and W&B's offline records, written and read."""
