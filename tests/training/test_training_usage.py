from sweepkit.spec.training import TrainingConfig, as_dict, field_paths
from sweepkit.training.usage import RecordedConfig


def test_every_field_reads_as_in_the_configuration_and_is_noted():
    recorded = RecordedConfig(TrainingConfig())
    assert recorded.read == set()
    assert recorded.config.task == TrainingConfig.task
    sections = as_dict(TrainingConfig())
    del sections["task"]
    for section, values in sections.items():
        for name, value in values.items():
            assert getattr(getattr(recorded.config, section), name) == value
    assert recorded.read == set(field_paths())


def test_a_section_alone_and_the_raw_configuration_note_nothing():
    recorded = RecordedConfig(TrainingConfig())
    assert recorded.config.training is not None
    assert recorded.raw.training.learning_rate > 0
    assert recorded.read == set()
