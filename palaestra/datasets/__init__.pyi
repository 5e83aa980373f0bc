from .families import Example as Example
from .families import TaskFamily as TaskFamily
from .families import family as family
from .loaders import Answer as Answer
from .loaders import load_answers as load_answers
from .loaders import load_tasks as load_tasks
from .source import AnswerSource as AnswerSource
from .source import DataSource as DataSource
