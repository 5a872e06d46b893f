"""The guides' optimizer."""

from sweepkit.studies.optimizer import OptunaOptimizer, create_optuna_optimizer

__all__ = ["OptunaOptimizer", "create_optuna_optimizer"]
