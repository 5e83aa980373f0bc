"""The error tree: each type is named after the boundary that was crossed.

PalaestraError
├── ConfigError             a setting, flag or argument cannot be used
├── DataError               a file of tasks, answers or rubrics cannot be read
├── ModelError              a language model did not answer
│   ├── ModelUnreachable    no connection, timeout or server failure, after all retries
│   ├── RateLimited         the provider kept refusing, after all retries
│   ├── AuthenticationFailed
│   ├── UnknownModel
│   ├── ContextTooLong
│   └── RequestRejected     the provider calls the request itself wrong
├── SandboxError            the process that runs model-written code failed
│   └── SandboxUnavailable
├── JudgeError              no verdict could be had for a whole tournament
├── StoreError              a run folder cannot be read or written
├── TrainingError           a policy cannot be built, updated or restored
│   └── NothingToLearn      a batch in which no token would teach anything; its step is skipped
└── BudgetExceeded          a limit of the run is used up; not a failure, the partial result stands

Every message is one line that ends with what to do next. Each error takes its message alone, so that it
survives pickling between processes.
"""

from __future__ import annotations


class PalaestraError(Exception):
    """Base of every error that Palaestra raises on purpose."""

    exit_code = 1


class ConfigError(PalaestraError):
    exit_code = 2


class DataError(PalaestraError):
    exit_code = 2


class ModelError(PalaestraError):
    pass


class ModelUnreachable(ModelError):
    pass


class RateLimited(ModelError):
    pass


class AuthenticationFailed(ModelError):
    pass


class UnknownModel(ModelError):
    pass


class ContextTooLong(ModelError):
    pass


class RequestRejected(ModelError):
    pass


class SandboxError(PalaestraError):
    pass


class SandboxUnavailable(SandboxError):
    pass


class JudgeError(PalaestraError):
    pass


class StoreError(PalaestraError):
    pass


class TrainingError(PalaestraError):
    pass


class NothingToLearn(TrainingError):
    pass


class BudgetExceeded(PalaestraError):
    pass
