"""YAML 1.2 as plain Python values, with the line of every key.

What W&B's reader (YAML 1.1, `text/yaml11.py`) gets wrong, this one gets right: `1e-5` is a number, `on` and `yes` are
strings. Each scalar that the two read differently is noted, so that a reader can say so or take W&B's meaning.
Values are those that JSON has: null, true and false, finite numbers, strings, lists and mappings with string keys.
Everything else (dates, sets, binary, infinities, own tags) is a problem, and so are duplicate keys.

The scalars follow the core schema of YAML 1.2.2, section 10.3.2, except where W&B's reader has a meaning that nobody
can be surprised by: `1_000` is a number, `-0x1F` too; `08` and `0o17` are the strings that they are there, since what
begins with a zero is a date or a name more often than a number.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.tag import Tag

from sweepkit.errors import NoDocumentError, Problem, SpecError
from sweepkit.text.yaml11 import DATE, Plain, read_yaml11

KeyPath = tuple[str | int, ...]

MAX_DEPTH = 100
_MAX_VALUES = 50_000  # aliases are expanded; this stops a "billion laughs" file, and one that takes a minute to read
_MAX_CHARACTERS = 10_000_000

_PREFIX = "tag:yaml.org,2002:"
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?(?:0[0-7_]*|[1-9][0-9_]*|0x_*[0-9a-fA-F][0-9a-fA-F_]*)")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)|[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)"
    r"|(?:[-+]?[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
# What the tags !!int and !!float take, beyond what is an int or a float without them.
_TAGGED_INT = re.compile(rf"{_INT.pattern}|[-+]?[0-9][0-9_]*|0o[0-7]+")
_CORE_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CORE = (("null", _NULL), ("bool", _BOOL), ("int", _INT), ("float", _FLOAT), ("timestamp", DATE))

_NOT_JSON = {
    "timestamp": ("a date is not a value a sweep can hold", "quote it to make it a string"),
    "set": ("a set is not a value a sweep can hold", "write a list"),
    "binary": ("binary data is not a value a sweep can hold", "write a string"),
    "omap": ("an ordered map is not a value a sweep can hold", "write a mapping"),
    "pairs": ("a list of pairs is not a value a sweep can hold", "write a mapping"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One YAML document.

    Args:
        data: The mapping at its top, plain Python values.
        lines: 1-based line by path: of the key for what stands in a mapping, of the item for what stands in a list.
        problems: What was wrong and left out or replaced by its text, in order of lines.
        bad: The paths of those problems; nothing more should be said about them.
        yaml11: By path, what W&B's reader takes a plain scalar for, where it differs.
        keys11: By path, what W&B's reader takes a key for that is a string here (`on`).
        yaml12: By path, the number that YAML 1.2 takes a plain scalar for which is a string here and at W&B (`08`).
    """

    data: dict[str, Any]
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    bad: frozenset[KeyPath] = frozenset()
    yaml11: dict[KeyPath, Plain] = field(default_factory=dict)
    keys11: dict[KeyPath, Plain] = field(default_factory=dict)
    yaml12: dict[KeyPath, int] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int | None:
        """Return the line of `path`, or of the nearest key above it; None when no line is known."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return self.lines.get(())


def dotted(path: KeyPath) -> str:
    """Return a path as people write it.

    >>> dotted(("parameters", "lr", "values", 2))
    'parameters.lr.values[2]'
    """
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def read_text(path: Path, *, where: str) -> str:
    """Return the text of a UTF-8 file.

    Args:
        path: The file.
        where: What messages call it.

    Raises:
        SpecError: The file cannot be read, or is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpecError([Problem(where=where, rule=f"the file cannot be read: {error.strerror or error}")]) from None
    return decode(data, where=where)


def decode(data: bytes, *, where: str = "") -> str:
    """Return UTF-8 bytes as text; a byte order mark is dropped.

    Raises:
        SpecError: The bytes are not UTF-8; the line of the first bad byte is said.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        got = f"byte 0x{data[error.start]:02x}"
        raise _single(where, line, "the file must be UTF-8", got=got, hint="save it again as UTF-8") from None


def load(text: str, *, where: str = "") -> Document:
    """Return `parse(text)`, refusing a document with any problem.

    Raises:
        SpecError: All problems of the document.
    """
    document = parse(text, where=where)
    if document.problems:
        raise SpecError(document.problems)
    return document


def parse(text: str, *, where: str = "", may_be_empty: bool = False) -> Document:
    """Read one YAML 1.2 document whose top is a mapping.

    Args:
        text: The document. A leading byte order mark is dropped.
        where: The file's name for messages.
        may_be_empty: A document of nothing but comments is an empty mapping.

    Returns:
        The document; problems that leave its structure readable stand in `problems`, so that a reader can add its own.

    Raises:
        SpecError: The text is not YAML, holds several documents, or its top is not a mapping.
    """
    root = _compose(text.removeprefix("\ufeff"), where)
    if root is None or (isinstance(root, ScalarNode) and _suffix(root) == "null"):
        if may_be_empty:
            return Document(data={})
        raise _single(where, 1, "the document must be a mapping of keys to values", got="an empty document")
    if not isinstance(root, MappingNode):
        got = "a list" if isinstance(root, SequenceNode) else "a single value"
        raise _single(where, _line(root), "the document must be a mapping of keys to values", got=got)
    builder = _Builder(where)
    data = builder.build(root, ())
    problems = tuple(sorted(builder.problems, key=lambda problem: problem.line or 0))
    return Document(
        data=data if isinstance(data, dict) else {},
        lines=builder.lines,
        problems=problems,
        bad=frozenset(builder.bad),
        yaml11=builder.yaml11,
        keys11=builder.keys11,
        yaml12=builder.yaml12,
    )


class _TooManyError(Exception):
    """A text holds more values than are read."""


class _Implicit(Tag):
    """The tag of a node that carries none."""


class _Composer(Composer):
    """Makes the nodes, and stops long before the end of an endless list: each costs a tenth of a millisecond."""

    values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node. Raises _TooManyError where values, which keys are none of, are more than are read."""
        self.values += index is not None
        if self.values > _MAX_VALUES + 1_000:  # of a mapping that is merged only the entries count later
            raise _TooManyError
        return super().compose_node(parent, index)


class _Resolver(VersionedResolver):
    """Tags plain scalars by the core schema of YAML 1.2, whatever a %YAML directive says."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Return the tag of a node that carries none."""
        if kind is MappingNode:
            return Tag(suffix=_PREFIX + "map")
        if kind is SequenceNode:
            return Tag(suffix=_PREFIX + "seq")
        if not implicit[0]:
            return Tag(suffix=_PREFIX + "str")
        if value == "<<":
            return Tag(suffix=_PREFIX + "merge")
        return _Implicit(suffix=_PREFIX + next((name for name, rule in _CORE if rule.fullmatch(value)), "str"))


def _compose(text: str, where: str) -> Any:
    """Return the only node tree of `text`, None when there is none."""
    if len(text) > _MAX_CHARACTERS:
        rule = f"a file holds at most {_MAX_CHARACTERS:,} characters"
        raise _single(where, None, rule, got=f"{len(text):,}", hint="let programs read their data from files")
    if match := re.search(r"^%YAML[ \t]+(?!1\.2\b)(\S+)", text, re.MULTILINE):
        line = text.count("\n", 0, match.start()) + 1
        raise _single(where, line, "files are YAML 1.2", got=f"%YAML {match[1]}", hint="remove the directive")
    reader = YAML(typ="safe", pure=True)
    reader.Composer = _Composer
    reader.Resolver = _Resolver
    reader.max_depth = MAX_DEPTH
    reader.composer.warn_double_anchors = False  # an anchor defined again is legal YAML: the later one counts
    try:
        nodes = list(reader.compose_all(text))
    except _TooManyError:
        raise _too_many(where, None) from None
    except (YAMLError, RecursionError, ValueError, AssertionError, LookupError, NotImplementedError) as error:
        raise _syntax(error, text, where) from None
    if len(nodes) > 1:
        second = None if nodes[1] is None else _line(nodes[1])
        raise _single(where, second, "a file holds one document", got=f"{len(nodes)} documents", hint="remove the ---")
    return nodes[0] if nodes else None


def _syntax(error: Exception, text: str, where: str) -> NoDocumentError:
    """Return the reader's complaint in our form."""
    line: int | None = None
    hint = ""
    message = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
        character = error.character if isinstance(error.character, str) else chr(error.character)
        message = f"the character {character!a} is not allowed"
    elif isinstance(error, RecursionError):
        message = f"nesting goes deeper than {MAX_DEPTH} levels"
    elif isinstance(error, MarkedYAMLError):
        # An open quote is found at the end of the file; the line that opens it is the one to mend.
        unended = "end of stream" in (error.problem or "")
        mark = (error.context_mark if unended else None) or error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        message = " ".join(part for part in (error.problem, error.context) if part) or message
        if "maximum depth" in message:
            message = f"nesting goes deeper than {MAX_DEPTH} levels"
        elif "'\\t'" in message:
            message, hint = "a tab cannot indent or begin a value", "use spaces"
        elif "could not find expected ':'" in message or "mapping values are not allowed" in message:
            hint = "check the indentation, the space after each colon, and the quotes"
    return _single(where, line, f"not valid YAML: {message}", hint=hint)


def _single(where: str, line: int | None, rule: str, *, got: str = "", hint: str = "") -> NoDocumentError:
    return NoDocumentError([Problem(where=where, line=line, rule=rule, got=got, hint=hint)])


def _too_many(where: str, line: int | None) -> NoDocumentError:
    hint = "give bounds (min, max) in the place of a long list"
    return _single(where, line, f"a file holds at most {_MAX_VALUES} values, aliases expanded", hint=hint)


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1


def _suffix(node: Any) -> str:
    """Return a node's tag without YAML's own prefix: "int", "map", "!mine"."""
    return str(node.tag or "").removeprefix(_PREFIX)


class _Builder:
    """Turns a node tree into plain values, and collects lines and problems on the way."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []
        self.bad: set[KeyPath] = set()
        self.yaml11: dict[KeyPath, Plain] = {}
        self.keys11: dict[KeyPath, Plain] = {}
        self.yaml12: dict[KeyPath, int] = {}
        self._open: set[int] = set()  # ids of the collections being built: an alias to one of them is a cycle
        self._count = 0

    def build(self, node: Any, path: KeyPath) -> Any:
        """Return the value of a node; the line of `path` is set to the node's unless its key has set it."""
        self.lines.setdefault(path, _line(node))
        self._count += 1
        if self._count > _MAX_VALUES:
            raise _too_many(self.where, _line(node))
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open or len(path) > MAX_DEPTH:
            self._refuse(node, path, "an alias cannot stand inside what it names")
            return None
        self._open.add(id(node))
        try:
            return self._collection(node, path)
        finally:
            self._open.discard(id(node))

    def _refuse(self, node: Any, path: KeyPath, rule: str, *, got: str = "", hint: str = "") -> None:
        self.problems.append(
            Problem(where=self.where, line=_line(node), key=dotted(path), rule=rule, got=got, hint=hint)
        )
        self.bad.add(path)

    def _collection(self, node: Any, path: KeyPath) -> Any:
        tag = _suffix(node)
        if tag not in ("map", "seq"):
            rule, hint = _NOT_JSON.get(tag, (f"the tag {_shown_tag(tag)} is not known", "remove the tag"))
            self._refuse(node, path, rule, hint=hint)
        if isinstance(node, SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        built: dict[str, Any] = {}
        for key, key_node, value_node in self._entries(node, path):
            inner = (*path, key)
            self.lines[inner] = _line(key_node)
            built[key] = self.build(value_node, inner)
        return built

    def _entries(self, node: Any, path: KeyPath) -> Iterator[tuple[str, Any, Any]]:
        """Yield the entries of a mapping: its own first, then those it merges (`<<`) and does not have itself."""
        seen: dict[str, int] = {}
        merged: list[Any] = []
        for key_node, value_node in node.value:
            if isinstance(key_node, ScalarNode) and _suffix(key_node) == "merge":
                merged.append(value_node)
                continue
            key = self._key(key_node, path)
            if key is None:
                continue
            if key in seen:
                rule = f"a key stands once in a mapping, the first is on line {seen[key]}"
                self._refuse(key_node, (*path, key), rule, hint="remove one of the two")
                continue
            seen[key] = _line(key_node)
            yield key, key_node, value_node
        for source in merged:
            for key, key_node, value_node in self._merged(source, path):
                if key not in seen:
                    seen[key] = _line(key_node)
                    yield key, key_node, value_node

    def _merged(self, source: Any, path: KeyPath) -> Iterator[tuple[str, Any, Any]]:
        """Yield the entries of the mapping, or of the mappings in the list, that `<<` names."""
        if isinstance(source, SequenceNode) and id(source) not in self._open:
            self._open.add(id(source))
            for item in source.value:
                yield from self._merged(item, path)
            self._open.discard(id(source))
        elif isinstance(source, MappingNode) and id(source) not in self._open:
            self._open.add(id(source))
            yield from self._entries(source, path)
            self._open.discard(id(source))
        else:
            self._refuse(source, (*path, "<<"), "<< merges a mapping or a list of mappings")

    def _key(self, node: Any, path: KeyPath) -> str | None:
        """Return a mapping key, None after refusing one that is not a string."""
        if not isinstance(node, ScalarNode):
            self._refuse(node, (*path, "?"), "a key must be a string", got="a list or mapping")
            return None
        text = self._text(node, path)
        if _suffix(node) != "str":
            self._refuse(node, (*path, text), "a key must be a string", got=text or "nothing", hint=f'write "{text}"')
            return None
        if _is_plain(node) and not isinstance(theirs := read_yaml11(text), str):
            self.keys11[*path, text] = theirs
        return text

    def _scalar(self, node: Any, path: KeyPath) -> Any:
        tag, text = _suffix(node), self._text(node, path)
        if tag in ("str", "merge"):
            self._note(node, path, text)
            return text
        convert = _CONVERT.get(tag)
        if convert is None:
            rule, hint = _NOT_JSON.get(tag, (f"the tag {_shown_tag(tag)} is not known", "remove the tag"))
            self._refuse(node, path, rule, got=text, hint=hint)
            return text
        try:
            value = convert(text)
        except ValueError:
            self._refuse(node, path, f"must be what its tag !!{tag} says", got=text)
            return text
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(node, path, "a number must be finite", got=text)
            return text
        self._note(node, path, value)
        return value

    def _text(self, node: Any, path: KeyPath) -> str:
        """Return a scalar's text. Two escapes that stand for one character, as JSON writes them, are joined."""
        text = str(node.value)
        if not _SURROGATE.search(text):
            return text
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._refuse(node, path, "an escaped surrogate needs its other half", got=ascii(text))
            return _SURROGATE.sub("\ufffd", text)

    def _note(self, node: Any, path: KeyPath, value: Any) -> None:
        """Remember a plain scalar that W&B's reader, or YAML 1.2 itself, reads otherwise."""
        if not _is_plain(node):
            return
        theirs = read_yaml11(node.value)
        if type(theirs) is not type(value) or theirs != value:
            self.yaml11[path] = theirs
        elif isinstance(value, str) and _CORE_INT.fullmatch(value):
            self.yaml12[path] = _int(value)


def _is_plain(node: Any) -> bool:
    """Return whether a scalar stands without quotes and tag, so that each reader resolves it by its own rules."""
    return node.style is None and isinstance(node.ctag, _Implicit)


def _shown_tag(tag: str) -> str:
    return tag if tag.startswith("!") else f"!!{tag}"


def _null(text: str) -> None:
    if not _NULL.fullmatch(text):
        raise ValueError(text)


def _bool(text: str) -> bool:
    if not _BOOL.fullmatch(text):
        raise ValueError(text)
    return text.lower() == "true"


def _int(text: str) -> int:
    if not _TAGGED_INT.fullmatch(text):
        raise ValueError(text)
    digits = text.replace("_", "")
    if digits.lstrip("+-").startswith(("0x", "0o")):
        return int(str(int(digits, 0)))  # ValueError above Python's limit of 4300 digits, which no text could show
    return int(digits)


def _float(text: str) -> float:
    if not (_FLOAT.fullmatch(text) or _TAGGED_INT.fullmatch(text)):
        raise ValueError(text)
    digits = text.replace("_", "")
    special = digits.lower().lstrip("+-")
    if special == ".nan":
        return math.nan
    if special == ".inf":
        return -math.inf if digits.startswith("-") else math.inf
    try:
        return float(int(digits, 0)) if special.startswith(("0x", "0o")) else float(digits)
    except OverflowError:
        return math.inf


_CONVERT: dict[str, Callable[[str], Any]] = {"null": _null, "bool": _bool, "int": _int, "float": _float}
