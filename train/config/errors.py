"""How a command ends early: bad input, or a run that stops before its last step."""


class BadInput(ValueError):
    """Something that the user can mend, said in one sentence: exit status 2, no traceback."""


class Ended(Exception):
    """A run that ended before its last step, with the sentence and the exit status for it."""

    def __init__(self, sentence: str, status: int) -> None:
        """Keep what to say and the status to exit with."""
        super().__init__(sentence)
        self.status = status
