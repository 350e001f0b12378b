"""What a check found."""

from __future__ import annotations

from dataclasses import asdict, dataclass

OK, WARN, FAIL = "OK", "WARN", "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor; `fix` is empty when nothing needs to be done."""

    check: str
    level: str
    found: str
    fix: str = ""

    def line(self) -> str:
        """Return the line for the terminal."""
        text = f"{self.level:<5}{self.check:<16}{self.found}"
        return f"{text}\n{'':<21}fix: {self.fix}" if self.fix else text

    def as_dict(self) -> dict[str, str]:
        """Return the fields for JSON."""
        return asdict(self)
