from .bradley_terry import rate_winners as rate_winners
from .comparison import Comparison as Comparison
from .comparison import Comparisons as Comparisons
from .gaussian import rate_points as rate_points
from .posterior import Posterior as Posterior
from .rate import rate as rate
from .rate import reliability as reliability
