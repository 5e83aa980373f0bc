from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("verl") else ["test_*.py"]  # see make test-verl
