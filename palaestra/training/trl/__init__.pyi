from .objective_trainer import ObjectiveTrainer as ObjectiveTrainer
from .tournament_reward import TournamentReward as TournamentReward
