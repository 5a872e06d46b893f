"""Train and score a summarization model once, as a configuration says; the program of the sweeps in config/sweep.

    cd code && python trainer.py                                   config/base_config.yaml: about 10 s, no download
    cd code && python trainer.py --config ../config/quick_test.yaml
    python code/trainer.py --train-data mine.csv --val-data mine_dev.csv --output-dir outputs/mine
    python code/trainer.py --set training.learning_rate=1e-5 --set generation.num_beams=4 --seed 7
    python code/trainer.py --learning_rate=1e-5 --num_beams=4      as a sweep passes its parameters

Any further --NAME=VALUE sets the field of the configuration that NAME names: bare (learning_rate, num_beams,
encoder_max_len, dropout_rate, …) or dotted (training.learning_rate). An unknown name ends with exit code 2 and writes
nothing. Results: <output dir>/results/training_results.json.

Environment: SEED (unless --seed is given), OMP_NUM_THREADS (threads of the training, 1 by default), and in a sweep
SWEEPKIT_BASE_CONFIG (the default of --config), SWEEPKIT_RUN_DIR (the default of --output-dir), SWEEPKIT_REPORT_FILE.
"""

from sweepkit.cli.trainer import main

if __name__ == "__main__":
    raise SystemExit(main())
