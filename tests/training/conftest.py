import pytest

from palaestra.models.tiny import TinyConfig, TinyModel

SMALL = TinyConfig(vocabulary=300, hidden=32, layers=2, heads=2, feed_forward=64, window=256)


@pytest.fixture
def policy() -> TinyModel:
    """An untrained policy of a few thousand parameters, always the same."""
    return TinyModel.build(
        "tiny/test", ["plan a day", "09:00 Grove Museum"] * 20, SMALL, device="cpu", seed=1
    )
