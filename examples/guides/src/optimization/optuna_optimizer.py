"""The guides' file of the class."""

from src.optimization import OptunaOptimizer, create_optuna_optimizer

__all__ = ["OptunaOptimizer", "create_optuna_optimizer"]
