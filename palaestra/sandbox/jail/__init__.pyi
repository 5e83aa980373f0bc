from .config import JailConfig as JailConfig
from .launcher import JailLauncher as JailLauncher
from .probe import Probe as Probe
from .probe import probe as probe
