"""What stops a synth: a stack that would be deployed wrong, said in words that tell how to mend it."""

PREFIX = "durex: "


class SynthRefused(Exception):
    """The stack was not synthesised; the message names the sum or the setting at fault, and the fix."""

    def __init__(self, *reasons: str) -> None:
        """Keep the reasons, each a sentence with its fix."""
        self.reasons = reasons
        super().__init__("\n".join(f"{PREFIX}{reason}" for reason in reasons))
