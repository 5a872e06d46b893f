"""The command `sweepkit` as a script, so that it can be forked warm."""

from sweepkit.cli.app import main

raise SystemExit(main())
