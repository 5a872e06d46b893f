import pytest
from in_process import NEW_TOKENS, config_for, train
from tiny_models import CAUSAL

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("library_warnings")]


def items(tokenizer, count=5):
    """Prompts and summaries of very different lengths."""
    words = "민수가 지수와 서울역에서 세 시에 만나기로 했다가 네 시로 바꾸고 영화를 보러 간다 ".split()
    made = []
    for number in range(1, count + 1):
        prompt = tokenizer(" ".join(words[: 2 * number]) + " 요약:", add_special_tokens=False)["input_ids"]
        labels = tokenizer(" ".join(words[:number]), add_special_tokens=False)["input_ids"]
        made.append(
            {"input_ids": prompt, "attention_mask": [1] * len(prompt), "labels": [*labels, tokenizer.eos_token_id]}
        )
    return made


@pytest.fixture
def loaded(tiny):
    from sweepkit.training.models.loading import load

    def of(family, **changes):
        return load(config_for(tiny(family), **changes))

    return of


def test_prompts_are_cut_out_and_padded_at_the_left():
    import torch

    from sweepkit.training.models.batches import CausalCollator
    from sweepkit.training.models.generation import prompts_of

    # 2 is the end and the padding: only places can tell them apart.
    rows = [{"input_ids": [5, 6, 7], "labels": [8, 2]}, {"input_ids": [9], "labels": [10, 11, 12, 2]}]
    batch = CausalCollator(2)(rows)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 2], [9, 10, 11, 12, 2]]
    assert batch["labels"].tolist() == [[-100, -100, -100, 8, 2], [-100, 10, 11, 12, 2]]
    prompts, mask = prompts_of(batch["input_ids"], batch["attention_mask"], batch["labels"], 2)
    assert prompts.tolist() == [[5, 6, 7], [2, 2, 9]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    short = CausalCollator(2)([rows[0], {"input_ids": [9], "labels": [2]}])
    assert short["input_ids"].tolist() == [[5, 6, 7, 8, 2], [9, 2, 2, 2, 2]]
    assert short["attention_mask"].tolist() == [[1] * 5, [1, 1, 0, 0, 0]]
    assert short["labels"].tolist() == [[-100, -100, -100, 8, 2], [-100, 2, -100, -100, -100]]
    assert torch.equal(prompts_of(**short, pad_id=2)[0], prompts)


@pytest.mark.parametrize("family", CAUSAL)
def test_a_batch_padded_at_the_left_generates_what_each_prompt_generates_alone(loaded, family):
    import torch

    from sweepkit.training.models.batches import CausalCollator
    from sweepkit.training.models.generation import prompts_of

    made = loaded(family)
    model, pad_id = made.model, made.tokenizer.pad_token_id
    batch = CausalCollator(pad_id)(items(made.tokenizer))
    prompts, mask = prompts_of(batch["input_ids"], batch["attention_mask"], batch["labels"], pad_id)
    assert len(set(mask.sum(dim=1).tolist())) == 5
    together = model.generate(input_ids=prompts, attention_mask=mask)[:, prompts.shape[1] :]
    end = made.tokenizer.eos_token_id
    texts = []
    for row, item in zip(together.tolist(), items(made.tokenizer), strict=True):
        alone = model.generate(input_ids=torch.tensor([item["input_ids"]]))[0, len(item["input_ids"]) :].tolist()
        assert len(alone) == NEW_TOKENS or alone[-1] == end
        assert row[: len(alone)] == alone
        assert set(row[len(alone) :]) <= {pad_id}
        texts.append(tuple(alone))
    assert len(set(texts)) > 1, "the prompts matter to this model"


@pytest.mark.parametrize("family", CAUSAL)
def test_the_loss_is_the_mean_over_the_summary_and_its_end(loaded, family):
    import torch

    from sweepkit.training.models.batches import CausalCollator

    made = loaded(family)
    rows = items(made.tokenizer)
    batch = CausalCollator(made.tokenizer.pad_token_id)(rows)
    losses = []
    with torch.no_grad():
        for row in rows:  # by hand: each row alone, unpadded; the token at place t is foretold at t - 1
            ids = [*row["input_ids"], *row["labels"]]
            logits = made.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(dim=-1)
            losses += [-logits[at - 1, ids[at]].item() for at in range(len(row["input_ids"]), len(ids))]
        got = made.model(**batch).loss.item()
    assert len(losses) == sum(len(row["labels"]) for row in rows)
    assert got == pytest.approx(sum(losses) / len(losses), rel=1e-5)


@pytest.mark.parametrize("family", CAUSAL)
def test_evaluation_scores_what_is_added_and_measures_the_same_loss(tiny, tmp_path, family):
    import torch

    done = train(config_for(tiny(family), training__max_steps=1, training__eval_strategy="no"), tmp_path)
    trainer = done.trainer
    batch = trainer.data_collator(trainer.eval_dataset[:])
    with torch.no_grad():
        expected = trainer.model(**batch).loss.item()
    assert done.outcome.history[-1].metrics["loss"] == pytest.approx(expected, rel=1e-5)
    prediction = trainer.predict(trainer.eval_dataset)
    assert prediction.predictions.shape[0] == 6
    assert prediction.predictions.shape[1] <= NEW_TOKENS, "new tokens only"
    first = trainer.eval_dataset[0]
    alone = trainer.model.generate(input_ids=torch.tensor([first["input_ids"]]))[0, len(first["input_ids"]) :]
    assert prediction.predictions[0][: len(alone)].tolist() == alone.tolist()


def test_a_prompt_is_never_cut_but_its_dialogue_is(tiny, tmp_path):
    done = train(
        config_for(
            tiny("gpt2"), tokenizer__encoder_max_len=40, tokenizer__prompt="{dialogue} 요약:", training__max_steps=1
        ),
        tmp_path,
    )
    from sweepkit.training.checkpoints import load_tokenizer

    tokenizer = load_tokenizer(str(tiny("gpt2")))
    prompts = [item["input_ids"] for item in done.trainer.train_dataset[:]]
    assert 40 < max(map(len, prompts)) <= 43, "encoder_max_len is the dialogue's; the template comes on top"
    assert all(tokenizer.decode(ids).endswith("요약:") for ids in prompts)
    assert all(item["labels"][-1] == tokenizer.eos_token_id for item in done.trainer.train_dataset[:])


# Sampling


SAMPLED = {"generation__temperature": 1.3, "generation__top_p": 0.9}


@pytest.mark.parametrize("family", ["bart", "gpt2"])
def test_sampling_changes_no_bit_of_the_training(tiny, tmp_path, family):
    changes = {"model__dropout_rate": 0.3, "training__eval_steps": 1.0, "training__per_device_eval_batch_size": 3}
    greedy = train(config_for(tiny(family), **changes), tmp_path / "greedy")
    sampled = train(config_for(tiny(family), **changes, **SAMPLED), tmp_path / "sampled")
    assert sampled.trainer.model.generation_config.do_sample
    assert not greedy.trainer.model.generation_config.do_sample
    losses = [[item.metrics["loss"] for item in done.outcome.history] for done in (greedy, sampled)]
    assert len(losses[0]) == 3
    assert losses[0] == losses[1]
    said = [[line.partition("eval/loss")[0] for line in done.lines] for done in (greedy, sampled)]
    assert said[0] == said[1]
    same = zip(greedy.trainer.model.parameters(), sampled.trainer.model.parameters(), strict=True)
    assert all(one.equal(other) for one, other in same)


@pytest.mark.parametrize("family", ["bart", "gpt2"])
def test_the_same_seed_samples_the_same_texts_another_seed_others(tiny, tmp_path, family):
    done = train(config_for(tiny(family), training__max_steps=1, **SAMPLED), tmp_path)
    trainer = done.trainer

    def predicted(seed):
        trainer.args.seed = seed
        trainer.evaluate()  # whatever was drawn before
        trainer._batch = 0
        return trainer.predict(trainer.eval_dataset).predictions.tolist()

    first = predicted(42)
    assert predicted(42) == first
    assert predicted(43) != first


def test_fields_that_cannot_matter_are_not_read(tiny, tmp_path):
    greedy = train(config_for(tiny("bart"), training__max_steps=1), tmp_path)
    assert "generation.length_penalty" not in greedy.read
    assert "lora.r" not in greedy.read
    beams = train(config_for(tiny("bart"), training__max_steps=1, generation__num_beams=2), tmp_path)
    assert "generation.length_penalty" in beams.read
    unscored = train(config_for(tiny("bart"), training__max_steps=1, training__predict_with_generate=False), tmp_path)
    assert not {path for path in unscored.read if path.startswith("generation.")}
    assert "rouge1_f1" not in unscored.outcome.history[-1].metrics
