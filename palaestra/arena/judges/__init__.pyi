from .base import Judge as Judge
from .llm import LLMJudge as LLMJudge
from .llm import LLMJudgeConfig as LLMJudgeConfig
from .programmatic import ProgrammaticJudge as ProgrammaticJudge
from .programmatic import ProgrammaticJudgeConfig as ProgrammaticJudgeConfig
from .registry import AnyJudgeConfig as AnyJudgeConfig
from .registry import open_judge as open_judge
