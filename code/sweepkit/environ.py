"""The environment variables that two rooms share: who sets one and who reads it agree on its name here.

Imported by the fork server too, which runs in any project's interpreter: it holds constants and imports nothing.
"""

# What a user sets once.
OUTPUT_DIR_ENV = "SWEEPKIT_OUTPUT_DIR"  # the default of --output-dir
STORAGE_ENV = "SWEEPKIT_STORAGE"  # the default of --storage
CARRIED_FROM_ENV = "SWEEPKIT_CARRIED_FROM"  # where the project lies on the host whose copy the working directory is
# The record carries the files of runs, for no folder is shared: the digest of the code that it brought.
CARRY_FILES_ENV = "SWEEPKIT_CARRY_FILES"

# What a program may read.
REPORT_FILE_ENV = "SWEEPKIT_REPORT_FILE"
ATTEMPT_ENV = "SWEEPKIT_ATTEMPT_ID"
RUN_DIR_ENV = "SWEEPKIT_RUN_DIR"
PREEMPT_FILE_ENV = "SWEEPKIT_PREEMPT_FILE"  # exists once the run is being released: SIGTERM then asks to save
CHECKPOINT_DIR_ENV = "SWEEPKIT_CHECKPOINT_DIR"  # what is saved there outlives the attempt, but not the run
SEED_ENV = "SEED"
TRIALS_ENV = "SWEEPKIT_TRIALS"  # the socket of the study whose trial a run is

# What our own trainer reads.
RUNS_DIR_ENV = "SWEEPKIT_RUNS_DIR"  # under a W&B agent: where a run's folder, named by its WANDB_RUN_ID, is made
BASE_CONFIG_ENV = "SWEEPKIT_BASE_CONFIG"  # the training configuration that a sweep's values are laid over
CACHE_DIR_ENV = "SWEEPKIT_CACHE_DIR"
ASKED_ENV = "SWEEPKIT_WANDB"  # "offline" or "online": it records its run with W&B whatever its configuration says

# W&B's own.
RESUMED_ENV = "WANDB_RESUMED"  # its setting `resumed`: what `wandb.run.resumed` answers
