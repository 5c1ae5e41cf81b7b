"""A strict subset of YAML: plain values only, each fault with its line."""

import re
from typing import Any

import yaml

from agent.config.errors import ConfigError

MAX_WHOLE = 1 << 63
MAX_DEPTH = 32
_QUOTE = "put the value in quotes"
_PLAIN = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")
)


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys, foreign tags, and aliases (they explode when expanded).

    Keys are texts as they are written. Times and numbers to the base of 60 (``1:20``) are texts as well.
    """

    _depth = 0

    def fetch_flow_collection_start(self, kind: type[yaml.Token]) -> None:
        # PyYAML looks a thousand characters ahead for a key and compares each bracket with all open ones.
        if self.flow_level >= MAX_DEPTH:
            line = self.get_mark().line + 1
            raise ConfigError([f"line {line}: nested more than {MAX_DEPTH} deep; write it flatter"])
        super().fetch_flow_collection_start(kind)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML
            raise _problem(event, f"YAML aliases (*name) are refused; write the value out, or {_QUOTE}")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _problem(self.peek_event(), f"nested more than {MAX_DEPTH} deep; write it flatter")  # type: ignore[no-untyped-call]  # PyYAML
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None and node.tag not in _PLAIN:
            tag = node.tag.removeprefix("tag:yaml.org,2002:")
            raise _problem(node, f"the YAML tag {tag!r} is refused; write a plain value")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        if not isinstance(node, yaml.MappingNode):
            raise _problem(node, "is tagged as a mapping, which it is not; remove the tag")
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _problem(key_node, "a key is a single word here; put it in quotes")
            key = str(key_node.value)
            if key in found:
                line = key_node.start_mark.line + 1
                raise ConfigError([f"{key}: duplicate key in line {line}; keep one of them"])
            found[key] = self.construct_object(value_node, deep=deep)
        return found

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        try:
            return super().construct_scalar(node)
        except yaml.YAMLError:
            raise _problem(node, f"is not a single value; {_QUOTE}") from None


def _number(loader: _Loader, node: yaml.ScalarNode) -> int | float:
    text = str(loader.construct_scalar(node)).replace("_", "").lower()
    try:
        value: int | float = (
            float(text.replace(".inf", "inf").replace(".nan", "nan"))
            if node.tag.endswith("float")
            else int(text, 16 if "x" in text else 10)
        )
    except ValueError:
        raise _problem(node, f"{_short(text)} is not a number; {_QUOTE}, or write one") from None
    if isinstance(value, int) and not -MAX_WHOLE < value < MAX_WHOLE:
        raise _problem(node, f"{_short(text)} is too large a number; write a smaller one")
    return value


def _boolean(loader: _Loader, node: yaml.ScalarNode) -> bool:
    text = str(loader.construct_scalar(node))
    value = loader.bool_values.get(text.lower())
    if value is None:
        raise _problem(node, f"{_short(text)} is neither true nor false; write one of them")
    return value


_BASE_60 = frozenset(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "timestamp", "merge", "value"))
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _BASE_60]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(?:[0-9][0-9_]*|0x[0-9a-fA-F_]+)\Z"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
    ),
    list("-+0123456789."),
)
_Loader.add_constructor("tag:yaml.org,2002:int", _number)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)
_Loader.add_constructor("tag:yaml.org,2002:bool", _boolean)


def parse(text: str | bytes, where: str) -> Any:
    """Return the value of one YAML document: texts, numbers, booleans, None, lists, mappings with text keys.

    Args:
        text: the document.
        where: the file or variable that holds it, for messages.

    Raises:
        ConfigError: it is not YAML, or more than a configuration needs; in words for a person.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError([_in_words(error, where)]) from None
    except UnicodeError:
        raise ConfigError([f"{where}: not valid YAML: it is not text; save it as UTF-8"]) from None
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        # PyYAML answers some tags and escapes with whatever Python raises there.
        raise ConfigError(
            [f"{where}: not valid YAML ({type(error).__name__}); see configs/agent.yaml"]
        ) from None


def _in_words(error: yaml.YAMLError, where: str) -> str:
    context = getattr(error, "context", None) or ""
    starred = "alias" in context or "anchor" in context
    mark = getattr(error, "context_mark" if starred else "problem_mark", None)
    place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    what = getattr(error, "problem", None)
    if what is None:
        return f"{where}: not valid YAML: it is not text; save it as UTF-8"
    if starred:
        return f"{where}: not valid YAML{place}: a value that begins with * or & must be in quotes, as '*/x'"
    return f"{where}: not valid YAML{place}: {what}; mend that line, or {_QUOTE}"


def _problem(place: Any, words: str) -> ConfigError:
    return ConfigError([f"line {place.start_mark.line + 1}: {words}"])


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")  # noqa: PLR2004 - enough to find it
