"""What a training leaves behind in its process: a second one in the same process must find room."""

import gc
import os
import weakref

import pytest
from in_process import config_for, train

from sweepkit.paths import DATA_DIR

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("library_warnings")]


def test_a_training_that_is_over_lets_go_of_its_model_and_files(tmp_path):
    config = config_for(DATA_DIR / "checkpoints" / "bart-tiny-ko", training__max_steps=1)
    models, open_files = [], []
    for number in range(3):
        done = train(config, tmp_path / str(number))
        models.append(weakref.ref(done.trainer.model))
        del done
        gc.collect()
        open_files.append(len(os.listdir("/proc/self/fd")))
    assert models[1]() is None and models[2]() is None  # the first one's may be kept by what libraries set up once
    assert open_files[1] == open_files[2]
