from sweepkit.training.config.training import TrainingConfig, field_paths
from sweepkit.training.usage import RecordedConfig


def test_every_field_reads_as_in_the_configuration_and_is_noted():
    recorded = RecordedConfig(TrainingConfig())
    assert recorded.read == set()
    assert recorded.config.task == TrainingConfig.task
    for path in field_paths():
        section, name = path.split(".")
        assert getattr(getattr(recorded.config, section), name) == getattr(getattr(recorded.raw, section), name)
    assert recorded.read == set(field_paths())


def test_a_section_alone_and_the_raw_configuration_note_nothing():
    recorded = RecordedConfig(TrainingConfig())
    assert recorded.config.training is not None
    assert recorded.raw.training.learning_rate > 0
    assert recorded.read == set()
