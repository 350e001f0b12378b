"""Root of the one error tree: every error a user can meet derives from `ArfmError`."""


class ArfmError(Exception):
    """Say what came, what was needed and which knob to turn."""


class SpecError(ArfmError):
    """A value does not fit the policy's specification."""


class BundleError(ArfmError):
    """A policy bundle is missing, corrupt or does not fit the robot."""


class PackageError(BundleError):
    """A bundle needs a Python package that is not installed; the text says how to install it."""


class EngineError(ArfmError):
    """An inference engine failed or returned a non-finite value."""


class Cancelled(ArfmError):
    """An inference was given up because nobody wants its result any more."""


class EpisodeError(ArfmError):
    """A recorded episode cannot be read or written."""


class FleetError(ArfmError):
    """The store of a fleet cannot be reached, or holds what it should not."""


class SimulationError(ArfmError):
    """The physics of the simulator diverged: what comes after it means nothing."""


class SafetyError(ArfmError):
    """An input would have become an unsafe command."""


class ConfigError(ArfmError):
    """A parameter, file or environment setting is wrong."""
