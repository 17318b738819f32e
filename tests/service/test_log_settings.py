"""`serve` hands the format of its logs on to server, worker and runs; what the user has set wins."""

from service.serve import load_settings
from tasks.json_logs import JSON_SETTINGS, SETTINGS_VARIABLE


def logging_of(environment: dict[str, str]) -> str | None:
    return load_settings(environment, runs=1, gpu_slots=1).environment.get(SETTINGS_VARIABLE)


def test_serve_hands_on_the_format_of_its_logs() -> None:
    assert logging_of({}) is None
    assert logging_of({"CODER_LOG_FORMAT": "json"}) == str(JSON_SETTINGS)
    assert logging_of({"CODER_LOG_FORMAT": "json", SETTINGS_VARIABLE: "/mine.yml"}) == "/mine.yml"
