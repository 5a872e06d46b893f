"""Train and score a summarization model once, as a configuration says; the program of the sweeps in config/sweep.

cd code && python trainer.py                                   config/base_config.yaml: about 10 s, no download
cd code && python trainer.py --config ../config/quick_test.yaml
"""

from sweepkit.cli.trainer import main

if __name__ == "__main__":
    raise SystemExit(main())
