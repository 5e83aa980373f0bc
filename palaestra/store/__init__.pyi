from .cache import ResponseCache as ResponseCache
from .run_store import RunStore as RunStore
from .runs import RunSummary as RunSummary
from .runs import find_runs as find_runs
from .runs import run_meter as run_meter
from .runs import spent as spent
from .runs import summarize as summarize
