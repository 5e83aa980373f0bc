from .arena_trainer import ArenaConfig as ArenaConfig
from .arena_trainer import ArenaTrainer as ArenaTrainer
from .rank_estimator import rank_estimator as rank_estimator
