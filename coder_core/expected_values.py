"""What was expected of a value that a validator refuses, in the words of who writes YAML: none of pydantic's own."""

from collections.abc import Mapping
from typing import Any

_EXPECTED = {
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "string_type": "expected text (YAML reads `no` and `12` as other types: use quotes)",
    "string_sub_type": "expected text (YAML reads `no` and `12` as other types: use quotes)",
    "string_unicode": "this text cannot be written as UTF-8",
    "string_too_short": "this text is empty",
    "string_too_long": "this text has more than {max_length} characters",
    "string_pattern_mismatch": "expected {form}",
    "dict_type": "expected settings by key",
    "model_type": "expected settings by key",
    "model_attributes_type": "expected settings by key",
    "invalid_key": "keys are text",
    "too_short": "the list is empty",
    "too_long": "the list has more than {max_length} items",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_parsing_size": "expected a whole number of a size that can be",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "greater_than": "expected a number above {gt}",
    "greater_than_equal": "expected a number of at least {ge}",
    "less_than": "expected a number below {lt}",
    "less_than_equal": "expected a number of at most {le}",
    "enum": "expected one of {expected}",
}
"""What pydantic calls an error, in the words of YAML; a test walks every bound of every setting."""

_OTHERWISE = "this is no value that the key takes"


def describe_expected(kind: str, context: Mapping[str, Any]) -> str:
    """What was expected, without what was found.

    Args:
        kind: What pydantic calls the error, such as `list_type`.
        context: What it says about it: bounds, and `form`, what a text must look like.
    """
    if kind == "value_error":  # what one of our own checks says
        return str(context.get("error", _OTHERWISE))
    if kind == "literal_error":
        return f"expected one of {context.get('expected', '')}"
    return _EXPECTED.get(kind, _OTHERWISE).format_map(context)


def describe_refusal(error: Mapping[str, Any]) -> str:
    """One error of a `ValidationError`: what was expected, and what was found.

    Args:
        error: An item of `ValidationError.errors()`.
    """
    kind, context = str(error["type"]), {"form": "another form of this text", **error.get("ctx", {})}
    if kind == "missing":
        return "this key is required and absent"
    if kind == "extra_forbidden":
        return "this key is unknown"
    return f"{describe_expected(kind, context)}, found {error['input']!r:.80}"
