"""The scripts of a page, and the policy that lets these run and nothing else.

The policy of the page (Content-Security-Policy) names each script by its hash: text that found its way into the page
as markup would still not run, and whatever runs can ask no network. Vega's expressions are read by its interpreter
(`ast: true`), so the policy has no `unsafe-eval`.
"""

import base64
import hashlib
from functools import cache
from importlib import resources


@cache
def vega_script() -> str:
    """Vega, Vega-Lite and vega-embed in one script, as vl-convert carries them: about 0.9 MB."""
    import vl_convert

    return _inside_html(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def page_script() -> str:
    """What the page does itself: tables, filters, and putting data into charts."""
    parts = "\n".join(map(read_asset, ("page_base.js", "page.js")))
    return _inside_html(f'"use strict";\n(() => {{\n{parts}\n}})();')


def read_asset(name: str) -> str:
    """A file beside this module."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def policy(*scripts: str) -> str:
    """The page's Content-Security-Policy: nothing is loaded from anywhere, and only these scripts run.

    Styles stand in the page (`unsafe-inline`): Vega sets them on what it draws, and no style can ask a network here.
    """
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    rules = ("default-src 'none'", f"script-src {hashes}", "style-src 'unsafe-inline'", "img-src data:")
    return "; ".join((*rules, "base-uri 'none'", "form-action 'none'"))


def _inside_html(script: str) -> str:
    """Write a script so that a browser finds its end where it is; inside strings and patterns it means the same."""
    plain = script.replace("\r\n", "\n").replace("\r", "\\r")
    return plain.replace("</script", "<\\/script").replace("<!--", "<\\!--").replace("<script", "<\\script")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
