from .config import DockerConfig as DockerConfig
from .launcher import DockerLauncher as DockerLauncher
