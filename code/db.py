"""Look after the database of sweeps: copy, check, repair it, or make it again from the sweeps' files.

python db.py backup
python db.py repair --output-dir ../outputs
"""

from sweepkit.cli.db import main

if __name__ == "__main__":
    raise SystemExit(main())
