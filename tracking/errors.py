"""What a user can mend: errors whose text is one line for the command line."""


class TrackingError(Exception):
    """Something about the tracking server or a run on it that stops a command."""


class StoreError(TrackingError):
    """The tracking server cannot be reached, or stays away."""


class ResumeError(TrackingError, LookupError):
    """A run cannot go on."""
