"""A search space that is a program: which parameters a run has depends on the model that it trains.

An encoder-decoder (BART) writes its summaries by beam search here, a decoder (LLaMA) draws them; so only the first has
a number of beams, and only the second a temperature. `trial` is Optuna's: suggest_float, suggest_int and
suggest_categorical. What is returned is what the run gets; without `return` it gets what was suggested.
"""

from typing import Any

# Stand-ins that come with this project and train in seconds. With the real ones: "gogamza/kobart-base-v2" and a
# LLaMA of yours; the ranges below are good for them, too, apart from the learning rates (a fiftieth).
CHECKPOINTS = {
    "bart": "data/checkpoints/bart-tiny-ko",
    "llama": "data/checkpoints/gpt2-tiny-ko",  # a decoder, as a LLaMA is
}


def space(trial: Any) -> dict[str, Any]:
    """Suggest the parameters of one run."""
    kind = trial.suggest_categorical("model_type", ["bart", "llama"])
    params: dict[str, Any] = {"model.name": CHECKPOINTS[kind]}
    if kind == "bart":
        params["learning_rate"] = trial.suggest_float("bart_learning_rate", 1e-3, 1e-2, log=True)
        params["num_beams"] = trial.suggest_int("num_beams", 1, 4)
        if params["num_beams"] > 1:  # one beam has no length to weigh
            params["length_penalty"] = trial.suggest_float("length_penalty", 0.5, 2.0)
    else:
        params["learning_rate"] = trial.suggest_float("llama_learning_rate", 5e-4, 5e-3, log=True)
        params["temperature"] = trial.suggest_float("temperature", 0.1, 1.0)
        params["top_p"] = trial.suggest_float("top_p", 0.7, 1.0)
    return params
