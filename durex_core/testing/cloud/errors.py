"""What simulated services raise: the shape of botocore's errors, whose class name is the error's code."""


class ServiceError(Exception):
    """An error that a service answers with; `response["Error"]["Code"]` names it, as with botocore's ClientError."""

    def __init__(self, code: str, message: str) -> None:
        """Take the code and the message."""
        super().__init__(f"{code}: {message}")
        self.response = {"Error": {"Code": code, "Message": message}}


class ConflictException(ServiceError):
    """A schedule of this name exists."""

    def __init__(self, message: str) -> None:
        """Take the message."""
        super().__init__("ConflictException", message)


class ValidationException(ServiceError):
    """The scheduler cannot read what it was asked for."""

    def __init__(self, message: str) -> None:
        """Take the message."""
        super().__init__("ValidationException", message)


class ConnectionLost(Exception):
    """The call failed on its way: nobody knows whether it had its effect."""


class NoWaker(AssertionError):
    """A live command for which nobody will come, or a change made by a zombie; the message ends with what led there."""

    def __init__(self, message: str, trace: str) -> None:
        """Take what is wrong, and the last steps."""
        super().__init__(f"{message}\n{trace}")
        self.message = message
