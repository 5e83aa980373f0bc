from .group import JudgedGroup as JudgedGroup
from .group import RecordedVote as RecordedVote
from .importer import load_judgements as load_judgements
from .run import judgements_of as judgements_of
