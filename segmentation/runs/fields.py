"""Records of JSON files: each field is declared once, with what it may be; checked when read (no TensorFlow).

Dataclasses of the standard library and not pydantic: the plain install would need it for this alone, and a field that
another version wrote otherwise reads as not known here, for which pydantic wants a validator for each.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Self, get_origin, get_type_hints

LONGEST_LIST = 100_000
"""Entries of a list."""


@dataclass(frozen=True)
class Kind:
    """What a field holds, written behind its type: ``accuracy: Annotated[float | None, share(…)]``.

    Args:
        meaning: One sentence for people.
        title: What the field is called within a sentence.
        parse: From a value out of JSON to the field's. Raises ValueError for what it cannot be.
        write: The way back.
        null: Whether there may be no value, which is then written as null.
    """

    meaning: str
    parse: Callable[[Any], Any]
    title: str = ""
    write: Callable[[Any], Any] = lambda value: value
    null: bool = False

    @property
    def heading(self) -> str:
        """The title as it stands alone."""
        return self.title[:1].upper() + self.title[1:]

    def read(self, value: object) -> Any:  # noqa: ANN401 (as the field's type says)
        """Return the field's value.

        Raises:
            ValueError: If the value out of JSON cannot be one.
        """
        return None if value is None and self.null else self.parse(value)


def number(meaning: str, least: float = 0, most: float = 1e10, title: str = "", null: bool = False) -> Kind:
    """A number from `least` to `most`; the default suits times in seconds."""

    def parse(value: object) -> float:
        # Compared as they are: an integer of 400 digits has no float, and NaN is in no range.
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ValueError(f"Expected a number from {least} to {most}.")
        return value

    return Kind(meaning, parse, title, null=null)


def share(title: str, meaning: str) -> Kind:
    """A score from 0 to 1; null where it does not exist."""
    return number(meaning, 0, 1, title, null=True)


def count(meaning: str, least: int = 0, most: int = 10**15) -> Kind:
    """A whole number."""
    within = number(meaning, least, most)

    def parse(value: object) -> int:
        if not isinstance(value, int):
            raise ValueError("Expected a whole number.")
        return within.parse(value)

    return Kind(meaning, parse)


def text(meaning: str, choices: tuple[str, ...] = (), null: bool = False) -> Kind:
    """A text, one of `choices` if there are any."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or (choices and value not in choices):
            raise ValueError(f"Expected {' or '.join(choices) or 'a text'}.")
        return value

    return Kind(meaning, parse, null=null)


def several(of: Kind, least: int = 0, most: int = LONGEST_LIST) -> Kind:
    """A list of `least` to `most` entries of one kind."""

    def parse(value: object) -> list:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise ValueError(f"Expected a list of {least} to {most} entries.")
        return [of.read(entry) for entry in value]

    return Kind(of.meaning, parse, of.title, lambda value: [of.write(entry) for entry in value])


def by_name(of: Kind) -> Kind:
    """Values of one kind by name, in the file's order."""

    def parse(value: object) -> dict:
        if not isinstance(value, dict):
            raise ValueError("Expected values by name.")
        return {name: of.read(entry) for name, entry in value.items()}

    return Kind(of.meaning, parse, of.title, lambda value: {name: of.write(entry) for name, entry in value.items()})


def record(of: "type[Record]", meaning: str) -> Kind:
    """A record within the record."""

    def parse(value: object) -> Record:
        made = of.from_dict(value)
        if made is None:
            raise ValueError(f"Expected a {of.__name__}.")
        return made

    return Kind(meaning, parse, write=lambda made: made.to_dict())


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a JSON file holds. A subclass is a dataclass whose fields' types say their `Kind`.

    A field without a default is what a record cannot do without. One with a default is known since a later version, or
    merely informs: where it is missing or makes no sense it reads as its default.

    Args:
        further: What another version wrote: keys that are no fields, and values that cannot be a field's. They are
            written as they were read.
    """

    kinds: ClassVar[dict[str, Kind]]
    """What each field may be, by its name."""
    required: ClassVar[frozenset[str]]
    """The fields that a record cannot do without."""

    further: dict[str, Any] = field(default_factory=dict)

    def __init_subclass__(cls) -> None:
        hints = get_type_hints(cls, include_extras=True)
        cls.kinds = {name: hint.__metadata__[0] for name, hint in hints.items() if get_origin(hint) is Annotated}
        cls.required = frozenset(name for name in cls.kinds if not hasattr(cls, name))

    @classmethod
    def from_dict(cls, content: object) -> Self | None:
        """Read a record out of JSON of this version or another; None if it is none."""
        if not isinstance(content, dict):
            return None
        values, further = {}, {}
        for name, value in content.items():
            try:
                values[name] = cls.kinds[name].read(value)
            except (KeyError, ValueError):
                further[name] = value
        if not cls.required <= values.keys():
            return None
        try:
            return cls(**values, further=further)
        except ValueError:  # fields that do not go together
            return None

    def to_dict(self) -> dict[str, Any]:
        """Return the record ready for JSON, in the order of its fields; what is not known is left out."""
        values = {name: (kind, getattr(self, name)) for name, kind in self.kinds.items()}
        known = {
            name: None if value is None else kind.write(value)
            for name, (kind, value) in values.items()
            if value is not None or kind.null
        }
        return known | self.further
