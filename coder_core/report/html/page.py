"""One HTML file from what was found: every text escaped, data as JSON that no parser takes for markup."""

import json
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from coder_core.report.html.scripts import page_script, policy, read_asset, vega_script

_JSON_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""What may end a script element, or a line of one; inside JSON strings the escapes are the same characters."""


def render_page(contents: dict[str, Any], data: dict[str, Any]) -> str:
    """Write the page.

    Args:
        contents: What the template says itself; all of it is escaped.
        data: What the page's script shows.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["breakable"] = breakable
    template = environment.from_string(read_asset("page.html.j2"))
    vega, script = vega_script(), page_script()
    own = {"vega": Markup(vega), "script": Markup(script), "style": Markup(read_asset("page.css"))}  # noqa: S704 - ours
    own["data"] = Markup(json_in_html(data))  # noqa: S704 - escaped for where it stands
    return template.render(**contents, **own, policy=policy(vega, script), charts=data["charts"])


def breakable(text: str) -> Markup:
    """A name that a line may break after its underscores."""
    return Markup("_<wbr>").join(text.split("_"))


def json_in_html(value: Any) -> str:
    """JSON that may stand in a script element. What is not finite is null, as JSON has no such number."""
    written = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char, escape in _JSON_ESCAPES.items():
        written = written.replace(char, escape)
    return written.encode("utf-8", "backslashreplace").decode("utf-8")


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if value - value == 0 else None
        case dict():
            return {str(key): _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value
