"""`coder-eval --help` as a way to go: commands in the order in which a person needs them, and not by the alphabet."""

from collections.abc import Mapping

import click

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Begin here": {
        "try": "classify a folder of photographs, and write its config",
        "init": "only write that config",
        "doctor": "are names, label order and texts what they seem?",
        "check": "what would stop a run, told in seconds",
        "run": "run the evaluation of a config",
    },
    "Many data sets and models": {
        "data": "published data sets by name: what is here, getting them",
        "sweep": "every data set with every model, one table",
        "import": "vectors that another tool has computed, as a config",
    },
    "Texts and classes": {
        "texts": "generate, import, show and export texts about classes",
        "classes": "notice new, removed and renamed classes",
    },
    "What came out": {
        "runs": "what was run, when, how good, at what cost",
        "show": "the summary of a run again",
        "report": "one HTML page of a run",
        "explain": "which texts decided about an image",
        "ablation": "accuracy by number and kinds of texts",
        "compare": "two runs: settings, methods, classes",
        "query": "ask the result tables in SQL",
        "tables": "which tables and columns there are",
        "warehouse": "all tables in one DuckDB file",
    },
    "To other programs": {
        "predict": "classify new images with a run or an exported folder",
        "export": "a classifier as a folder that needs nothing else",
        "metrics": "numbers in the files of CLIP_benchmark and mteb",
    },
    "Operation": {
        "store": "check, compact and clear a store",
        "serve": "server, deployments and worker on this machine",
        "deploy": "make a server that runs elsewhere ready",
    },
}
"""Heading -> command -> what it is for, in a line that 80 columns hold."""
OTHERS = "Others"


class SectionedGroup(click.Group):
    """A group of commands whose help has them under headings."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write every command with what it is for, section by section."""
        named = {name for lines in SECTIONS.values() for name in lines}
        others = {name: self.commands[name].get_short_help_str() for name in self.commands if name not in named}
        width = max(map(len, self.commands))  # all sections in line
        for heading, lines in {**SECTIONS, OTHERS: others}.items():
            rows = [(name.ljust(width), line) for name, line in lines.items() if name in self.commands]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)
